"""A registration as a job of the background process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
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
    report: Path | None = None
    """Where a report is to be written (`pipeline.report`), before the result comes back; None for nowhere."""
    command: str = ""
    """For the report: what does the same again."""

    def run(self, progress: Progress) -> RegistrationResult:
        """Register, as `register` says. Raises OutputError for a report that cannot be written."""
        result = register(
            self.fixed,
            self.moving,
            self.options,
            fixed_mask=self.fixed_mask,
            moving_mask=self.moving_mask,
            catalogue=self.catalogue,
            progress=progress if self.report is None else progress.part(0.0, 0.8).without_end(),
        )
        if self.report is not None:
            self._write_report(self.report, result, progress.part(0.8, 1.0))
        return result

    def _write_report(self, path: Path, result: RegistrationResult, progress: Progress) -> None:
        from VoxelMorphRegistrationLib.pipeline.report.provenance import Source
        from VoxelMorphRegistrationLib.pipeline.report.registered import write_registration_report

        given = {
            "fixed": self.fixed,
            "moving": self.moving,
            "fixed mask": self.fixed_mask,
            "moving mask": self.moving_mask,
        }
        write_registration_report(
            path,
            self.fixed,
            self.moving,
            result,
            self.options,
            sources=[Source.of_image(role, image) for role, image in given.items() if image is not None],
            command=self.command,
            fixed_mask=self.fixed_mask,
            warnings=result.warnings,
            catalogue=self.catalogue,
            progress=progress,
        )
