"""What is known of a case after it was worked on, as it stands in the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from VoxelMorphRegistrationLib.pipeline.batch.identity import Identity

FINISHED, PARTIAL, FAILED = "finished", "partial", "failed"


@dataclass(frozen=True)
class Attempt:
    """That a worker began with a case."""

    id: str
    host: str
    process: int
    started: str
    """ISO 8601, UTC."""


@dataclass(frozen=True)
class Record:
    """One case: how it ended, of what and by whom it was made, and how good it looks."""

    name: str
    kind: str
    status: str
    """`FINISHED`; `PARTIAL`: a sequence of which frames have no result; `FAILED`."""
    line: int = 0
    error: str = ""
    """Where it is not finished: one sentence."""
    identity: Identity | None = None
    """None where the inputs could not be read, or the worker was lost."""
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Kind of output to its ``file``, relative to the case's folder, and ``bytes``."""
    model: str = ""
    engine: str = ""
    plan: str = ""
    quality: Mapping[str, float | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time of each step, and ``total``."""
    attempts: tuple[Attempt, ...] = ()
    """All of them; the last one ended the case."""
    ended: str = ""
    """ISO 8601, UTC."""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether there is a whole result."""
        return self.status == FINISHED

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Record:
        """What `to_json` made, back. Raises KeyError, TypeError or AttributeError for anything else."""
        identity = values["identity"]
        return cls(
            **{
                **values,
                "identity": None if identity is None else Identity.from_json(identity),
                "warnings": tuple(values["warnings"]),
                "attempts": tuple(Attempt(**attempt) for attempt in values["attempts"]),
            }
        )
