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
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, linear_part
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

_SMALLEST_JACOBIAN = 0.005
_SMOOTHINGS = 30


def split_affine(field: DisplacementField) -> Deformation:
    """The field as a linear transform and what is left; see `spatial.linear_part`."""
    return linear_part.split(field)


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


@dataclass(frozen=True, eq=False)
class Unfolded:
    """A field that folds nowhere, and what that took: the width of the smoothing and how far it moved the field."""

    field: DisplacementField
    sigma_mm: float
    folded_percent_before: float
    rms_change_mm: float
    largest_change_mm: float


def unfold(field: DisplacementField) -> Unfolded:
    """Smooth a field, no more than needed, until its Jacobian determinant is positive everywhere.

    Gaussian, where it folds and a little around, again and again with growing width. Raises TransformError where that
    does not mend it.
    """
    before = 100 * float((field.jacobian_determinant().array <= 0).mean())
    sigma, current = float(field.grid.spacing.mean()), field
    used = 0.0
    for _ in range(_SMOOTHINGS):
        determinant = current.jacobian_determinant().array
        if (determinant > 0).all():
            change = np.linalg.norm(current.vectors - field.vectors, axis=-1)
            return Unfolded(current, used, before, float(np.sqrt((change**2).mean())), float(change.max()))
        current, used = _smoothed_around(current, determinant < _SMALLEST_JACOBIAN, sigma), sigma
        sigma *= 1.1
    raise TransformError(
        "This field folds so much that smoothing does not mend it; its convention is probably another one."
    )


def _smoothed_around(field: DisplacementField, bad: npt.NDArray[np.bool_], sigma_mm: float) -> DisplacementField:
    """Only the neighbourhood of the folds is looked at: they are few, and smoothing is what takes the time."""
    reach = np.ceil(5 * sigma_mm / field.grid.spacing).astype(int) + 2
    found = np.argwhere(bad)
    low = np.maximum(found.min(axis=0) - reach, 0)
    high = np.minimum(found.max(axis=0) + reach + 1, field.grid.shape)
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    part = field.vectors[window]
    grid = field.grid.window(low, (part.shape[0], part.shape[1], part.shape[2]))
    smooth = bridge.vectors_from_sitk(_gauss(bridge.vectors_to_sitk(part, grid), sigma_mm))
    mask = bridge.scalar_to_sitk(bad[window].astype(np.uint8), grid)
    away = bridge.scalar_from_sitk(
        sitk.SignedMaurerDistanceMap(mask, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    )
    near = np.clip(1.6 - away / (1.5 * sigma_mm), 0, 1)[..., None].astype(np.float32)
    vectors = field.vectors.copy()
    vectors[window] = part + near * (smooth - part)
    return DisplacementField(vectors, field.grid)


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
