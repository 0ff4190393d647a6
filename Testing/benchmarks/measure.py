"""What a piece of work costs the machine. Standard library only: it runs in the peers' interpreter too."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """Of one run of a job; seconds and bytes."""

    wall_s: float
    cpu_s: float
    """User and system time of this process and of children that have ended."""
    others_cpu_s: float | None
    """CPU time that other processes used meanwhile: near 0 where the wall time is clean. None off Linux."""
    peak_bytes: int
    """Largest resident memory since the process started, interpreter and imports included."""

    @property
    def peak_gb(self) -> float:
        """In units of 1e9 bytes."""
        return self.peak_bytes / 1e9


def measured(job: Callable[[], T], *, in_children: bool = False) -> tuple[T, Cost]:
    """The job's result and cost; ``in_children``: the memory that counts is that of the processes it starts."""
    others, cpu, start = _machine_cpu(), _own_cpu(), time.perf_counter()
    result = job()
    wall = time.perf_counter() - start
    own = _own_cpu() - cpu
    all_cpu = _machine_cpu()
    meanwhile = None if others is None or all_cpu is None else max(0.0, all_cpu - others - own)
    return result, Cost(wall, own, meanwhile, _peak_of_children() if in_children else _peak_of_this_process())


def _own_cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _machine_cpu() -> float | None:
    """Busy CPU seconds of the whole machine since it started."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:
        return None
    user, nice, system, _idle, _wait, interrupt, soft_interrupt = map(int, first[1:8])
    return (user + nice + system + interrupt + soft_interrupt) / os.sysconf("SC_CLK_TCK")


def _peak_of_this_process() -> int:
    # Not getrusage where VmHWM is to be had: Linux lets ru_maxrss begin with the memory of the process that
    # started this one, which here holds images.
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return _in_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _peak_of_children() -> int:
    return _in_bytes(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def _in_bytes(ru_maxrss: int) -> int:
    return ru_maxrss if sys.platform == "darwin" else ru_maxrss * 1024
