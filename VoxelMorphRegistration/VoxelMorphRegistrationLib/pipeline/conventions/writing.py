"""Fields to files that say what they mean, whatever reads them, with a sidecar; and back in VoxelMorph's own layout."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files import nifti
from VoxelMorphRegistrationLib.files.fields.sidecar import sidecar_path, sidecar_text
from VoxelMorphRegistrationLib.files.output import all_or_nothing, atomic_output, require_suffix, suffix_of
from VoxelMorphRegistrationLib.files.transforms import FIELD_WRITERS, Direction, write_field
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid

SUFFIXES = (*FIELD_WRITERS, ".npz")
ARRAY_SUFFIXES = (".npz", ".npy", ".nii.gz", ".nii")

VOXELMORPH = Convention(layout="first")
"""What VoxelMorph's PyTorch scripts write: (3, I, J, K), voxels, from fixed to moving."""


def write_with_sidecar(
    field: DisplacementField,
    path: str | os.PathLike[str],
    direction: Direction = "resampling",
    *,
    source: str = "",
    model: str = "",
) -> None:
    """Write a field in the format its name ends with, and beside it ``NAME.json``: convention, grid, source, versions.

    .h5, .nrrd, .mha, .nii and .nii.gz mean the same to Slicer, ITK, ANTs and nibabel; .npz holds the RAS mm vectors
    as ``displacement`` (I, J, K, 3) with their ``ijk_to_ras``. Raises as `files.transforms.write_field`; either both
    files appear or none.
    """
    suffix = require_suffix(path, SUFFIXES, "transform")
    is_ras = suffix in (".npz", ".nii", ".nii.gz")
    convention = Convention(
        ("R", "A", "S") if is_ras else ("L", "P", "S"), units="mm", direction=direction, placement="own"
    )
    with all_or_nothing():
        if suffix == ".npz":
            with atomic_output(path) as temporary:
                matrix = np.array(field.grid.ijk_to_ras)
                np.savez(temporary, displacement=np.ascontiguousarray(field.vectors), ijk_to_ras=matrix)
        else:
            write_field(field, path, direction)
        _write_sidecar(path, convention, field.grid, source, model)


def write_as(
    field: DisplacementField,
    path: str | os.PathLike[str],
    convention: Convention,
    *,
    shape: tuple[int, int, int] | None = None,
    source: str = "",
    model: str = "",
) -> None:
    """Write a field as another program stores it, with its sidecar; for the way back to where it came from.

    VoxelMorph's own: ``Convention(layout="first")`` (PyTorch's (3, I, J, K)) or ``Convention()`` (TensorFlow's
    (I, J, K, 3)), in voxels of the field's grid. .npz (array ``vol``), .npy, or .nii(.gz) with the grid's affine, as
    VoxelMorph's scripts write. Raises InputError for another ending, and for a convention that needs the moving volume.
    """
    suffix = suffix_of(path, ARRAY_SUFFIXES)
    if not suffix:
        raise InputError(f"{Path(path).name}: arrays of other programs are written to {', '.join(ARRAY_SUFFIXES)}.")
    array = convention.store(field, field.grid, None, shape)
    lattice = convention.map_on(_space(array, convention), field.grid, field.grid, None).lattice
    stored = (
        convention.with_(placement="own", axes=("i", "j", "k")) if convention.axes == ("i", "j", "k") else convention
    )
    write: dict[str, Callable[[Path], None]] = {
        ".npz": lambda p: np.savez(p, vol=array),
        ".npy": lambda p: np.save(p, array),
        ".nii": lambda p: nifti.write_nifti(array, field.grid, p),
        ".nii.gz": lambda p: nifti.write_nifti(array, field.grid, p),
    }
    with all_or_nothing():
        with atomic_output(path) as temporary:
            write[suffix](temporary)
        _write_sidecar(path, stored, lattice, source, model)


def _space(array: npt.NDArray[np.float32], convention: Convention) -> tuple[int, ...]:
    return array.shape[1:] if convention.layout == "first" else array.shape[:3]


def _write_sidecar(path: str | os.PathLike[str], convention: Convention, grid: Grid, source: str, model: str) -> None:
    beside = sidecar_path(Path(path).expanduser())
    with atomic_output(beside) as temporary:
        text = sidecar_text(convention.as_text(), grid, source=source, model=model)
        temporary.write_text(text, encoding="utf-8")
