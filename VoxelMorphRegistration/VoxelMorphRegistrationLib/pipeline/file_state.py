"""What a file held at one time: its checksum, and how to tell cheaply that it is still the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from VoxelMorphRegistrationLib.errors import FileError
from VoxelMorphRegistrationLib.network.weights import file_sha256


@dataclass(frozen=True)
class FileState:
    """A file, or a folder of files, at one time."""

    path: str
    bytes: int
    modified_ns: int
    """Of a folder: of its newest file."""
    sha256: str
    """Of a folder: of the names and checksums of its files."""

    @classmethod
    def of(cls, path: str | Path) -> FileState:
        """Reads it whole, unless this process did so before and it looks the same. Raises FileError."""
        try:
            size, modified = _look(Path(path))
            return cls(str(path), size, modified, _sha256(str(path), size, modified))
        except OSError as error:
            raise FileError(f"{path} cannot be read ({error.strerror}); check that the worker may see it.") from error

    def looks_the_same(self, path: str) -> bool:
        """Whether this path has the size and time of then; nothing is read."""
        try:
            return self.path == path and (self.bytes, self.modified_ns) == _look(Path(path))
        except OSError:
            return False


def _look(path: Path) -> tuple[int, int]:
    """Size and time of the last change. Raises OSError."""
    found = [each.stat() for each in _members(path)]
    return sum(each.st_size for each in found), max((each.st_mtime_ns for each in found), default=0)


def _members(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


@lru_cache(maxsize=10_000)
def _sha256(path: str, size: int, modified_ns: int) -> str:
    """Size and time are part of the question, so that a changed file is read again."""
    source = Path(path)
    if not source.is_dir():
        return file_sha256(source)
    listing = "".join(f"{file_sha256(each)} {each.relative_to(source)}\n" for each in _members(source))
    return hashlib.sha256(listing.encode()).hexdigest()
