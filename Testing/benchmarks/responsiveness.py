"""How long a registration in the background keeps the main thread from anything else.

    python Testing/benchmarks/responsiveness.py [--fixed F --moving M --model W --resolution full] [--size 256]

Plays an application whose timer polls the job every 20 ms, and prints the longest that one call of `start`, `poll`
or `cancel` took and the longest that the timer was late, which is what a user would feel; for comparison also how
late a timer is on this machine while nothing runs. Without volumes it takes two made-up ones of size^3 voxels. A
tool to measure with, not a timed test: what it prints depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "VoxelMorphRegistration"), str(ROOT / "Testing")]

from pipeline.small_pair import small_volume, write_small_model  # noqa: E402
from VoxelMorphRegistrationLib.files.volumes import read_volume  # noqa: E402
from VoxelMorphRegistrationLib.pipeline.background import RunningJob, StageReached, Worker  # noqa: E402
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions  # noqa: E402
from VoxelMorphRegistrationLib.pipeline.registration_job import RegistrationJob  # noqa: E402

TICK = 0.02
T = TypeVar("T")


class Clock:
    """The longest duration of each kind, in seconds, and when it was."""

    def __init__(self) -> None:
        self.longest: dict[str, tuple[float, str]] = {}

    def note(self, kind: str, seconds: float, when: str) -> None:
        self.longest[kind] = max(self.longest.get(kind, (0.0, "")), (seconds, when))

    def timed(self, kind: str, when: str, call: Callable[[], T]) -> T:
        start = time.perf_counter()
        try:
            return call()
        finally:
            self.note(kind, time.perf_counter() - start, when)

    def print(self, title: str) -> None:
        print(title)
        for kind, (seconds, when) in self.longest.items():
            print(f"  {kind:<12}{1000 * seconds:8.1f} ms at most{f' ({when})' if when else ''}")


def idle(clock: Clock, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        clock.timed("timer late", "", lambda: time.sleep(TICK))
    late, when = clock.longest["timer late"]
    clock.longest["timer late"] = late - TICK, when


def watch(job: RunningJob, clock: Clock, cancel_at: str | None = None) -> None:
    stage, last, finished = "start", time.perf_counter(), False
    while not finished:
        time.sleep(TICK)
        now = time.perf_counter()
        clock.note("timer late", now - last - TICK, stage)
        finished = job.finished
        for event in clock.timed("poll", stage, job.poll):
            if isinstance(event, StageReached):
                stage = event.stage
        if cancel_at is not None and stage.startswith(cancel_at) and not job.cancelled:
            clock.timed("cancel", stage, job.cancel)
            cancelled = time.perf_counter()
        last = time.perf_counter()
    if job.cancelled:
        clock.note("until gone", time.perf_counter() - cancelled, "process and folder, from cancel")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fixed", type=Path)
    parser.add_argument("--moving", type=Path)
    parser.add_argument("--model", help="a catalogue name or a .h5 file; default: a small one of random weights")
    parser.add_argument("--resolution", default="full")
    parser.add_argument("--size", type=int, default=256)
    arguments = parser.parse_args()
    if arguments.fixed and arguments.moving:
        fixed, moving = read_volume(arguments.fixed), read_volume(arguments.moving)
    else:
        shape = (arguments.size,) * 3
        fixed, moving = small_volume("fixed", shape=shape), small_volume("moving", 6.0, shape=shape)
    clock = Clock()
    idle(clock, 2.0)
    clock.print("Nothing runs")
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or str(write_small_model(Path(folder) / "small.h5"))
        options = RegistrationOptions(model=model, resolution=arguments.resolution, inverse=True)
        worker = Worker()
        for title, cancel_at in (("Cold run", None), ("Warm run", None), ("Cancelled run", "Network")):
            clock = Clock()
            begin = time.perf_counter()
            job = clock.timed("start", "", lambda: worker.start(RegistrationJob(fixed, moving, options)))
            watch(job, clock, cancel_at)
            clock.print(
                f"{title}, {' x '.join(map(str, fixed.grid.shape))} voxels, {time.perf_counter() - begin:.1f} s"
            )
        worker.close()


if __name__ == "__main__":
    main()
