"""What became of a sequence, and where its results lie."""

from __future__ import annotations

from dataclasses import dataclass

from VoxelMorphRegistrationLib.pipeline.sequence.records import FrameRecord
from VoxelMorphRegistrationLib.pipeline.sequence.store import SequenceStore, readable_size


@dataclass(frozen=True)
class Drift:
    """Mode "chain": by how much the composed map of the last frame on one side differs from registering it directly.

    In mm, over the content of the fixed volume.
    """

    frame: int
    mean_mm: float
    p95_mm: float


@dataclass(frozen=True, eq=False)
class SequenceResult:
    """``records`` has one for each frame, the reference included, in order; ``store`` opens their files."""

    store: SequenceStore
    records: tuple[FrameRecord, ...]
    reference: int
    computed: tuple[int, ...]
    """The frames that were registered in this run; the other finished ones were found done."""
    drift: tuple[Drift, ...]
    warnings: tuple[str, ...]
    seconds: float
    plan: str
    """The grid on which the network worked, in words."""
    model: str
    engine: str

    @property
    def failed(self) -> tuple[FrameRecord, ...]:
        """The frames without results; each record says why."""
        return tuple(record for record in self.records if not record.is_done)

    @property
    def bytes_on_disk(self) -> int:
        """Of all that was kept."""
        return sum(size for record in self.records for _, size in record.files)

    def worst(self, count: int = 3) -> list[FrameRecord]:
        """The finished frames least like what they were registered with, worst first: look at these."""
        finished = [r for r in self.records if r.is_done and r.status != "reference"]
        return sorted(finished, key=lambda record: record.similarity_after)[:count]

    def summary(self) -> str:
        """One line for a status bar."""
        finished = sum(record.is_done for record in self.records)
        text = f"{finished} of {len(self.records)} frames done"
        if found := finished - len(self.computed) - 1:
            text += f" ({found} of them before)" if found > 0 else ""
        if self.failed:
            text += f", {len(self.failed)} failed"
        if self.computed and self.seconds > 0:
            text += f"; {len(self.computed) / self.seconds:.2g} frames a second"
        return f"{text}; {readable_size(self.bytes_on_disk)} in {self.store.folder}."
