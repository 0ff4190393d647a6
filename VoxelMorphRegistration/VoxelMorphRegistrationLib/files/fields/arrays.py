"""Fields in files of plain arrays: NumPy, MATLAB, HDF5, PyTorch. None of them says what its numbers mean."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files.fields.raw import RawField, choose_array
from VoxelMorphRegistrationLib.files.fields.torch_file import read_torch
from VoxelMorphRegistrationLib.spatial import Grid

_AFFINES = ("affine", "ijk_to_ras", "vox2ras")


def read_npy(path: Path, key: str | None = None) -> RawField:
    """An ``.npy`` file. One that holds Python objects is refused: to load them is to run what the file says."""
    try:
        array = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise _objects(path, error) from error
    return RawField(array, path.name)


def read_npz(path: Path, key: str | None = None) -> RawField:
    """An ``.npz`` file: the array ``key``, or the one that can be a field; geometry from its ``affine``."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    if not zipfile.is_zipfile(path):
        raise FileError(f"{path} cannot be read: it is damaged or incomplete; copy or export it again.")
    with np.load(path, allow_pickle=False) as file:
        for name in file.files:
            try:
                arrays[name] = file[name]
            except ValueError as error:
                if name == key or len(file.files) == 1:
                    raise _objects(path, error) from error
    array, note = choose_array({k: a for k, a in arrays.items() if k not in _AFFINES}, path.name, key)
    return _with_affine(array, arrays, path, note)


def read_pt(path: Path, key: str | None = None) -> RawField:
    """A PyTorch file."""
    array, note = choose_array(read_torch(path), path.name, key)
    return RawField(array, path.name, notes=(note,) if note else ())


def read_mat(path: Path, key: str | None = None) -> RawField:
    """A MATLAB file, version 5 to 7.3. Arrays keep MATLAB's order of axes."""
    import h5py

    if h5py.is_hdf5(path):  # 7.3, in which MATLAB's axes lie reversed
        arrays = {name: array.T for name, array in _datasets(path).items()}
    else:
        try:
            from scipy.io import loadmat
        except ImportError as error:
            raise FileError(
                f"{path.name} needs the package SciPy to be read; save it in MATLAB with -v7.3, or as .nii or .nrrd."
            ) from error
        loaded = loadmat(path)
        arrays = {name: a for name, a in loaded.items() if isinstance(a, np.ndarray) and not name.startswith("__")}
    arrays = {name: a for name, a in arrays.items() if a.dtype.kind in "fiu"}
    array, note = choose_array({k: a for k, a in arrays.items() if k not in _AFFINES}, path.name, key)
    return _with_affine(array, arrays, path, note)


def read_plain_hdf5(path: Path, key: str | None = None) -> RawField:
    """An HDF5 file of plain datasets."""
    arrays = _datasets(path)
    array, note = choose_array({k: a for k, a in arrays.items() if k not in _AFFINES}, path.name, key)
    return _with_affine(array, arrays, path, note)


def _datasets(path: Path) -> dict[str, npt.NDArray[Any]]:
    import h5py

    found: dict[str, npt.NDArray[Any]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu":
            found[name] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def _with_affine(array: npt.NDArray[Any], arrays: dict[str, npt.NDArray[Any]], path: Path, note: str) -> RawField:
    raw = RawField(array, path.name, notes=(note,) if note else ())
    matrix = next((arrays[name] for name in _AFFINES if name in arrays), None)
    if matrix is None or np.shape(matrix) != (4, 4) or len(raw.space_shapes) != 1:
        return raw
    i, j, k = raw.space_shapes[0]
    return RawField(array, path.name, Grid((i, j, k), matrix), raw.hints, raw.notes)


def _objects(path: Path, error: ValueError) -> Exception:
    if "allow_pickle" in str(error) or "Object arrays" in str(error) or "pickle" in str(error):
        return FileError(
            f"{path} was not read: it holds Python objects, and to load those is to run what the file says; "
            "save the field as a plain array with numpy.save(name, numpy.asarray(field, 'float32'))."
        )
    return InputError(f"{path.name} cannot be read: it is damaged, incomplete, or not what its name says.")
