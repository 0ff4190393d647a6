"""What a registration finds: an affine pre-alignment and a displacement field, kept apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import TransformError
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge
from VoxelMorphRegistrationLib.spatial.displacement_field import DisplacementField
from VoxelMorphRegistrationLib.spatial.grid import Floats, Grid
from VoxelMorphRegistrationLib.spatial.image import Image


@dataclass(frozen=True, eq=False)
class Deformation:
    """The map from fixed to moving space: ``phi(x) = affine(x + u(x))``, RAS mm.

    ``affine`` is the 4x4 pre-alignment (fixed to moving). ``displacement`` holds u on the network's own grid in
    fixed space and is zero at the grid's border, so that the map is the affine outside.
    ``inverse_displacement`` holds v with ``phi^-1(y) = z + v(z), z = affine^-1(y)``; None where it was not asked for.
    The large linear part is never baked into the field unless somebody asks for one total field.
    """

    affine: Floats
    displacement: DisplacementField
    inverse_displacement: DisplacementField | None = None

    @property
    def affine_inverse(self) -> Floats:
        """Moving to fixed."""
        return np.linalg.inv(self.affine)

    def map_points(self, points_ras: npt.ArrayLike) -> Floats:
        """(..., 3) RAS positions in fixed space to where they lie in the moving image."""
        return _apply(self.affine, self.displacement.map_points(points_ras))

    def map_points_back(self, points_ras: npt.ArrayLike) -> Floats:
        """(..., 3) RAS positions in moving space to fixed space. Raises TransformError without an inverse."""
        return self._inverse().map_points(_apply(self.affine_inverse, points_ras))

    def transform(self) -> sitk.CompositeTransform:
        """phi as a SimpleITK transform (LPS), for ``sitk.Resample`` of the moving image."""
        return sitk.CompositeTransform([bridge.affine_to_sitk(self.affine), self.displacement.transform()])

    def warp(self, image: Image, grid: Grid, *, outside: float = 0.0) -> Image:
        """The moving image on a grid in fixed space, linear, float32: ``image(phi(x))``."""
        return self.compact_field(grid).warp(image, grid, outside=outside)

    def warp_labels(self, labels: Image, grid: Grid) -> Image:
        """A labelmap of the moving image on a grid in fixed space, nearest neighbour, 0 outside."""
        return self.compact_field(grid).warp_labels(labels, grid)

    def compact_field(self, fixed: Grid) -> DisplacementField:
        """The total field phi(x) - x on ``compact_grid(fixed)``.

        Eight times smaller than the fixed grid at the network's half resolution, and exact there: the affine part
        is linear, and the rest is given at these voxels.
        """
        own, grid = self.displacement.grid, self.compact_grid(fixed)
        start = np.rint(grid.to_ijk(own.origin)).astype(int)
        inside = tuple(slice(first, first + size) for first, size in zip(start, own.shape, strict=True))
        vectors = np.zeros((*grid.shape, 3), np.float32)
        np.matmul(self.displacement.vectors, self.affine[:3, :3].T.astype(np.float32), out=vectors[inside])
        # (A - 1) x at voxel (i, j, k) is a sum of one part for each axis.
        linear = self.affine[:3, :3] - np.eye(3)
        vectors += (linear @ grid.origin + self.affine[:3, 3]).astype(np.float32)
        for axis, size in enumerate(grid.shape):
            along = np.arange(size)[:, None] * (linear @ grid.axes[:, axis])
            vectors += along.astype(np.float32).reshape([size if a == axis else 1 for a in range(3)] + [3])
        return DisplacementField(vectors, grid)

    def resampling_field(self, grid: Grid) -> DisplacementField:
        """The total field phi(x) - x on a grid in fixed space: for images ("from parent")."""
        return self.compact_field(grid).resampled(grid)

    def modeling_field(self, grid: Grid) -> DisplacementField:
        """The total field phi^-1(y) - y on a grid in moving space: for points and models ("to parent").

        Raises TransformError without an inverse.
        """
        back = sitk.CompositeTransform([self._inverse().transform(), bridge.affine_to_sitk(self.affine_inverse)])
        return DisplacementField.sampled(back, grid)

    def compact_grid(self, fixed: Grid) -> Grid:
        """The network's lattice, grown to cover the fixed grid."""
        return self.displacement.grid.grown_to_cover(fixed)

    def _inverse(self) -> DisplacementField:
        if self.inverse_displacement is None:
            raise TransformError("This registration was run without its inverse; ask for the inverse transform.")
        return self.inverse_displacement


def _apply(matrix: Floats, points: npt.ArrayLike) -> Floats:
    return np.asarray(points, np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
