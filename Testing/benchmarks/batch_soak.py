"""A thousand small cases on a cluster whose workers are killed at random: is each finished exactly once?

    python Testing/benchmarks/batch_soak.py [--scheduler] [--cases 1000] [--workers 2] [--after 40 120] [--write]

The command ``batch`` runs as a process of its own, and its worker processes are killed with SIGKILL, whatever they do,
after pauses of random length, from the first finished case on: seconds (``--pause``), or, on a machine that may be
slow, finished cases (``--after``). With ``--scheduler`` the command is given the address of a ``dask scheduler``, which
is started here with its ``dask worker`` processes, each a command of its own; then it is a worker's process that is
killed (its nanny starts it again) or a whole node, nanny and all (another is started). What is counted comes from the
cases' folders; the manifest is held against it. ``--write`` puts the figures into Docs/batch.md.
"""

from __future__ import annotations

# ruff: noqa: E402, this is a script: it sets sys.path first
import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

from pipeline.batch.running_batch import (
    Count,
    Dask,
    Mortal,
    finished_markers,
    kill_workers_at_random,
    start_batch,
    wait_for,
    worker_processes,
)
from pipeline.batch.small_cases import write_small_cases

from benchmarks.documents import put_between
from benchmarks.machine import Machine


def main() -> int:
    """Run it; 0 if every case was finished exactly once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scheduler", action="store_true", help="on a dask scheduler and workers started apart")
    parser.add_argument("--pause", type=float, nargs=2, default=(5.0, 20.0), help="seconds between two kills")
    parser.add_argument("--after", type=float, nargs=2, help="finished cases between two kills, in place of --pause")
    parser.add_argument("--write", action="store_true", help="put the figures into Docs/batch.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        text, good = soak(Path(name), arguments)
    print(text)
    if arguments.write:
        command = shlex.join(["python", "Testing/benchmarks/batch_soak.py", *sys.argv[1:]])
        put_between(
            ROOT / "Docs/batch.md", "soak, scheduler" if arguments.scheduler else "soak", f"`{command}`:\n\n{text}"
        )
    return 0 if good else 1


@contextmanager
def cluster(
    folder: Path, arguments: argparse.Namespace
) -> Iterator[tuple[list[str], Callable[[int], Sequence[Mortal]]]]:
    """The options of ``batch``, and who may be killed, given the command's process."""
    if not arguments.scheduler:
        yield ["--workers", str(arguments.workers)], worker_processes
        return
    place = folder / "dask"
    place.mkdir()
    with Dask.running(place, arguments.workers) as dask:
        yield ["--scheduler", dask.address], lambda _: dask.mortals()


def soak(folder: Path, arguments: argparse.Namespace) -> tuple[str, bool]:
    """The figures as text, and whether all is as it should be."""
    number, workers = arguments.cases, arguments.workers
    cases, output = write_small_cases(folder, number), folder / "out"
    names = [f"case-{each:04}" for each in range(number)]
    load, began = os.getloadavg()[0], time.perf_counter()
    log = (folder / "log.txt").open("w")
    with cluster(folder, arguments) as (options, mortals):
        batch = start_batch(cases, output, *options, stdout=log, stderr=log)
        wait_for(lambda: bool(finished_markers(output)) or batch.poll() is not None)
        killed = kill_workers_at_random(
            lambda: batch.poll() is None, lambda: mortals(batch.pid), tuple(arguments.pause)
        )
    took = time.perf_counter() - began
    log.close()
    if batch.returncode != 0:
        print((folder / "log.txt").read_text()[-2000:], file=sys.stderr)
    count = Count.of(output, names)
    told = json.loads((output / "manifest.json").read_text())["cases"]
    kept = [json.loads(marker.read_text()) for marker in finished_markers(output)]
    agrees = told == kept
    rows = [
        ("cases", number),
        ("workers and nodes killed" if arguments.scheduler else "workers killed", killed),
        ("finished exactly once", count.once),
        ("begun again after they were finished", count.again),
        ("lost", count.lost),
        ("retried, because their worker was killed", count.retried),
        ("attempts in all", count.attempts),
        ("manifest", "agrees with the folders" if agrees else "DIFFERS from the folders"),
        ("exit code", batch.returncode),
        ("time", f"{took:.0f} s, {number / took:.2f} cases a second, starts of workers included"),
        ("machine", f"{Machine.this_one(workers).cpu}, {workers} workers with one thread, load {load:.1f} before"),
    ]
    text = "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])
    return text, agrees and batch.returncode == 0 and (count.once, count.again, count.lost) == (number, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
