"""The folder of one case's results: who works there, what is half done, and what is finished.

A case is finished when its folder holds `MARKER`, which is written last and in one step. Before that stands only
`STARTED`: of what the case is made, and who has begun with it. Whoever works holds the folder's lock, which the
system takes back from a process that is killed.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.errors import OutputError, RegistrationError
from VoxelMorphRegistrationLib.files.output import atomic_output
from VoxelMorphRegistrationLib.network.file_lock import locked
from VoxelMorphRegistrationLib.pipeline.batch.identity import Identity
from VoxelMorphRegistrationLib.pipeline.batch.record import Attempt, Record
from VoxelMorphRegistrationLib.progress import Progress

MARKER = "case.json"
STARTED = "started.json"
_LOCK = ".lock"
_CASES = "cases"


@dataclass
class CaseFolder:
    """``OUTPUT/cases/NAME``."""

    path: Path
    _attempts: list[Attempt] = field(default_factory=list)

    @classmethod
    def of(cls, output: str | os.PathLike[str], name: str) -> CaseFolder:
        """The folder of a case in the batch's output folder."""
        return cls(Path(output) / _CASES / name)

    @classmethod
    def all_in(cls, output: str | os.PathLike[str]) -> list[CaseFolder]:
        """Those that are there, by name."""
        return [cls(marker.parent) for marker in sorted((Path(output) / _CASES).glob(f"*/{MARKER}"))]

    def finished(self) -> Record | None:
        """The record of a finished case whose files are all there, else None."""
        record = self.ended()
        return record if record and record.is_finished else None

    def ended(self) -> Record | None:
        """The same, also of a sequence of which frames have no result."""
        values = _read_json(self.path / MARKER)
        try:
            record = Record.from_json(values) if values else None
        except (KeyError, TypeError, ValueError, AttributeError):  # not by this program, or by another version of it
            return None
        return record if record and self._holds(record) else None

    @contextmanager
    def worked_on(self) -> Iterator[None]:
        """Hold the folder for this process; another one that holds it is waited for. Raises OutputError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with locked(self.path / _LOCK, Progress(), ""):
                yield
        except RegistrationError:  # of the work itself, also those that are an OSError
            raise
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written to ({error.strerror}).") from error

    def begin(self, identity: Identity) -> None:
        """Note an attempt. What attempts at the same case left is kept, what belongs to another one is cleared away.

        Of a sequence in which frames were changed the others are kept: `SequenceStore` tells them apart.
        """
        if values := _read_json(self.path / STARTED):
            keep = False
            with suppress(KeyError, TypeError, ValueError, AttributeError):
                before = Identity.from_json(values["identity"])
                keep = before.is_same(identity, but_for="sequence")
                if before.is_same(identity):
                    self._attempts = [Attempt(**attempt) for attempt in values["attempts"]]
            if not keep:
                self._clear()
        (self.path / MARKER).unlink(missing_ok=True)
        for partial in self.path.rglob(".partial-*"):
            partial.unlink(missing_ok=True)
        self._attempts.append(Attempt(secrets.token_hex(8), socket.gethostname(), os.getpid(), now()))
        attempts = [asdict(attempt) for attempt in self._attempts]
        _write_json(self.path / STARTED, {"identity": asdict(identity), "attempts": attempts})

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Of this case, this one the last."""
        return tuple(self._attempts)

    def finish(self, record: Record) -> None:
        """From here on the case is finished, if the record says so. Raises OutputError."""
        _write_json(self.path / MARKER, record.to_json())

    def described(self, files: dict[str, Path]) -> dict[str, dict[str, Any]]:
        """Files in this folder as a record has them."""
        return {
            kind: {"file": file.relative_to(self.path).as_posix(), "bytes": file.stat().st_size}
            for kind, file in files.items()
        }

    def _holds(self, record: Record) -> bool:
        try:
            return all(
                (self.path / output["file"]).stat().st_size == output["bytes"] for output in record.outputs.values()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def _clear(self) -> None:
        for entry in self.path.iterdir():
            if entry.name != _LOCK:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def now() -> str:
    """ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is never written here")


def _write_json(path: Path, values: dict[str, Any]) -> None:
    with atomic_output(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")
