"""A dense displacement field: RAS mm vectors on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError, TransformError
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge
from VoxelMorphRegistrationLib.spatial.grid import Floats, Grid
from VoxelMorphRegistrationLib.spatial.image import Image

_WAY_OUT = "smooth it, or register with fixed and moving swapped."


@dataclass(frozen=True, eq=False)
class DisplacementField:
    """``vectors`` (I, J, K, 3): displacements in RAS mm at the voxels of ``grid``; x is taken to x + u(x).

    As a resampling field it lies on the fixed grid and says where in the moving image to sample,
    ``moved(x) = moving(x + u(x))`` (ITK's displacement fields and Slicer's "from parent" mean the same).
    Between voxels it is linear; outside, the nearest edge voxel counts, as in Slicer's grid transforms.
    Raises InputError for another shape or vectors that are not finite.
    """

    vectors: npt.NDArray[np.float32]
    grid: Grid

    def __post_init__(self) -> None:
        if self.vectors.shape != (*self.grid.shape, 3):
            raise InputError(
                f"The displacement vectors have shape {self.vectors.shape}, but the grid needs {(*self.grid.shape, 3)}."
            )
        if not np.isfinite(self.vectors).all():
            raise InputError("The displacement field holds values that are not finite (NaN or infinity).")

    @classmethod
    def zero(cls, grid: Grid) -> DisplacementField:
        """The field that moves nothing."""
        return cls(np.zeros((*grid.shape, 3), np.float32), grid)

    @classmethod
    def sampled(cls, transform: sitk.Transform, grid: Grid) -> DisplacementField:
        """What any SimpleITK transform (LPS) adds to the positions of a grid's voxels."""
        lps = bridge.RAS_TO_LPS @ grid.ijk_to_ras
        field = sitk.TransformToDisplacementField(
            transform,
            sitk.sitkVectorFloat32,
            grid.shape,
            lps[:3, 3].tolist(),
            grid.spacing.tolist(),
            (lps[:3, :3] / grid.spacing).ravel().tolist(),
        )
        return cls(bridge.vectors_from_sitk(field), grid)

    def at(self, points_ras: npt.ArrayLike) -> Floats:
        """(..., 3) displacements in mm at (..., 3) RAS positions, by linear interpolation."""
        index = np.clip(self.grid.to_ijk(points_ras), 0, np.array(self.grid.shape) - 1)
        low = np.minimum(index.astype(np.intp), np.maximum(np.array(self.grid.shape) - 2, 0))
        high = np.minimum(low + 1, np.array(self.grid.shape) - 1)
        part = index - low
        total = np.zeros(index.shape)
        for corner in np.ndindex(2, 2, 2):
            weight = np.prod(np.where(corner, part, 1 - part), axis=-1)
            i, j, k = np.moveaxis(np.where(corner, high, low), -1, 0)
            total += weight[..., None] * self.vectors[i, j, k]
        return total

    def map_points(self, points_ras: npt.ArrayLike) -> Floats:
        """(..., 3) RAS positions x to x + u(x)."""
        points = np.asarray(points_ras, np.float64)
        return points + self.at(points)

    def to_sitk(self) -> sitk.Image:
        """The field as SimpleITK holds it: a VectorFloat64 image, components in LPS mm."""
        return bridge.vectors_to_sitk(self.vectors, self.grid)

    def transform(self) -> sitk.DisplacementFieldTransform:
        """The field as a SimpleITK transform (LPS); zero outside the grid, as ITK has it."""
        return sitk.DisplacementFieldTransform(self.to_sitk())

    def resampled(self, grid: Grid) -> DisplacementField:
        """The same displacements on another grid; the nearest edge voxel counts outside."""
        if grid.is_same(self.grid):
            return self
        if (first := self.grid.first_voxel_of(grid)) is not None:
            return DisplacementField(_windowed(self.vectors, first, grid.shape), grid)
        resampled = sitk.Resample(
            self.to_sitk(),
            bridge.place_on_grid(sitk.Image(grid.shape, sitk.sitkUInt8), grid),
            sitk.Transform(),
            sitk.sitkLinear,
            0.0,
            sitk.sitkVectorFloat32,
            True,  # useNearestNeighborExtrapolator
        )
        return DisplacementField(bridge.vectors_from_sitk(resampled), grid)

    def warp(self, image: Image, grid: Grid | None = None, *, outside: float = 0.0) -> Image:
        """``image(x + u(x))`` on ``grid`` (default: the field's own), linear, float32; ``outside`` beyond the image."""
        return self._pulled(image, grid, sitk.sitkLinear, outside, sitk.sitkFloat32)

    def warp_labels(self, labels: Image, grid: Grid | None = None) -> Image:
        """A labelmap pulled through the field, nearest neighbour, its type kept, 0 outside."""
        return self._pulled(labels, grid, sitk.sitkNearestNeighbor, 0.0, sitk.sitkUnknown)

    def _pulled(self, image: Image, grid: Grid | None, interpolator: int, outside: float, pixel_type: int) -> Image:
        target = grid if grid is not None else self.grid
        pulled = bridge.resample(
            bridge.scalar_to_sitk(image.array, image.grid),
            target,
            self.transform(),
            interpolator=interpolator,
            outside=outside,
            pixel_type=pixel_type,
        )
        return Image(bridge.scalar_from_sitk(pulled), target, image.name)

    def then(self, next_field: DisplacementField) -> DisplacementField:
        """The field of x -> x + u(x) -> (that) + next(that), on this grid: first this one, then the next."""
        carried = sitk.Resample(
            next_field.to_sitk(),
            bridge.place_on_grid(sitk.Image(self.grid.shape, sitk.sitkUInt8), self.grid),
            self.transform(),
            sitk.sitkLinear,
            0.0,
            sitk.sitkVectorFloat32,
            True,
        )
        return DisplacementField(self.vectors + bridge.vectors_from_sitk(carried), self.grid)

    def inverse(self, *, tolerance_mm: float = 0.1) -> DisplacementField:
        """The field v on the same grid with y + v(y) = x where x + u(x) = y.

        By ITK's fixed-point iteration, for fields that come without a velocity; a diffeomorphic model's true inverse
        is integrated instead. Raises TransformError where the field folds at more than 0.1 % of its voxels, or where
        y + v(y) does not come back to y within ``tolerance_mm`` for 99.9 % of them.
        """
        folded = 100 * float(np.mean(self.jacobian_determinant().array <= 0))
        if folded > 0.1:
            raise TransformError(
                f"The displacement field cannot be inverted: it folds at {folded:.2g} % of its voxels; {_WAY_OUT}"
            )
        # ITK takes a field to end in zeros, here it goes on with its edge values: as far as those reach.
        wide = np.ceil(np.abs(_border(self.vectors) @ self.grid.ras_to_ijk[:3, :3].T).max(axis=0)).astype(int)
        padded = np.pad(self.vectors, [*((n, n) for n in wide), (0, 0)], mode="edge")
        shape = padded.shape
        around = self.grid.window(-wide, (shape[0], shape[1], shape[2]))
        inverted = sitk.InvertDisplacementField(
            sitk.Cast(bridge.vectors_to_sitk(padded, around), sitk.sitkVectorFloat32),
            maximumNumberOfIterations=50,
            maxErrorToleranceThreshold=0.1 * tolerance_mm / float(self.grid.spacing.max()),  # in voxels
            meanErrorToleranceThreshold=1e-3 * tolerance_mm / float(self.grid.spacing.max()),
            enforceBoundaryCondition=False,
        )
        inner = tuple(slice(n, n + size) for n, size in zip(wide, self.grid.shape, strict=True))
        inverse = DisplacementField(bridge.vectors_from_sitk(inverted)[inner], self.grid)
        error = float(np.quantile(inverse.then(self).magnitude(), 0.999))
        if error > tolerance_mm:
            raise TransformError(
                f"The displacement field cannot be inverted: {error:.2f} mm are left at the worst voxels; {_WAY_OUT}"
            )
        return inverse

    def jacobian_determinant(self) -> Image:
        """det(d(x + u)/dx) at each voxel, (I, J, K) float32: 1 keeps volume, 0 or less is folding.

        ITK's filter differentiates along the array axes but takes the vectors as they are, which is wrong on an
        oblique or flipped grid; so the vectors are expressed on the array axes first. At the grid's faces it takes the
        neighbour outside for the voxel itself, which halves the derivative; so the field is continued there in a line.
        """
        to_axes = np.linalg.inv(self.grid.directions)  # no transpose: a hardened affine leaves sheared grids
        on_axes = self.vectors.transpose(2, 1, 0, 3) @ to_axes.T.astype(np.float32)
        continued = np.pad(on_axes, [*[(1, 1)] * 3, (0, 0)], mode="reflect", reflect_type="odd")
        plain = sitk.GetImageFromArray(continued, isVector=True)
        plain.SetSpacing(self.grid.spacing.tolist())
        determinant = sitk.Crop(sitk.DisplacementFieldJacobianDeterminant(plain), (1, 1, 1), (1, 1, 1))
        return Image(bridge.scalar_from_sitk(determinant), self.grid, "Jacobian determinant")

    def magnitude(self) -> npt.NDArray[np.float32]:
        """(I, J, K) lengths of the displacements in mm."""
        lengths: npt.NDArray[np.float32] = np.sqrt(np.einsum("ijkc,ijkc->ijk", self.vectors, self.vectors))
        return lengths


def _windowed(
    vectors: npt.NDArray[np.float32], first: npt.NDArray[np.int_], shape: tuple[int, int, int]
) -> npt.NDArray[np.float32]:
    """(*shape, 3) of the vectors from the index ``first`` on, which may lie outside: the edge voxels go on there."""
    for axis, (start, size) in enumerate(zip(first, shape, strict=True)):
        last = vectors.shape[axis] - 1
        there = slice(max(0, min(int(start), last)), min(max(int(start) + size, 1), last + 1))
        before, after = (max(0, min(size - 1, n)) for n in (-int(start), int(start) + size - 1 - last))
        vectors = vectors[(*(slice(None),) * axis, there)]
        if before or after:
            vectors = np.pad(vectors, [(before, after) if a == axis else (0, 0) for a in range(4)], mode="edge")
    return vectors


def _border(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(n, 3): the vectors on the six faces of the grid."""
    return np.concatenate([vectors.take([0, -1], axis).reshape(-1, 3) for axis in range(3)])
