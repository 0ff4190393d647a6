"""What passes between `compare_with_peers` and the process that runs one method. Standard library only.

A method is a function that imports its packages and returns the job to be timed: from reading the two files to
having the transform and the moved volume in memory. What it found is written to files after the clock stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measure import Cost

REPORT = "report.json"
STARTED = "BENCHMARK_PROCESS_STARTED"
"""Environment variable: `time.time()` just before the process was started."""
FIELD = "field.nrrd"
"""The total displacement field on the fixed grid, LPS mm: ``moved(x) = moving(x + u(x))``."""
MOVED = "moved.nrrd"
"""The method's own moved volume; the evaluator holds it against its field."""


@dataclass(frozen=True)
class Order:
    """Which files to register, and the existing folder for what is found."""

    method: str
    fixed: str
    moving: str
    output: Path

    @classmethod
    def from_command_line(cls, methods: Iterable[str]) -> Order:
        """``METHOD FIXED MOVING OUTPUT``."""
        parser = argparse.ArgumentParser()
        parser.add_argument("method", choices=list(methods))
        parser.add_argument("fixed")
        parser.add_argument("moving")
        parser.add_argument("output", type=Path)
        return cls(**vars(parser.parse_args()))

    def arguments(self) -> list[str]:
        """The same as a list for a command line."""
        return [self.method, self.fixed, self.moving, str(self.output)]


@dataclass(frozen=True)
class Found:
    """A job's result, still in memory, and how to write it."""

    write_field: Callable[[Path], None]
    write_moved: Callable[[Path], None]


Job = Callable[[], Found]
Prepare = Callable[[Order], Job]


@dataclass(frozen=True)
class Report:
    """What one run cost, beside the files."""

    cost: Cost
    versions: Mapping[str, str]
    first_wall_s: float | None = None
    """Where the cost is that of a warm job: the time of the first one in the process, model and engine loaded."""
    inverse_error_mm: float | None = None
    """Mean distance of a brain voxel from where forward and then inverse map take it."""
    start_s: float | None = None
    """From the start of the process to the beginning of the first job: the interpreter and its imports."""
    field_file: str = FIELD
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Of the method's own steps."""

    def save(self, folder: Path) -> None:
        """Write it into the order's output folder."""
        (folder / REPORT).write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> Report:
        """Read what save() wrote."""
        return cls.from_json(json.loads((folder / REPORT).read_text()))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Report:
        """The opposite of ``asdict``."""
        return cls(**{**values, "cost": Cost(**values["cost"])})


def seconds_since_start() -> float | None:
    """How long this process has been running, its interpreter's start included; None where nobody noted that."""
    started = os.environ.get(STARTED)
    return None if started is None else max(0.0, time.time() - float(started))


def versions_of(*packages: str) -> dict[str, str]:
    """Of Python and of installed packages."""
    return {"Python": platform.python_version()} | {package: version(package) for package in packages}
