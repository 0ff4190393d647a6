"""What can be done to a field that is understood but not fit for use: each repair is one function, with its amount.

All take and give a `DisplacementField` in the library's convention. What changes the meaning of the numbers (units,
LPS or RAS, order, half resolution, velocity, direction) is not here: that is applying another `Convention`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import TransformError
from VoxelMorphRegistrationLib.files.fields import RawField
from VoxelMorphRegistrationLib.pipeline.conventions.convention import read_layout
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge
from VoxelMorphRegistrationLib.spatial.grid import Floats

_SMALLEST_JACOBIAN = 0.02


def affine_part(field: DisplacementField) -> Floats:
    """The 4x4 RAS matrix A for which A x comes closest to x + u(x) over the field's voxels (least squares)."""
    steps = [max(1, n // 24) for n in field.grid.shape]
    index = np.stack(
        np.meshgrid(*[np.arange(0, n, s) for n, s in zip(field.grid.shape, steps, strict=True)], indexing="ij"), -1
    ).reshape(-1, 3)
    points = field.grid.to_ras(index)
    moved = points + field.vectors[index[:, 0], index[:, 1], index[:, 2]]
    centre = points.mean(axis=0)
    fit = np.linalg.lstsq(np.column_stack([points - centre, np.ones(len(points))]), moved, rcond=None)[0]
    matrix = np.eye(4)
    matrix[:3, :3] = fit[:3].T
    matrix[:3, 3] = fit[3] - fit[:3].T @ centre
    return matrix


def split_affine(field: DisplacementField) -> Deformation:
    """The field as a linear transform and what is left: ``x + u(x) = A(x + r(x))``.

    Raises TransformError where the linear part cannot be inverted.
    """
    matrix = affine_part(field)
    if abs(np.linalg.det(matrix[:3, :3])) < 0.05:
        raise TransformError("The linear part of this field cannot be inverted, so it cannot be split off.")
    back = np.linalg.inv(matrix)
    # r(x) = A^-1 (x + u(x)) - x = A^-1_3x3 u(x) + (A^-1 - 1) x
    rest = DisplacementField(np.asarray(field.vectors @ back[:3, :3].T.astype(np.float32), np.float32), field.grid)
    return Deformation(matrix, _plus_linear(rest, back))


def _plus_linear(field: DisplacementField, matrix: Floats) -> DisplacementField:
    vectors, linear, grid = field.vectors.copy(), matrix[:3, :3] - np.eye(3), field.grid
    vectors += (linear @ grid.origin + matrix[:3, 3]).astype(np.float32)
    for axis, size in enumerate(grid.shape):
        along = np.arange(size)[:, None] * (linear @ grid.axes[:, axis])
        vectors += along.astype(np.float32).reshape([size if a == axis else 1 for a in range(3)] + [3])
    return DisplacementField(vectors, grid)


def taper(field: DisplacementField, margin_mm: float = 10.0) -> DisplacementField:
    """The field faded to zero over ``margin_mm`` outside its grid, so that it ends in no cliff; inside nothing changes.

    Slicer continues a field's edge for ever and ITK drops it to zero at once: with a border of zeros both agree.
    """
    wide = [int(np.ceil(margin_mm / spacing)) + 1 for spacing in field.grid.spacing]
    vectors = np.pad(field.vectors, [*((n, n) for n in wide), (0, 0)], mode="edge")
    for axis, n in enumerate(wide):
        ramp = np.ones(vectors.shape[axis], np.float32)
        rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n)
        ramp[:n], ramp[-n:] = rise, rise[::-1]
        vectors *= ramp.reshape([-1 if a == axis else 1 for a in range(3)] + [1])
    shape = vectors.shape
    grid = field.grid.window([-n for n in wide], (shape[0], shape[1], shape[2]))
    return DisplacementField(vectors, grid)


def masked(
    field: DisplacementField, centre_ras: Floats, radius_mm: float, margin_mm: float = 10.0
) -> DisplacementField:
    """The field inside a sphere, faded to zero over ``margin_mm`` outside it."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in field.grid.shape], indexing="ij"), -1)
    distance = np.linalg.norm(field.grid.to_ras(index) - centre_ras, axis=-1)
    weight = np.clip(1 - (distance - radius_mm) / margin_mm, 0, 1).astype(np.float32)
    return DisplacementField(field.vectors * weight[..., None], field.grid)


@dataclass(frozen=True, eq=False)
class Unfolded:
    """A field that folds nowhere, and what that took: the width of the smoothing and how far it moved the field."""

    field: DisplacementField
    sigma_mm: float
    folded_percent_before: float
    rms_change_mm: float
    largest_change_mm: float


def unfold(field: DisplacementField, largest_sigma_mm: float = 20.0) -> Unfolded:
    """Smooth a field, no more than needed, until its Jacobian determinant is positive everywhere.

    The smoothing is Gaussian and local: it fades in around the folds. Raises TransformError where even the largest
    width does not do.
    """
    before = 100 * float((field.jacobian_determinant().array <= 0).mean())
    if before == 0:
        return Unfolded(field, 0.0, 0.0, 0.0, 0.0)
    sigma = float(field.grid.spacing.mean())
    while sigma <= largest_sigma_mm:
        current = field
        for _ in range(4):
            bad = current.jacobian_determinant().array < _SMALLEST_JACOBIAN
            if not bad.any():
                change = np.linalg.norm(current.vectors - field.vectors, axis=-1)
                return Unfolded(current, sigma, before, float(np.sqrt((change**2).mean())), float(change.max()))
            current = _smoothed_around(current, bad, sigma)
        sigma *= 1.5
    raise TransformError(
        "This field folds so much that smoothing does not mend it; its convention is probably another one."
    )


def _smoothed_around(field: DisplacementField, bad: npt.NDArray[np.bool_], sigma_mm: float) -> DisplacementField:
    smooth = bridge.vectors_from_sitk(_gauss(field.to_sitk(), sigma_mm))
    mask = bridge.scalar_to_sitk(bad.astype(np.float32), field.grid)
    near = np.clip(6 * bridge.scalar_from_sitk(_gauss(mask, 2 * sigma_mm)), 0, 1)
    near = np.maximum(near, bad)[..., None].astype(np.float32)
    return DisplacementField(field.vectors + near * (smooth - field.vectors), field.grid)


def _gauss(image: sitk.Image, sigma_mm: float) -> sitk.Image:
    return sitk.SmoothingRecursiveGaussian(image, sigma_mm)


def filled(raw: RawField) -> tuple[RawField, int]:
    """NaN and infinite vectors replaced by the mean of their finite neighbours; and how many voxels that were.

    Raises TransformError where more than half are not finite.
    """
    layout = "last" if raw.array.shape[3] == 3 else "first"
    vectors: Any = np.array(read_layout(raw.array, layout), np.float32)  # type: ignore[arg-type]
    bad = ~np.isfinite(vectors).all(axis=-1)
    count = int(bad.sum())
    if count == 0:
        return raw, 0
    if count > bad.size / 2:
        raise TransformError(f"{count} of the {bad.size} vectors are NaN or infinite; the field cannot be mended.")
    vectors[bad] = 0
    known = (~bad).astype(np.float32)
    todo = bad
    while todo.any():
        total: Any = np.zeros(vectors.shape, np.float32)
        weight: Any = np.zeros(known.shape, np.float32)
        for axis in range(3):
            for shift in (-1, 1):
                total = total + _shifted(vectors * known[..., None], axis, shift)
                weight = weight + _shifted(known, axis, shift)
        now = todo & (weight > 0)
        vectors[now] = total[now] / weight[now][:, None]
        known[now], todo = 1, todo & ~now
    array = np.moveaxis(vectors, -1, 0) if layout == "first" else vectors
    return replace(raw, array=array), count


def _shifted(array: npt.NDArray[np.float32], axis: int, by: int) -> npt.NDArray[np.float32]:
    moved = np.roll(array, by, axis)
    edge: list[slice | int] = [slice(None)] * array.ndim
    edge[axis] = 0 if by > 0 else -1
    moved[tuple(edge)] = 0
    return moved


def on_grid(field: DisplacementField, grid: Grid) -> DisplacementField:
    """The field on a volume's own voxels: half resolution upsampled, crops and pads undone."""
    return field.resampled(grid)
