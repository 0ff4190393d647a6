"""One entry for all containers of fields."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from VoxelMorphRegistrationLib.errors import FileError
from VoxelMorphRegistrationLib.files.fields import arrays, medical
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


def read_raw_field(path: str | os.PathLike[str], key: str | None = None) -> RawField:
    """The field in a file as it is stored, with all its container says. ``key`` names the array in .npz, .mat, .pt
    and .h5 files that hold several.

    Nothing that a file contains is ever run. Raises FileError where the file is missing, unknown, damaged, truncated
    or would have to be run, InputError where it holds no 3-D field.
    """
    with reading(path) as source:
        suffix = suffix_of(source, _READERS)
        if not suffix or source.is_dir():
            raise FileError(f"{source} is no known field file; fields are read from {', '.join(_READERS)}.")
        return with_sidecar(_READERS[suffix](source, key), source)
