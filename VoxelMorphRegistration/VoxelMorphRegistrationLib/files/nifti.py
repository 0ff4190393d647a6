"""NIfTI: ITK says where the voxels lie, their values are read and written here.

ITK (5.4, by nifticlib) does three things with NIfTI files that must not happen to anybody's data: it gives
uninitialised memory for the missing part of a truncated file, it reports success when the disk is full, and
it reads the values of ``a.nii`` when asked for ``a.nii.gz`` beside it
(https://github.com/InsightSoftwareConsortium/ITK/issues/2243). Its reading of the geometry is kept, so that a
volume lies here where Slicer shows it.
"""

from __future__ import annotations

import gzip
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import FileError
from VoxelMorphRegistrationLib.files.input import count_not_finite, require_finite
from VoxelMorphRegistrationLib.spatial import Grid
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

_log = logging.getLogger(__name__)

DISPLACEMENT_VECTOR = 1006
"""NIFTI_INTENT_DISPVECT: components in RAS mm, 5-D (i, j, k, 1, 3); what Slicer takes for a transform."""

VECTOR = 1007
"""NIFTI_INTENT_VECTOR: what ITK and ANTs write for fields; its components are LPS by their custom."""


def read_nifti(path: Path, check_header: Callable[[sitk.ImageFileReader], None]) -> tuple[npt.NDArray[Any], Grid, int]:
    """Values, (i, j, k, ...) in the stored number type (float32 if the file scales them), grid and intent
    code.

    ``check_header`` gets ITK's view of the header and may raise before the values are read.
    Raises FileError for a truncated file, InputError for NaN or infinity, and whatever nibabel, gzip, zlib or
    ITK raise for bytes they cannot make sense of, a wrong checksum included.
    """
    import nibabel

    reader = sitk.ImageFileReader()
    reader.SetImageIO("NiftiImageIO")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    check_header(reader)
    image: Any = nibabel.load(path)
    grid = grid_of_header(reader)
    _warn_of_two_places(path, grid, image.header)
    return _values(path, image.dataobj), grid, int(image.header["intent_code"])


def write_nifti(array: npt.NDArray[Any], grid: Grid, path: Path, *, intent: int = 0) -> None:
    """Write an array whose first three axes are (i, j, k) of ``grid``; sform and qform both hold its
    geometry.
    """
    import nibabel

    image: Any = nibabel.Nifti1Image(array, np.array(grid.ijk_to_ras), dtype=array.dtype)
    image.header.set_intent(intent)
    image.header.set_xyzt_units("mm")
    image.set_sform(grid.ijk_to_ras, code="scanner")
    image.set_qform(grid.ijk_to_ras, code="scanner")
    save(image, path)


def save(image: Any, path: Path) -> None:
    """Write a nibabel image. nibabel's own ``save`` leaves the file open when the disk is full."""
    compressed = path.suffix.lower() in (".gz", ".mgz")
    with gzip.open(path, "wb", compresslevel=1) if compressed else path.open("wb") as stream:
        image.to_stream(stream)


def _values(path: Path, proxy: Any) -> npt.NDArray[Any]:
    stored: npt.NDArray[Any] = np.empty(math.prod(proxy.shape), proxy.dtype)
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
        stream.read(int(proxy.offset))
        held = stream.readinto(stored.data.cast("B"))
        while stream.read(1 << 20):  # to the end, where gzip keeps its checksum
            pass
    if held < stored.nbytes:
        raise FileError(f"{path} is incomplete: it holds less than its header announces; copy or export it again.")
    values = stored.astype(stored.dtype.newbyteorder("="), copy=False).reshape(proxy.shape, order="F")
    require_finite(count_not_finite(values), path.name)
    if (proxy.slope, proxy.inter) == (1, 0):
        return values
    scaled: npt.NDArray[np.floating[Any]] = values.astype(np.float64 if values.dtype.itemsize == 8 else np.float32)
    scaled *= proxy.slope
    scaled += proxy.inter
    return scaled


def _warn_of_two_places(path: Path, grid: Grid, header: Any) -> None:
    """Say so where a file's sform and qform disagree: programs differ in which of them they take."""
    sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    if sform is None or qform is None:
        return
    apart = np.linalg.norm(Grid(grid.shape, sform).corners_ras() - Grid(grid.shape, qform).corners_ras(), axis=1).max()
    if apart > 1.0:
        used = "qform" if np.allclose(qform, grid.ijk_to_ras, atol=1e-2) else "sform"
        _log.warning(
            "%s: its sform and qform place it up to %.0f mm apart; the %s is used, as in Slicer.",
            path.name,
            apart,
            used,
        )


def grid_of_header(header: sitk.ImageFileReader) -> Grid:
    """The grid of the first three axes of what may be a 4-D or 5-D file."""
    dimension = header.GetDimension()
    size, origin, spacing = header.GetSize(), header.GetOrigin(), header.GetSpacing()
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(header.GetDirection(), (dimension, dimension))[:3, :3] * spacing[:3]
    lps[:3, 3] = origin[:3]
    return Grid((size[0], size[1], size[2]), bridge.RAS_TO_LPS @ lps)
