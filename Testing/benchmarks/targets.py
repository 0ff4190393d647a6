"""What this project promises of speed, memory and quality, and whether it keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.evaluation import Quality
from benchmarks.job import Report
from benchmarks.runs import Run

Runs = Mapping[tuple[str, str], Run]
"""By pair and method."""


@dataclass(frozen=True)
class Target:
    """A figure of the runs and the limit that it must keep."""

    title: str
    figure: Callable[[Runs], float | None]
    """None where the runs that it needs are missing."""
    limit: float
    at_least: bool
    form: str

    def verdict(self, runs: Runs) -> Verdict:
        """How the runs stand to it."""
        value = self.figure(runs)
        met = None if value is None else (value >= self.limit if self.at_least else value <= self.limit)
        bound = ("at least " if self.at_least else "at most ") + self.form.format(self.limit)
        return Verdict(self.title, bound, value, "not measured" if value is None else self.form.format(value), met)


@dataclass(frozen=True)
class Verdict:
    """A target as a line of the report; ``met`` is None where it was not measured."""

    title: str
    bound: str
    value: float | None
    measured: str
    met: bool | None


def quality(runs: Runs, pair: str, method: str) -> Quality | None:
    """Of a run, if it was made and judged."""
    run = runs.get((pair, method))
    return run.quality if run else None


def report(runs: Runs, pair: str, method: str) -> Report | None:
    """Of a run, if it was made."""
    run = runs.get((pair, method))
    return run.report if run else None


def times_less(runs: Runs, pair: str, method: str, peer: str, what: str = "wall_s") -> float | None:
    """How many times less wall (or CPU) time the method takes than the peer."""
    mine, theirs = report(runs, pair, method), report(runs, pair, peer)
    return None if mine is None or theirs is None else getattr(theirs.cost, what) / getattr(mine.cost, what)


def _quality(pair: str, method: str, what: str) -> Callable[[Runs], float | None]:
    def figure(runs: Runs) -> float | None:
        found = quality(runs, pair, method)
        return None if found is None else getattr(found, what)

    return figure


def _cost(pair: str, method: str, what: str) -> Callable[[Runs], float | None]:
    def figure(runs: Runs) -> float | None:
        found = report(runs, pair, method)
        return None if found is None else getattr(found.cost, what)

    return figure


def _faster(peer: str) -> Callable[[Runs], float | None]:
    return lambda runs: times_less(runs, "main", "openvino", peer)


def _largest(pair: str, *methods: str) -> Callable[[Runs], float | None]:
    """Peak memory in GB over the methods that ran."""

    def figure(runs: Runs) -> float | None:
        peaks = [_cost(pair, method, "peak_gb")(runs) for method in methods]
        return max((peak for peak in peaks if peak is not None), default=None)

    return figure


def _at_least(limit: float, title: str, figure: Callable[[Runs], float | None], form: str = "{:.3f}") -> Target:
    return Target(title, figure, limit, at_least=True, form=form)


def _at_most(limit: float, title: str, figure: Callable[[Runs], float | None], form: str = "{:.2f}") -> Target:
    return Target(title, figure, limit, at_least=False, form=form)


_OPENVINO = ("openvino", "openvino-half", "command")
_TENSORFLOW = ("tensorflow", "tensorflow-half")

TARGETS = (
    _at_least(0.750, "main: Dice 30, full resolution", _quality("main", "openvino", "dice")),
    _at_most(0, "main: folded brain voxels, full resolution", _quality("main", "openvino", "folded_voxels"), "{:.0f}"),
    _at_most(3.5, "main: warm job, full resolution, s", _cost("main", "openvino", "wall_s")),
    _at_least(10, "main: times faster than Elastix's default", _faster("elastix"), "{:.1f}"),
    _at_least(15, "main: times faster than SyN", _faster("syn"), "{:.1f}"),
    _at_most(1.0, "main: warm job, half resolution, s", _cost("main", "openvino-half", "wall_s")),
    _at_least(0.70, "main: Dice 30, half resolution", _quality("main", "openvino-half", "dice")),
    _at_most(8.0, "main: cold command, s", _cost("main", "command", "wall_s")),
    _at_most(1.5, "main: peak memory with OpenVINO, GB", _largest("main", *_OPENVINO)),
    _at_most(3.0, "main: peak memory with TensorFlow, GB", _largest("main", *_TENSORFLOW)),
    _at_least(0.74, "bert: Dice 30, full resolution", _quality("bert", "openvino", "dice")),
)
"""Of the issue "Foundation", for 2 cores; reading and pre-alignment count on both sides."""
