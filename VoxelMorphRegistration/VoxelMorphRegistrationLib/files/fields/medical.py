"""Fields in medical image and transform files, with what each format says about its vectors.

ITK's own custom is LPS mm, a resampling field. NIfTI's rule for intent 1006 is the file's own space, RAS mm. A file
with another intent, or none, was written by a program that does not follow the rule, and says nothing sure.
"""

from __future__ import annotations

import gzip
import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files import nifti
from VoxelMorphRegistrationLib.files.fields import surfa
from VoxelMorphRegistrationLib.files.fields.arrays import read_plain_hdf5
from VoxelMorphRegistrationLib.files.fields.raw import Hint, RawField
from VoxelMorphRegistrationLib.files.input import require_held
from VoxelMorphRegistrationLib.files.meta_image import require_meta_header
from VoxelMorphRegistrationLib.spatial import Grid
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

_HEADER_LIMIT = 1 << 20


def stated(components: str, because: str, *, sure: bool) -> tuple[Hint, ...]:
    """The hints of a format that holds mm displacements of a resampling field in ``components`` "LPS" or "RAS"."""
    return (
        Hint("components", components, because, sure),
        Hint("units", "mm", because, sure),
        Hint("content", "displacement", because, sure),
        Hint("direction", "resampling", because, sure),
    )


def read_nifti_field(path: Path, key: str | None = None) -> RawField:
    """NIfTI in every variant: 5-D or 4-D, components first or last, any intent, FreeSurfer's extension."""
    try:
        values, grid, intent = nifti.read_nifti(path, lambda header: None)
        warp = surfa.from_nifti(path)
    except ImportError:  # nibabel, which Slicer does not bring
        values, grid, intent = _nifti_by_itk(path)
        warp = None
    if values.dtype.names or values.dtype.kind not in "fi":
        raise InputError(f"{path.name} holds colours or labels ({values.dtype}), not displacement vectors.")
    notes: list[str] = []
    hints: tuple[Hint, ...] = ()
    if warp is not None:
        hints = warp
    elif intent == nifti.DISPLACEMENT_VECTOR:
        hints = stated("RAS", "NIfTI intent 1006, displacement vectors", sure=True)
    elif intent == nifti.VECTOR:
        hints = stated("LPS", "NIfTI intent 1007, as ITK and ANTs write fields", sure=False)
        notes.append(
            f"{path.name} has the intent 1007 (any vectors) instead of 1006 (displacements): ANTs and ITK mean LPS "
            "by it, NiftyReg and others RAS or voxels; Slicer does not convert such vectors."
        )
    else:
        kind = "none" if intent == 0 else str(intent)
        notes.append(
            f"{path.name} says nothing of its vectors (NIfTI intent {kind} instead of 1006), so other programs show "
            "it as an image; it is written correctly on import."
        )
    if values.ndim == 4 and 3 in (values.shape[0], values.shape[3]):
        notes.append(
            f"{path.name} stores its vectors as a 4-D series ({_by(values.shape)}) and not as NIfTI's 5-D vectors "
            "(i, j, k, 1, 3)."
        )
    raw = RawField(values, path.name, hints=hints, notes=tuple(notes))
    return _placed(raw, grid.ijk_to_ras)


def _nifti_by_itk(path: Path) -> tuple[npt.NDArray[Any], Grid, int]:
    """The same by ITK alone: without FreeSurfer's extension, and 4-D or 5-D in place of it where there are no vectors.

    Of a truncated file ITK gives uninitialised memory, so the length is looked at here.
    """
    image = sitk.ReadImage(str(path), imageIO="NiftiImageIO")
    array: npt.NDArray[Any] = sitk.GetArrayFromImage(image)
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        complete = len(stream.read()) >= array.nbytes
    if not complete:
        raise FileError(f"{path} cannot be read: it is incomplete; copy or export it again.")
    dimension = image.GetDimension()
    array = array.transpose(*range(dimension)[::-1], *range(dimension, array.ndim))
    intent = int(image.GetMetaData("intent_code"))
    if image.GetNumberOfComponentsPerPixel() == 3 and intent == nifti.DISPLACEMENT_VECTOR:
        array = array * np.array([-1, -1, 1], array.dtype)  # ITK has turned these, and only these, into LPS
    i, j, k = array.shape[1:4] if array.shape[0] == 3 and array.shape[3] != 3 else array.shape[:3]
    return array, Grid((i, j, k), _matrix(image)), intent


def read_mgh_field(path: Path, key: str | None = None) -> RawField:
    """FreeSurfer's ``.mgz``/``.mgh``, warps included."""
    with gzip.open(path) if path.suffix.lower() == ".mgz" else path.open("rb") as stream:
        data = stream.read()
    image, hints = surfa.from_mgh(data)
    require_held(math.prod(image.shape) * image.dataobj.dtype.itemsize, len(data), path)
    values = np.asanyarray(image.dataobj)
    values = values.astype(values.dtype.newbyteorder("="))
    return _placed(RawField(values, path.name, hints=hints), image.affine)


def read_itk_image_field(path: Path, key: str | None = None) -> RawField:
    """NRRD and MetaImage: vectors, or the components along a fourth axis."""
    is_nrrd = path.suffix.lower() in (".nrrd", ".nhdr")
    if not is_nrrd:
        require_meta_header(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if is_nrrd else "MetaImageIO")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    image = reader.Execute()
    dimension, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    matrix = _matrix(image)
    array: npt.NDArray[Any] = sitk.GetArrayFromImage(image)
    array = array.transpose(*range(dimension)[::-1], *range(dimension, array.ndim))
    header = _nrrd_header(path) if is_nrrd else {}
    if dimension == 3 and components == 3:
        hints, notes = _nrrd_hints(header, path.name) if is_nrrd else _meta_hints(path)
        raw = RawField(array, path.name, hints=hints, notes=notes)
        return _placed(raw, matrix)
    if dimension == 4 and components == 1:
        note = f"{path.name} stores its components along a fourth axis and not as vectors."
        raw = RawField(array, path.name, notes=(note,))
        if array.shape[0] == 3 and array.shape[3] != 3:  # the axes of space are the last three
            return raw
        return _placed(raw, matrix)
    raise InputError(
        f"{path.name} holds no displacement field: it needs three numbers in each voxel of a volume, "
        f"and has {components} in {dimension} dimensions."
    )


def read_transform_field(path: Path, key: str | None = None) -> RawField:
    """An ITK transform file (``.tfm``, ``.txt``, ``.h5``): a field, or a composite that holds one.

    A composite is joined into one total field on the grid of the field in it. Plain HDF5 files go on to
    `read_plain_hdf5`.
    """
    if path.suffix.lower() in (".h5", ".hdf5") and importlib.util.find_spec("h5py"):
        import h5py

        with h5py.File(path, "r") as file:
            is_transform = "TransformGroup" in file
            names = [str(g["TransformType"][0]) for g in file["TransformGroup"].values()] if is_transform else []
        if not is_transform:
            return read_plain_hdf5(path, key)
        if any("Inverse" in name for name in names):
            raise InputError(
                f"{path.name} holds a field stored from its other side, which only Slicer understands; "
                "in Slicer, save the transform as .nrrd, or convert it to a from-parent grid transform."
            )
    transform = _read_transform(path)
    fields = _fields_in(transform)
    if not fields:
        what = "only an affine" if transform.IsLinear() else f"a {transform.GetName()}"
        raise InputError(
            f"{path.name} holds no displacement field but {what}; give the file with the field, or convert it to a "
            "grid transform in Slicer's Transforms module."
        )
    image = fields[-1]
    notes: tuple[str, ...] = ()
    if transform.GetName() == "CompositeTransform":
        total = sitk.TransformToDisplacementField(
            transform,
            sitk.sitkVectorFloat64,
            image.GetSize(),
            image.GetOrigin(),
            image.GetSpacing(),
            image.GetDirection(),
        )
        image = total
        notes = (f"{path.name} is a chain of transforms; they were joined into one total field.",)
    array = np.asarray(sitk.GetArrayFromImage(image), np.float32).transpose(2, 1, 0, 3)
    hints = stated("LPS", "ITK transform file", sure=True)
    return RawField(array, path.name, bridge.grid_from_sitk(image), hints, notes)


def _read_transform(path: Path) -> sitk.Transform:
    try:
        return sitk.ReadTransform(str(path))
    except RuntimeError:
        if path.suffix.lower() in (".h5", ".hdf5"):  # not ITK's: where h5py is missing, that is to be said
            import h5py  # noqa: F401
        raise


def _fields_in(transform: sitk.Transform) -> list[sitk.Image]:
    name = transform.GetName()
    if name == "DisplacementFieldTransform":
        return [sitk.DisplacementFieldTransform(transform).GetDisplacementField()]
    if name == "CompositeTransform":
        composite = sitk.CompositeTransform(transform)
        count = composite.GetNumberOfTransforms()
        return [field for n in range(count) for field in _fields_in(composite.GetNthTransform(n))]
    return []


def _placed(raw: RawField, matrix: npt.ArrayLike) -> RawField:
    """With the container's geometry on its axes of space; they come last where the components come first."""
    shapes = raw.space_shapes
    if len(shapes) != 1:
        return raw
    i, j, k = shapes[0]
    try:
        grid = Grid((i, j, k), np.asarray(matrix, np.float64))
    except InputError:
        return raw
    return RawField(raw.array, raw.name, grid, raw.hints, raw.notes, raw.log_variance)


def _matrix(image: sitk.Image) -> npt.NDArray[np.float64]:
    dimension = image.GetDimension()
    lps = np.eye(4)
    direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
    lps[:3, :3] = direction * np.array(image.GetSpacing()[:3])
    lps[:3, 3] = image.GetOrigin()[:3]
    return bridge.RAS_TO_LPS @ lps


def _nrrd_header(path: Path) -> dict[str, str]:
    """The fields and key/value pairs of a NRRD header, lower case."""
    with path.open("rb") as stream:
        text = stream.read(_HEADER_LIMIT).split(b"\n\n", 1)[0].decode("ascii", "replace")
    header: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        if line.startswith("#"):
            continue
        name, _, value = line.partition(":=") if ":=" in line else line.partition(":")
        header[name.strip().lower()] = value.strip()
    return header


def _nrrd_hints(header: dict[str, str], name: str) -> tuple[tuple[Hint, ...], tuple[str, ...]]:
    direction = header.get("displacement field type", "")
    if direction in ("resampling", "modeling"):
        because = f"NRRD key 'displacement field type: {direction}', as Slicer writes"
        hints = stated("LPS", because, sure=True)[:3]
        return (*hints, Hint("direction", direction, because, sure=True)), ()
    if header.get("intent_code") == str(nifti.DISPLACEMENT_VECTOR):
        return stated("LPS", "NRRD with intent 1006, as Slicer writes transforms", sure=True), ()
    note = (
        f"{name} is a NRRD of vectors that does not say it is a transform (no intent_code, no displacement field "
        "type): a transform's vectors are LPS, those of a vector volume saved from Slicer are RAS."
    )
    return stated("LPS", "NRRD of vectors, as ITK writes fields", sure=False), (note,)


def _meta_hints(path: Path) -> tuple[tuple[Hint, ...], tuple[str, ...]]:
    return stated("LPS", "MetaImage of vectors, as ITK and elastix write fields", sure=False), ()


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
