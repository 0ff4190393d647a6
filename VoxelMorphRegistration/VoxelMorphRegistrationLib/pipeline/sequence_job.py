"""Sequences as jobs of the background process: their registration, and which frame suits as the reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.pipeline.frame_handover import HandedFrames
from VoxelMorphRegistrationLib.pipeline.jobs import BackgroundJob
from VoxelMorphRegistrationLib.pipeline.sequence.coarse import CoarseCopies
from VoxelMorphRegistrationLib.pipeline.sequence.options import SequenceOptions
from VoxelMorphRegistrationLib.pipeline.sequence.result import Drift
from VoxelMorphRegistrationLib.pipeline.sequence.run import register_sequence
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Image


@dataclass(frozen=True)
class SequenceSummary:
    """What a `SequenceResult` says besides what lies in its folder."""

    reference: int
    computed: int
    """How many frames were registered in this run; the others were done before, or failed."""
    worst: tuple[int, ...]
    """The frames least like what they were registered with, worst first."""
    drift: tuple[Drift, ...]
    warnings: tuple[str, ...]
    seconds: float
    plan: str
    model: str
    engine: str
    text: str
    """One line for a status bar."""


@dataclass(frozen=True, eq=False)
class SequenceJob(BackgroundJob[SequenceSummary]):
    """What `register_sequence` is to be given; its results lie in the folder ``output``."""

    title: ClassVar[str] = "registration of the sequence"
    relief: ClassVar[str] = "choose a lower resolution"

    frames: HandedFrames
    output: Path
    options: SequenceOptions = field(default_factory=SequenceOptions)
    labels: Image | None = None
    catalogue: Catalogue = field(default_factory=Catalogue)

    @property
    def temporary_folder(self) -> Path:
        """That of the frames."""
        return self.frames.folder

    def run(self, progress: Progress) -> SequenceSummary:
        """Register, as `register_sequence` says."""
        result = register_sequence(
            self.frames, self.output, self.options, labels=self.labels, catalogue=self.catalogue, progress=progress
        )
        return SequenceSummary(
            reference=result.reference,
            computed=len(result.computed),
            worst=tuple(record.frame for record in result.worst()),
            drift=result.drift,
            warnings=result.warnings,
            seconds=result.seconds,
            plan=result.plan,
            model=result.model,
            engine=result.engine,
            text=result.summary(),
        )


@dataclass(frozen=True, eq=False)
class ReferenceJob(BackgroundJob[int]):
    """Which frame lies nearest the middle of the motion, counted from 0."""

    title: ClassVar[str] = "comparison of the frames"

    frames: HandedFrames

    def run(self, progress: Progress) -> int:
        """Raises InputError where fewer than two frames can be read."""
        return CoarseCopies(
            self.frames, lambda done, of: progress(f"Comparing the frames ({done} of {of})", done / of)
        ).middle()
