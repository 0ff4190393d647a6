"""A field as somebody stored it, before anybody has said what its numbers mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.spatial import Grid

Numbers = npt.NDArray[Any]
Aspect = Literal["components", "units", "content", "direction", "layout", "axes"]

_CHANNELS = (3, 6)  # 6: mean and log variance of VoxelMorph's probabilistic models
_FIELD_NAMES = ("displacement", "warp", "flow", "field", "vol", "disp", "ddf", "dvf", "deformation", "svf", "velocity")


@dataclass(frozen=True)
class Hint:
    """What a container says about one aspect of its field.

    ``value`` is in the words of ``pipeline.conventions.Convention``. ``sure`` is true where the format's own rules
    say it, and false where it is only the custom of the programs that write such files.
    """

    about: Aspect
    value: str
    because: str
    sure: bool = False


@dataclass(frozen=True, eq=False)
class RawField:
    """The numbers of a field as they were stored, and what came with them.

    ``array`` has four axes: three of space in the container's order (NIfTI, NRRD, MetaImage: i, j, k; NumPy files: as
    saved) and one of 3 components, first or last; batch axes and axes of length one are gone. ``grid`` is where the
    container places the three axes of space, in the array's order, or None. ``notes`` are sentences for the user.
    ``log_variance`` tells that three more components were dropped, ``model`` what computed it, "" if unknown. Raises
    InputError for another array.
    """

    array: Numbers
    name: str
    grid: Grid | None = None
    hints: tuple[Hint, ...] = ()
    notes: tuple[str, ...] = ()
    log_variance: bool = False
    model: str = ""

    def __post_init__(self) -> None:
        array, dropped = _four_axes(self.array, self.name)
        object.__setattr__(self, "array", array)
        if dropped:
            object.__setattr__(self, "log_variance", True)
            said = Hint("content", "velocity", "six components: mean and variance of a velocity", sure=True)
            object.__setattr__(self, "hints", (*self.hints, said))

    def hint(self, about: Aspect) -> Hint | None:
        """What the container says about an aspect; a sure hint before a custom."""
        found = [hint for hint in self.hints if hint.about == about]
        return max(found, key=lambda hint: hint.sure, default=None)

    def with_hints(self, *hints: Hint) -> RawField:
        """The same with more hints."""
        return replace(self, hints=(*self.hints, *hints))

    @property
    def space_shapes(self) -> list[tuple[int, ...]]:
        """The sizes of the axes of space, with the components read last and read first, where either fits."""
        shape = self.array.shape
        return [s for s, channels in ((shape[:3], shape[3]), (shape[1:], shape[0])) if channels == 3]


def _four_axes(array: Numbers, name: str) -> tuple[Numbers, bool]:
    """The array with four axes, one of them of 3 components; and whether 3 of 6 components were dropped."""
    array = np.asarray(array)
    if array.dtype.names or array.dtype.kind not in "fiu":
        raise InputError(f"{name} holds {array.dtype} values; a displacement field is made of real numbers.")
    if array.dtype.kind == "u":
        raise InputError(
            f"{name} holds {array.dtype} values, which have no sign: it is an image or a labelmap and no displacement "
            "field; give the network's field."
        )
    shape = array.shape
    if array.ndim == 5 and shape[0] > 1 and shape[0] not in _CHANNELS and shape[1] in _CHANNELS:
        raise InputError(f"{name} holds a batch of {shape[0]} fields ({_by(shape)}); save one of them.")
    while array.ndim > 4 and 1 in array.shape:
        array = array.squeeze(array.shape.index(1))
    if array.ndim != 4:
        what = "three numbers in each voxel of a volume"
        more = "; it seems to hold a field of two dimensions" if 2 in shape and array.ndim <= 4 else ""
        raise InputError(f"{name} has {array.ndim} axes ({_by(shape)}), where a field has {what}{more}.")
    first, last = array.shape[0], array.shape[3]
    if 3 in (first, last):
        return array, False
    if last == 6:
        return array[..., :3], True
    if first == 6:
        return array[:3], True
    if 2 in (first, last) or (1 in (first, last) and 2 in array.shape):
        raise InputError(f"{name} has 2 components ({_by(shape)}): a 2-D registration's field; 3 are needed.")
    raise InputError(f"{name} ({_by(shape)}) has no axis of 3 components first or last, so it is no 3-D field.")


def choose_array(arrays: Mapping[str, Numbers], name: str, key: str | None = None) -> tuple[Numbers, str]:
    """The field among the named arrays of a container, and a note on the choice (or "").

    Takes ``key`` if it is given; else the one array that can be a field; else one with a usual name; else three
    volumes of one shape (x, y, z components apart), stacked in the order of their names. Raises InputError.
    """
    if key is not None:
        if key not in arrays:
            raise InputError(f"{name} holds no array '{key}', but {', '.join(arrays) or 'nothing'}; name one of them.")
        return arrays[key], ""
    fields = {k: a for k, a in arrays.items() if _may_be_field(a)}
    if len(fields) > 1:
        usual = [k for n in _FIELD_NAMES for k in fields if k.lower().rsplit(".", 1)[-1] == n]
        if not usual:
            raise InputError(
                f"{name} holds several arrays that could be the field ({', '.join(fields)}); say which with its name."
            )
        return fields[usual[0]], f"{name} holds several arrays; '{usual[0]}' was taken."
    if fields:
        return next(iter(fields.values())), ""
    volumes = {k: a.squeeze() for k, a in sorted(arrays.items()) if a.squeeze().ndim == 3 and a.dtype.kind in "fi"}
    if len(volumes) == 3 and len({a.shape for a in volumes.values()}) == 1:
        names = ", ".join(volumes)
        return np.stack(list(volumes.values()), -1), f"{name}: its three volumes {names} were taken as x, y, z."
    listed = ", ".join(f"{k} ({_by(a.shape)})" for k, a in list(arrays.items())[:8]) or "nothing"
    raise InputError(f"{name} holds no displacement field but {listed}; a field has 3 components in each voxel.")


def _may_be_field(array: Numbers) -> bool:
    shape = [n for n in array.shape if n != 1]
    return array.dtype.kind in "fi" and len(shape) == 4 and (shape[0] in _CHANNELS or shape[-1] in _CHANNELS)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
