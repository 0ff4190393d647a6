"""What a process has open or has started, and how much memory it takes: for comparing before and after."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from child_processes import children

_A_MOMENT = 60.0  # seconds; on a busy machine a thread may take long to end


@dataclass(frozen=True)
class State:
    """Of this process and its children at one moment."""

    files: int
    """Open files, sockets and pipes of this process."""
    threads: int
    processes: int
    """Children, and theirs."""
    temporary: frozenset[str]
    """What lies in the temporary folder."""
    nodes: int = 0
    """Of a MRML scene."""

    @classmethod
    def now(cls, nodes: int = 0) -> State:
        return cls(
            psutil.Process().num_fds(),
            threading.active_count(),
            len(children()),
            frozenset(os.listdir(tempfile.gettempdir())),
            nodes,
        )

    def more_than(self, before: State) -> list[str]:
        """What is there now and was not before, in words; empty where nothing is."""
        found = [
            f"{now - then} more {what}"
            for what, now, then in (
                ("open files", self.files, before.files),
                ("threads", self.threads, before.threads),
                ("processes", self.processes, before.processes),
                ("nodes", self.nodes, before.nodes),
            )
            if now > then
        ]
        return found + [f"{name} in the temporary folder" for name in sorted(self.temporary - before.temporary)]


def left_since(before: State, nodes: int = 0) -> list[str]:
    """What there is more of than before, and stays: threads and processes that are about to end are waited for."""
    until = time.monotonic() + _A_MOMENT
    while (found := State.now(nodes).more_than(before)) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def resident_kb(pid: int | None = None) -> float:
    """Memory that a process and its children really take; NaN where there is none."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        members = [process] if pid is None else [process, *process.children(recursive=True)]
        return sum(each.memory_info().rss for each in members) / 1024
    return float("nan")


def open_files(pid: int) -> int:
    """How many files, sockets and pipes a process has open."""
    with suppress(psutil.Error):
        return int(psutil.Process(pid).num_fds())
    return 0


def slope(values: Sequence[float]) -> float:
    """How much is added each time: the median of the slopes between the pairs of values (Theil and Sen)."""
    points = np.asarray(values, float)[:: max(1, len(values) // 200)]
    step = max(1, len(values) // 200)
    i, j = np.triu_indices(len(points), 1)
    return float(np.median((points[j] - points[i]) / ((j - i) * step))) if len(points) > 1 else 0.0


def own_temporary_folder(folder: Path) -> None:
    """Let this process, and what it starts, keep its temporary files in a folder that nobody else uses."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
