"""The comparison as text (Markdown that reads as plain tables) and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from benchmarks.machine import Machine
from benchmarks.rows import ROWS, Row
from benchmarks.runs import BEFORE, BUSY, METHODS, PEERS, TITLES, Run
from benchmarks.targets import Runs, Verdict, better_by, times_less, verdicts

_MISREAD = 0.99
"""Correlation of the judge's moved volume with the method's own, below which the field is not to be trusted."""
COMPARED = {
    "default-half": "default, half",
    "default-30s": "default + 30 s",
    "t1": "T1 model",
}
"""Ours that are held against each peer, and their short names."""
_UNITS = {"dice": "Dice", "ncc": "NCC", "error_mm": "mm"}


def as_text(runs: Runs, machine: Machine) -> str:
    """Ratios first, then targets, then every figure."""
    parts = ["# VoxelMorphRegistration beside its peers", ratios(runs)]
    parts += ["## Targets", *targets(verdicts(runs)), *figures(runs), *remarks(runs, machine)]
    return "\n\n".join(parts) + "\n"


def as_json(runs: Runs, machine: Machine) -> str:
    """Every figure, for other programs and for `from_json`."""
    values = {
        "machine": asdict(machine),
        "targets": [asdict(verdict) for verdict in verdicts(runs)],
        "ratios": [
            {"row": row, "peer": peer, "ours": method, **ratio}
            for row in ROWS
            for peer in PEERS
            for method in COMPARED
            if any((ratio := _ratio(runs, row, method, peer)).values())
        ],
        "runs": [asdict(run) for run in runs.values()],
    }
    return json.dumps(values, indent=2) + "\n"


def from_json(text: str) -> tuple[dict[tuple[str, str], Run], Machine]:
    """Runs and machine of what `as_json` made."""
    values = json.loads(text)
    found = [Run.from_json(each) for each in values["runs"]]
    return {(run.pair, run.method): run for run in found}, Machine(**values["machine"])


def ratios(runs: Runs) -> str:
    """A line for each row and peer: how much faster, with how much less work, and how much better we are."""
    head = ["pair", "against"]
    for title in COMPARED.values():
        head += [f"{title}: faster", "less CPU", "better by"]
    lines = []
    for row in ROWS.values():
        for peer in PEERS:
            if (row.name, peer) not in runs:
                continue
            cells = []
            for method in COMPARED:
                ratio = _ratio(runs, row.name, method, peer)
                cells += [
                    number(ratio["times_less_wall"], "{:.1f}x"),
                    number(ratio["times_less_cpu"], "{:.1f}x"),
                    number(ratio["better_by"], "{:+.3f} " + _UNITS[row.measure]),
                ]
            lines.append([row.name, TITLES[peer].split(",")[0], *cells])
    return table(head, lines)


_OVERVIEW = {
    "pre-align": "our pre-alignment",
    "default-half": "default, half",
    "default-30s": "default + 30 s",
    "t1": "T1 model",
    "elastix": "elastix",
    "syn": "ANTs SyN",
}


def overview(runs: Runs) -> str:
    """A line for each row: how good each method is, in how many seconds."""
    lines = []
    for row in ROWS.values():
        measure, form = f"quality.{row.measure}", "{:.2f}" if row.measure == "error_mm" else "{:.3f}"
        made = [runs.get((row.name, method)) for method in (BEFORE, *_OVERVIEW)]
        values = [None if run is None else _value(run, measure) for run in made]
        if values.count(None) == len(values):
            continue
        cells = []
        for run, value in zip(made, values, strict=True):
            seconds = None if run is None or run.is_busy else _value(run, "report.cost.wall_s")
            cells.append(number(value, form) + number(seconds, " in {:.1f} s", none=""))
        lines.append([row.title, _JUDGED_BY[row.measure], *cells])
    return table(["pair", "judged by", "before", *_OVERVIEW.values()], lines)


_JUDGED_BY = {"dice": "Dice", "ncc": "correlation", "error_mm": "error, mm"}


def _ratio(runs: Runs, row: str, method: str, peer: str) -> dict[str, float | None]:
    """Without the times where other processes disturbed one of the two."""
    disturbed = any((run := runs.get((row, each))) and run.is_busy for each in (method, peer))
    return {
        "times_less_wall": None if disturbed else times_less(runs, row, method, peer),
        "times_less_cpu": None if disturbed else times_less(runs, row, method, peer, "cpu_s"),
        "better_by": better_by(runs, row, method, peer),
    }


def targets(found: Sequence[Verdict]) -> list[str]:
    """How many are reached, and all of them."""
    words = {True: "reached", False: "**missed**", None: "not measured"}
    counts = {met: sum(verdict.met is met for verdict in found) for met in words}
    said = f"{counts[True]} reached, {counts[False]} missed, {counts[None]} not measured."
    return [
        said,
        table(["target", "bound", "measured", ""], [[v.title, v.bound, v.measured, words[v.met]] for v in found]),
    ]


_COLUMNS = (
    ("Dice", "quality.dice", "{:.3f}"),
    ("error mm", "quality.error_mm", "{:.2f}"),
    ("NCC", "quality.ncc", "{:.3f}"),
    ("% folded", "quality.folded_percent", "{:.4f}"),
    ("wall s", "report.cost.wall_s", "{:.2f}"),
    ("CPU s", "report.cost.cpu_s", "{:.1f}"),
    ("peak GB", "report.cost.peak_gb", "{:.2f}"),
    ("others' CPU s", "report.cost.others_cpu_s", "{:.1f}"),
    ("load before", "load_before", "{:.1f}"),
    ("inverse error mm", "report.inverse_error_mm", "{:.3f}"),
)
"""Heading, where in a Run, and form of each figure."""


def figures(runs: Runs) -> list[str]:
    """A table of every figure for each row of which there are runs."""
    parts = []
    for row in ROWS.values():
        if made := _of_row(runs, row):
            lines = []
            columns = [column for column in _COLUMNS if any(_value(run, column[1]) is not None for run in made)]
            for run in made:
                lines.append([TITLES[run.method], *(number(_value(run, path), form) for _, path, form in columns)])
            head = ["method", *(heading for heading, _, _ in columns)]
            parts += [f"## {row.name}: {row.title}", table(head, lines), *_doubts(made)]
    return parts


def cold_start(runs: Runs, row: str = "main") -> str:
    """What the first registration of a fresh process takes, and what the next one does."""
    lines = []
    for method in METHODS:
        run = runs.get((row, method))
        if run is None or run.report is None or run.report.start_s is None:
            continue
        first = run.report.cost.wall_s if method in PEERS else run.report.first_wall_s
        if first is not None:
            later = "the same" if method in PEERS else f"{run.report.cost.wall_s:.2f}"
            times = (f"{run.report.start_s:.2f}", f"{first:.2f}", f"{run.report.start_s + first:.2f}", later)
            lines.append([TITLES[method], *times, _busy_word(run)])
    return table(["method", "interpreter and imports s", "first job s", "together s", "later job s", ""], lines)


def remarks(runs: Runs, machine: Machine) -> list[str]:
    """What failed, what is not in the comparison, on what it was made, and what the figures mean."""
    failures = [f"{run.pair}, {TITLES[run.method]}: {run.failure}" for run in runs.values() if run.failure]
    parts = ["## Failures", *failures] if failures else []
    return [*parts, "## Machine and versions", f"{machine} {_when(runs.values())}", _versions(runs.values()), _NOTES]


def _of_row(runs: Runs, row: Row) -> list[Run]:
    named = (runs.get((row.name, method)) for method in (BEFORE, *METHODS))
    return [run for run in named if run and (run.report or run.quality)]


def _value(run: Run, path: str) -> float | None:
    value: Any = run
    for name in path.split("."):
        value = None if value is None else getattr(value, name)
    return cast("float | None", value)


def _busy_word(run: Run) -> str:
    return "disturbed" if run.is_busy else ""


def _doubts(made: Sequence[Run]) -> list[str]:
    """Which of a row's figures a reader should not trust, and why."""
    busy = [TITLES[run.method] for run in made if run.is_busy]
    misread = [
        TITLES[run.method]
        for run in made
        if run.quality and run.quality.own_moved_ncc is not None and run.quality.own_moved_ncc < _MISREAD
    ]
    doubts = []
    if busy:
        doubts.append(
            f"Other processes used more than {BUSY:.0%} of a core during: {'; '.join(busy)}. Their wall times, and "
            "the ratios made of them, are disturbed, and so are their CPU times where threads wait for each other; "
            "repeat on a quiet machine."
        )
    if misread:
        doubts.append(
            f"The field of these does not reproduce the method's own moved volume: {'; '.join(misread)}. Do not trust "
            "their Dice and folding."
        )
    return doubts


def _when(runs: Iterable[Run]) -> str:
    times = sorted(run.made for run in runs if run.made)
    return f"Runs made from {times[0]} to {times[-1]}." if times else ""


def _versions(runs: Iterable[Run]) -> str:
    versions: Mapping[str, str] = {
        TITLES[run.method]: ", ".join(f"{name} {number}" for name, number in run.report.versions.items())
        for run in runs
        if run.report
    }
    return table(["method", "versions"], [[title, found] for title, found in versions.items()])


_NOTES = """\
Wall and CPU time are those of the whole job, from reading the two files to having the transform and the moved volume \
in memory: pre-alignment included, imports and writing not. Ours is warm: the second job of the process, model and \
engine loaded. The peers have nothing to load and run once. The cold command is everything from the start of the \
interpreter to the two files written. Peak memory is of the whole process, interpreter and imports included, up to the \
end of the job. "others' CPU s": what other processes used meanwhile, near 0 where the wall time is clean. The load \
average before a run includes the run before it.

"Better by" is in the measure by which a pair is judged: Dice where there are labels, else the mean distance to the \
known motion, else correlation; plus is better for us. Dice: on brains the mean over the 30 labels of VoxelMorph's \
test script, on trunks over the organs of at least 500 voxels; nearest neighbour. Error: mean distance to the known \
motion. NCC and folding (Jacobian determinant of the whole map, 0 or less) are taken where the fixed volume is not \
air; NCC with the moving volume in its own contrast, where that was changed. Each figure is one run; the elastix and \
ANTs ones vary by about 0.004 Dice from run to run."""


def number(value: float | None, form: str, none: str = "-") -> str:
    """As text; a dash where there is none."""
    return none if value is None else form.format(value)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table padded so that it reads as plain text."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
