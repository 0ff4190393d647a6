"""Whatever map from fixed to moving space a file holds: fields, ITK transforms of every kind, chains of them.

Where a field is asked for, `transforms.read_field` reads it; here the question is only where points go, so that
linear, B-spline, thin-plate and composite transforms will do as well.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from VoxelMorphRegistrationLib.errors import FileError, InputError, TransformError
from VoxelMorphRegistrationLib.files.input import reading
from VoxelMorphRegistrationLib.files.itk_transform import HDF5_SUFFIXES, kinds_in_hdf5, read_itk_transform
from VoxelMorphRegistrationLib.files.output import suffix_of
from VoxelMorphRegistrationLib.files.transforms import FIELD_READERS, read_field_as_said
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge
from VoxelMorphRegistrationLib.spatial.grid import Floats
from VoxelMorphRegistrationLib.spatial.linear_part import inverse_on

ITK_SUFFIXES = (".h5", ".hdf5", ".tfm", ".txt", ".mat", ".xfm")
"""What ``sitk.ReadTransform`` reads."""

TRANSFORM_SUFFIXES = tuple(dict.fromkeys((*ITK_SUFFIXES, *FIELD_READERS)))
"""Endings of the files that `read_transform` reads."""

SpatialMap = Deformation | DisplacementField
"""Both have ``map_points``; a field goes on with its edge values outside its grid, as in Slicer."""


def read_transform(path: str | os.PathLike[str], fixed: Grid) -> SpatialMap:
    """The map from fixed to moving space that a file holds, RAS mm.

    Linear transforms and fields are kept as they are. Anything else ITK reads (B-splines, thin plates, composites) is
    sampled at the voxels of ``fixed``. A NRRD field that says it is a modeling one, from moving to fixed, is inverted
    onto them.

    Raises FileError where the file is missing, unknown, damaged or truncated, and InputError where it holds no map of
    3-D space, a field whose meaning it does not tell, or one that cannot be inverted.
    """
    name = Path(path).name
    with reading(path) as source:
        if suffix_of(source, ITK_SUFFIXES):
            return _read_itk(source, fixed)
        if not suffix_of(source, FIELD_READERS):
            raise FileError(
                f"{source} is no known transform file; transforms are read from {', '.join(TRANSFORM_SUFFIXES)}."
            )
        field, said = read_field_as_said(source)
    if said == "resampling":
        return field
    try:
        return inverse_on(field, fixed)
    except TransformError as error:
        raise InputError(
            f"{name} holds a modeling field, from moving to fixed, which cannot be inverted: {error}"
        ) from error


def read_transforms(paths: Sequence[str | os.PathLike[str]], fixed: Grid) -> SpatialMap:
    """One map of several files, in the order in which a fixed point goes through them: ANTs' order.

    ``1Warp.nii.gz`` and ``0GenericAffine.mat`` are given as for antsApplyTransforms. Raises as `read_transform`.
    """
    total = read_transform(paths[0], fixed)
    for path in paths[1:]:
        total = _followed(total, read_transform(path, fixed), fixed)
    return total


def on_grid(transform: SpatialMap, grid: Grid) -> DisplacementField:
    """The total displacements of a map at the voxels of a grid."""
    return transform.resampling_field(grid) if isinstance(transform, Deformation) else transform.resampled(grid)


def _followed(first: SpatialMap, second: SpatialMap, fixed: Grid) -> SpatialMap:
    if isinstance(second, Deformation):  # linear
        if isinstance(first, Deformation):
            return Deformation(second.affine @ first.affine, first.displacement)
        return Deformation(second.affine, first)
    vectors = on_grid(first, fixed).vectors.copy()
    j, k = np.meshgrid(*[np.arange(n) for n in fixed.shape[1:]], indexing="ij")
    for i in range(fixed.shape[0]):  # a slab at a time: positions in double take much room
        positions = fixed.to_ras(np.stack([np.full_like(j, i), j, k], -1)) + vectors[i]
        vectors[i] += second.at(positions)
    return DisplacementField(vectors, fixed)


def linear_map(affine: Floats, fixed: Grid) -> Deformation:
    """A 4x4 RAS matrix, fixed to moving, as a deformation whose field is zero, on a lattice of eight voxels."""
    shape = tuple(min(n, 2) for n in fixed.shape)
    return Deformation(affine, DisplacementField.zero(fixed.with_shape((shape[0], shape[1], shape[2]))))


def _read_itk(source: Path, fixed: Grid) -> SpatialMap:
    kinds = kinds_in_hdf5(source) if suffix_of(source, HDF5_SUFFIXES) else []
    if kinds and (kinds[-1].startswith("DisplacementFieldTransform") or any(k.startswith("Inverse") for k in kinds)):
        return read_field_as_said(source)[0]
    transform = read_itk_transform(source)
    if transform.GetDimension() != 3:
        raise InputError(f"{source.name} holds a {transform.GetDimension()}-D transform; a 3-D one is needed.")
    if transform.IsLinear():
        return linear_map(bridge.affine_from_sitk(transform), fixed)
    return DisplacementField.sampled(transform, fixed)
