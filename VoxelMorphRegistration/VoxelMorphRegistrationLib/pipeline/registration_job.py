"""A registration as a job of the background process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.pipeline.jobs import BackgroundJob
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, RegistrationResult, register
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Image


@dataclass(frozen=True, eq=False)
class RegistrationJob(BackgroundJob[RegistrationResult]):
    """What `register` is to be given."""

    title: ClassVar[str] = "registration"
    relief: ClassVar[str] = "choose a lower resolution"

    fixed: Image
    moving: Image
    options: RegistrationOptions = field(default_factory=RegistrationOptions)
    fixed_mask: Image | None = None
    moving_mask: Image | None = None
    catalogue: Catalogue = field(default_factory=Catalogue)

    def run(self, progress: Progress) -> RegistrationResult:
        """Register, as `register` says."""
        return register(
            self.fixed,
            self.moving,
            self.options,
            fixed_mask=self.fixed_mask,
            moving_mask=self.moving_mask,
            catalogue=self.catalogue,
            progress=progress,
        )
