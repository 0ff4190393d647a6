"""Compressed 4-D files are unpacked once, to a temporary file, of which single frames can be read."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from VoxelMorphRegistrationLib.errors import OutputError

_BLOCK = 1 << 20


class Unpacked:
    """The uncompressed content of the rest of ``stream``, on disk; as much of it as can be had.

    A damaged or truncated stream ends where it ends: whoever reads a frame finds out which ones are whole.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        """``stream`` stands where the compressed bytes start."""
        self._folder = tempfile.TemporaryDirectory(prefix="voxelmorph-frames-")
        self.path = Path(self._folder.name) / "frames.raw"
        try:
            with self.path.open("wb") as unpacked:
                for block in _blocks(stream):
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


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """What a gzip stream of one or more members holds; `gzip` itself would keep back the last block before damage."""
    packed = stream.read(_BLOCK)
    while packed:
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        while packed and not member.eof:
            try:
                yield member.decompress(packed)
            except zlib.error:
                return
            packed = member.unused_data or stream.read(_BLOCK)
