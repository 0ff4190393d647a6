"""How alike two images of one contrast are: local correlation, squared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats, blurred

_WINDOW = 3.0  # voxels: about 8 voxels wide
_EVERY = 3  # one window at every third voxel of each axis
_NOISE = 1e-3  # added to each variance; the standard deviation is 3 % of the brightest tissue


class LocalCorrelation:
    """Mean squared correlation with ``fixed`` in small windows over ``inside``, 0 to 1.

    Windows see through bias fields. A negative correlation counts as none: its square, which ANTs and greedy use, takes
    an inverted edge to the background for a good one. Images are (D, H, W), their brightest tissue about 1; flat
    windows count as uncorrelated. ``window`` is the standard deviation of the Gaussian window, voxels.
    """

    def __init__(self, fixed: Floats, inside: npt.NDArray[np.bool_], window: float = _WINDOW) -> None:
        self._window = window
        self._fixed = fixed
        self._inside = inside[::_EVERY, ::_EVERY, ::_EVERY]
        mean, squares = self._means(np.stack([fixed, fixed * fixed]))
        self._mean, self._variance = mean, squares - mean * mean + np.float32(_NOISE)

    def __call__(self, moved: Floats) -> float:
        """Of the moved image, on the same voxels."""
        mean, squares, product = self._means(np.stack([moved, moved * moved, moved * self._fixed]))
        variance = squares - mean * mean + np.float32(_NOISE)
        covariance = np.maximum(product - mean * self._mean, 0)
        correlation = covariance * covariance / (variance * self._variance)
        values = correlation[self._inside]
        return float(values.mean()) if values.size else 0.0

    def _means(self, images: Floats) -> Floats:
        return blurred(images, self._window, _EVERY)
