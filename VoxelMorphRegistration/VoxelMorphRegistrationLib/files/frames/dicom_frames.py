"""A folder of DICOM slices as a sequence: several series of one volume each, or one series with several time points.

Which tag numbers the time points depends on the scanner and the kind of scan, so the first one is taken that splits
the slices into volumes with the same positions, each once: the temporal position, the cardiac or respiratory phase,
the trigger time, the acquisition's number or time, the content's time (DICOM PS3.3, C.7.6 and C.8); where slices are
missing, the first that leaves each position at most once in a volume. Where none does,
the images at each position are counted in order of their instance numbers.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files import dicom
from VoxelMorphRegistrationLib.files.frames.protocol import Frames, file_stamp, require_frame
from VoxelMorphRegistrationLib.spatial import Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

_TIME_TAGS = (
    "0020|0100",  # temporal position identifier
    "0020|9241",  # nominal percentage of the cardiac phase
    "0020|9245",  # nominal percentage of the respiratory phase
    "0018|1060",  # trigger time
    "0020|0012",  # acquisition number
    "0008|0032",  # acquisition time
    "0008|0033",  # content time
)
_SERIES, _SERIES_NUMBER, _DESCRIPTION, _INSTANCE = "0020|000e", "0020|0011", "0008|103e", "0020|0013"


@dataclass(frozen=True)
class _Slice:
    file: str
    along: float
    """Position along the slices' normal in mm."""
    tags: dict[str, str]


class DicomFrames:
    """The volumes of a DICOM folder over time."""

    def __init__(self, path: Path, frames: list[list[str]]) -> None:
        """``frames``: the files of each, in order of position."""
        self.name = path.name
        self._path = path
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def read(self, n: int) -> Image:
        """See Frames."""
        require_frame(n, len(self), self.name)
        image = dicom.read_slices(self._path, self._frames[n])
        if image.GetNumberOfComponentsPerPixel() > 1 or image.GetDimension() != 3:
            raise InputError(f"{self.frame_name(n)} is no scalar volume; a sequence needs grey values.")
        return Image(bridge.scalar_from_sitk(image), bridge.grid_from_sitk(image), self.frame_name(n))

    def frame_name(self, n: int) -> str:
        """See Frames."""
        return f"{self.name} frame {n}"

    def stamp(self, n: int) -> str:
        """See Frames."""
        return " ".join(file_stamp(Path(file)) for file in (self._frames[n][0], self._frames[n][-1]))

    def close(self) -> None:
        """See Frames."""


def open_dicom(path: Path) -> Frames:
    """The sequence in a folder of DICOM files. Raises FileError where there is none, InputError where it is not one."""
    slices = [found for file in sorted(path.iterdir()) if file.is_file() and (found := _slice(file))]
    if not slices:
        raise FileError(f"{path} holds neither volumes nor DICOM images; give the folder in which the frames lie.")
    series: dict[str, list[_Slice]] = defaultdict(list)
    for each in slices:
        series[each.tags[_SERIES]].append(each)
    ordered = sorted(series.values(), key=lambda group: (_number(group[0].tags[_SERIES_NUMBER]), group[0].file))
    volumes = [_in_time(group) for group in ordered]
    if len(volumes) > 1 and any(len(split) > 1 for split in volumes):
        listed = "; ".join(
            f"{group[0].tags[_DESCRIPTION] or 'no description'}, {len(split)} volumes"
            for group, split in zip(ordered, volumes, strict=True)
        )
        raise InputError(f"{path} holds several sequences ({listed}); put the one you want into a folder of its own.")
    frames = [frame for split in volumes for frame in split]
    most = max(len(frame) for frame in frames)
    if len(volumes) > 1:
        frames = [frame for frame in frames if len(frame) > 1 or most == 1]  # scouts and reports
    return DicomFrames(path, [[each.file for each in frame] for frame in frames])


def _in_time(slices: list[_Slice]) -> list[list[_Slice]]:
    """One series as volumes in order of time, each in order of position."""
    slices = sorted(slices, key=lambda each: each.along)
    positions = sorted(set(_positions(slices)))
    count, rest = divmod(len(slices), len(positions))
    if count == 1 and not rest:
        return [slices]
    splits = [split for tag in _TIME_TAGS if len(split := _split_by(slices, tag)) > 1]
    for split in splits:
        if all(_positions(frame) == positions for frame in split):
            return split
    most = max(Counter(_positions(slices)).values())
    for split in splits:  # slices are missing: the frames that have all of theirs are still told apart by the tag
        each_once = all(len(set(_positions(frame))) == len(frame) for frame in split)
        if each_once and len(split) == most and any(_positions(frame) == positions for frame in split):
            return split
    at: dict[float, list[_Slice]] = defaultdict(list)
    for each in sorted(slices, key=lambda each: _number(each.tags[_INSTANCE])):
        at[round(each.along, 3)].append(each)
    frames = max(len(there) for there in at.values())
    return [[at[position][n] for position in positions if n < len(at[position])] for n in range(frames)]


def _split_by(slices: list[_Slice], tag: str) -> list[list[_Slice]]:
    groups: dict[float, list[_Slice]] = defaultdict(list)
    for each in slices:
        groups[_number(each.tags[tag])].append(each)
    return [groups[time] for time in sorted(groups)]


def _positions(slices: list[_Slice]) -> list[float]:
    return [round(each.along, 3) for each in slices]


def _slice(file: Path) -> _Slice | None:
    header = dicom.header_of(str(file)) if dicom.is_dicom_file(file) else None
    if header is None:
        return None
    normal = np.reshape(header.GetDirection(), (3, 3))[:, 2]
    tags = (*_TIME_TAGS, _SERIES, _SERIES_NUMBER, _DESCRIPTION, _INSTANCE)
    return _Slice(str(file), float(np.dot(header.GetOrigin(), normal)), {tag: _value(header, tag) for tag in tags})


def _value(header: sitk.ImageFileReader, tag: str) -> str:
    return str(header.GetMetaData(tag)).strip() if header.HasMetaDataKey(tag) else ""


def _number(text: str) -> float:
    found = re.match(r"-?\d+(\.\d+)?", text)
    return float(found.group()) if found else 0.0
