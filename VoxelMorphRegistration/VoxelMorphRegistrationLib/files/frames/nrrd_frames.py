"""4-D NRRD, Slicer's .seq.nrrd included: the header is read here, the values of one frame through a memory map.

ITK reads the frames of such a file as the components of one vector image, all of them into memory. The format:
https://teem.sourceforge.net/nrrd/format.html; Slicer marks the axis of the frames by the kind "list" and gives it no
direction, first or last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files.frames.one_file import OneFile
from VoxelMorphRegistrationLib.files.frames.protocol import require_frame
from VoxelMorphRegistrationLib.files.frames.unpacking import Unpacked
from VoxelMorphRegistrationLib.files.input import count_not_finite, reading, require_finite
from VoxelMorphRegistrationLib.spatial import Grid, Image

_TYPES = {
    "signed char": "i1",
    "int8": "i1",
    "int8_t": "i1",
    "unsigned char": "u1",
    "uchar": "u1",
    "uint8": "u1",
    "uint8_t": "u1",
    "short": "i2",
    "short int": "i2",
    "signed short": "i2",
    "int16": "i2",
    "int16_t": "i2",
    "unsigned short": "u2",
    "ushort": "u2",
    "uint16": "u2",
    "uint16_t": "u2",
    "int": "i4",
    "signed int": "i4",
    "int32": "i4",
    "int32_t": "i4",
    "unsigned int": "u4",
    "uint": "u4",
    "uint32": "u4",
    "uint32_t": "u4",
    "longlong": "i8",
    "int64": "i8",
    "int64_t": "i8",
    "uint64": "u8",
    "uint64_t": "u8",
    "float": "f4",
    "double": "f8",
}
_TO_RAS = {
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
}


@dataclass(frozen=True)
class _Header:
    fields: dict[str, str]
    end: int
    """Where the values start, in the file of the header."""


class NrrdFrames(OneFile):
    """The frames of a .nrrd, .seq.nrrd or .nhdr; a compressed one is unpacked once to a temporary file."""

    def __init__(self, path: Path) -> None:
        """Raises InputError where it is no sequence of scalar volumes, or stored in a way that is not read here."""
        super().__init__(path)
        with path.open("rb") as stream:
            header = _read_header(stream, path.name)
        fields = header.fields
        self._sizes = tuple(int(size) for size in fields["sizes"].split())
        self._axis = _frame_axis(fields, len(self._sizes), path.name)
        self._grid = _grid(fields, self._sizes, self._axis, path.name)
        self._dtype = _dtype(fields, path.name)
        self._values_path, self._offset = self._open_values(header)

    def __len__(self) -> int:
        return 1 if self._axis is None else self._sizes[self._axis]

    def read(self, n: int) -> Image:
        """See Frames."""
        require_frame(n, len(self), self.name)
        with reading(self._path):
            stored = (self._values_path.stat().st_size - self._offset) // self._dtype.itemsize
            if stored < self._needed(n):
                raise FileError(f"{self.name} ends before frame {n} does; copy or export it again.")
            flat: npt.NDArray[np.generic] = np.memmap(self._values_path, self._dtype, "r", self._offset)
            whole = flat[: math.prod(self._sizes)]
            if whole.size < math.prod(self._sizes):  # the frames before the damage
                kept = whole.size // math.prod(self._sizes[:3])
                whole = whole[: kept * math.prod(self._sizes[:3])].reshape((*self._sizes[:3], kept), order="F")
            else:
                whole = whole.reshape(self._sizes, order="F")
            frame = whole if self._axis is None else whole.take(n, axis=self._axis)
            array = np.array(frame, self._dtype.newbyteorder("="), order="F")
        require_finite(count_not_finite(array), self.frame_name(n))
        return Image(array, self._grid, self.frame_name(n))

    def _needed(self, n: int) -> int:
        """How many values have to be there for frame ``n``: all of them where the frames are interleaved."""
        last = len(self._sizes) - 1
        return math.prod(self._sizes) if self._axis != last else (n + 1) * math.prod(self._sizes[:last])

    def _open_values(self, header: _Header) -> tuple[Path, int]:
        """The file of the plain values, and where they start in it."""
        fields, source, start = header.fields, self._path, header.end
        if named := fields.get("data file", fields.get("datafile")):
            if named.startswith("LIST") or "%" in named:
                raise InputError(f"{self.name}: its values lie in several files; save it as one .nrrd.")
            source, start = self._path.parent / named, 0
            if not source.is_file():
                raise FileError(f"{source} with the values of {self.name} does not exist; copy both files.")
        encoding = fields.get("encoding", "raw").lower()
        if int(fields.get("line skip", fields.get("lineskip", "0"))):
            raise InputError(f"{self.name}: NRRD files that skip lines are not read; save it again in Slicer.")
        skip = int(fields.get("byte skip", fields.get("byteskip", "0")))
        if encoding == "raw":
            if skip == -1:
                size = math.prod(self._sizes) * self._dtype.itemsize
                return source, source.stat().st_size - size
            return source, start + skip
        if encoding in ("gzip", "gz"):
            with source.open("rb") as stream:
                stream.seek(start)
                self._unpacked = Unpacked(stream, self.name)
            return self._unpacked.path, max(skip, 0)
        raise InputError(f"{self.name}: its encoding '{encoding}' is not read; save it as raw or gzip.")


def _read_header(stream: BinaryIO, name: str) -> _Header:
    if not stream.readline(16).startswith(b"NRRD"):
        raise FileError(f"{name} is no NRRD file; export it again.")
    fields: dict[str, str] = {}
    while line := stream.readline(1 << 20).decode("utf-8", "replace").rstrip("\r\n"):
        if not line.startswith("#"):
            key, colon, value = line.partition(":")
            if colon and not value.startswith("="):  # "key:=value" is free text
                fields[key.strip().lower()] = value.strip()
    for needed in ("type", "sizes"):
        if needed not in fields:
            raise FileError(f"{name} is damaged: its header has no '{needed}'; export it again.")
    return _Header(fields, stream.tell())


def _frame_axis(fields: dict[str, str], dimension: int, name: str) -> int | None:
    if dimension == 3:
        return None
    kinds = fields.get("kinds", "").lower().split()
    vectors = _vectors(fields.get("space directions", ""))
    without = [axis for axis, vector in enumerate(vectors) if vector is None]
    if dimension != 4 or len(without) > 1 or any("vector" in kind or "color" in kind for kind in kinds):
        raise InputError(f"{name} is no sequence of scalar volumes ({fields['sizes']} values, {' '.join(kinds)}).")
    if without:
        return without[0]
    return kinds.index("list") if "list" in kinds else 3


def _grid(fields: dict[str, str], sizes: tuple[int, ...], frame_axis: int | None, name: str) -> Grid:
    """Directions may have a fourth coordinate, time, where ITK wrote a 4-D image."""
    space = fields.get("space", "").lower().removesuffix("-time").removesuffix("t")
    if space not in _TO_RAS and fields.get("space dimension") not in ("3", "4"):
        raise InputError(f"{name} does not say where its voxels lie (space '{space}'); save it again in Slicer.")
    to_ras = np.array(_TO_RAS.get(space, (-1, -1, 1)))  # ITK takes an unnamed space for LPS
    axes = [axis for axis in range(len(sizes)) if axis != frame_axis]
    vectors = _vectors(fields.get("space directions", ""))
    matrix = np.eye(4)
    for column, axis in enumerate(axes):
        vector = vectors[axis] if axis < len(vectors) else None
        if vector is None:
            raise InputError(f"{name} gives no direction of axis {axis}; save it again in Slicer.")
        matrix[:3, column] = to_ras * vector[:3]
    (origin,) = _vectors(fields.get("space origin", "(0,0,0)"))
    matrix[:3, 3] = 0 if origin is None else to_ras * origin[:3]
    return Grid((sizes[axes[0]], sizes[axes[1]], sizes[axes[2]]), matrix)


def _vectors(text: str) -> list[npt.NDArray[np.float64] | None]:
    """ "none (1,0,0) ..." as arrays; None for "none"."""
    words = text.replace(", ", ",").split()
    return [
        None if word.lower() == "none" else np.array([float(x) for x in word.strip("()").split(",")]) for word in words
    ]


def _dtype(fields: dict[str, str], name: str) -> np.dtype[np.generic]:
    kind = _TYPES.get(fields["type"].lower())
    if kind is None:
        raise InputError(f"{name} holds values of type '{fields['type']}'; a sequence needs numbers.")
    return np.dtype(("<" if fields.get("endian", "little").lower() == "little" else ">") + kind)
