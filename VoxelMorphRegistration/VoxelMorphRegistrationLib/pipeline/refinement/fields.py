"""Displacement fields on a lattice as the refinement holds them: (3, D, H, W) float32, voxels along the array's axes.

D, H, W are the lattice's i, j, k; component n points along axis n. The border to `DisplacementField` is here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid


def in_voxels(field: DisplacementField) -> Floats:
    """RAS mm vectors, (I, J, K, 3), as voxels of their own grid, (3, I, J, K)."""
    to_voxels = field.grid.ras_to_ijk[:3, :3].astype(np.float32)
    return np.ascontiguousarray(np.moveaxis(field.vectors @ to_voxels.T, -1, 0))


def in_space(field: Floats, grid: Grid) -> DisplacementField:
    """The inverse of `in_voxels`."""
    to_ras = grid.axes.astype(np.float32)
    return DisplacementField(np.moveaxis(field, 0, -1) @ to_ras.T, grid)


def warped(image: Floats, field: Floats, outside: float = np.nan) -> Floats:
    """``image(x + u(x))``, linear, (D, H, W); ``outside`` where that leaves the array."""
    return _pulled(sitk.GetImageFromArray(image), field, outside)


def then(first: Floats, following: Floats) -> Floats:
    """The field of x -> x + first(x) -> (that) + following(that); outside the array ``following`` is 0."""
    return first + np.moveaxis(_pulled(_vector_image(following), first, 0.0)[..., ::-1], -1, 0)


def after_small(field: Floats, step: Floats) -> Floats:
    """`then` (step, field) to first order in ``step``, which is well below a voxel: u + g + (gradient of u) g."""
    total = field + step
    for axis in range(3):
        inner, ahead, behind = _inner(axis)
        half = step[axis][inner] * np.float32(0.5)
        for component in range(3):
            slope = field[component][ahead] - field[component][behind]
            slope *= half
            total[component][inner] += slope
    return total


def gradient(image: Floats) -> Floats:
    """(3, D, H, W): central differences in voxels; 0 at the faces."""
    slopes = np.zeros((3, *image.shape), np.float32)
    for axis in range(3):
        inner, ahead, behind = _inner(axis)
        np.subtract(image[ahead], image[behind], out=slopes[axis][inner])
    slopes *= np.float32(0.5)
    return slopes


def folded(field: Floats) -> npt.NDArray[np.bool_]:
    """(D, H, W): the voxels with a Jacobian determinant of 0 or less."""
    determinant = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(_vector_image(field)))
    there: npt.NDArray[np.bool_] = determinant <= 0
    return there


def _pulled(image: sitk.Image, field: Floats, outside: float) -> Floats:
    result = sitk.Warp(
        image, _vector_image(field), sitk.sitkLinear, outputSize=image.GetSize(), edgePaddingValue=float(outside)
    )
    array: Floats = sitk.GetArrayFromImage(result)
    return array


def _vector_image(field: Floats) -> sitk.Image:
    """For SimpleITK, whose x is the last array axis: components reversed, side by side."""
    return sitk.GetImageFromArray(np.ascontiguousarray(np.moveaxis(field[::-1], 0, -1)), isVector=True)


def _inner(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...], tuple[slice, ...]]:
    """Index of all voxels that have two neighbours along an axis, of those ahead and of those behind."""
    every = slice(None)
    return tuple(  # type: ignore[return-value]
        tuple(part if a == axis else every for a in range(3)) for part in (slice(1, -1), slice(2, None), slice(0, -2))
    )
