"""PyTorch's files (``torch.save``), read without PyTorch and without running anything the file says.

A file is a zip of one pickle and the bytes of its storages (torch/serialization.py). A pickle may name any function
of any module to be called on loading; here the names that rebuild a tensor are known and every other one is refused,
as ``torch.load(weights_only=True)`` does. What is read is numbers, text, lists, dictionaries and NumPy arrays.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import FileError

_DTYPES = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "BFloat16Storage": "bfloat16",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}  # fmt: skip
_LARGEST = 1 << 36  # bytes of one storage


def load_torch(path: Path, *, advice: str) -> Any:
    """What was given to ``torch.save``, each tensor as a NumPy array of its shape (bfloat16 as float32).

    ``advice`` ends the messages: what to do in PyTorch instead. Raises FileError for a file that is no zip of
    torch.save (PyTorch's format before version 1.6 is none) or whose pickle names anything but tensors; a damaged
    file raises the exceptions of ``zipfile`` and ``pickle``, or ValueError, KeyError, IndexError or TypeError.
    """
    if not zipfile.is_zipfile(path):
        raise FileError(f"{path} is no PyTorch file of version 1.6 or later (or it is damaged); {advice}.")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise FileError(f"{path} holds nothing that was saved by torch.save; {advice}.")
        root = pickles[0].removesuffix("data.pkl")
        order = ">" if f"{root}byteorder" in names and archive.read(f"{root}byteorder") == b"big" else "<"
        pickled = archive.read(pickles[0])
        _require_short_memo(pickled)
        return _Unpickler(io.BytesIO(pickled), _Storages(archive, root, order), path, advice).load()


def _require_short_memo(pickled: bytes) -> None:
    """Raises ValueError for a pickle that numbers more objects than it can hold: Python makes room for them all."""
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(pickled):
            raise ValueError("the pickle's memo is damaged")


class _Storages:
    def __init__(self, archive: zipfile.ZipFile, root: str, order: str) -> None:
        self._archive, self._root, self._order = archive, root, order

    def read(self, kind: str, key: str) -> npt.NDArray[Any]:
        info = self._archive.getinfo(f"{self._root}data/{key}")
        if info.file_size > _LARGEST:
            raise ValueError("a storage is too large")
        data = self._archive.read(info)
        dtype = _DTYPES[kind]
        if dtype == "bfloat16":  # the upper half of a float32
            upper = np.frombuffer(data, self._order + "u2").astype(np.uint32)
            return (upper << 16).view(np.float32)
        return np.frombuffer(data, self._order + dtype if dtype[-1] not in "?" else dtype)


class _Kind:
    """Stands for a storage type named in the pickle."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, storages: _Storages, path: Path, advice: str) -> None:
        super().__init__(stream)
        self._storages, self._path, self._advice = storages, path, advice

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _Kind(name)
        allowed = _ALLOWED.get((module, name))
        if allowed is None:
            raise FileError(
                f"{self._path} was not read: besides tensors it asks for {module}.{name} to be run, which could do "
                f"anything on your computer; {self._advice}."
            )
        return allowed

    def persistent_load(self, pid: Any) -> npt.NDArray[Any]:
        tag, kind, key, _, _ = pid
        if tag != "storage" or not isinstance(kind, _Kind):
            raise ValueError("unknown storage")
        return self._storages.read(kind.name, str(key))


def _tensor(storage: npt.NDArray[Any], offset: int, size: Sequence[int], stride: Sequence[int], *_: Any) -> Any:
    if len(size) != len(stride) or min((*size, *stride, offset), default=0) < 0:
        raise ValueError("damaged tensor")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if np.prod(size) and last >= storage.size:
        raise ValueError("tensor beyond its storage")
    strides = tuple(s * storage.itemsize for s in stride)
    view = np.lib.stride_tricks.as_strided(storage[offset:], tuple(size), strides, writeable=False)
    return view.copy()


def _parameter(data: Any, *_: Any) -> Any:
    return data


_ALLOWED: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("collections", "OrderedDict"): OrderedDict,
}
