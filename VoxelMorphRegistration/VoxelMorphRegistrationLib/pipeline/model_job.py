"""The preparation of a user's own model as a job of the background process, where the engines are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from VoxelMorphRegistrationLib.pipeline.jobs import BackgroundJob
from VoxelMorphRegistrationLib.pipeline.model_preparation import PreparedModel, prepare_model
from VoxelMorphRegistrationLib.progress import Progress


@dataclass(frozen=True)
class ModelJob(BackgroundJob[PreparedModel]):
    """What `prepare_model` is to be given."""

    title: ClassVar[str] = "conversion of the model"
    relief: ClassVar[str] = "close other programs"

    path: Path
    folder: Path

    def run(self, progress: Progress) -> PreparedModel:
        """Convert, compare and try it, as `prepare_model` says."""
        return prepare_model(self.path, self.folder, progress=progress)
