"""The JSON file beside a field that says what its numbers mean: ``warp.npz`` and ``warp.npz.json``.

Written with every field of ours in a format that cannot say so itself, and read back before anything is guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib import __version__
from VoxelMorphRegistrationLib.errors import FileError
from VoxelMorphRegistrationLib.files.fields.raw import Hint, RawField
from VoxelMorphRegistrationLib.spatial import Grid

_FORMAT = "displacement-field-sidecar"
_ASPECTS = ("components", "units", "content", "direction", "layout", "axes")


def sidecar_path(path: Path) -> Path:
    """Where the sidecar of a field lies."""
    return path.with_name(path.name + ".json")


def sidecar_text(convention: Mapping[str, str], grid: Grid, *, source: str = "", model: str = "") -> str:
    """The sidecar of a field: its convention (in the words of ``Convention``), the grid of its axes of space in the
    array's order, where it came from and what wrote it.
    """
    content = {
        "format": _FORMAT,
        "version": 1,
        "convention": dict(convention),
        "grid": {"shape": list(grid.shape), "ijk_to_ras": np.asarray(grid.ijk_to_ras).tolist()},
        "source": source,
        "model": model,
        "written_by": {"VoxelMorphRegistration": __version__, "numpy": np.__version__},
    }
    return json.dumps(content, indent=2) + "\n"


def with_sidecar(raw: RawField, path: Path) -> RawField:
    """The field with what its sidecar says, if it has one. Raises FileError for a damaged sidecar of ours."""
    beside = sidecar_path(path)
    if not beside.is_file():
        return raw
    try:
        content: Any = json.loads(beside.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            return raw  # somebody else's
        convention, placed = content["convention"], content["grid"]
        because = f"sidecar {beside.name}"
        hints = [Hint(a, str(convention[a]), because, True) for a in _ASPECTS if a in convention]  # type: ignore[arg-type]
        i, j, k = placed["shape"]
        grid = Grid((i, j, k), placed["ijk_to_ras"])
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(
            f"{beside} is damaged; remove it to have the convention of {path.name} found anew, or write both again."
        ) from error
    if (*grid.shape,) not in [tuple(shape) for shape in raw.space_shapes]:
        raise FileError(f"{beside} belongs to another field than {path.name}: their sizes differ; remove it.")
    return RawField(
        raw.array, raw.name, grid, (*hints, *raw.hints), raw.notes, raw.log_variance, str(content.get("model") or "")
    )
