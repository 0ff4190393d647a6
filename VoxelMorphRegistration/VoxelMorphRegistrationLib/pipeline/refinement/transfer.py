"""An image in the contrast of another one on which it lies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats, blurred

_BINS = 64
_STEPS = 4096  # of the table by which the curve is applied
_THIN = (slice(None, None, 2),) * 3
_INNER = 0.9  # of the neighbourhood is tissue
_REACH = 3.0  # voxels
_KERNEL = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)


def carried_over(moved: Floats, fixed: Floats) -> tuple[Floats, Floats]:
    """``moved`` by the curve that says how bright ``fixed`` is on average where ``moved`` has a brightness, and the
    curve's slope at each voxel (Guimond et al., IEEE TMI 20(1), 2001).

    (D, H, W), background 0, the brightest tissue about 1. The curve is smoothed, but for the background.
    """
    bins = np.clip(moved[_THIN] * _BINS, 0, _BINS - 1).astype(np.int32).ravel()
    counts = np.bincount(bins, minlength=_BINS).astype(np.float64)
    sums = np.bincount(bins, fixed[_THIN].ravel(), minlength=_BINS).astype(np.float64)
    curve = np.append(0.0, _smoothed(sums[1:]) / (_smoothed(counts[1:]) + 1e-9))
    curve[0] = sums[0] / max(counts[0], 1.0)
    middles = (np.arange(_BINS) + 0.5) / _BINS
    at = np.linspace(0, 1, _STEPS + 1)
    table = np.interp(at, middles, curve).astype(np.float32)
    slopes = np.interp(at, middles, np.gradient(curve, 1 / _BINS)).astype(np.float32)
    index = (moved * np.float32(_STEPS)).astype(np.int32)
    return table.take(index, mode="clip"), slopes.take(index, mode="clip")


def inner_tissue(image: Floats) -> npt.NDArray[np.bool_]:
    """Where the image is not background (0, or NaN), nor at the edge to it."""
    found: npt.NDArray[np.bool_] = blurred((image > 0).astype(np.float32), 1.0) > _INNER
    return found


def without_background(image: Floats) -> Floats:
    """The image with its tissue going on where it has background (0) and at the edge to it; NaN stays.

    Where contrasts differ, the edge of a stripped skull is no edge that both images have.
    """
    tissue = inner_tissue(image).astype(np.float32)
    inner = np.nan_to_num(image) * tissue
    mean = float(inner.sum() / max(float(tissue.sum()), 1.0))
    # The small constant is what counts far from all tissue.
    filled = (blurred(inner, _REACH) + 1e-6 * mean) / (blurred(tissue, _REACH) + 1e-6)
    result: Floats = np.where((tissue > 0) | np.isnan(image), image, filled)
    return result


def _smoothed(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.convolve(values, _KERNEL, "same")
