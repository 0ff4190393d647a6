"""The linear alignment that hides in a displacement field: found, split off, and used to invert large fields."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import TransformError
from VoxelMorphRegistrationLib.spatial.deformation import Deformation
from VoxelMorphRegistrationLib.spatial.displacement_field import DisplacementField
from VoxelMorphRegistrationLib.spatial.grid import Floats, Grid


def linear_part(field: DisplacementField) -> Floats:
    """The 4x4 RAS matrix A for which A x comes closest to x + u(x) over the field's voxels (least squares)."""
    steps = [max(1, n // 24) for n in field.grid.shape]
    axes = [np.arange(0, n, step) for n, step in zip(field.grid.shape, steps, strict=True)]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    points = field.grid.to_ras(index)
    moved = points + field.vectors[index[:, 0], index[:, 1], index[:, 2]]
    centre = points.mean(axis=0)
    fit = np.linalg.lstsq(np.column_stack([points - centre, np.ones(len(points))]), moved, rcond=None)[0]
    matrix = np.eye(4)
    matrix[:3, :3] = fit[:3].T
    matrix[:3, 3] = fit[3] - fit[:3].T @ centre
    return matrix


def split(field: DisplacementField) -> Deformation:
    """The field as a linear transform and what is left: ``x + u(x) = A(x + r(x))``.

    Raises TransformError where the linear part cannot be inverted.
    """
    matrix = linear_part(field)
    if np.linalg.det(matrix[:3, :3]) < 0.05:
        raise TransformError("The linear part of this field cannot be inverted: its convention is probably another.")
    back = np.linalg.inv(matrix)
    # r(x) = A^-1 (x + u(x)) - x = A^-1_3x3 u(x) + (A^-1 - 1) x
    turned = np.asarray(field.vectors @ back[:3, :3].T.astype(np.float32), np.float32)
    return Deformation(matrix, _plus_linear(turned, back, field.grid))


def inverse_on(field: DisplacementField, grid: Grid, *, tolerance_mm: float = 0.5) -> DisplacementField:
    """The inverse of a field, also of one with much linear motion, on another grid.

    With x + u(x) = A(x + r(x)) it is ``v(y) = z + s(z) - y`` at z = A^-1 y, where s inverts the small r. Raises
    TransformError as `DisplacementField.inverse`.
    """
    apart = split(field)
    back = apart.affine_inverse
    rest = apart.displacement.inverse(tolerance_mm=tolerance_mm)
    seen = rest.resampled(grid.moved_by(back)).vectors
    return _plus_linear(seen, back, grid)


def _plus_linear(vectors: npt.NDArray[np.float32], matrix: Floats, grid: Grid) -> DisplacementField:
    """The vectors plus (matrix - 1) x at the grid's voxels x: a sum of one part for each axis."""
    linear = matrix[:3, :3] - np.eye(3)
    total = vectors + (linear @ grid.origin + matrix[:3, 3]).astype(np.float32)
    for axis, size in enumerate(grid.shape):
        along = np.arange(size)[:, None] * (linear @ grid.axes[:, axis])
        total += along.astype(np.float32).reshape([size if a == axis else 1 for a in range(3)] + [3])
    return DisplacementField(total, grid)
