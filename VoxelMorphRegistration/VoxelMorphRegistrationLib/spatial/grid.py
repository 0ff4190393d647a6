"""A regular grid of voxels in physical space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations, product

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError

Floats = npt.NDArray[np.floating]

_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))


def can_be_inverted(matrix: Floats) -> bool:
    """Whether the 3x3 part of a finite 4x4 affine matrix can, with digits left."""
    return bool(np.linalg.cond(matrix[:3, :3]) <= 1e8)


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of an array lie.

    ``shape`` is (I, J, K); ``ijk_to_ras`` is the 4x4 matrix that takes an index (i, j, k, 1) to the RAS position
    of the voxel's centre, in mm: Slicer's ``GetIJKToRASMatrix`` and NIfTI's affine.
    Raises InputError for a matrix that is not finite, not affine or not invertible.
    """

    shape: tuple[int, int, int]
    ijk_to_ras: Floats

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        matrix = np.array(self.ijk_to_ras, dtype=np.float64)
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(f"A grid needs three dimensions of at least one voxel, not {shape}.")
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.allclose(matrix[3], (0, 0, 0, 1)):
            raise InputError("The volume's IJK to RAS matrix is not a finite 4x4 affine matrix; set its geometry.")
        if not can_be_inverted(matrix):
            raise InputError("The volume's IJK to RAS matrix cannot be inverted; set its spacing and directions.")
        matrix[np.abs(matrix) < 1e-30] = 0.0  # ITK inverts directions wrongly where squares of them underflow
        matrix.flags.writeable = False
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "ijk_to_ras", matrix)

    @cached_property
    def ras_to_ijk(self) -> Floats:
        """The inverse of ``ijk_to_ras``."""
        return np.linalg.inv(self.ijk_to_ras)

    @property
    def axes(self) -> Floats:
        """The 3x3 part of ``ijk_to_ras``: column c is the step in mm along array axis c."""
        return self.ijk_to_ras[:3, :3]

    @property
    def spacing(self) -> Floats:
        """Distance in mm between neighbours along i, j, k."""
        spacing: Floats = np.linalg.norm(self.axes, axis=0)
        return spacing

    @property
    def directions(self) -> Floats:
        """3x3 matrix whose columns are the unit vectors of the array axes in RAS."""
        return self.axes / self.spacing

    @property
    def origin(self) -> Floats:
        """RAS position of voxel (0, 0, 0)."""
        return self.ijk_to_ras[:3, 3]

    @property
    def extent_mm(self) -> Floats:
        """Edge lengths in mm, voxels counted whole."""
        return self.spacing * self.shape

    @property
    def centre_ras(self) -> Floats:
        """RAS position of the middle of the grid."""
        return self.to_ras((np.array(self.shape) - 1) / 2)

    @property
    def orientation(self) -> str:
        """Three letters, for example ``"LIA"``: the direction to which i, j and k grow (nibabel's axis codes)."""
        best = max(
            permutations(range(3)),
            key=lambda rows: sum(abs(self.directions[row, axis]) for axis, row in enumerate(rows)),
        )
        return "".join(_LETTERS[row][int(self.axes[row, axis] > 0)] for axis, row in enumerate(best))

    def to_ras(self, index_ijk: npt.ArrayLike) -> Floats:
        """RAS mm positions of (..., 3) indices, which may be fractional."""
        return np.asarray(index_ijk, dtype=np.float64) @ self.axes.T + self.origin

    def to_ijk(self, points_ras: npt.ArrayLike) -> Floats:
        """Fractional indices of (..., 3) RAS mm positions."""
        return np.asarray(points_ras, dtype=np.float64) @ self.ras_to_ijk[:3, :3].T + self.ras_to_ijk[:3, 3]

    def contains(self, points_ras: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which of the (..., 3) RAS positions lie between the centres of the outermost voxels."""
        index = self.to_ijk(points_ras)
        return np.asarray(((index >= -1e-6) & (index <= np.array(self.shape) - 1 + 1e-6)).all(axis=-1))

    def corners_ras(self) -> Floats:
        """(8, 3) RAS positions of the centres of the corner voxels."""
        return self.to_ras(list(product(*[(0, n - 1) for n in self.shape])))

    def is_same(self, other: Grid, tolerance_mm: float = 1e-3) -> bool:
        """Whether both grids have the same voxels, to ``tolerance_mm`` at the corners."""
        return self.shape == other.shape and bool(
            np.allclose(self.corners_ras(), other.corners_ras(), rtol=0, atol=tolerance_mm)
        )

    def window(self, start_ijk: npt.ArrayLike, shape: tuple[int, int, int]) -> Grid:
        """The grid of ``shape`` on this grid's lattice whose first voxel is this one's ``start_ijk``.

        ``start_ijk`` may be negative or fractional: the window may reach outside.
        """
        matrix = self.ijk_to_ras.copy()
        matrix[:3, 3] = self.to_ras(start_ijk)
        return Grid(shape, matrix)

    def first_voxel_of(self, other: Grid, tolerance_mm: float = 1e-3) -> npt.NDArray[np.int_] | None:
        """The index at which ``other`` begins if it is a `window` of this lattice at whole voxels, else None."""
        start = np.rint(self.to_ijk(other.origin)).astype(int)
        return start if self.window(start, other.shape).is_same(other, tolerance_mm) else None

    def reoriented(self, orientation: str) -> Grid:
        """This grid with its axes swapped and flipped so that ``orientation`` reads as asked; same voxels."""
        rows = [next(r for r, pair in enumerate(_LETTERS) if letter in pair) for letter in orientation]
        own = self.orientation
        axes, start, shape = np.empty((3, 3)), np.zeros(3), [0, 0, 0]
        for axis, (row, letter) in enumerate(zip(rows, orientation, strict=True)):
            source = next(a for a, o in enumerate(own) if o in _LETTERS[row])
            flip = own[source] != letter
            axes[:, axis] = -self.axes[:, source] if flip else self.axes[:, source]
            start[source] = self.shape[source] - 1 if flip else 0
            shape[axis] = self.shape[source]
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = axes, self.to_ras(start)
        return Grid((shape[0], shape[1], shape[2]), matrix)

    def with_shape(self, shape: tuple[int, int, int]) -> Grid:
        """A coarser or finer grid whose first and last voxel centres are this one's ("align corners").

        This is how VoxelMorph's RescaleTransform lays a half-resolution field over the full one
        (``linspace(0, n - 1)``), so linear interpolation of one gives the other exactly.
        """
        scale = (np.array(self.shape) - 1) / np.maximum(np.array(shape) - 1, 1)
        matrix = self.ijk_to_ras.copy()
        matrix[:3, :3] = self.axes * scale
        return Grid(shape, matrix)

    def grown_to_cover(self, other: Grid) -> Grid:
        """The smallest window of this lattice that holds both this grid and ``other``."""
        index = np.concatenate([self.to_ijk(other.corners_ras()), [[0, 0, 0], np.array(self.shape) - 1]])
        start = np.floor(index.min(axis=0) + 1e-6)
        stop = np.ceil(index.max(axis=0) - 1e-6)
        shape = (stop - start).astype(int) + 1
        return self.window(start, (int(shape[0]), int(shape[1]), int(shape[2])))

    def moved_by(self, matrix: npt.ArrayLike) -> Grid:
        """This grid carried by a 4x4 RAS matrix (an image under a linear transform, hardened)."""
        return Grid(self.shape, np.asarray(matrix, dtype=np.float64) @ self.ijk_to_ras)
