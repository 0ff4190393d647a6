"""Real volumes, labels and weights kept beside the project in ``../shared/data`` (never committed here)."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared(relative: str) -> Path:
    """The path of a shared file; skips the calling test, saying so, where it is absent."""
    path = SHARED_DATA / relative
    if not path.exists():
        pytest.skip(f"needs {path}, which is kept beside the project and is not here")
    return path
