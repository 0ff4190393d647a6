"""What the readers of a sequence that is one file have in common."""

from __future__ import annotations

from pathlib import Path

from VoxelMorphRegistrationLib.files.frames.protocol import file_stamp
from VoxelMorphRegistrationLib.files.frames.unpacking import Unpacked


class OneFile:
    """Frames that have a number in a file, and no more names of their own. See Frames for what is what."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        self._unpacked: Unpacked | None = None  # set by a reader that cannot do with the file as it is

    def frame_name(self, n: int) -> str:
        """See Frames."""
        return f"{self.name} frame {n}"

    def stamp(self, n: int) -> str:
        """See Frames."""
        return f"{file_stamp(self._path)} {n}"

    def close(self) -> None:
        """See Frames."""
        if self._unpacked:
            self._unpacked.close()
