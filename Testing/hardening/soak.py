"""Hundreds of registrations in one background process: does memory stay flat, and is nothing left behind?

    python Testing/hardening/soak.py [--registrations 500] [--minutes M] [--write]

Each goes the whole way of a script in Slicer: the logic's ``process`` on slicer-core's MRML scene, a grid transform and
a volume as outputs, which are removed from the scene afterwards. Memory is what the system says the processes take
(RSS); its slope is taken after the first fifth. ``--write`` puts the figures into Docs/reliability.md.
"""

from __future__ import annotations

# ruff: noqa: E402, this is a script: it sets sys.path first
import argparse
import logging
import os
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

from benchmarks.documents import put_between
from hardening.leftovers import State, left_since, open_files, own_temporary_folder, resident_kb, slope
from hardening.small_registrations import SAME_MM, SmallScene, apart
from VoxelMorphRegistrationLib.slicer_bridge.background import close_shared_worker, shared_worker

_FLAT_KB = 40.0
"""A slope below which memory counts as flat: 500 registrations take no more than 20 MB."""
_ENOUGH = 100
"""From so many registrations on the slope says something: the first ones fill caches."""


@dataclass
class Soak:
    """What was seen of so many registrations."""

    own_kb: list[float] = field(default_factory=list)
    child_kb: list[float] = field(default_factory=list)
    child_files: list[int] = field(default_factory=list)
    workers: set[int] = field(default_factory=set)
    apart_mm: float = 0.0
    """The largest distance between the first result and another."""
    leftovers: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def slopes(self) -> tuple[float, float]:
        """KB for each registration, of this process and of the background process, after the first fifth."""
        skip = len(self.own_kb) // 5
        return slope(self.own_kb[skip:]), slope(self.child_kb[skip:])

    @property
    def is_good(self) -> bool:
        """Memory flat (if there were enough to tell), nothing left, one worker, one result."""
        flat = len(self.own_kb) < _ENOUGH or max(self.slopes) < _FLAT_KB
        files = self.child_files[-1] <= self.child_files[0]
        return flat and files and not self.leftovers and len(self.workers) == 1 and self.apart_mm <= SAME_MM


def soak(folder: Path, registrations: int, minutes: float = float("inf")) -> Soak:
    """Register so many times, or for so long; ``folder`` takes the model and all temporary files."""
    small, seen = SmallScene(folder), Soak()
    began, before = time.perf_counter(), State.now(small.nodes)
    with_process = first = None
    for number in range(registrations):
        if time.perf_counter() - began > 60 * minutes:
            break
        transform, volume = small.add("GridTransform"), small.add("ScalarVolume")
        outcome = small.logic.process(
            small.fixed, small.moving, outputTransform=transform, outputVolume=volume, **small.choices
        )
        first = first or outcome.result
        seen.apart_mm = max(seen.apart_mm, apart(first, outcome.result))
        small.remove(transform, volume)
        del outcome, transform, volume
        pid = shared_worker().process_id or 0
        seen.workers.add(pid)
        seen.own_kb.append(resident_kb())
        seen.child_kb.append(resident_kb(pid))
        seen.child_files.append(open_files(pid))
        with_process = with_process or State.now(small.nodes)
        seen.leftovers += [f"after {number + 1}: {what}" for what in left_since(with_process, small.nodes)]
        if number % 25 == 24:
            print(f"{number + 1}: {seen.own_kb[-1]:.0f} KB, {seen.child_kb[-1]:.0f} KB", file=sys.stderr, flush=True)
    seen.seconds = time.perf_counter() - began
    close_shared_worker()
    seen.leftovers += [f"at the end: {what}" for what in left_since(before, small.nodes)]
    return seen


def table(seen: Soak) -> str:
    """The figures."""
    own, child = seen.slopes
    count, fifth = len(seen.own_kb), len(seen.own_kb) // 5
    rows = [
        ("registrations", f"{count}, one after the other, in {len(seen.workers)} background process"),
        ("largest distance between two results", f"{seen.apart_mm:.2g} mm"),
        ("memory of the process with the scene", _memory(seen.own_kb, fifth, own)),
        ("memory of the background process", _memory(seen.child_kb, fifth, child)),
        ("open files of the background process", f"{seen.child_files[0]}, at the end {seen.child_files[-1]}"),
        ("open files, threads, processes, temporary files, nodes left", "; ".join(seen.leftovers[:3]) or "none"),
        ("time", f"{seen.seconds:.0f} s on a machine with other work (load {os.getloadavg()[0]:.0f})"),
    ]
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])


def _memory(values: list[float], skip: int, each: float) -> str:
    return (
        f"{values[skip] / 1024:.1f} MB after {skip + 1}, {values[-1] / 1024:.1f} MB after {len(values)}: "
        f"{each:+.2f} KB for each"
    )


def main() -> int:
    """Run it; 0 if all is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registrations", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no more than that (default: no limit)")
    parser.add_argument("--write", action="store_true", help="put the figures into Docs/reliability.md")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as name:
        own_temporary_folder(Path(name) / "temporary")
        seen = soak(Path(name), arguments.registrations, arguments.minutes)
        text = table(seen)
    print(text)
    if arguments.write:
        command = shlex.join(["python", "Testing/hardening/soak.py", *sys.argv[1:]])
        put_between(ROOT / "Docs/reliability.md", "soak", f"`{command}`:\n\n{text}")
    return 0 if seen.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
