"""To and from SimpleITK: ``[i, j, k]`` and RAS on our side, ``[k, j, i]`` arrays and LPS on its side.

SimpleITK's Python arrays are indexed [z, y, x] and its physical space is LPS, as ITK's
(https://simpleitk.readthedocs.io/en/master/fundamentalConcepts.html); RAS to LPS is the sign of the first two
coordinates, of positions and of vectors alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.spatial.grid import Floats, Grid

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Its own inverse."""

FLOAT32 = sitk.sitkFloat32
"""Pixel type for resample()."""

_FLIP_XY = np.array([-1, -1, 1], np.float32)

_SIMPLEITK_HAS: dict[type, type] = {np.bool_: np.uint8, np.float16: np.float32, np.longdouble: np.float64}
"""What stands in for the types that SimpleITK does not know."""


def place_on_grid(image: sitk.Image, grid: Grid) -> sitk.Image:
    """Give a SimpleITK image (of the grid's size) the grid's geometry; returns the same image."""
    lps = RAS_TO_LPS @ grid.ijk_to_ras
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetSpacing(grid.spacing.tolist())
    image.SetDirection((lps[:3, :3] / grid.spacing).ravel().tolist())
    return image


def scalar_to_sitk(array_ijk: npt.NDArray[Any], grid: Grid) -> sitk.Image:
    """A SimpleITK image of an (I, J, K) array of any real type and byte order; copies."""
    native = array_ijk.dtype.newbyteorder("=")
    array = array_ijk.astype(_SIMPLEITK_HAS.get(native.type, native), copy=False)
    return place_on_grid(sitk.GetImageFromArray(array.T), grid)


def scalar_from_sitk(image: sitk.Image) -> npt.NDArray[Any]:
    """The (I, J, K) array of a scalar SimpleITK image; a transposed (Fortran-ordered) array."""
    array: npt.NDArray[Any] = sitk.GetArrayFromImage(image)
    return array.T


def vectors_to_sitk(vectors_ras: npt.NDArray[np.floating], grid: Grid) -> sitk.Image:
    """A VectorFloat64 SimpleITK image of (I, J, K, 3) RAS vectors, its components in LPS.

    Double, because ITK's displacement field transforms take nothing else.
    """
    lps = np.empty((*grid.shape[::-1], 3), np.float64)
    np.multiply(vectors_ras.transpose(2, 1, 0, 3), _FLIP_XY, out=lps)
    return place_on_grid(sitk.GetImageFromArray(lps, isVector=True), grid)


def vectors_from_sitk(image: sitk.Image) -> npt.NDArray[np.float32]:
    """(I, J, K, 3) float32 RAS vectors of a 3-component SimpleITK image whose components are LPS."""
    lps = sitk.GetArrayViewFromImage(image)
    ras = np.empty(lps.shape, np.float32)
    np.multiply(lps, _FLIP_XY, out=ras, casting="same_kind")
    return ras.transpose(2, 1, 0, 3)


def grid_from_sitk(image: sitk.Image) -> Grid:
    """The grid of a 3-D SimpleITK image."""
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    lps[:3, 3] = image.GetOrigin()
    size = image.GetSize()
    return Grid((size[0], size[1], size[2]), RAS_TO_LPS @ lps)


def affine_to_sitk(ras_matrix: npt.ArrayLike) -> sitk.AffineTransform:
    """A SimpleITK affine transform of a 4x4 RAS matrix."""
    lps = RAS_TO_LPS @ np.asarray(ras_matrix, np.float64) @ RAS_TO_LPS
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(lps[:3, :3].ravel().tolist())
    transform.SetTranslation(lps[:3, 3].tolist())
    return transform


def affine_from_sitk(transform: sitk.Transform) -> Floats:
    """The 4x4 RAS matrix of any linear SimpleITK transform (rigid, affine, translation, composite of them)."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    lps = np.eye(4)
    for axis in range(3):
        lps[:3, axis] = np.array(transform.TransformPoint(np.eye(3)[axis].tolist())) - origin
    lps[:3, 3] = origin
    return RAS_TO_LPS @ lps @ RAS_TO_LPS


def resample(
    image: sitk.Image,
    grid: Grid,
    transform: sitk.Transform | None = None,
    *,
    interpolator: int = sitk.sitkLinear,
    outside: float = 0.0,
    pixel_type: int = sitk.sitkUnknown,
) -> sitk.Image:
    """``image`` seen through ``transform`` (positions on ``grid`` to positions in ``image``; LPS) on ``grid``."""
    lps = RAS_TO_LPS @ grid.ijk_to_ras
    return sitk.Resample(
        image,
        grid.shape,
        transform if transform is not None else sitk.Transform(),
        interpolator,
        lps[:3, 3].tolist(),
        grid.spacing.tolist(),
        (lps[:3, :3] / grid.spacing).ravel().tolist(),
        outside,
        pixel_type,
    )
