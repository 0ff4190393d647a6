"""On what the figures were taken."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """Hardware and system, and how much of it the methods may use."""

    cpu: str
    cores: int
    memory_bytes: int
    system: str
    threads: int

    @classmethod
    def this_one(cls, threads: int) -> Machine:
        """The machine that runs this."""
        return cls(
            cpu=_cpu_model(),
            cores=os.cpu_count() or 1,
            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            system=platform.platform(),
            threads=threads,
        )

    def __str__(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_bytes / 2**30:.0f} GiB, {self.system}; "
            f"each method was held to {self.threads} cores and threads."
        )


def hold_to_cores(count: int) -> Sequence[int]:
    """Let this process, and what it starts, use only so many cores; where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        return ()
    cores = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, cores)
    return cores


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
