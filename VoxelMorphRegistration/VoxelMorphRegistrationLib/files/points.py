"""Landmarks from files: corresponding points that somebody placed in two volumes.

Slicer's ``.mrk.json`` and ``.fcsv`` say whether they are LPS or RAS; what says nothing is taken for LPS where its
program works in LPS (ITK and elastix points, ANTs' CSV), which can be overridden.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from VoxelMorphRegistrationLib.errors import FileError, InputError, shortened
from VoxelMorphRegistrationLib.files.input import reading
from VoxelMorphRegistrationLib.files.output import suffix_of
from VoxelMorphRegistrationLib.spatial.grid import Floats

Coordinates = Literal["RAS", "LPS"]

_RAS_FROM_LPS = np.array([-1.0, -1.0, 1.0])
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$")


@dataclass(frozen=True, eq=False)
class Points:
    """``positions`` (n, 3) in RAS mm, and a name for each. Raises InputError where they are not that."""

    positions: Floats
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        positions = np.asarray(self.positions, np.float64)
        if positions.shape != (len(self.names), 3):
            raise InputError(f"Landmarks need three coordinates each, but these are {positions.shape}.")
        if not np.isfinite(positions).all():
            raise InputError("A landmark's coordinates are not finite (NaN or infinity); place it again.")
        object.__setattr__(self, "positions", positions)

    def __len__(self) -> int:
        return len(self.names)


def read_points(path: str | os.PathLike[str], coordinates: Coordinates | None = None) -> Points:
    """The landmarks in a file: Slicer's .mrk.json or .fcsv, a .csv or .txt table, elastix' or VTK-like .pts.

    A table has a point in each line: x, y, z, with or without a name and a line of titles (``label``, ``x``, ``y``,
    ``z``; or ``r``, ``a``, ``s`` or ``l``, ``p``, ``s``, which say what they are). ``coordinates`` is what the numbers
    mean in a file that does not say so itself; LPS by default, as ITK, elastix and ANTs write.

    Raises FileError where the file is missing, unknown or damaged, InputError where its points cannot be used.
    """
    with reading(path) as source:
        suffix = suffix_of(source, _READERS)
        if not suffix:
            raise FileError(f"{source} is no known file of landmarks; points are read from {', '.join(_READERS)}.")
        rows, said = _READERS[suffix](source)
        if not rows:
            raise InputError(f"{source.name} holds no landmarks; place some in it.")
        positions = np.array([row[1] for row in rows], np.float64)
        if (said or coordinates or "LPS") == "LPS":
            positions = positions * _RAS_FROM_LPS
        return Points(positions, tuple(name or str(n) for n, (name, _) in enumerate(rows, 1)))


Row = tuple[str, tuple[float, float, float]]
Found = tuple[list[Row], Coordinates | None]


def _read_json(source: Path) -> Found:
    """Slicer's markups: the control points of all markups in the file that have a position."""
    rows: list[Row] = []
    systems = set()
    for markup in json.loads(source.read_text(encoding="utf-8"))["markups"]:
        systems.add(_system(markup.get("coordinateSystem", "LPS")))
        for point in markup["controlPoints"]:
            if point.get("positionStatus", "defined") == "defined":
                rows.append((str(point.get("label", "")), _triple(point["position"])))
    if len(systems) > 1:
        raise InputError(f"{source.name} mixes RAS and LPS markups; save each as a file of its own.")
    return rows, systems.pop() if systems else None


def _read_fcsv(source: Path) -> Found:
    """Slicer's older format: ``# CoordinateSystem = LPS`` (or RAS, or 0 for RAS and 1 for LPS), then rows."""
    rows: list[Row] = []
    system, titles = "RAS", ["id", "x", "y", "z", "ow", "ox", "oy", "oz", "vis", "sel", "lock", "label"]
    for line in csv.reader(source.read_text(encoding="utf-8").splitlines()):
        text = ",".join(line)
        if text.startswith("#"):
            key, _, value = text[1:].partition("=")
            if key.strip() == "CoordinateSystem":
                system = value.strip()
            elif key.strip() == "columns":
                titles = [title.strip() for title in value.split(",")]
        elif text.strip():
            named = dict(zip(titles, line, strict=False))
            rows.append((named.get("label", ""), _triple([named["x"], named["y"], named["z"]])))
    return rows, _system({"0": "RAS", "1": "LPS", "2": "LPS"}.get(system, system))


def _read_table(source: Path) -> Found:
    """Comma, semicolon, tab or blanks between; see `read_points`."""
    lines = [line for line in source.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    cells = [_cells(line) for line in lines if not line.lstrip().startswith("#")]
    if not cells:
        return [], None
    titles = [] if any(map(_is_number, cells[0])) else [title.lower() for title in cells.pop(0)]
    columns, said = _columns(titles)
    rows: list[Row] = []
    for number, row in enumerate(cells, 1):
        numeric = [n for n, cell in enumerate(row) if _is_number(cell)]
        place = columns or (numeric[-3:] if len(numeric) <= 4 else numeric[:3])
        if len(place) < 3 or max(place) >= len(row) or not all(_is_number(row[n]) for n in place):
            raise InputError(f"{source.name}: row {number} holds no x, y and z; a landmark needs three coordinates.")
        name_at = next((n for n, title in enumerate(titles) if title in _NAME_TITLES), None)
        if name_at is None and not titles:
            name_at = next((n for n in range(len(row)) if n not in place), None)
        rows.append((row[name_at] if name_at is not None else "", _triple([row[n] for n in place])))
    return rows, said


def _read_pts(source: Path) -> Found:
    """elastix' (and transformix') points: ``point``, their number, then x y z in LPS mm; or the rows alone."""
    lines = [line.split("#")[0].split() for line in source.read_text(encoding="utf-8").splitlines()]
    words = [line for line in lines if line]
    if words and words[0][0].lower() == "index":
        raise InputError(f"{source.name} holds voxel indices; save the points in mm (elastix: 'point').")
    if words and words[0][0].lower() == "point":
        words.pop(0)
    if words and len(words[0]) == 1:
        count = int(words.pop(0)[0])
        if count != len(words):
            raise InputError(f"{source.name} announces {count} points but holds {len(words)}; export it again.")
    return [("", _triple(row[-3:])) for row in words], None


_READERS: dict[str, Callable[[Path], Found]] = {
    ".mrk.json": _read_json,
    ".json": _read_json,
    ".fcsv": _read_fcsv,
    ".csv": _read_table,
    ".tsv": _read_table,
    ".txt": _read_table,
    ".pts": _read_pts,
}
_NAME_TITLES = ("label", "name", "landmark", "id")
_TITLES: tuple[tuple[tuple[str, str, str], Coordinates | None], ...] = (
    (("r", "a", "s"), "RAS"),
    (("l", "p", "s"), "LPS"),
    (("x", "y", "z"), None),
)


def _columns(titles: list[str]) -> tuple[list[int], Coordinates | None]:
    for wanted, said in _TITLES:
        if all(title in titles for title in wanted):
            return [titles.index(title) for title in wanted], said
    return [], None


def _cells(line: str) -> list[str]:
    for separator in (";", "\t", ","):
        if separator in line:
            return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
    return line.split()


def _is_number(text: str) -> bool:
    return bool(_NUMBER.match(text.strip()))


def _triple(values: Iterable[object]) -> tuple[float, float, float]:
    x, y, z = (float(str(value)) for value in values)
    return x, y, z


def _system(text: str) -> Coordinates:
    if text.strip().upper() not in ("RAS", "LPS"):
        raise InputError(f"The coordinate system '{shortened(text)}' is none of RAS and LPS; save the landmarks again.")
    return "RAS" if text.strip().upper() == "RAS" else "LPS"
