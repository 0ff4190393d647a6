"""What this project promises of speed, memory and quality, and whether it keeps it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import ours
from benchmarks.evaluation import Quality
from benchmarks.job import Report
from benchmarks.rows import ROWS
from benchmarks.runs import Run

Runs = Mapping[tuple[str, str], Run]
"""By row and method."""
Figure = Callable[[Runs], float | None]
"""None where the runs that it needs are missing."""


@dataclass(frozen=True)
class Bound:
    """What a figure must keep."""

    title: str
    limit: float
    at_least: bool
    form: str

    def verdict(self, value: float | None) -> Verdict:
        """How a figure stands to it."""
        met = None if value is None else (value >= self.limit if self.at_least else value <= self.limit)
        bound = ("at least " if self.at_least else "at most ") + self.form.format(self.limit)
        return Verdict(self.title, bound, value, "-" if value is None else self.form.format(value), met)


@dataclass(frozen=True)
class Target:
    """A bound, and the figure of the runs that must keep it."""

    bound: Bound
    figure: Figure

    def verdict(self, runs: Runs) -> Verdict:
        """How the runs stand to it."""
        return self.bound.verdict(self.figure(runs))


@dataclass(frozen=True)
class Verdict:
    """A target as a line of the report; ``met`` is None where it was not measured."""

    title: str
    bound: str
    value: float | None
    measured: str
    met: bool | None


def quality(runs: Runs, row: str, method: str) -> Quality | None:
    """Of a run, if it was made and judged."""
    run = runs.get((row, method))
    return run.quality if run else None


def report(runs: Runs, row: str, method: str) -> Report | None:
    """Of a run, if it was made."""
    run = runs.get((row, method))
    return run.report if run else None


def times_less(runs: Runs, row: str, method: str, peer: str, what: str = "wall_s") -> float | None:
    """How many times less wall (or CPU) time the method takes than the peer."""
    mine, theirs = report(runs, row, method), report(runs, row, peer)
    return None if mine is None or theirs is None else getattr(theirs.cost, what) / getattr(mine.cost, what)


def better_by(runs: Runs, row: str, method: str, peer: str) -> float | None:
    """By how much the method's measure on this row is better than the peer's, in that measure's unit."""
    measure = ROWS[row].measure
    mine, theirs = _quality(row, method, measure)(runs), _quality(row, peer, measure)(runs)
    if mine is None or theirs is None:
        return None
    return theirs - mine if measure == "error_mm" else mine - theirs


def _quality(row: str, method: str, what: str) -> Figure:
    def figure(runs: Runs) -> float | None:
        found = quality(runs, row, method)
        return None if found is None else getattr(found, what)

    return figure


def _cost(row: str, method: str, what: str) -> Figure:
    def figure(runs: Runs) -> float | None:
        found = report(runs, row, method)
        return None if found is None else getattr(found.cost, what)

    return figure


def _faster(peer: str) -> Figure:
    return lambda runs: times_less(runs, "main", "t1", peer)


def _lead(row: str, method: str, peer: str) -> Figure:
    return lambda runs: better_by(runs, row, method, peer)


def _share_of_gain(row: str, method: str, peer: str, start: str) -> Figure:
    """The method's gain over the start as a share of the peer's; infinite where the peer gains nothing and it does."""

    def figure(runs: Runs) -> float | None:
        mine, theirs = better_by(runs, row, method, start), better_by(runs, row, peer, start)
        if mine is None or theirs is None:
            return None
        return mine / theirs if theirs > 0 else math.copysign(math.inf, mine)

    return figure


def _largest(figures: Sequence[Figure]) -> Figure:
    """Of those that were measured."""

    def figure(runs: Runs) -> float | None:
        found = (each(runs) for each in figures)
        return max((value for value in found if value is not None), default=None)

    return figure


def _at_least(limit: float, title: str, figure: Figure, form: str = "{:.3f}") -> Target:
    return Target(Bound(title, limit, True, form), figure)


def _at_most(limit: float, title: str, figure: Figure, form: str = "{:.2f}") -> Target:
    return Target(Bound(title, limit, False, form), figure)


def _peak(*methods: str) -> Figure:
    return _largest([_cost("main", method, "peak_gb") for method in methods])


_FOUNDATION = (
    _at_least(0.750, "main: Dice, T1 model", _quality("main", "t1", "dice")),
    _at_most(0, "main: folded brain voxels, T1 model", _quality("main", "t1", "folded_voxels"), "{:.0f}"),
    _at_most(3.5, "main: warm job, T1 model, s", _cost("main", "t1", "wall_s")),
    _at_least(10, "main: T1 model, times faster than Elastix's default", _faster("elastix"), "{:.1f}"),
    _at_least(15, "main: T1 model, times faster than SyN", _faster("syn"), "{:.1f}"),
    _at_most(1.0, "main: warm job, T1 model, half resolution, s", _cost("main", "t1-half", "wall_s")),
    _at_least(0.70, "main: Dice, T1 model, half resolution", _quality("main", "t1-half", "dice")),
    _at_most(8.0, "main: cold command, T1 model, s", _cost("main", "t1-command", "wall_s")),
    _at_most(1.5, "main: peak memory with OpenVINO, T1 model, GB", _peak("t1", "t1-half", "t1-command")),
    _at_most(3.0, "main: peak memory with TensorFlow, GB", _peak("t1-tensorflow", "t1-half-tensorflow")),
    _at_least(0.74, "bert: Dice, T1 model", _quality("bert", "t1", "dice")),
)
"""Of the issue "Foundation", for 2 cores; reading and pre-alignment count on both sides."""

_UNITS = {"dice": "Dice", "ncc": "NCC", "error_mm": "error mm"}

_ANY_ANATOMY = (
    _at_least(0.775, "main: Dice, T1 model + 3 s refinement", _quality("main", "t1-3s", "dice")),
    _at_most(8.0, "main: warm job, T1 model + 3 s refinement, s", _cost("main", "t1-3s", "wall_s")),
    *(
        _at_least(
            0,
            f"{row.name}: default + 30 s refinement better than Elastix's default by, {_UNITS[row.measure]}",
            _lead(row.name, "default-30s", "elastix"),
            "{:+.3f}",
        )
        for row in ROWS.values()
    ),
    *(
        _at_least(
            0,
            f"{row.name}: default + 30 s refinement better than SyN's default by, Dice",
            _lead(row.name, "default-30s", "syn"),
            "{:+.3f}",
        )
        for row in ROWS.values()
        if row.brain
    ),
    *(
        _at_least(
            0.5,
            f"{row.name}: default at half resolution, share of Elastix's gain over our pre-alignment",
            _share_of_gain(row.name, "default-half", "elastix", "pre-align"),
            "{:.2f}",
        )
        for row in ROWS.values()
    ),
    _at_most(
        1.0,
        "all rows: slowest warm job, default at half resolution, s",
        _largest([_cost(row, "default-half", "wall_s") for row in ROWS]),
    ),
    *(
        _at_most(
            0.05,
            f"all rows: most folded with {title}, %",
            _largest([_quality(row, name, "folded_percent") for row in ROWS for name in names]),
            "{:.3f}",
        )
        for title, names in (
            ("the default model", [name for name, way in ours.WAYS.items() if way.model == ours.DEFAULT]),
            ("the T1 model", [name for name, way in ours.WAYS.items() if way.model not in ("", ours.DEFAULT)]),
        )
    ),
)
"""Of the issue "A default model of our own, and refinement"; "better by" in the measure by which the row is judged."""

TARGETS = _FOUNDATION + _ANY_ANATOMY


SEQUENCE_BOUNDS = {
    "frames_per_second": Bound("sequence: frames a second, half resolution", 3, True, "{:.2f}"),
    "times_elastix": Bound("sequence: times faster than Elastix's default, half resolution", 30, True, "{:.0f}"),
    "memory_growth_percent": Bound("sequence: more memory for the long run than for 10 frames, %", 5, False, "{:+.1f}"),
}
"""Of the issue "Four dimensions and thousands of volumes", by the names of the figures in `sequences.Throughput`."""


def verdicts(runs: Runs, sequence: Mapping[str, float | None] | None = None) -> list[Verdict]:
    """On all targets."""
    found = [target.verdict(runs) for target in TARGETS]
    return found + [bound.verdict((sequence or {}).get(name)) for name, bound in SEQUENCE_BOUNDS.items()]
