"""MetaImage headers are looked at before ITK reads them.

MetaIO (5.4) ends the whole process at a wrong NDims, and ITK comes to no end with a direction of 1e308.
"""

from __future__ import annotations

import re
from pathlib import Path

from VoxelMorphRegistrationLib.errors import FileError

_HEADER_LIMIT = 1 << 16
_DIMENSIONS = re.compile(rb"^[ \t]*NDims[ \t]*=[ \t]*([^\r\n]*)", re.MULTILINE)
_DIRECTIONS = re.compile(rb"^[ \t]*(?:TransformMatrix|Rotation|Orientation)[ \t]*=[ \t]*([^\r\n]*)", re.MULTILINE)
_LARGEST_DIRECTION = 1e6  # of unit vectors
_ALLOWED = re.compile(rb"[1-9][ \t]*")  # MetaIO has room for 10


def require_meta_header(path: Path) -> None:
    """Raises FileError for a .mha or .mhd that does not say how many dimensions it has, or says more than 9, whose
    directions are none, or that ends before its data."""
    with path.open("rb") as stream:
        header, data, _ = stream.read(_HEADER_LIMIT).partition(b"ElementDataFile")
    if not data:
        raise FileError(f"{path} cannot be read: it is incomplete, or no MetaImage file; copy or export it again.")
    said = _DIMENSIONS.findall(header)
    if not said or not all(map(_ALLOWED.fullmatch, said)):
        raise FileError(
            f"{path} cannot be read: its header is damaged (its number of dimensions); copy or export it again."
        )
    if not all(_may_be_direction(number) for numbers in _DIRECTIONS.findall(header) for number in numbers.split()):
        raise FileError(f"{path} cannot be read: its header is damaged (its directions); copy or export it again.")


def _may_be_direction(number: bytes) -> bool:
    try:
        return abs(float(number)) <= _LARGEST_DIRECTION  # False for NaN
    except ValueError:
        return False
