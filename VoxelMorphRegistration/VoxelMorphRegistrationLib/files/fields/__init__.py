"""Displacement fields of other programs, as they are stored: `read_raw_field` takes any container users bring.

A `RawField` keeps the array in its own order and units, and every `Hint` that its container gives about them. What
the numbers mean is judged in ``pipeline.conventions``. To add a container, write its reader in a module here and
list it in `reader`.
"""

from VoxelMorphRegistrationLib.files.fields.raw import Hint, RawField
from VoxelMorphRegistrationLib.files.fields.reader import FIELD_SUFFIXES, read_raw_field

__all__ = ["FIELD_SUFFIXES", "Hint", "RawField", "read_raw_field"]
