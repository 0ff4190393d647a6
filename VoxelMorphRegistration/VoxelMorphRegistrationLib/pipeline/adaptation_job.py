"""Adapting a model to a sequence or study as a job of the background process, where the engines are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.pipeline.frame_handover import HandedFrames
from VoxelMorphRegistrationLib.pipeline.jobs import BackgroundJob
from VoxelMorphRegistrationLib.pipeline.training.fine_tuning import Adaptation, AdaptedModel, adapt
from VoxelMorphRegistrationLib.progress import Progress


@dataclass(frozen=True, eq=False)
class AdaptationJob(BackgroundJob[AdaptedModel]):
    """What `adapt` is to be given. The weights are left in the folder of the frames, which goes with them."""

    title: ClassVar[str] = "adaptation of the model"
    relief: ClassVar[str] = "adapt to fewer volumes"

    frames: HandedFrames
    model: str
    """The name in the catalogue, or the file, of the model to begin with."""
    new_name: str
    new_title: str
    options: Adaptation = field(default_factory=Adaptation)
    catalogue: Catalogue = field(default_factory=Catalogue)

    @property
    def temporary_folder(self) -> Path:
        """That of the frames."""
        return self.frames.folder

    def run(self, progress: Progress) -> AdaptedModel:
        """Adapt, as `adapt` says."""
        start = self.catalogue.find(self.model, progress=progress.part(0.0, 0.02))
        folder = self.frames.folder / "adapted"
        return adapt(
            self.frames,
            start,
            folder,
            name=self.new_name,
            title=self.new_title,
            options=self.options,
            progress=progress.part(0.02, 1.0),
        )
