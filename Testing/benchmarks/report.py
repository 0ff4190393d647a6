"""The comparison as text (Markdown that reads as plain tables) and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any, cast

from benchmarks.machine import Machine
from benchmarks.pairs import Pair
from benchmarks.runs import BEFORE, METHODS, PEERS, TITLES, Run
from benchmarks.targets import TARGETS, Runs, quality, times_less

_BUSY = 0.1
"""Share of a run's wall time that other processes may use before its time counts as disturbed."""
_MISREAD = 0.99
"""Correlation of the judge's moved volume with the method's own, below which the field is not to be trusted."""


def as_text(runs: Runs, pairs: Sequence[Pair], machine: Machine) -> str:
    """Ratios first, then targets, then every figure."""
    parts = ["# VoxelMorphRegistration beside its peers"]
    parts += chain.from_iterable(_ratios(runs, pair) for pair in pairs)
    parts += ["## Targets", _targets(runs)]
    parts += chain.from_iterable(_figures(runs, pair) for pair in pairs)
    parts += ["## Failures", *failures] if (failures := _failures(runs.values())) else []
    parts += ["## Machine and versions", str(machine), _versions(runs.values()), _NOTES]
    return "\n\n".join(parts) + "\n"


def as_json(runs: Runs, pairs: Sequence[Pair], machine: Machine) -> str:
    """Every figure, for other programs."""
    values = {
        "machine": asdict(machine),
        "targets": [asdict(target.verdict(runs)) for target in TARGETS],
        "ratios": [
            {"pair": pair.name, "peer": peer, "ours": method, **_ratio(runs, pair.name, method, peer)}
            for pair in pairs
            for peer in PEERS
            for method in ("openvino", "openvino-half")
        ],
        "runs": [asdict(run) for run in runs.values()],
    }
    return json.dumps(values, indent=2) + "\n"


def _ratios(runs: Runs, pair: Pair) -> list[str]:
    rows = []
    for peer in PEERS:
        cells = []
        for method in ("openvino", "openvino-half"):
            ratio = _ratio(runs, pair.name, method, peer)
            cells += [
                _number(ratio["times_less_wall"], "{:.1f}x"),
                _number(ratio["times_less_cpu"], "{:.1f}x"),
                _number(ratio["dice_difference"], "{:+.3f}"),
            ]
        rows.append([TITLES[peer], *cells])
    head = ["ours (OpenVINO) against"]
    for resolution in ("full", "half"):
        head += [f"{resolution}: faster", "less CPU", "Dice"]
    return [f"## {pair.name}: {pair.title}", _table(head, rows)]


def _ratio(runs: Runs, pair: str, method: str, peer: str) -> dict[str, float | None]:
    mine, theirs = quality(runs, pair, method), quality(runs, pair, peer)
    return {
        "times_less_wall": times_less(runs, pair, method, peer),
        "times_less_cpu": times_less(runs, pair, method, peer, "cpu_s"),
        "dice_difference": None if mine is None or theirs is None else mine.dice - theirs.dice,
    }


def _targets(runs: Runs) -> str:
    words = {True: "met", False: "NOT MET", None: "not measured"}
    verdicts = [target.verdict(runs) for target in TARGETS]
    return _table(["target", "bound", "measured", ""], [[v.title, v.bound, v.measured, words[v.met]] for v in verdicts])


_COLUMNS = (
    ("wall s", "report.cost.wall_s", "{:.2f}"),
    ("CPU s", "report.cost.cpu_s", "{:.1f}"),
    ("others' CPU s", "report.cost.others_cpu_s", "{:.1f}"),
    ("load before", "load_before", "{:.1f}"),
    ("peak GB", "report.cost.peak_gb", "{:.2f}"),
    ("Dice 30", "quality.dice", "{:.3f}"),
    ("NCC", "quality.ncc", "{:.3f}"),
    ("folded", "quality.folded_voxels", "{:d}"),
    ("% folded", "quality.folded_percent", "{:.4f}"),
    ("first wall s", "report.first_wall_s", "{:.2f}"),
    ("inverse error mm", "report.inverse_error_mm", "{:.3f}"),
)
"""Heading, where in a Run, and form of each figure."""


def _figures(runs: Runs, pair: Pair) -> list[str]:
    made = [run for name in (BEFORE, *METHODS) if (run := runs.get((pair.name, name))) and (run.report or run.quality)]
    rows = [[TITLES[run.method], *(_number(_value(run, path), form) for _, path, form in _COLUMNS)] for run in made]
    head = ["method", *(heading for heading, _, _ in _COLUMNS)]
    return [f"## All figures, {pair.name}", _table(head, rows), *_doubts(runs, pair)]


def _value(run: Run, path: str) -> float | None:
    value: Any = run
    for name in path.split("."):
        value = None if value is None else getattr(value, name)
    return cast("float | None", value)


def _doubts(runs: Runs, pair: Pair) -> list[str]:
    """Which of the pair's figures a reader should not trust, and why."""
    mine = [run for (name, _), run in runs.items() if name == pair.name]
    busy = [
        run.method
        for run in mine
        if run.report and (run.report.cost.others_cpu_s or 0) > _BUSY * run.report.cost.wall_s
    ]
    misread = [
        run.method
        for run in mine
        if run.quality and run.quality.own_moved_ncc is not None and run.quality.own_moved_ncc < _MISREAD
    ]
    doubts = []
    if busy:
        doubts.append(
            f"Other processes used more than {_BUSY:.0%} of a core during {', '.join(busy)}: their wall times, and "
            "the ratios made of them, are disturbed; compare CPU times, or repeat on a quiet machine."
        )
    if misread:
        doubts.append(
            f"The field of {', '.join(misread)} does not reproduce the method's own moved volume: do not trust its "
            "Dice and folding."
        )
    return doubts


def _failures(runs: Iterable[Run]) -> list[str]:
    return [f"{run.pair}, {TITLES[run.method]}: {run.failure}" for run in runs if run.failure]


def _versions(runs: Iterable[Run]) -> str:
    versions = {
        TITLES[run.method]: ", ".join(f"{name} {number}" for name, number in run.report.versions.items())
        for run in runs
        if run.report
    }
    return _table(["method", "versions"], [[title, found] for title, found in versions.items()])


_NOTES = """\
Wall and CPU time are those of the whole job, from reading the two files to having the transform and the moved volume \
in memory: pre-alignment included, imports and writing not. Ours is warm: the second job of the process, model and \
engine loaded; "first wall s" is the first one. The peers have nothing to load and run once. The cold command is \
everything from the start of the interpreter to the two files written. Peak memory is of the whole process, \
interpreter and imports included, up to the end of the job. "others' CPU s": what other processes used meanwhile, \
near 0 where the wall time is clean. The load average before a run includes the run before it. Dice: mean over the 30 \
labels of VoxelMorph's test script, nearest neighbour. NCC and folding (Jacobian determinant of 0 or less) are inside \
the fixed brain. Each figure is one run; the elastix and ANTs ones vary by about 0.004 Dice from run to run."""


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table padded so that it reads as plain text; all columns but the first to the right if numbers."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
