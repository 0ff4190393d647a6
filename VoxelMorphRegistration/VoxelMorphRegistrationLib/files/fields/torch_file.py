"""Tensors in a PyTorch file (``torch.save``), read without PyTorch and without running anything the file says.

A file is a zip of one pickle and the bytes of its storages (torch/serialization.py). A pickle may name any function
of any module to be called on loading; here the names that rebuild a tensor are known and every other one is refused,
as ``torch.load(weights_only=True)`` does.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import FileError, InputError

_DTYPES = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "BFloat16Storage": "bfloat16",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}  # fmt: skip
_LARGEST = 1 << 36  # bytes of one storage


def read_torch(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a ``.pt``/``.pth`` file by their keys (a single tensor: "tensor"; inner ones: "outer.inner").

    Raises FileError for a pickle that names anything but tensors, and for PyTorch's format before version 1.6.
    """
    if not zipfile.is_zipfile(path):
        raise FileError(
            f"{path} is no PyTorch file of version 1.6 or later (or it is damaged); load it in PyTorch and save the "
            "tensor with numpy.save(name, tensor.cpu().numpy())."
        )
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise FileError(f"{path} holds no tensors saved by torch.save; save the field with torch.save or numpy.")
        root = pickles[0].removesuffix("data.pkl")
        order = ">" if f"{root}byteorder" in names and archive.read(f"{root}byteorder") == b"big" else "<"
        content = _Unpickler(io.BytesIO(archive.read(pickles[0])), _Storages(archive, root, order), path).load()
    found: dict[str, npt.NDArray[Any]] = {}
    _collect(content, "", found)
    if not found:
        raise InputError(f"{path.name} holds no tensor; save the displacement field itself with torch.save.")
    return found


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
    def __init__(self, stream: io.BytesIO, storages: _Storages, path: Path) -> None:
        super().__init__(stream)
        self._storages, self._path = storages, path

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _Kind(name)
        allowed = _ALLOWED.get((module, name))
        if allowed is None:
            raise FileError(
                f"{self._path} was not read: besides tensors it asks for {module}.{name} to be run, which could do "
                "anything on your computer; save the tensor alone with torch.save(tensor.cpu(), name)."
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


def _collect(value: Any, key: str, found: dict[str, npt.NDArray[Any]]) -> None:
    if isinstance(value, np.ndarray):
        found[key or "tensor"] = value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            _collect(inner, f"{key}.{name}" if key else str(name), found)
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            _collect(inner, f"{key}.{number}" if key else str(number), found)
