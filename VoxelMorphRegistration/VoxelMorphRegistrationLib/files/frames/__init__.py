"""The frames of a sequence, read one at a time: from a folder of volumes, a 4-D file or a DICOM series.

``open_frames`` finds out which. To add a format, write a class with `Frames`' members and its line in ``_OPENERS``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files.frames.dicom_frames import open_dicom
from VoxelMorphRegistrationLib.files.frames.meta_frames import MetaImageFrames
from VoxelMorphRegistrationLib.files.frames.nifti_frames import NiftiFrames
from VoxelMorphRegistrationLib.files.frames.nrrd_frames import NrrdFrames
from VoxelMorphRegistrationLib.files.frames.protocol import Frames, ImageFrames, VolumeFiles, natural_order
from VoxelMorphRegistrationLib.files.input import reading
from VoxelMorphRegistrationLib.files.output import suffix_of
from VoxelMorphRegistrationLib.files.volumes import VOLUME_READERS

__all__ = ["Frames", "ImageFrames", "VolumeFiles", "open_frames"]

_OPENERS: dict[str, Callable[[Path], Frames]] = {
    ".nii.gz": NiftiFrames,
    ".nii": NiftiFrames,
    ".nrrd": NrrdFrames,
    ".nhdr": NrrdFrames,
    ".mha": MetaImageFrames,
    ".mhd": MetaImageFrames,
}

_SINGLE = tuple(suffix for suffix in VOLUME_READERS if suffix != ".dcm")


def open_frames(path: str | os.PathLike[str]) -> Frames:
    """The frames in a 4-D file (.nii, .nii.gz, .nrrd, .seq.nrrd, .nhdr, .mha, .mhd) or a folder.

    A folder holds one volume file a frame (in natural order of their names: 2 before 10), one DICOM folder a frame, or
    the slices of a DICOM series that has several time points or of several series (one a frame).
    Raises FileError for what cannot be read and InputError for what is no sequence (one frame, vectors, 2-D).
    """
    with reading(path) as source:
        frames = _folder(source) if source.is_dir() else _file(source)
        count = len(frames)  # of a damaged header it may be what no length can be
    if count < 2:
        frames.close()
        raise InputError(
            f"{source.name} holds one frame only; a sequence has at least two: "
            "register two volumes with the registration of a pair instead."
        )
    return frames


def _file(source: Path) -> Frames:
    suffix = suffix_of(source, _OPENERS)
    if not suffix:
        raise FileError(
            f"{source} is in no known 4-D format; sequences are read from {', '.join(_OPENERS)}, a folder of volumes "
            "or a folder with a DICOM series."
        )
    return _OPENERS[suffix](source)


def _folder(source: Path) -> Frames:
    visible = [path for path in source.iterdir() if not path.name.startswith(".")]
    volumes = natural_order(path for path in visible if path.is_file() and suffix_of(path, _SINGLE))
    if volumes:
        return VolumeFiles(volumes, source.name)
    folders = natural_order(path for path in visible if path.is_dir())
    if folders and not any(path.is_file() for path in visible):
        return VolumeFiles(folders, source.name)
    return open_dicom(source)
