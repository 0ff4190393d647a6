"""Displacement fields and affine matrices from and to files that Slicer and SimpleITK read with the same
meaning.

A field file holds positions x and displacements u(x) in mm. What Slicer makes of it depends on the direction:

- ``"resampling"`` ("from parent" in Slicer): x in fixed space goes to x + u(x) in the moving image, where to
  sample. Put over the moving volume, the loaded node carries it onto the fixed one. Every format can say
  this; it is what ITK's displacement field transforms mean, and all that NIfTI, MetaImage and ITK's .h5 can
  say.
- ``"modeling"`` ("to parent"): x in moving space goes to x + u(x) in fixed space, for points and models. Put
  over the moving volume, the loaded node carries it onto the fixed one too. Only NRRD can say it (Slicer 5.10
  and later read the key ``displacement field type``); ITK and SimpleITK see the same vectors.

The inverse of a registration, a field v on the moving grid, can thus be written two ways. As "resampling", in
any format, it is the *inverse transform*: the node carries the fixed volume onto the moving one, and
``sitk.DisplacementFieldTransform.TransformPoint`` takes moving points to fixed ones. As "modeling", in NRRD,
it is the *same* transform as the forward resampling field, stored from its other side.

Components: RAS in NIfTI, by its intent 1006; LPS in all others.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files import nifti
from VoxelMorphRegistrationLib.files.input import reading
from VoxelMorphRegistrationLib.files.itk_transform import kinds_in_hdf5, read_itk_transform
from VoxelMorphRegistrationLib.files.meta_image import require_meta_header
from VoxelMorphRegistrationLib.files.output import atomic_output, require_suffix, suffix_of
from VoxelMorphRegistrationLib.spatial import DisplacementField
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge
from VoxelMorphRegistrationLib.spatial.grid import Floats

Direction = Literal["resampling", "modeling"]

AFFINE_SUFFIXES = (".h5", ".hdf5", ".tfm", ".txt", ".mat")
_NRRD_DIRECTION = "displacement field type"
_IMAGE_IO = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}


def write_field(field: DisplacementField, path: str | os.PathLike[str], direction: Direction = "resampling") -> None:
    """Write a displacement field (float32) in the format its name ends with: .h5, .nrrd, .mha, .nii, .nii.gz.

    Raises InputError for a modeling field in a format that cannot say so, OutputError for an unknown ending
    or where the file cannot be written; nothing is left behind then.
    """
    suffix = require_suffix(path, FIELD_WRITERS, "transform")
    if direction == "modeling" and suffix != ".nrrd":
        raise InputError(
            f"{Path(path).name}: only .nrrd can say that a field is a modeling one; write it as .nrrd, "
            "or as a resampling field."
        )
    with atomic_output(path) as temporary:
        FIELD_WRITERS[suffix](field, temporary, direction)


def read_field(path: str | os.PathLike[str], direction: Direction = "resampling") -> DisplacementField:
    """The displacement field in a file: x on its grid goes to x + u(x), RAS mm.

    ``direction`` is what the caller takes the field for. An ITK .h5 may also hold an affine to be applied
    after the field; both are then joined into one total field.

    Raises FileError where the file is missing, unknown, damaged or truncated, and InputError where it holds
    no field, a field that says it is of the other direction, or one whose units and axes the file does not
    tell.
    """
    field, said = read_field_as_said(path)
    if said != direction:
        name = Path(path).name
        raise InputError(f"{name} holds a {said} field, where a {direction} one is needed; read it as {said}.")
    return field


def read_field_as_said(path: str | os.PathLike[str]) -> tuple[DisplacementField, str]:
    """The displacement field in a file, and the direction that the file says; "resampling" where it says nothing.

    Raises as `read_field`.
    """
    with reading(path) as source:
        suffix = suffix_of(source, FIELD_READERS)
        if not suffix:
            raise FileError(f"{source} is no known transform file; fields are read from {', '.join(FIELD_READERS)}.")
        return FIELD_READERS[suffix](source)


def write_affine(matrix_ras: Floats, path: str | os.PathLike[str]) -> None:
    """Write a 4x4 RAS matrix, fixed to moving, as an ITK affine transform file.

    Slicer reads it as "from parent", so that the loaded node carries the moving volume; SimpleITK by
    ReadTransform.
    """
    require_suffix(path, AFFINE_SUFFIXES, "linear transform")
    with atomic_output(path) as temporary:
        sitk.WriteTransform(bridge.affine_to_sitk(matrix_ras), str(temporary))


def read_affine(path: str | os.PathLike[str]) -> Floats:
    """The 4x4 RAS matrix of an ITK linear transform file. Raises as ``read_field``."""
    with reading(path) as source:
        transform = read_itk_transform(source)
        if not transform.IsLinear() or transform.GetDimension() != 3:
            raise InputError(f"{source.name} holds a transform that is not linear, or not of three dimensions.")
        matrix = bridge.affine_from_sitk(transform)
        if not np.isfinite(matrix).all():
            raise InputError(f"{source.name} holds a matrix that is not finite (NaN or infinity); write it again.")
    return matrix


# ---- writers -----------------------------------------------------------------------------------------------


def _vectors_lps(field: DisplacementField) -> sitk.Image:
    return sitk.Cast(field.to_sitk(), sitk.sitkVectorFloat32)


def _write_image(field: DisplacementField, path: Path, direction: Direction) -> None:
    """Uncompressed: a field's mantissas hardly shrink, and take seconds to compress."""
    image = _vectors_lps(field)
    if path.suffix.lower() == ".nrrd":
        image.SetMetaData(_NRRD_DIRECTION, direction)
        image.SetMetaData("intent_code", str(nifti.DISPLACEMENT_VECTOR))
    sitk.WriteImage(image, str(path), useCompression=False)


def _write_nifti(field: DisplacementField, path: Path, direction: Direction) -> None:
    nifti.write_nifti(field.vectors[:, :, :, None, :], field.grid, path, intent=nifti.DISPLACEMENT_VECTOR)


def _write_hdf5(field: DisplacementField, path: Path, direction: Direction) -> None:
    """ITK's transform layout (itkHDF5TransformIO.cxx), parameters in single precision.

    SimpleITK itself has double transforms only, which doubles the file.
    """
    import h5py

    image = _vectors_lps(field)
    fixed_parameters = [*image.GetSize(), *image.GetOrigin(), *image.GetSpacing(), *image.GetDirection()]
    text = h5py.string_dtype("ascii")
    with h5py.File(path, "w") as file:
        file.create_dataset("ITKVersion", data=[sitk.Version.ITKVersionString()], dtype=text)
        file.create_dataset("HDFVersion", data=[h5py.version.hdf5_version], dtype=text)
        group = file.create_group("TransformGroup/0")
        group.create_dataset("TransformType", data=["DisplacementFieldTransform_float_3_3"], dtype=text)
        group.create_dataset("TransformFixedParameters", data=np.array(fixed_parameters, np.float64))
        group.create_dataset("TransformParameters", data=sitk.GetArrayViewFromImage(image).reshape(-1))


FIELD_WRITERS: dict[str, Callable[[DisplacementField, Path, Direction], None]] = {
    ".h5": _write_hdf5,
    ".hdf5": _write_hdf5,
    ".nrrd": _write_image,
    ".mha": _write_image,
    ".nii.gz": _write_nifti,
    ".nii": _write_nifti,
}


# ---- readers: the field and the direction it says --------------------------------


def _read_image(source: Path) -> tuple[DisplacementField, str]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(source))
    suffix = suffix_of(source, _IMAGE_IO)
    if suffix:
        reader.SetImageIO(_IMAGE_IO[suffix])
        if _IMAGE_IO[suffix] == "MetaImageIO":
            require_meta_header(source)
    reader.ReadImageInformation()
    _require_vectors(source, reader.GetDimension(), reader.GetNumberOfComponents())
    said = reader.GetMetaData(_NRRD_DIRECTION) if reader.HasMetaDataKey(_NRRD_DIRECTION) else "resampling"
    return _from_sitk(reader.Execute()), said


def _read_nifti(source: Path) -> tuple[DisplacementField, str]:
    def check(header: sitk.ImageFileReader) -> None:
        shape, components = header.GetSize(), header.GetNumberOfComponents()
        if len(shape) == 5 and shape[3] == 1 and components == 1:  # how ITK sees vectors without an intent
            shape, components = shape[:3], shape[4]
        _require_vectors(source, len(shape), components)

    vectors, grid, intent = nifti.read_nifti(source, check)
    if intent not in (nifti.DISPLACEMENT_VECTOR, nifti.VECTOR):
        raise InputError(
            f"{source.name} does not say what its vectors mean (NIfTI intent {intent}, where a displacement field "
            f"has {nifti.DISPLACEMENT_VECTOR}): voxels or mm, RAS or LPS; import it as a tensor, naming them."
        )
    ras = vectors.reshape(*grid.shape, 3).astype(np.float32, copy=False)
    if intent == nifti.VECTOR:
        ras = ras * np.array([-1, -1, 1], np.float32)
    return DisplacementField(ras, grid), "resampling"


def _read_hdf5(source: Path) -> tuple[DisplacementField, str]:
    kinds = kinds_in_hdf5(source)
    if any(kind.startswith("Inverse") for kind in kinds):
        raise InputError(
            f"{source.name} holds a field stored from its other side, which only Slicer understands; "
            "in Slicer, save the transform as .nrrd, or convert it to a from-parent grid transform."
        )
    transform = read_itk_transform(source)
    if transform.GetName() == "DisplacementFieldTransform":
        field = sitk.DisplacementFieldTransform(transform).GetDisplacementField()
        return _from_sitk(field), "resampling"
    if kinds and kinds[-1].startswith("DisplacementFieldTransform") and kinds[0].startswith("CompositeTransform"):
        # ITK applies the last one first, so the field lies in the composite's own space.
        composite = sitk.CompositeTransform(transform)
        last = sitk.DisplacementFieldTransform(composite.GetBackTransform())
        return _from_sitk(_total(composite, last.GetDisplacementField())), "resampling"
    raise InputError(
        f"{source.name} holds no displacement field but {', '.join(kinds) or 'nothing'}; "
        "convert it to a grid transform first."
    )


def _from_sitk(image: sitk.Image) -> DisplacementField:
    return DisplacementField(bridge.vectors_from_sitk(image), bridge.grid_from_sitk(image))


def _total(transform: sitk.Transform, like: sitk.Image) -> sitk.Image:
    return sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat64,
        like.GetSize(),
        like.GetOrigin(),
        like.GetSpacing(),
        like.GetDirection(),
    )


def _require_vectors(source: Path, dimension: int, components: int) -> None:
    if dimension != 3 or components != 3:
        raise InputError(
            f"{source.name} holds no displacement field: it needs three numbers in each voxel of a volume."
        )


FIELD_READERS: dict[str, Callable[[Path], tuple[DisplacementField, str]]] = {
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".nrrd": _read_image,
    ".nhdr": _read_image,
    ".mha": _read_image,
    ".mhd": _read_image,
    ".nii.gz": _read_nifti,
    ".nii": _read_nifti,
}
