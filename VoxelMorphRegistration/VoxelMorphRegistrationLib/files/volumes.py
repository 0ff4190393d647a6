"""Volumes and labelmaps from and to files.

Geometry is read as ITK reads it, so that a volume lies here where Slicer shows it. Arrays keep the stored
number type where it can be kept.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files import dicom, nifti
from VoxelMorphRegistrationLib.files.input import count_not_finite, reading, require_finite, require_held
from VoxelMorphRegistrationLib.files.meta_image import require_meta_header
from VoxelMorphRegistrationLib.files.output import atomic_output, require_suffix, suffix_of
from VoxelMorphRegistrationLib.spatial import Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

_log = logging.getLogger(__name__)

_SHEAR = 1e-3
"""Cosine between array axes from which they no longer count as perpendicular (0.06 degrees)."""

_INT32 = 2**31 - 1
_MGH_TYPES = (np.uint8, np.int16, np.int32, np.float32)


def read_volume(path: str | os.PathLike[str]) -> Image:
    """The 3-D scalar volume in a file (NIfTI, NRRD, MetaImage, MGH, NPZ, NPY) or DICOM folder.

    A 4-D file with one frame counts as 3-D. DICOM: the folder of one series, or any one file of a series.
    Arrays in .npz are sought under VoxelMorph's keys ``vol`` and ``vol_data``, with an optional 4x4
    ``affine`` (IJK to RAS); see `_read_array` for the geometry of an array that brings none.

    Raises FileError where the file is missing, unknown, damaged or truncated, and InputError where it is no
    3-D scalar volume (2-D, several frames, vectors, colours, complex numbers, axes that are not
    perpendicular) or holds values that are not finite. Whether the values suit a registration is judged
    there.
    """
    with reading(path) as source:
        image = _reader(source)(source)
        require_finite(count_not_finite(image.array), image.name)
    _require_perpendicular(image)
    return image


def read_labels(path: str | os.PathLike[str]) -> Image:
    """A labelmap or mask: as ``read_volume``, but whole numbers; those stored as floats become integers.

    Raises InputError, besides, for values that are not whole numbers.
    """
    image = read_volume(path)
    array = image.array
    if array.dtype == np.bool_:
        return image.with_array(array.astype(np.uint8))
    if np.issubdtype(array.dtype, np.integer):
        return image
    wrong = ~(array == np.round(array))  # NaN is wrong too
    if wrong.any():
        raise InputError(
            f"{image.name} is not a labelmap: it holds values such as {array[wrong].flat[0]:.4g}; "
            "labels and masks are whole numbers."
        )
    fits = array.size == 0 or (array.min() >= -32768 and array.max() <= 32767)
    return image.with_array(array.astype(np.int16 if fits else np.int64))


def write_volume(image: Image, path: str | os.PathLike[str]) -> None:
    """Write a volume in the format its name ends with, compressed, its number type kept (bool becomes uint8).

    .mgz holds no more than uint8, int16, int32 and float32: other integers become int32, other floats
    float32. Raises OutputError for an unknown ending or where the file cannot be written; nothing is left
    behind then.
    """
    write = VOLUME_WRITERS[require_suffix(path, VOLUME_WRITERS, "volume")]
    with atomic_output(path) as temporary:
        write(image.with_array(_storable(image.array)), temporary)


def write_labels(image: Image, path: str | os.PathLike[str]) -> None:
    """Write a labelmap, as ``write_volume``. Raises InputError, besides, if its values are not integers."""
    if not (np.issubdtype(image.array.dtype, np.integer) or image.array.dtype == np.bool_):
        raise InputError(f"{image.name} is not a labelmap: its values are {image.array.dtype}, not integers.")
    write_volume(image, path)


def _reader(source: Path) -> Callable[[Path], Image]:
    if source.is_dir():
        return _read_dicom
    suffix = suffix_of(source, VOLUME_READERS)
    if suffix:
        return VOLUME_READERS[suffix]
    if dicom.is_dicom_file(source):  # DICOM files often have no ending, or a number for one
        return _read_dicom
    raise FileError(
        f"{source} is in no known format; volumes are read from {', '.join(VOLUME_READERS)} and DICOM folders."
    )


def _read_with_itk(source: Path, image_io: str) -> Image:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(source))
    reader.ReadImageInformation()
    _require_scalar_header(reader)
    size = reader.GetSize()
    reader.SetExtractSize([*size[:3], *[0] * (len(size) - 3)])  # drops axes of length one
    return _from_sitk(reader.Execute(), source.name)


def _require_scalar_header(reader: sitk.ImageFileReader) -> None:
    _require_scalar_volume(
        Path(reader.GetFileName()).name,
        reader.GetSize(),
        reader.GetNumberOfComponents(),
        sitk.GetPixelIDValueAsString(reader.GetPixelID()),
    )


def _read_nifti(source: Path) -> Image:
    try:
        array, grid, _ = nifti.read_nifti(source, _require_scalar_header)
    except RuntimeError as error:
        if "orthonormal" in str(error):  # what ITK says of a sheared sform without a qform to fall back on
            raise _sheared(source.name) from error
        raise
    return Image(array.reshape(grid.shape, order="F"), grid, source.name)


def _read_nrrd(source: Path) -> Image:
    return _read_with_itk(source, "NrrdImageIO")


def _read_meta_image(source: Path) -> Image:
    require_meta_header(source)
    return _read_with_itk(source, "MetaImageIO")


def _read_dicom(source: Path) -> Image:
    image = dicom.read_series(source)
    kind = image.GetPixelIDTypeAsString()
    _require_scalar_volume(source.name, image.GetSize(), image.GetNumberOfComponentsPerPixel(), kind)
    return _from_sitk(image, source.name)


def _read_mgh(source: Path) -> Image:
    import nibabel

    loaded: Any = nibabel.load(source)
    require_held(math.prod(loaded.shape) * loaded.dataobj.dtype.itemsize, source.stat().st_size, source)
    array = np.asanyarray(loaded.dataobj)
    _require_scalar_volume(source.name, array.shape, 1, str(array.dtype))
    array = array.reshape(array.shape[:3])
    native = array.astype(array.dtype.newbyteorder("="), copy=False)  # MGH files are big-endian
    return Image(native, Grid(native.shape, loaded.affine), source.name)


def _read_array(source: Path) -> Image:
    """A volume from .npy or .npz, with VoxelMorph's leading batch and trailing channel axis dropped.

    An array that brings no ``affine`` is placed as FreeSurfer places volumes without geometry, which is also
    how VoxelMorph's public arrays and weights lie: axes LIA, 1 mm, centred on the origin (mri.h / MGH format:
    ``goodRASFlag`` 0).
    """
    loaded = np.load(source, allow_pickle=False, mmap_mode=None)
    affine = None
    if isinstance(loaded, np.lib.npyio.NpzFile):
        with loaded:
            array = loaded[_volume_key(source, loaded)]
            affine = loaded["affine"] if "affine" in loaded.files else None
    else:
        array = loaded
    if array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype.kind not in "buif":
        raise InputError(f"{source.name} holds {array.dtype} values; a volume needs real numbers.")
    _require_scalar_volume(source.name, array.shape, 1, "")
    array = _storable(array)
    if affine is None:
        _log.warning(
            "%s brings no geometry: it is taken as FreeSurfer and VoxelMorph lay volumes, axes LIA, 1 mm, "
            "centred; add a 4x4 'affine' to the .npz if that is wrong.",
            source.name,
        )
        affine = _freesurfer_default(array.shape)
    return Image(array, Grid(array.shape, affine), source.name)


def _volume_key(source: Path, arrays: np.lib.npyio.NpzFile) -> str:
    for key in ("vol", "vol_data"):
        if key in arrays.files:
            return key
    others = [key for key in arrays.files if key != "affine"]
    if len(others) == 1:
        return str(others[0])
    raise InputError(
        f"{source.name} holds no array named vol or vol_data, but {', '.join(others) or 'nothing'}; "
        "save the volume as 'vol'."
    )


def _freesurfer_default(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = [[-1, 0, 0], [0, 0, 1], [0, -1, 0]]
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) / 2)  # MGH's c_ras is that of voxel shape/2
    return affine


def _from_sitk(image: sitk.Image, name: str) -> Image:
    return Image(bridge.scalar_from_sitk(image), bridge.grid_from_sitk(image), name)


def _require_scalar_volume(name: str, shape: tuple[int, ...], components: int, kind: str) -> None:
    """Raises InputError unless it is 3-D, later axes of length one aside, with one value in each voxel."""
    if components > 1:
        what = "colours" if components in (3, 4) and "8-bit" in kind else "vectors"
        what = "complex numbers or vectors" if components == 2 else what
        raise InputError(
            f"{name} holds {what} ({components} values in each voxel), not one; give a volume of one value in "
            "each, or, if this is a segmentation with overlapping segments, export it as a labelmap."
        )
    frames = int(np.prod(shape[3:]))
    if frames > 1:
        raise InputError(
            f"{name} has {frames} frames ({' x '.join(map(str, shape))}); a registration takes two 3-D "
            "volumes: save one frame as a volume of its own."
        )
    if len(shape) < 3 or min(shape[:3]) < 2:
        raise InputError(f"{name} is 2-D ({' x '.join(map(str, shape))}); a registration takes 3-D volumes.")


def _require_perpendicular(image: Image) -> None:
    directions = image.grid.directions
    if np.abs(directions.T @ directions - np.eye(3)).max() > _SHEAR:
        raise _sheared(image.name)


def _sheared(name: str) -> InputError:
    return InputError(
        f"{name}: its axes are not perpendicular (a sheared sform, as an affine registration leaves in the "
        "header); resample it to a regular grid first, for example with mri_convert or Slicer's Resample Image."
    )


def _storable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array in a type that every format has: no booleans, no half or extended precision."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    return array


def _write_with_itk(image: Image, path: Path) -> None:
    sitk.WriteImage(bridge.scalar_to_sitk(image.array, image.grid), str(path), useCompression=True, compressionLevel=1)


def _write_nifti(image: Image, path: Path) -> None:
    nifti.write_nifti(image.array, image.grid, path)


def _write_mgh(image: Image, path: Path) -> None:
    import nibabel

    array = image.array
    if array.dtype not in _MGH_TYPES:
        if array.dtype.kind in "iu" and array.size and max(abs(int(array.min())), abs(int(array.max()))) > _INT32:
            raise InputError(f"{path.name}: .mgz cannot hold numbers this large; write .nii.gz or .nrrd.")
        array = array.astype(np.int32 if array.dtype.kind in "iu" else np.float32)
    nifti.save(nibabel.MGHImage(array, np.array(image.grid.ijk_to_ras)), path)


VOLUME_READERS: dict[str, Callable[[Path], Image]] = {
    ".nii.gz": _read_nifti,
    ".nii": _read_nifti,
    ".nrrd": _read_nrrd,
    ".nhdr": _read_nrrd,
    ".mha": _read_meta_image,
    ".mhd": _read_meta_image,
    ".mgz": _read_mgh,
    ".mgh": _read_mgh,
    ".npz": _read_array,
    ".npy": _read_array,
    ".dcm": _read_dicom,
}

VOLUME_WRITERS: dict[str, Callable[[Image, Path], None]] = {
    ".nii.gz": _write_nifti,
    ".nii": _write_nifti,
    ".nrrd": _write_with_itk,
    ".mha": _write_with_itk,
    ".mgz": _write_mgh,
}
