"""How good a registration looks, from the images and the field alone."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

_SAMPLES = 300_000


def similarity(fixed: Image, moving: Image, moved: Image, mask: Image | None = None) -> tuple[float, float]:
    """Normalised cross-correlation with ``fixed`` of the moving image as it lies, and of ``moved``.

    Inside the fixed image's content (above its minimum, or in ``mask``, which is on its grid), on a regular sample
    of about 300,000 voxels. 0 where there is nothing to correlate.
    """
    step = max(1, round((math.prod(fixed.grid.shape) / _SAMPLES) ** (1 / 3)))
    sample = tuple(slice(None, None, step) for _ in range(3))
    coarse = _every(fixed.grid, step)
    as_it_lies = bridge.resample(
        bridge.scalar_to_sitk(moving.array, moving.grid),
        coarse,
        outside=float(moving.array.min()),
        pixel_type=sitk.sitkFloat32,
    )
    values = fixed.array[sample]
    inside = values > fixed.array.min() if mask is None else mask.array[sample] > 0
    return (
        _correlation(values[inside], bridge.scalar_from_sitk(as_it_lies)[inside]),
        _correlation(values[inside], moved.array[sample][inside]),
    )


def folded_percent(displacement: DisplacementField, fixed: Image, mask: Image | None = None) -> float:
    """Share in percent of the fixed content (or of ``mask``, on its grid) at which the field folds."""
    content = fixed.array > fixed.array.min() if mask is None else mask.array > 0
    inside = _nearest(fixed.with_array(content), displacement.grid)
    folded = displacement.jacobian_determinant().array <= 0
    return 100.0 * float(np.count_nonzero(folded & inside)) / max(int(np.count_nonzero(inside)), 1)


def _nearest(inside: Image, grid: Grid) -> npt.NDArray[np.bool_]:
    """A mask on another grid; False outside."""
    seen = bridge.resample(
        bridge.scalar_to_sitk(inside.array, inside.grid), grid, interpolator=sitk.sitkNearestNeighbor
    )
    return np.asarray(bridge.scalar_from_sitk(seen) != 0)


def _every(grid: Grid, step: int) -> Grid:
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, :3] *= step
    shape = [-(-n // step) for n in grid.shape]
    return Grid((shape[0], shape[1], shape[2]), matrix)


def _correlation(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> float:
    x, y = a.astype(np.float64), b.astype(np.float64)
    if x.size < 2 or x.std() == 0 or y.std() == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])
