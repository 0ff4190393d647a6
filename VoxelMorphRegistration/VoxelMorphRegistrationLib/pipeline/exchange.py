"""Library objects through a folder: large arrays as .npy files, everything else as JSON.

This is how a job goes to the background process and its result comes back (`background` and `worker`). What is
taken apart and put together is any dataclass, by its fields' types, so that a field added to one needs no line here:
numbers, texts, paths, arrays, other dataclasses, and tuples, dicts and "X | None" of them. Numbers arrive as they
were, bit for bit. Fields that the constructor does not take are left out.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError

_SMALL = 64  # numbers; an array of no more of them, such as a matrix, is written into the JSON


def _go_on() -> None:
    pass


def pack(value: Any, folder: Path, *, check: Callable[[], None] = _go_on, name: str = "value") -> Any:
    """``value`` as JSON can hold it; its large arrays are written into ``folder`` as ``NAME.FIELD.npy``.

    ``check`` is called often and may raise to stop. Raises InputError for an array of Python objects and
    OSError where the folder cannot be written.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: pack(getattr(value, field.name), folder, check=check, name=f"{name}.{field.name}")
            for field in _fields(value)
        }
    if isinstance(value, np.ndarray):
        return _pack_array(value, folder, check, name)
    if isinstance(value, dict):
        return {key: pack(item, folder, check=check, name=f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [pack(item, folder, check=check, name=f"{name}.{n}") for n, item in enumerate(value)]
    if isinstance(value, Path):
        return str(value.absolute())  # the process has another working folder
    return value.item() if isinstance(value, np.generic) else value


def unpack(kind: Any, packed: Any, folder: Path) -> Any:
    """The object of type ``kind`` that `pack` wrote; its arrays are read into memory, so the folder may go.

    Raises ValueError, TypeError, LookupError or OSError for what `pack` did not write.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):  # X | None is the only one in use
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return None if packed is None else unpack(inner, packed, folder)
    if origin is np.ndarray:
        return _unpack_array(packed, folder)
    if origin is tuple:
        kinds = [arguments[0]] * len(packed) if arguments[-1] is Ellipsis else arguments
        return tuple(unpack(one, item, folder) for one, item in zip(kinds, packed, strict=True))
    if origin is dict:
        return {key: unpack(arguments[1], item, folder) for key, item in packed.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        fields = {field.name for field in _fields(kind)}
        if fields != packed.keys():
            raise ValueError(f"{kind.__name__} with the fields {', '.join(packed)}")
        return kind(**{name: unpack(hints[name], item, folder) for name, item in packed.items()})
    return Path(packed) if kind is Path else packed


def _fields(kind: Any) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(kind) if field.init]


def _pack_array(array: npt.NDArray[Any], folder: Path, check: Callable[[], None], name: str) -> Any:
    if array.dtype.hasobject:
        raise InputError(f"The array {name} does not hold numbers; convert it to a scalar volume.")
    if array.size <= _SMALL and array.dtype == np.float64:
        return {"numbers": array.tolist()}
    save_array(array, folder / f"{name}.npy", check)
    return {"file": f"{name}.npy"}


def _unpack_array(packed: Any, folder: Path) -> npt.NDArray[Any]:
    if "numbers" in packed:
        return np.array(packed["numbers"], np.float64)
    array: npt.NDArray[Any] = np.load(folder / packed["file"], allow_pickle=False)
    return array


def save_array(array: npt.NDArray[Any], path: Path, check: Callable[[], None] = _go_on) -> None:
    """`numpy.save` in slabs: an array in any memory order, with ``check`` called between them.

    Each slab is copied and written with the interpreter's lock released, so that no other thread waits.
    """
    header = np.lib.format.header_data_from_array_1_0(array)
    in_file_order = array.T if header["fortran_order"] else array
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for n in range(len(in_file_order)):
            check()
            file.write(np.ascontiguousarray(in_file_order[n : n + 1]).data)
