"""Mistakes in a field that can be seen and named, each with the repair that undoes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RepairName = Literal[
    "apply convention",
    "swap direction",
    "split affine",
    "taper border",
    "unfold",
    "fill not finite",
    "use own geometry",
    "use volume geometry",
    "",
]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or unusual, and what undoes it; ``row`` is its number in the users' list of mistakes."""

    code: str
    message: str
    row: int = 0
    repair: RepairName = ""
    serious: bool = True

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {"code": self.code, "message": self.message, "repair": self.repair or None, "serious": self.serious}
