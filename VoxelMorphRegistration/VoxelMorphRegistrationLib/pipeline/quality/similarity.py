"""How alike two images on one grid are: correlation, mutual information, local correlation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.pipeline.quality.results import BeforeAfter, Similarity
from VoxelMorphRegistrationLib.pipeline.refinement.separable import blurred

_SAMPLES = 300_000
_BINS = 64
_WINDOW = 3.0  # voxels, the standard deviation of the local correlation's Gaussian window: about 8 voxels wide
_EVERY = 3  # one window at every third voxel of each axis
_FLAT = 1e-3  # added to each variance of values between 0 and 1, so that noise in flat parts counts as uncorrelated
_TAILS = (0.5, 99.5)  # percentiles between which values are told apart: a few bright voxels must not fill the bins

Mask = npt.NDArray[np.bool_]


def similarity(
    fixed: npt.NDArray[Any], as_it_lies: npt.NDArray[Any], moved: npt.NDArray[Any], inside: Mask
) -> Similarity:
    """Of the moving image on the fixed one's voxels, as it lies and moved; (I, J, K) arrays, seen where ``inside``.

    Nothing is alike (0) where there is nothing to compare: no voxel inside, or one value only.
    """
    step = max(1, round((np.count_nonzero(inside) / _SAMPLES) ** (1 / 3)))
    every = (slice(None, None, step),) * 3
    chosen = inside[every]
    values = fixed[every][chosen]
    others = as_it_lies[every][chosen], moved[every][chosen]
    windows = LocalCorrelation(fixed, inside)
    return Similarity(
        BeforeAfter(*(correlation(values, other) for other in others)),
        BeforeAfter(*(mutual_information(values, other) for other in others)),
        BeforeAfter(windows(as_it_lies), windows(moved)),
    )


def correlation(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Normalised cross-correlation (Pearson's) of two lists of values, -1 to 1."""
    if a.size < 2:
        return 0.0
    x, y = a - a.mean(dtype=np.float64), b - b.mean(dtype=np.float64)
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else 0.0


def mutual_information(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """How much knowing one value tells of the other, in nats: from a joint histogram of 64 x 64 bins."""
    if a.size < 2:
        return 0.0
    joint = np.histogram2d(_scaled(a), _scaled(b), bins=_BINS, range=((0, 1), (0, 1)))[0]
    joint /= joint.sum()
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    return max(0.0, float(np.sum(joint[seen] * np.log(joint[seen] / independent[seen]))))


class LocalCorrelation:
    """Mean squared correlation with ``fixed`` in small windows over ``inside``, 0 to 1.

    ANTs, greedy and VoxelMorph register by it; here with Gaussian windows, as in `refinement`, whose filters it uses.
    """

    def __init__(self, fixed: npt.NDArray[Any], inside: Mask) -> None:
        self._inside = inside.T[::_EVERY, ::_EVERY, ::_EVERY]
        self._fixed = _scaled_volume(fixed)
        mean, squares = _means(np.stack([self._fixed, self._fixed**2]))
        self._mean, self._variance = mean, squares - mean**2 + np.float32(_FLAT)

    def __call__(self, image: npt.NDArray[Any]) -> float:
        """Of an image on the same voxels."""
        values = _scaled_volume(image)
        mean, squares, product = _means(np.stack([values, values**2, values * self._fixed]))
        variance = squares - mean**2 + np.float32(_FLAT)
        squared = (product - mean * self._mean) ** 2 / (variance * self._variance)
        found = squared[self._inside]
        return float(found.mean(dtype=np.float64)) if found.size else 0.0


def _scaled(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    low, high = np.percentile(values, _TAILS)
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return np.asarray(np.clip((values - low) / max(high - low, 1e-30), 0, 1), np.float64)


def _scaled_volume(image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(K, J, I) between 0 and 1, C order: an image from SimpleITK or Slicer is not copied to get there."""
    values = np.asarray(image.T, np.float32, order="C")
    low, high = float(values.min()), float(np.percentile(values[::3, ::3, ::3], _TAILS[1]))
    if high <= low:
        high = float(values.max())
    return np.asarray(np.clip((values - low) / max(high - low, 1e-30), 0, 1), np.float32)


def _means(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return blurred(images, _WINDOW, _EVERY)
