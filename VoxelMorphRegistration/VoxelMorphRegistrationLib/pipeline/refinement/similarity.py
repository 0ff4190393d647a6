"""How alike two images are, whatever their contrasts: local correlation in one contrast, squared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats, blurred
from VoxelMorphRegistrationLib.pipeline.refinement.transfer import carried_over

_WINDOW = 3.0  # voxels, the standard deviation of the Gaussian window: about 8 voxels wide
_EVERY = 3  # one window at every third voxel of each axis
_NOISE = 1e-3  # added to each variance; the standard deviation is 3 % of the brightest tissue


class LocalCorrelation:
    """Mean squared correlation with ``fixed`` in small windows over ``inside``, 0 to 1.

    The other image is carried over to the contrast of the fixed one first, so inverted contrasts are seen through, and
    windows see through bias fields. A correlation that is negative then counts as none: the squared correlation of the
    images as they are, which ANTs and greedy use, takes it for the best, and edges to the background then draw an
    inverted pair apart. Images are (D, H, W), their brightest tissue about 1; flat windows count as uncorrelated.
    """

    def __init__(self, fixed: Floats, inside: npt.NDArray[np.bool_]) -> None:
        self._fixed = fixed
        self._inside = inside[::_EVERY, ::_EVERY, ::_EVERY]
        mean, squares = _means(np.stack([fixed, fixed * fixed]))
        self._mean, self._variance = mean, squares - mean * mean + np.float32(_NOISE)

    def __call__(self, moved: Floats) -> float:
        """Of the moved image, on the same voxels."""
        carried, _ = carried_over(moved, self._fixed)
        mean, squares, product = _means(np.stack([carried, carried * carried, carried * self._fixed]))
        variance = squares - mean * mean + np.float32(_NOISE)
        covariance = np.maximum(product - mean * self._mean, 0)
        correlation = covariance * covariance / (variance * self._variance)
        values = correlation[self._inside]
        return float(values.mean()) if values.size else 0.0


def _means(images: Floats) -> Floats:
    return blurred(images, _WINDOW, _EVERY)
