"""Compressed 4-D files are unpacked once, to a temporary file, of which single frames can be read."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from pathlib import Path
from typing import BinaryIO

from VoxelMorphRegistrationLib.errors import OutputError

_BLOCK = 1 << 22


class Unpacked:
    """The uncompressed content of the rest of ``stream``, on disk; as much of it as can be had.

    A damaged or truncated stream ends where it ends: whoever reads a frame finds out which ones are whole.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        """``stream`` stands where the compressed bytes start."""
        self._folder = tempfile.TemporaryDirectory(prefix="voxelmorph-frames-")
        self.path = Path(self._folder.name) / "frames.raw"
        try:
            with self.path.open("wb") as unpacked, gzip.GzipFile(fileobj=stream) as source:
                while block := _next(source):
                    unpacked.write(block)
        except OSError as error:
            self.close()
            raise OutputError(
                f"There is no room in {tempfile.gettempdir()} to unpack {name}; unpack it yourself, or set TMPDIR to "
                "a folder with more room."
            ) from error

    def close(self) -> None:
        """Remove the file."""
        self._folder.cleanup()


def _next(source: gzip.GzipFile) -> bytes:
    try:
        return source.read(_BLOCK)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return b""
