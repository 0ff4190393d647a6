"""Runs one method on one pair in a process of its own and has its result judged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ours
from benchmarks.evaluation import Judge, Quality
from benchmarks.job import MOVED, Order, Report
from benchmarks.pairs import Pair

THREADS = 2
BEFORE = "before"

OURS = {
    "openvino": "ours, OpenVINO, full resolution",
    "openvino-half": "ours, OpenVINO, half resolution",
    "tensorflow": "ours, TensorFlow, full resolution",
    "tensorflow-half": "ours, TensorFlow, half resolution",
    "command": "ours, OpenVINO, full resolution, cold command",
}
PEERS = {
    "elastix": "itk-elastix, affine + B-spline, defaults",
    "syn": "antspyx SyN, defaults",
    "greedy": "picsl-greedy, affine + NCC 100x50x10",
    "demons": "SimpleITK, affine + diffeomorphic demons 50x50x20",
}
METHODS = OURS | PEERS
TITLES = {BEFORE: "before"} | METHODS

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


def before(pair: Pair, judge: Judge) -> Run:
    """The pair as it lies."""
    return Run(pair.name, BEFORE, quality=judge.before())


def run(method: str, pair: Pair, judge: Judge, peer_python: Path, logs: Path) -> Run:
    """Register the pair; what the method prints goes into ``logs``."""
    module, python = ("ours", Path(sys.executable)) if method in ours.METHODS else ("peers", peer_python)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="registration-benchmark-") as folder:
        order = Order(method, str(pair.fixed), str(pair.moving), Path(folder))
        log = logs / f"{pair.name}-{method}.log"
        failure = _run_in_process([str(python), "-m", f"benchmarks.{module}", *order.arguments()], order.output, log)
        if failure:
            return Run(pair.name, method, load, failure=failure)
        report = Report.load(order.output)
        try:
            quality = judge.quality_of_files(order.output / report.field_file, order.output / MOVED)
        except (RuntimeError, ValueError) as error:  # SimpleITK's RuntimeError: a file it cannot read
            return Run(pair.name, method, load, report, failure=f"the result cannot be judged: {error}")
    return Run(pair.name, method, load, report, quality)


def _run_in_process(command: list[str], folder: Path, log: Path) -> str:
    """Why it failed, or nothing."""
    with log.open("w") as output:
        try:
            ended = subprocess.run(
                command,
                cwd=folder,
                env=_environment(),
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


def _environment() -> dict[str, str]:
    # Nobody calls SetNumberOfThreads: that crashes itk-elastix 0.25, and ITK's variable is enough for all of ITK.
    folders = [str(_TESTING), str(_TESTING.parent / "VoxelMorphRegistration")]
    return {
        **os.environ,
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(THREADS),
        "OMP_NUM_THREADS": str(THREADS),
        "PYTHONPATH": os.pathsep.join(folders),
    }
