"""What a displacement field does: how far it moves, what becomes of volumes, whether its inverse leads back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.pipeline.quality.results import Distances, JacobianSummary
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image


def distances(lengths_mm: npt.NDArray[Any]) -> Distances | None:
    """Mean, 95th percentile and largest of some lengths; NaN does not count; None where there are none."""
    known = lengths_mm[np.isfinite(lengths_mm)]
    if known.size == 0:
        return None
    return Distances(float(known.mean(dtype=np.float64)), float(np.percentile(known, 95)), float(known.max()))


def jacobian_summary(determinants: npt.NDArray[Any]) -> JacobianSummary:
    """Of the determinants at some voxels, at least one."""
    p1, p99 = np.percentile(determinants, (1, 99))
    return JacobianSummary(
        float(determinants.min()), float(p1), float(p99), float(determinants.max()), folded_percent(determinants)
    )


def folded_percent(determinants: npt.NDArray[Any]) -> float:
    """Share of the voxels whose determinant is 0 or less, in percent."""
    return 100.0 * float(np.count_nonzero(determinants <= 0)) / max(determinants.size, 1)


def volume_change_percent(determinants: npt.NDArray[Any]) -> float:
    """How much larger a region is after the transform: the integral of the determinant over it, less the region."""
    return 100.0 * (float(determinants.mean(dtype=np.float64)) - 1.0)


def inverse_error(field: DisplacementField, inverse: DisplacementField) -> Image:
    """How far from x the point comes to lie that goes through the field and back through the inverse, in mm.

    At each voxel x of the field's grid, float32; NaN where the point leaves the grid of ``inverse`` on its way.
    """
    error = field.then(inverse).magnitude()
    error[~_arrives_in(inverse.grid, field)] = np.nan
    return Image(error, field.grid, "Inverse consistency")


def _arrives_in(grid: Grid, field: DisplacementField) -> npt.NDArray[np.bool_]:
    """(I, J, K): whether x + u(x) lies within another grid; slab by slab, since indices take much memory."""
    inside = np.empty(field.grid.shape, np.bool_)
    j, k = np.meshgrid(*[np.arange(n) for n in field.grid.shape[1:]], indexing="ij")
    for i in range(field.grid.shape[0]):
        points = field.grid.to_ras(np.stack([np.full_like(j, i), j, k], -1)) + field.vectors[i]
        inside[i] = grid.contains(points)
    return inside
