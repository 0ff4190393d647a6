"""Damaged files read in child processes, a batch in each, so that a crash or a hang is found and ends nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

TESTING = Path(__file__).resolve().parents[2]
LIBRARY = TESTING.parent / "VoxelMorphRegistration"

_CPU_SECONDS = 40.0
"""Processor time after which reading a file of a few kilobytes comes to no end; other programs do not matter."""
_WALL_SECONDS = 600.0
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}


@dataclass(frozen=True)
class Finding:
    """A damaged file that did what it should not have been able to do."""

    target: str
    number: int
    what: str


@dataclass
class Tally:
    """What came of the files of one target."""

    how: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def files(self) -> int:
        """How many were read, or refused, or found fault with."""
        return sum(self.how.values())


def read_batch(seeds: Path, target: str, first: int, count: int) -> Iterator[tuple[int, str, str]]:
    """Number, how ("read", "refused", "finding") and, for a finding, what, of each file, as it was read.

    After a crash, a hang, or a file that took too much memory, a new process goes on with the next file.
    """
    end = first + count
    while first < end:
        for number, how, what in _one_child(seeds, target, first, end - first):
            yield number, how, what
            first = number + 1


def read_as_is(folder: Path, target: str, cpu_seconds: float = _CPU_SECONDS) -> tuple[str, str]:
    """How, and what, as of `read_batch`, of the files that lie in a folder, read once in a process of its own."""
    return next(((how, what) for _, how, what in _one_child(folder, target, 0, 0, cpu_seconds)), ("finding", "crash"))


def _one_child(
    seeds: Path, target: str, first: int, count: int, cpu_seconds: float = _CPU_SECONDS
) -> Iterator[tuple[int, str, str]]:
    paths = [str(TESTING), str(LIBRARY)]
    temporary = tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True)
    child = subprocess.Popen(
        [sys.executable, "-m", "hardening.fuzzing.child", str(seeds), target, str(first), str(count)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": temporary.name, **_ONE_THREAD},
        start_new_session=True,
    )
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        for line in child.stdout or ():
            lines.put(line)
        lines.put(b"")

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    watch, at = _Watch(child.pid, float("inf")), first  # its start is not counted
    done = 0
    try:
        while True:
            try:
                line = lines.get(timeout=0.5)
            except queue.Empty:
                if watch.is_over():
                    yield at, "finding", "hang: it comes to no end"
                    return
                continue
            if not line:
                break
            said: dict[str, Any] = json.loads(line)
            if "begin" in said:
                at = said["begin"]
                watch = _Watch(child.pid, cpu_seconds)
                continue
            done += 1
            yield at, said["how"], said.get("what", "")
            if said.get("what", "").startswith("memory"):
                return
            at += 1
        code = child.wait()
        if done < max(count, 1):
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            yield at, "finding", f"crash: {name}"
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        listener.join()
        temporary.cleanup()


class _Watch:
    """How much processor time a child has used, with what it started, since a file was begun."""

    def __init__(self, pid: int, cpu_seconds: float) -> None:
        self._pid, self._limit, self._began = pid, cpu_seconds, time.monotonic()
        self._before = self._used()

    def is_over(self) -> bool:
        waited = time.monotonic() - self._began
        return waited > _WALL_SECONDS or self._used() - self._before > self._limit

    def _used(self) -> float:
        try:
            times = psutil.Process(self._pid).cpu_times()
        except psutil.Error:
            return 0.0
        return times.user + times.system + times.children_user + times.children_system
