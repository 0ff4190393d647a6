"""What working on a case gives, whatever its kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """Files in the case's folder, and what is to be known of them."""

    files: dict[str, Path]
    """By kind of output."""
    model: str
    engine: str
    plan: str
    quality: Mapping[str, float | None]
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]
    error: str = ""
    """Where a part of the result is missing: one sentence that says which."""


def number(value: float) -> float | None:
    """For JSON, which knows no NaN."""
    return round(float(value), 6) if math.isfinite(value) else None
