"""A thousand small cases on a local cluster whose workers are killed at random: is each finished exactly once?

    python Testing/benchmarks/batch_soak.py [--cases 1000] [--workers 2] [--pause 5 20] [--write]

The command ``batch`` runs as a process of its own, and its worker processes are killed with SIGKILL, whatever they do,
after pauses of random length, from the first finished case on. What is counted comes from the cases' folders; the
manifest is held against it. ``--write`` puts the figures into Docs/batch.md.
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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

from pipeline.batch.running_batch import (
    Count,
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
    parser.add_argument("--pause", type=float, nargs=2, default=(5.0, 20.0), help="seconds between two kills")
    parser.add_argument("--write", action="store_true", help="put the figures into Docs/batch.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        text, good = soak(Path(name), arguments.cases, arguments.workers, tuple(arguments.pause))
    print(text)
    if arguments.write:
        command = shlex.join(["python", "Testing/benchmarks/batch_soak.py", *sys.argv[1:]])
        put_between(ROOT / "Docs/batch.md", "soak", f"`{command}`:\n\n{text}")
    return 0 if good else 1


def soak(folder: Path, number: int, workers: int, pause: tuple[float, float]) -> tuple[str, bool]:
    """The figures as text, and whether all is as it should be."""
    cases, output = write_small_cases(folder, number), folder / "out"
    names = [f"case-{each:04}" for each in range(number)]
    load, began = os.getloadavg()[0], time.perf_counter()
    log = (folder / "log.txt").open("w")
    batch = start_batch(cases, output, "--workers", str(workers), stdout=log, stderr=log)
    wait_for(lambda: bool(finished_markers(output)) or batch.poll() is not None)
    killed = kill_workers_at_random(lambda: batch.poll() is None, lambda: worker_processes(batch.pid), pause)
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
        ("workers killed", killed),
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
