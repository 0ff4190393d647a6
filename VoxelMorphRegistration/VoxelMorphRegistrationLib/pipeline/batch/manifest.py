"""The manifest: one JSON file that says of every case what became of it. Written whole, in one step."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from VoxelMorphRegistrationLib import __version__
from VoxelMorphRegistrationLib.files.output import atomic_output
from VoxelMorphRegistrationLib.pipeline.batch.case import Case
from VoxelMorphRegistrationLib.pipeline.batch.record import Record

NAME = "manifest.json"
_EVERY_SECONDS = 5.0
_SHARE_OF_TIME = 0.05


class Manifest:
    """Keeps the manifest of a running batch on disk, a few seconds old at most until `save`."""

    def __init__(self, output: Path, cases: Sequence[Case]) -> None:
        self._path = output / NAME
        self._cases = list(cases)
        self.records: dict[str, Record] = {}
        self._next = 0.0

    def add(self, record: Record) -> None:
        """Note how a case ended. Raises OutputError."""
        self.records[record.name] = record
        if time.monotonic() >= self._next:
            self.save()

    @property
    def failed(self) -> list[Record]:
        """In the order of the cases."""
        return [record for record in self.in_order() if not record.is_finished]

    def in_order(self) -> list[Record]:
        """The cases that ended."""
        return [self.records[case.name] for case in self._cases if case.name in self.records]

    def save(self) -> None:
        """Write it now. Raises OutputError."""
        began = time.monotonic()
        waiting = [case.name for case in self._cases if case.name not in self.records]
        values = {
            "program": f"voxelmorph-registration {__version__}",
            "cases": [record.to_json() for record in self.in_order()],
            "waiting": waiting,
        }
        with atomic_output(self._path) as temporary:
            temporary.write_text(json.dumps(values, allow_nan=False) + "\n", encoding="utf-8")
        took = time.monotonic() - began
        self._next = began + max(_EVERY_SECONDS, took / _SHARE_OF_TIME)
