"""A DICOM series as a volume, with the checks that ITK's series reader leaves to its user."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import FileError, InputError

_SERIES_NUMBER, _SERIES_DESCRIPTION, _ROWS = "0020|0011", "0008|103e", "0028|0010"


def is_dicom_file(path: Path) -> bool:
    """Whether a file starts as DICOM files do: "DICM" after a preamble of 128 bytes."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def read_series(path: Path) -> sitk.Image:
    """The volume of a folder that holds one series, or of the series to which one file belongs.

    Subfolders are not searched. Raises FileError where there is no readable series, and InputError where
    there are several, or where the slices are not evenly spaced on one line (missing slices, several volumes,
    gantry tilt).
    """
    return read_slices(path, _files_of_series(path))


def read_slices(path: Path, files: list[str]) -> sitk.Image:
    """The volume of these files, in order of their position; ``path`` is for messages. Raises as ``read_series``."""
    if len(files) > 1:
        _require_even_slices(path, files)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    try:
        image: sitk.Image = reader.Execute() if len(files) > 1 else sitk.ReadImage(files[0])
    except RuntimeError as error:
        raise FileError(f"{path}: the DICOM series cannot be read; export it again, uncompressed.") from error
    return image


def _files_of_series(path: Path) -> list[str]:
    folder = path if path.is_dir() else path.parent
    reader = sitk.ImageSeriesReader
    series = [list(reader.GetGDCMSeriesFileNames(str(folder), uid)) for uid in reader.GetGDCMSeriesIDs(str(folder))]
    if path.is_file():
        series = [files for files in series if any(Path(file).samefile(path) for file in files)]
    series = [files for files in series if files and header_of(files[0]) is not None]
    if not series:
        raise FileError(f"{path} holds no DICOM images; give the folder in which the slices lie (not one above it).")
    if len(series) > 1:
        listed = "; ".join(_describe(files) for files in sorted(series, key=_number))
        raise InputError(
            f"{path} holds {len(series)} DICOM series; give one file of the series you want instead. "
            f"They are: {listed}."
        )
    return series[0]


def header_of(file: str) -> sitk.ImageFileReader | None:
    """The file's header, or None where it holds no picture (structured report, contours, index)."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(file)
    reader.LoadPrivateTagsOff()
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    return reader if reader.HasMetaDataKey(_ROWS) else None


def _tag(file: str, tag: str) -> str:
    header = header_of(file)
    return header.GetMetaData(tag).strip() if header is not None and header.HasMetaDataKey(tag) else ""


def _number(files: list[str]) -> tuple[int, str]:
    number = _tag(files[0], _SERIES_NUMBER)
    return (int(number) if number.isdigit() else 0, files[0])


def _describe(files: list[str]) -> str:
    name = _tag(files[0], _SERIES_DESCRIPTION) or "no description"
    images = "1 image" if len(files) == 1 else f"{len(files)} images"
    return f"{name}, {images}, for example {Path(files[0]).name}"


def _require_even_slices(path: Path, files: list[str]) -> None:
    headers = [header_of(file) for file in files]
    if any(header is None for header in headers):
        raise FileError(f"{path}: a slice of the DICOM series is damaged; export the series again.")
    origins = np.array([header.GetOrigin() for header in headers if header is not None])
    directions = np.array([header.GetDirection() for header in headers if header is not None])
    sizes = {header.GetSize()[:2] for header in headers if header is not None}
    if len(sizes) > 1 or np.ptp(directions, axis=0).max() > 1e-3:
        raise InputError(
            f"{path}: the slices of the DICOM series differ in size or orientation, as a scout's do; "
            "choose another one."
        )
    normal = directions[0].reshape(3, 3)[:, 2]
    along = origins @ normal
    steps = np.diff(along)
    distance = float(np.median(np.abs(steps)))
    positions = len(np.unique(np.round(along, 3)))
    if positions < len(files):
        raise InputError(
            f"{path}: the DICOM series has {len(files)} images at {positions} slice positions, so it holds "
            "several volumes (time points, echoes); convert it, for example with dcm2niix, and choose one."
        )
    if np.abs(np.abs(steps) - distance).max() > max(0.02 * distance, 0.01):
        raise InputError(
            f"{path}: the slices of the DICOM series are not evenly spaced ({np.abs(steps).min():.2f} to "
            f"{np.abs(steps).max():.2f} mm), as when some are missing; "
            "export it again or convert it with dcm2niix."
        )
    sideways = np.linalg.norm(np.diff(origins, axis=0) - steps[:, None] * normal, axis=1).max()
    if sideways > max(0.02 * distance, 0.01):
        raise InputError(
            f"{path}: the slices of the DICOM series are shifted against each other (gantry tilt); "
            "load it in Slicer with acquisition geometry regularization and save it as .nrrd."
        )
