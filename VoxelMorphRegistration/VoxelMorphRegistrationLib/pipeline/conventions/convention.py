"""What the numbers of a displacement field mean, as one value that can be compared, printed, applied and undone.

A field is an array of 3 numbers at each voxel of some grid. `Convention` says which axis of the array is which, on
which volume's voxels it lies, along which axes and in which unit its components count, whether they are
displacements, positions or a velocity, and which way they lead. Whatever it says, the map is affine in the stored
numbers, ``u(x) = L raw + B x + t`` in RAS mm, and that is how it is applied (`Convention.map_on`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.fields import RawField
from VoxelMorphRegistrationLib.network.integration import integrate
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid
from VoxelMorphRegistrationLib.spatial.grid import Floats
from VoxelMorphRegistrationLib.spatial.linear_part import inverse_on

Layout = Literal["last", "first", "last reshaped", "first reshaped", "last reversed", "first reversed"]
Units = Literal["voxel", "full voxel", "mm", "normalised"]
Content = Literal["displacement", "positions", "velocity"]
Direction = Literal["resampling", "modeling"]
Placement = Literal["own", "fixed", "moving"]
Into = Literal["same", "moving"]
Letters = tuple[str, str, str]
Vectors = npt.NDArray[np.float32]

_VOXEL_AXES = "ijk"
_WORLD: dict[str, tuple[int, float]] = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
_OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))
_STEPS = 7  # of scaling and squaring, VoxelMorph's number


def letters(text: str) -> Letters:
    """ "kji", "-ij-k", "LPS" ... as three signed axes. Raises InputError for anything else."""
    found = re.findall(r"-?[ijkRLAPSI]", text.replace(" ", "").replace(",", ""))
    if "".join(found) == text.replace(" ", "").replace(",", "") and len(found) == 3 and _covers(found):
        return found[0], found[1], found[2]
    raise InputError(
        f"'{text}' names no three axes; write the axis of each component in order: ijk, kji, -ij-k (voxel axes) or "
        "RAS, LPS, LAS (directions of the body)."
    )


def _covers(found: list[str]) -> bool:
    if all(letter[-1] in _VOXEL_AXES for letter in found):
        return sorted(letter[-1] for letter in found) == ["i", "j", "k"]
    return all(letter in _WORLD for letter in found) and sorted(_WORLD[letter][0] for letter in found) == [0, 1, 2]


def opposite(letter: str) -> str:
    """The same axis the other way."""
    if letter in _OPPOSITE:
        return _OPPOSITE[letter]
    return letter[1:] if letter.startswith("-") else f"-{letter}"


@dataclass(frozen=True)
class Convention:
    """What the numbers of a field mean. The defaults are VoxelMorph's own: TensorFlow's layout, voxels.

    - ``layout``: components in the "last" or "first" axis. "... reshaped" and "... reversed" read an array that was
      forced into its shape (``numpy.reshape``) from such a layout with the axes of space in this or reversed order.
    - ``axes``: along which axis of the grid the first, second and third axis of space run, "-i" backwards.
    - ``placement``: the voxels are those that the file itself states ("own"), or lie over the whole "fixed" or
      "moving" volume, corner voxels on corner voxels (VoxelMorph's half resolution does).
    - ``components``: along which axis each component counts: grid axes "i", "-j" or body directions "L", "P", "S".
    - ``units``: "voxel" of the field's own lattice, "full voxel" of the volume, "mm", or "normalised" (-1 to 1 over
      the volume, between its outermost voxel centres, as torch's grid_sample with align_corners).
    - ``content``: displacements, absolute positions, or a stationary velocity to be integrated.
    - ``direction``: "resampling" leads from fixed to moving space, "modeling" from moving to fixed.
    - ``into``: whose voxels or positions the numbers count: the "same" grid's, or the "moving" volume's.
    """

    components: Letters = ("i", "j", "k")
    units: Units = "voxel"
    content: Content = "displacement"
    direction: Direction = "resampling"
    layout: Layout = "last"
    axes: Letters = ("i", "j", "k")
    placement: Placement = "fixed"
    into: Into = "same"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"Unknown {name} '{getattr(self, name)}' of a field; choose one of {', '.join(choices)}."
                )
        if not self.along_grid and self.units != "mm":
            raise InputError(
                f"Components along {''.join(self.components)} are in mm; {self.units} units count along grid axes "
                "(ijk)."
            )

    @property
    def along_grid(self) -> bool:
        """Whether the components follow the grid's axes and not the body's directions."""
        return self.components[0][-1] in _VOXEL_AXES

    def reversed(self) -> Convention:
        """The same with every component the other way."""
        a, b, c = (opposite(letter) for letter in self.components)
        return replace(self, components=(a, b, c))

    def with_(self, **changes: Any) -> Convention:
        """A copy with other values."""
        return replace(self, **changes)

    def as_text(self) -> dict[str, str]:
        """For JSON and sidecars."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: v if isinstance(v, str) else "".join(v) for name, v in values.items()}

    @classmethod
    def from_text(cls, values: dict[str, str]) -> Convention:
        """The convention that `as_text` gave. Raises InputError for unknown names or values."""
        known = {field.name for field in fields(cls)}
        if unknown := set(values) - known:
            raise InputError(f"A field's convention has no {', '.join(sorted(unknown))}.")
        parsed: dict[str, Any] = {n: letters(v) if n in ("components", "axes") else v for n, v in values.items()}
        return cls(**parsed)

    def describe(self) -> str:
        """In words, for a person."""
        what = {
            "displacement": "displacements",
            "positions": "absolute positions",
            "velocity": "a velocity, to be integrated",
        }[self.content]
        unit = {
            "voxel": "voxels",
            "full voxel": "voxels of the full resolution",
            "mm": "mm",
            "normalised": "-1..1 over the volume",
        }[self.units]
        into = " of the moving volume" if self.into == "moving" and self.units != "mm" else ""
        place = {"own": "where the file says", "fixed": "on the fixed volume", "moving": "on the moving volume"}
        axes = "" if self.axes == ("i", "j", "k") else f", array axes {' '.join(self.axes)}"
        layout = "" if self.layout == "last" else f", components {self.layout}"
        way = "fixed to moving" if self.direction == "resampling" else "moving to fixed"
        return (
            f"{what} in {unit}{into} along {' '.join(self.components)}, {way} ({self.direction}), "
            f"{place[self.placement]}{axes}{layout}"
        )

    # ---- application -----------------------------------------------------------------------------------------

    def base(self, own: Grid | None, fixed: Grid, moving: Grid | None) -> Grid:
        """The grid whose axes i, j, k are meant. Raises InputError where it is not known."""
        if self.placement == "own":
            if own is None:
                raise InputError("The field brings no geometry of its own; place it on the fixed or moving volume.")
            return own
        if self.placement == "moving":
            if moving is None:
                raise InputError("This field lies on the moving volume, which is needed too.")
            return moving
        return fixed

    def map_on(self, space: tuple[int, ...], own: Grid | None, fixed: Grid, moving: Grid | None) -> LinearMap:
        """How stored numbers of an array with these sizes of its axes of space become RAS mm."""
        base = self.base(own, fixed, moving)
        along = [_VOXEL_AXES.index(letter[-1]) for letter in self.axes]
        backwards = [letter.startswith("-") for letter in self.axes]
        size = [0, 0, 0]
        for n, axis in enumerate(along):
            size[axis] = space[n]
        coarse = base.with_shape((size[0], size[1], size[2]))
        matrix = np.eye(4)
        first = [0.0, 0.0, 0.0]
        for n, axis in enumerate(along):
            matrix[:3, n] = -coarse.axes[:, axis] if backwards[n] else coarse.axes[:, axis]
            first[axis] = space[n] - 1 if backwards[n] else 0
        matrix[:3, 3] = coarse.to_ras(first)
        lattice = Grid((space[0], space[1], space[2]), matrix)
        return self._linear(lattice, coarse, base, fixed, moving)

    def _linear(self, lattice: Grid, coarse: Grid, base: Grid, fixed: Grid, moving: Grid | None) -> LinearMap:
        target = base if self.into == "same" or moving is None else moving
        step = {
            "voxel": target.axes * (np.array(base.shape) / np.array(coarse.shape)),  # VoxelMorph's RescaleTransform
            "full voxel": fixed.axes if self.placement == "own" else target.axes,
            "mm": target.directions,
            "normalised": target.axes * (np.array(target.shape) - 1) / 2,
        }[self.units]
        columns: Floats = np.empty((3, 3))
        start = np.zeros(3)
        for n, letter in enumerate(self.components):
            if letter in _WORLD:
                row, sign = _WORLD[letter]
                columns[:, n] = sign * np.eye(3)[row]
            else:
                axis = _VOXEL_AXES.index(letter[-1])
                columns[:, n] = -step[:, axis] if letter.startswith("-") else step[:, axis]
                if letter.startswith("-") and self.units != "normalised":  # positions counted from the far end
                    start[axis] = target.shape[axis] - 1
        if self.content == "positions":
            origin: Floats = np.zeros(3)
            if self.units == "normalised":
                origin = target.centre_ras
            elif self.along_grid and self.units != "mm":
                origin = target.to_ras(start)
            return LinearMap(lattice, columns, -np.eye(3), origin)
        if self.into == "moving" and target is not base and self.units in ("voxel", "full voxel"):
            across = target.ijk_to_ras @ base.ras_to_ijk  # a point of the base grid to the same index of the other
            return LinearMap(lattice, columns, across[:3, :3] - np.eye(3), across[:3, 3])
        return LinearMap(lattice, columns, np.zeros((3, 3)), np.zeros(3))

    def vectors(self, raw: RawField) -> Vectors:
        """(a, b, c, 3) stored numbers, components last, float32. Raises InputError for a layout that does not fit."""
        return np.asarray(read_layout(raw.array, self.layout), np.float32)

    def apply(self, raw: RawField, fixed: Grid, moving: Grid | None = None) -> DisplacementField:
        """The field in RAS mm, of the direction that ``direction`` says, on the voxels on which it was stored.

        Axes come in the order of the grid on which it lies. A velocity is integrated. Raises InputError for a field
        that does not fit or holds NaN or infinity.
        """
        stored = self.vectors(raw)
        linear = self.map_on(stored.shape[:3], raw.grid, fixed, moving)
        return self._in_grid_order(self._displacement(stored, linear, 1.0), linear.lattice)

    def resampling(self, raw: RawField, fixed: Grid, moving: Grid | None = None) -> DisplacementField:
        """The field from fixed to moving space, whatever its direction: a modeling field is inverted.

        A modeling velocity is integrated backwards, which is exact. Raises TransformError where it folds.
        """
        if self.direction == "resampling":
            return self.apply(raw, fixed, moving)
        if self.content == "velocity":
            stored = self.vectors(raw)
            linear = self.map_on(stored.shape[:3], raw.grid, fixed, moving)
            return self._in_grid_order(self._displacement(stored, linear, -1.0), linear.lattice)
        return inverse_on(self.apply(raw, fixed, moving), fixed)

    def _displacement(self, stored: Vectors, linear: LinearMap, sign: float) -> Vectors:
        if self.content != "velocity":
            return linear.ras(stored)
        to_ras = linear.matrix.astype(np.float32)
        lattice = linear.lattice.axes.astype(np.float32)
        voxels = stored @ (sign * np.linalg.solve(lattice, to_ras)).T
        return np.asarray(integrate(np.asarray(voxels, np.float32), _STEPS) @ lattice.T, np.float32)

    def _in_grid_order(self, vectors: Vectors, lattice: Grid) -> DisplacementField:
        along = [_VOXEL_AXES.index(letter[-1]) for letter in self.axes]
        backwards = [letter.startswith("-") for letter in self.axes]
        start = np.where(backwards, np.array(lattice.shape) - 1, 0)
        flipped = vectors[tuple(slice(None, None, -1) if b else slice(None) for b in backwards)]
        order = [along.index(axis) for axis in range(3)]
        matrix = lattice.ijk_to_ras.copy()
        matrix[:3, 3] = lattice.to_ras(start)
        matrix[:3, :3] = np.where(backwards, -lattice.axes, lattice.axes)[:, order]
        shape = tuple(lattice.shape[n] for n in order)
        return DisplacementField(flipped.transpose(*order, 3), Grid((shape[0], shape[1], shape[2]), matrix))

    def store(
        self,
        field: DisplacementField,
        fixed: Grid,
        moving: Grid | None = None,
        shape: tuple[int, int, int] | None = None,
    ) -> npt.NDArray[np.float32]:
        """The other way: the array that means ``field`` in this convention.

        ``field`` is what the convention speaks of: of its direction, or the velocity in RAS mm. ``shape`` is the
        size of the array's axes of space in the grid's order (i, j, k), default all of the grid's voxels.
        """
        base = self.base(field.grid, fixed, moving)
        size = shape or base.shape
        along = [_VOXEL_AXES.index(letter[-1]) for letter in self.axes]
        space = tuple(size[axis] for axis in along)
        linear = self.map_on(space, field.grid, fixed, moving)
        sampled = field.resampled(linear.lattice).vectors
        return write_layout(linear.stored(sampled), self.layout)


@dataclass(frozen=True, eq=False)
class LinearMap:
    """``u(x) = matrix raw + around x + offset`` (RAS mm) at the positions x of ``lattice``, in the array's order."""

    lattice: Grid
    matrix: Floats
    around: Floats
    offset: Floats

    def ras(self, stored: Vectors) -> Vectors:
        """Stored numbers (a, b, c, 3) as RAS mm."""
        result: Vectors = np.asarray(stored @ self.matrix.T.astype(np.float32), np.float32)
        return self._plus_background(result, 1.0)

    def stored(self, vectors_ras: Vectors) -> Vectors:
        """RAS mm (a, b, c, 3) as the stored numbers."""
        less = self._plus_background(np.array(vectors_ras, np.float32), -1.0)
        return np.asarray(less @ np.linalg.inv(self.matrix).T.astype(np.float32), np.float32)

    def _plus_background(self, vectors: Vectors, sign: float) -> Vectors:
        if not self.around.any() and not self.offset.any():
            return vectors
        # around x + offset at voxel (a, b, c) is a sum of one part for each axis.
        constant = self.around @ self.lattice.origin + self.offset
        total = vectors + (sign * constant).astype(np.float32)
        for axis, size in enumerate(self.lattice.shape):
            along = sign * np.arange(size)[:, None] * (self.around @ self.lattice.axes[:, axis])
            total += along.astype(np.float32).reshape([size if a == axis else 1 for a in range(3)] + [3])
        return total


_CHOICES: dict[str, tuple[str, ...]] = {
    "units": get_args(Units),
    "content": get_args(Content),
    "direction": get_args(Direction),
    "layout": get_args(Layout),
    "placement": get_args(Placement),
    "into": get_args(Into),
}


def read_layout(array: npt.NDArray[Any], layout: Layout) -> npt.NDArray[Any]:
    """The array with its components last. Raises InputError where it has no 3 components there."""
    channel = 0 if layout.startswith("first") else 3
    if layout in ("last", "first"):
        if array.ndim != 4 or array.shape[channel] != 3:
            raise InputError(f"The field {array.shape} has no 3 components in its {layout} axis.")
        return np.moveaxis(array, channel, -1)
    stored_first = array.shape[0] == 3 and array.shape[3] != 3
    space = array.shape[1:] if stored_first else array.shape[:3]
    if layout.endswith("reversed"):
        space = space[::-1]
    shape = (3, *space) if channel == 0 else (*space, 3)
    return np.moveaxis(np.ascontiguousarray(array).reshape(shape), channel, -1)


def write_layout(vectors: npt.NDArray[Any], layout: Layout) -> npt.NDArray[Any]:
    """Components last as the plain layouts "last" and "first"."""
    moved: Callable[[], npt.NDArray[Any]] = {
        "last": lambda: np.ascontiguousarray(vectors),
        "first": lambda: np.ascontiguousarray(np.moveaxis(vectors, -1, 0)),
    }[layout]
    return moved()
