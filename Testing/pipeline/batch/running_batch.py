"""The batch command as a process of its own, whose workers can be killed, and what it leaves, counted."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil

PACKAGE = Path(__file__).resolve().parents[3] / "VoxelMorphRegistration"


def start_batch(
    cases: Path, output: Path, *options: str, stdout: Any = subprocess.PIPE, stderr: Any = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start the command in a process group of its own, as a shell does."""
    command = [
        sys.executable,
        "-m",
        "VoxelMorphRegistrationLib",
        "batch",
        str(cases),
        "--output",
        str(output),
        *options,
    ]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE)}
    return subprocess.Popen(command, env=environment, stdout=stdout, stderr=stderr, text=True, start_new_session=True)


def worker_processes(parent: int) -> list[psutil.Process]:
    """The Dask workers that a process has started."""
    try:
        children = psutil.Process(parent).children(recursive=True)
        return [child for child in children if any("spawn_main" in word for word in child.cmdline())]
    except psutil.NoSuchProcess:
        return []


class Mortal(Protocol):
    """What can be killed: a process, or a whole node."""

    def kill(self) -> None: ...


@dataclass
class Dask:
    """``dask scheduler`` and ``dask worker`` as commands of their own on this machine, as in Docs/batch.md."""

    folder: Path
    """In which they run, and keep what they keep."""
    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    @contextmanager
    def running(cls, folder: Path, workers: int = 2) -> Iterator[Dask]:
        """All of it, until the block ends."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        dask = cls(folder, f"tcp://127.0.0.1:{port}", _dask(folder, "scheduler", "--port", port))
        try:
            for _ in range(workers):
                dask.add_worker()
            yield dask
        finally:
            processes = [*reversed(dask.workers), dask.scheduler]
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(timeout=120)

    def add_worker(self) -> None:
        """One more, with one thread: a nanny, and the process that works."""
        self.workers.append(_dask(self.folder, "worker", self.address, "--nthreads", "1"))

    def mortals(self) -> list[Mortal]:
        """Each worker's process, which its nanny starts again, and each node, nanny and all, which is put up again."""
        inner = [process for worker in self.workers for process in worker_processes(worker.pid)]
        return [*inner, *(_Node(self, worker) for worker in self.workers)]


@dataclass(frozen=True)
class _Node:
    """A nanny and its worker; another takes its place when it is killed, as a cluster's manager sees to it."""

    dask: Dask
    nanny: subprocess.Popen[bytes]

    def kill(self) -> None:
        inner = worker_processes(self.nanny.pid)
        self.nanny.kill()
        for process in inner:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.nanny.wait()
        self.dask.workers.remove(self.nanny)
        self.dask.add_worker()


def _dask(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dask", *words, "--no-dashboard", "--host", "127.0.0.1"]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE)}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, env=environment)


def kill_workers_at_random(
    running: Callable[[], bool],
    workers: Callable[[], Sequence[Mortal]],
    pause: tuple[float, float],
    clock: Callable[[], float] = time.monotonic,
    seed: int = 0,
) -> int:
    """While it runs, kill -9 a worker after pauses of random length, whatever it does; how many were killed.

    ``clock``: in what the pauses are counted; seconds, or finished cases where a machine may be slow.
    """
    chance, killed = random.Random(seed), 0
    wait_until = clock() + chance.uniform(*pause)
    while running():
        time.sleep(0.05)
        if clock() > wait_until and (found := workers()):
            with suppress(psutil.NoSuchProcess):
                chance.choice(found).kill()
                killed += 1
            wait_until = clock() + chance.uniform(*pause)
    return killed


def wait_for(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    """Fails after that time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def finished_markers(output: Path) -> list[Path]:
    """Of the cases that are finished now."""
    return sorted(output.glob("cases/*/case.json"))


@dataclass(frozen=True)
class Count:
    """What a batch left, case by case."""

    once: int
    """Finished, and by the attempt that was the last to begin: none began after a case was finished."""
    again: int
    """Begun again after they were finished."""
    lost: int
    """Without a result, or with a file that is not there."""
    retried: int
    """Cases that more than one attempt was begun at, because the first lost its worker."""
    attempts: int

    @classmethod
    def of(cls, output: Path, names: list[str]) -> Count:
        """From the cases' folders, not from the manifest."""
        once = again = lost = retried = attempts = 0
        for name in names:
            folder = output / "cases" / name
            if not (folder / "case.json").is_file():
                lost += 1
                continue
            record = json.loads((folder / "case.json").read_text())
            begun = json.loads((folder / "started.json").read_text())["attempts"]
            whole = all((folder / each["file"]).stat().st_size == each["bytes"] for each in record["outputs"].values())
            lost += not whole
            is_last = begun[-1]["id"] == record["attempts"][-1]["id"]
            once += is_last and whole
            again += not is_last
            retried += len(begun) > 1
            attempts += len(begun)
        return cls(once, again, lost, retried, attempts)


def end_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to the process and everything that it has started, as a terminal's Ctrl-C does."""
    os.killpg(process.pid, number)
