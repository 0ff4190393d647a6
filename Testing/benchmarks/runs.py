"""Runs one method on one pair in a process of its own and has its result judged."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import ours
from benchmarks.evaluation import Judge, Quality
from benchmarks.job import MOVED, STARTED, Order, Report
from benchmarks.pairs import Pair

THREADS = 2
BEFORE = "before"

PEERS = {
    "elastix": "itk-elastix, affine + B-spline, defaults",
    "syn": "antspyx SyN, defaults",
    "greedy": "picsl-greedy, affine + NCC 100x50x10",
    "demons": "SimpleITK, affine + diffeomorphic demons 50x50x20",
}
OURS = {name: way.title for name, way in ours.WAYS.items()}
METHODS = OURS | PEERS
TITLES = {BEFORE: "before"} | METHODS

EVERYWHERE = ("pre-align", "default-half", "default", "default-5s", "default-30s", "t1", "elastix", "syn")
"""The methods of every row; those of the main row are all."""

BUSY = 0.1
"""Share of a run's wall time that other processes may use before its time counts as disturbed."""

_TESTING = Path(__file__).resolve().parents[1]
_LIMIT_S = 3600
"""A method that takes longer has failed: the slowest takes about a minute on a quiet machine."""


@dataclass(frozen=True)
class Run:
    """What one method did on one pair; of ``report`` and ``quality`` one or both are None where it failed."""

    pair: str
    method: str
    load_before: float | None = None
    """Load average of the last minute before it began; our own runs just before it count too."""
    report: Report | None = None
    quality: Quality | None = None
    failure: str = ""
    made: str = ""
    """When it began, UTC."""

    @property
    def is_busy(self) -> bool:
        """Whether other processes disturbed its wall time."""
        return self.report is not None and (self.report.cost.others_cpu_s or 0) > BUSY * self.report.cost.wall_s

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Run:
        """The opposite of ``asdict``."""
        report, quality = values["report"], values["quality"]
        return cls(
            **{
                **values,
                "report": None if report is None else Report.from_json(report),
                "quality": None if quality is None else Quality(**quality),
            }
        )


def methods_of(row: str) -> list[str]:
    """Those that are compared on a row."""
    return list(METHODS if row == "main" else EVERYWHERE)


def before(pair: Pair, judge: Judge) -> Run:
    """The pair as it lies."""
    return Run(pair.name, BEFORE, quality=judge.before(), made=_now())


def run(method: str, pair: Pair, judge: Judge, peer_python: Path, folder: Path) -> Run:
    """Register the pair. ``folder``, emptied first, holds what the method prints and what it finds."""
    module, python = ("ours", Path(sys.executable)) if method in ours.METHODS else ("peers", peer_python)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started = Run(pair.name, method, os.getloadavg()[0], made=_now())
    order = Order(method, str(pair.fixed), str(pair.moving), folder)
    command = [str(python), "-m", f"benchmarks.{module}", *order.arguments()]
    if failure := _run_in_process(command, folder, folder / "log.txt"):
        return replace(started, failure=failure)
    return judged(replace(started, report=Report.load(folder)), judge, folder)


def judged(run: Run, judge: Judge, folder: Path) -> Run:
    """The run with the quality of what lies in its folder."""
    assert run.report is not None
    try:
        return replace(run, quality=judge.quality_of_files(folder / run.report.field_file, folder / MOVED), failure="")
    except (RuntimeError, ValueError) as error:  # SimpleITK's RuntimeError: a file it cannot read
        return replace(run, failure=f"the result cannot be judged: {error}")


def _run_in_process(command: list[str], folder: Path, log: Path) -> str:
    """Why it failed, or nothing."""
    with log.open("w") as output:
        try:
            ended = subprocess.run(
                command,
                cwd=folder,
                env=environment() | {STARTED: repr(time.time())},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"stopped after {_LIMIT_S / 60:.0f} minutes"
    if ended.returncode < 0:
        return f"crashed with {signal.Signals(-ended.returncode).name}, see {log}"
    if ended.returncode:
        said = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        return f"{said[-1]} (exit code {ended.returncode}, see {log})"
    return ""


def environment() -> dict[str, str]:
    """Of a process that runs a method: its threads, and where our modules are."""
    # Nobody calls SetNumberOfThreads: that crashes itk-elastix 0.25, and ITK's variable is enough for all of ITK.
    folders = [str(_TESTING), str(_TESTING.parent / "VoxelMorphRegistration")]
    return {
        **os.environ,
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(THREADS),
        "OMP_NUM_THREADS": str(THREADS),
        "PYTHONPATH": os.pathsep.join(folders),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
