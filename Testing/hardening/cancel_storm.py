"""Registrations that are started and cancelled at random moments: is anything left, and is the next one right?

    python Testing/hardening/cancel_storm.py [--library 60] [--slicer 60] [--seed 0] [--write]

``--library`` of them go through `Worker.start` and `cancel`, ``--slicer`` through the logic on slicer-core: its
``start``, as the panel does, and its ``process`` with ``isCancelled``, as a script does. The moment is random: after
so many steps of its progress, none or all of them included, and up to a tenth of a second; some are cancelled twice,
some from another thread, some are let run. After each
cancelled one, no process, temporary file or node may be left; each that ends by itself has to give the same result as
one that nobody disturbed. ``--write`` puts the figures into Docs/reliability.md.
"""

from __future__ import annotations

# ruff: noqa: E402, this is a script: it sets sys.path first
import argparse
import contextlib
import logging
import random
import shlex
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

from benchmarks.documents import put_between
from hardening.leftovers import State, left_since, own_temporary_folder
from hardening.small_registrations import SAME_MM, apart, small_job
from VoxelMorphRegistrationLib.errors import CancelledError
from VoxelMorphRegistrationLib.pipeline.background import Worker
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationResult

_LET_RUN = 0.25
_NEVER = float("inf")
_PATIENCE_SECONDS = 600.0


@dataclass
class Storm:
    """What was seen. ``calm``: the result that nobody disturbed."""

    calm: RegistrationResult
    stages: Counter[str] = field(default_factory=Counter)
    cancelled: int = 0
    finished: int = 0
    wrong: list[str] = field(default_factory=list)
    apart_mm: float = 0.0

    def note(self, number: int, found: RegistrationResult | None, left: list[str]) -> None:
        """How one ended: its result, None where it was cancelled."""
        self.cancelled += found is None
        if found is not None:
            self.finished += 1
            distance = apart(self.calm, found)
            self.apart_mm = max(self.apart_mm, distance)
            if distance > SAME_MM:
                self.wrong.append(f"the result of number {number} is {distance:.2g} mm off")
        self.wrong += [f"after number {number}: {what}" for what in left]


def storm_of_workers(folder: Path, count: int, chance: random.Random) -> Storm:
    """Through the library's worker, most of them cancelled."""
    job = small_job(folder)
    before = State.now()
    worker = Worker(log_folder=folder / "logs")
    try:
        calm = worker.start(job)
        calm.wait(_PATIENCE_SECONDS)
        storm, steps = Storm(calm.result()), len(calm.poll())
        for number in range(count):
            running, moment, seen = worker.start(job), _moment(chance, steps), []
            while not running.finished and len(seen) < moment:
                seen += running.poll()
                time.sleep(0.001)
            if moment < _NEVER:
                running.wait(chance.choice((0.0, chance.uniform(0, 0.1))))
                _cancelled(running.cancel, chance)
            if not running.wait(_PATIENCE_SECONDS):
                raise TimeoutError("a registration neither ended nor was cancelled")
            storm.stages[_last_stage(seen + running.poll())] += running.cancelled
            found = None
            with contextlib.suppress(CancelledError):
                found = running.result()
            storm.note(number, found, left_since(before) if found is None else [])
        worker.close()
        storm.wrong += left_since(before)
    finally:
        worker.close()
    return storm


def storm_in_slicer(folder: Path, count: int, chance: random.Random) -> Storm:
    """Through the logic on slicer-core's MRML."""
    from hardening.small_registrations import SmallScene
    from VoxelMorphRegistrationLib.pipeline.background import Finished
    from VoxelMorphRegistrationLib.slicer_bridge.background import close_shared_worker
    from VoxelMorphRegistrationLib.slicer_bridge.registration import RegistrationNodes

    small = SmallScene(folder)
    before = State.now(small.nodes)

    def script(moment: float, steps: list[object]) -> RegistrationResult | None:
        try:
            outcome = small.logic.process(
                small.fixed,
                small.moving,
                progressCallback=lambda *step: steps.append(step),
                isCancelled=lambda: len(steps) >= moment,
                **small.choices,
            )
        except CancelledError:
            return None
        found: RegistrationResult = outcome.result
        small.remove(outcome.outputTransform)
        return found

    def panel(moment: float, steps: list[object]) -> RegistrationResult | None:
        transform = small.add("GridTransform")
        try:
            nodes = RegistrationNodes(small.fixed, small.moving, transform=transform)
            run = small.logic.start(nodes, [], intensity="card", **small.choices)
            while not steps or not isinstance(steps[-1], Finished):
                if len(steps) >= moment:
                    moment = _NEVER
                    _cancelled(run.cancel, chance)
                steps += run.poll()
                time.sleep(0.002)
            return run.finish()[1]
        except CancelledError:
            return None
        finally:
            small.remove(transform)

    first: list[object] = []
    calm = script(_NEVER, first)
    assert calm is not None
    storm = Storm(calm)
    for number in range(count):
        way: Callable[[float, list[object]], RegistrationResult | None] = chance.choice((script, panel))
        found = way(_moment(chance, len(first)), [])
        storm.stages[way.__name__] += found is None
        _until_ended()
        storm.note(number, found, left_since(before, small.nodes) if found is None else [])
    close_shared_worker()
    storm.wrong += left_since(before, small.nodes)
    return storm


def _moment(chance: random.Random, steps: int) -> float:
    """After how many steps it is cancelled."""
    return _NEVER if chance.random() < _LET_RUN else chance.randrange(steps + 1)


def _until_ended() -> None:
    """A cancelled run's process may go a moment later. One that was cancelled after its registration was done leaves
    the warm process that every registration leaves; it is closed here, to see that nothing else is left.
    """
    from VoxelMorphRegistrationLib.slicer_bridge.background import close_shared_worker, shared_worker

    job = shared_worker()._job
    if job is not None and job.cancelled:
        job.wait(_PATIENCE_SECONDS)
    elif not shared_worker().is_busy and shared_worker().process_id:
        close_shared_worker()


def _cancelled(cancel: Callable[[], None], chance: random.Random) -> None:
    how = chance.randrange(3)
    if how == 0:
        cancel()
    elif how == 1:
        cancel()
        cancel()
    else:
        thread = threading.Thread(target=cancel)
        thread.start()
        thread.join()


def _last_stage(events: list[object]) -> str:
    stages = [getattr(event, "stage", "") for event in events]
    return next((stage for stage in reversed(stages) if stage), "nothing")


def table(storms: dict[str, Storm]) -> str:
    """The figures."""
    rows = ["| through | cancelled | ran to its end | result off by, mm | left behind or wrong |"]
    rows.append("| --- | ---: | ---: | ---: | --- |")
    for name, storm in storms.items():
        rows.append(
            f"| {name} | {storm.cancelled} | {storm.finished} | {storm.apart_mm:.2g} "
            f"| {'; '.join(storm.wrong[:3]) or 'nothing'} |"
        )
    library = storms.get("the library's worker")
    if library:
        stages = ", ".join(f"{stage.lower()} {count}" for stage, count in sorted(library.stages.items()) if count)
        rows += ["", f"What the library's worker was at when it was cancelled: {stages}."]
    return "\n".join(rows)


def main() -> int:
    """Run it; 0 if all is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=int, default=60)
    parser.add_argument("--slicer", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="put the figures into Docs/reliability.md")
    arguments = parser.parse_args()
    logging.disable()
    storms: dict[str, Storm] = {}
    with tempfile.TemporaryDirectory() as name:
        own_temporary_folder(Path(name) / "temporary")
        chance = random.Random(arguments.seed)
        if arguments.library:
            storms["the library's worker"] = storm_of_workers(Path(name), arguments.library, chance)
        if arguments.slicer:
            storms["the logic, on slicer-core"] = storm_in_slicer(Path(name), arguments.slicer, chance)
        text = table(storms)
    print(text)
    if arguments.write:
        command = shlex.join(["python", "Testing/hardening/cancel_storm.py", *sys.argv[1:]])
        put_between(ROOT / "Docs/reliability.md", "cancel-storm", f"`{command}`:\n\n{text}")
    return 0 if not any(storm.wrong for storm in storms.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
