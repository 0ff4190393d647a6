"""One entry for all containers of fields."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from VoxelMorphRegistrationLib.errors import FileError
from VoxelMorphRegistrationLib.files.fields import arrays, medical
from VoxelMorphRegistrationLib.files.fields.apart import read_apart
from VoxelMorphRegistrationLib.files.fields.raw import RawField
from VoxelMorphRegistrationLib.files.fields.sidecar import with_sidecar
from VoxelMorphRegistrationLib.files.input import reading
from VoxelMorphRegistrationLib.files.output import suffix_of

_READERS: dict[str, Callable[[Path, str | None], RawField]] = {
    ".npy": arrays.read_npy,
    ".npz": arrays.read_npz,
    ".pt": arrays.read_pt,
    ".pth": arrays.read_pt,
    ".mat": arrays.read_mat,
    ".h5": medical.read_transform_field,
    ".hdf5": medical.read_transform_field,
    ".tfm": medical.read_transform_field,
    ".txt": medical.read_transform_field,
    ".nii.gz": medical.read_nifti_field,
    ".nii": medical.read_nifti_field,
    ".mgz": medical.read_mgh_field,
    ".mgh": medical.read_mgh_field,
    ".nrrd": medical.read_itk_image_field,
    ".nhdr": medical.read_itk_image_field,
    ".mha": medical.read_itk_image_field,
    ".mhd": medical.read_itk_image_field,
}

FIELD_SUFFIXES = tuple(_READERS)

_APART = (".mat", ".h5", ".hdf5")
"""What is read by native code that damaged bytes were seen to crash or to keep busy for ever."""


def read_raw_field(path: str | os.PathLike[str], key: str | None = None) -> RawField:
    """The field in a file as it is stored, with all its container says. ``key`` names the array in .npz, .mat, .pt
    and .h5 files that hold several.

    Nothing that a file contains is ever run, and no damaged file brings this process down. Raises FileError where the
    file is missing, unknown, damaged, truncated or would have to be run, InputError where it holds no 3-D field.
    """
    with reading(path) as source:
        suffix = _suffix(source)
        raw = read_apart(source, key) if suffix in _APART else None
        return with_sidecar(raw or _READERS[suffix](source, key), source)


def read_here(path: Path, key: str | None = None) -> RawField:
    """The same in this process and without the sidecar, for `apart`."""
    with reading(path) as source:
        return _READERS[_suffix(source)](source, key)


def _suffix(source: Path) -> str:
    suffix = suffix_of(source, _READERS)
    if not suffix or source.is_dir():
        raise FileError(f"{source} is no known field file; fields are read from {', '.join(_READERS)}.")
    return suffix
