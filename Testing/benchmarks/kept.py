"""What a benchmark has measured is kept, so that the same command computes only what is missing.

What is ours is kept under a name that changes with the model's file and with the code that registers; a peer's figures
are kept as long as they were made with the same settings of the same files.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.network.catalogue import Catalogue

_LIBRARY = Path(__file__).resolve().parents[2] / "VoxelMorphRegistration" / "VoxelMorphRegistrationLib"
_REGISTERS = ("spatial/**", "files/**", "network/**", "pipeline", "pipeline/sequence/**", "pipeline/refinement/**")


def identity(model: str) -> str:
    """Of a model and of the code that runs it, in sixteen digits: a name for a folder, or for a row."""
    return _of_file(Catalogue().find(model).weights_path)[:8] + code_identity()


@cache
def code_identity() -> str:
    """Of the library's code that reads, registers and writes, in eight digits."""
    sources = sorted({path for part in _REGISTERS for path in _LIBRARY.glob(f"{part}/*.py")})
    together = "".join(f"{path.relative_to(_LIBRARY)} {_of_file(path)}\n" for path in sources)
    return hashlib.sha256(together.encode()).hexdigest()[:8]


class KeptRows:
    """Rows by name in a JSON file."""

    def __init__(self, path: Path) -> None:
        """The file is made with the first row."""
        self._path = path
        self._rows: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def row(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The row of that name, measured now if it is not there."""
        if name not in self._rows:
            self._rows[name] = measure()
            half = self._path.with_suffix(".half")
            half.write_text(json.dumps(self._rows, indent=1), encoding="utf-8")
            os.replace(half, self._path)
        row: dict[str, Any] = self._rows[name]
        return row


def _of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
