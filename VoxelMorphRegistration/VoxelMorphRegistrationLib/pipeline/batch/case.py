"""One case of a batch: a pair of volumes, or a sequence, with its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["pair", "sequence"]


@dataclass(frozen=True)
class Case:
    """What a row of the cases file says, paths absolute; see `columns.COLUMNS` for what may be in it.

    Of plain values, so that it goes to workers on other machines as it is.
    """

    name: str
    """Its results lie in a folder of this name."""
    inputs: Mapping[str, str]
    """Column to path: ``fixed``, ``moving``, ``labels`` ..., or ``sequence`` ..."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Column to value, for columns that are not empty."""
    line: int = 0
    """In the cases file, from 1; 0 for a case that comes from elsewhere."""

    @property
    def kind(self) -> Kind:
        """Two volumes, or the frames of one sequence."""
        return "sequence" if "sequence" in self.inputs else "pair"
