"""What a sequence of volumes has to offer, and the two simplest: images in memory, and one file a frame."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.volumes import read_volume
from VoxelMorphRegistrationLib.spatial import Image


class Frames(Protocol):
    """Volumes over time, counted from 0, of which one is read at a time. `read` may be called from several threads."""

    @property
    def name(self) -> str:
        """Of the sequence, for messages."""
        ...

    def __len__(self) -> int: ...

    def read(self, n: int) -> Image:
        """Frame ``n``; its name is for messages. Raises a RegistrationError of one sentence for a bad frame."""
        ...

    def frame_name(self, n: int) -> str:
        """What the frame is called, without reading it."""
        ...

    def stamp(self, n: int) -> str:
        """Changes where the frame's file does (name, size, time); "" where only its content can tell."""
        ...

    def close(self) -> None:
        """Let go of files and of what was unpacked."""
        ...


class ImageFrames:
    """Images in memory."""

    def __init__(self, images: Sequence[Image], name: str = "sequence") -> None:
        """``images`` in order of time."""
        self.name = name
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def read(self, n: int) -> Image:
        """See Frames."""
        return self._images[n]

    def frame_name(self, n: int) -> str:
        """See Frames."""
        return self._images[n].name

    def stamp(self, n: int) -> str:
        """See Frames."""
        return ""

    def close(self) -> None:
        """See Frames."""


class VolumeFiles:
    """One file, or one DICOM folder, a frame."""

    def __init__(self, paths: Sequence[Path], name: str) -> None:
        """``paths`` in order of time."""
        self.name = name
        self._paths = list(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, n: int) -> Image:
        """See Frames."""
        return read_volume(self._paths[n])

    def frame_name(self, n: int) -> str:
        """See Frames."""
        return self._paths[n].name

    def stamp(self, n: int) -> str:
        """See Frames."""
        return file_stamp(self._paths[n])

    def close(self) -> None:
        """See Frames."""


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Sorted by name, numbers in it by their value."""

    def key(path: Path) -> list[tuple[int, str]]:
        parts = re.split(r"(\d+)", path.name.lower())
        return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]

    return sorted(paths, key=key)


def file_stamp(path: Path) -> str:
    """Name, size and time of the last change; of a folder's files together."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        told = [(file.name, (status := file.stat()).st_size, status.st_mtime_ns) for file in files]
    except OSError:
        return ""
    return path.name + " " + hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def content_hash(image: Image) -> str:
    """Of the voxels, their type and where they lie."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((image.array.dtype.str, image.array.shape)).encode())
    digest.update(np.round(image.grid.ijk_to_ras, 6).tobytes())
    digest.update(np.ascontiguousarray(image.array.T).data)
    return digest.hexdigest()


def require_frame(n: int, count: int, name: str) -> None:
    """Raises InputError for a frame that does not exist."""
    if not 0 <= n < count:
        raise InputError(f"There is no frame {n} in {name}; its {count} frames are counted from 0 to {count - 1}.")
