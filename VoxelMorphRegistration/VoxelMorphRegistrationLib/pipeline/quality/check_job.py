"""A check as a job of the background process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from VoxelMorphRegistrationLib.files.points import Points
from VoxelMorphRegistrationLib.pipeline.jobs import BackgroundJob
from VoxelMorphRegistrationLib.pipeline.quality.results import CheckMaps, CheckResult
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import DisplacementField, Image


@dataclass(frozen=True, eq=False)
class CheckJob(BackgroundJob[CheckResult]):
    """What `check_registration` is to be given; ``label_names`` as pairs of a label and its name.

    ``maps`` are the names of the `CheckMaps` that are to come back: each is as large as the fixed volume.
    """

    title: ClassVar[str] = "check of the registration"

    fixed: Image
    moving: Image
    deformation: DisplacementField
    name: str = "transform"
    fixed_labels: Image | None = None
    moving_labels: Image | None = None
    label_names: tuple[tuple[int, str], ...] = ()
    fixed_points: Points | None = None
    moving_points: Points | None = None
    inverse: DisplacementField | None = None
    fixed_mask: Image | None = None
    maps: tuple[str, ...] = ()

    def run(self, progress: Progress) -> CheckResult:
        """Check, as `check_registration` says."""
        from VoxelMorphRegistrationLib.pipeline.quality.checking import check_registration

        found = check_registration(
            self.fixed,
            self.moving,
            self.deformation,
            fixed_labels=self.fixed_labels,
            moving_labels=self.moving_labels,
            label_names=dict(self.label_names),
            fixed_points=self.fixed_points,
            moving_points=self.moving_points,
            inverse=self.inverse,
            fixed_mask=self.fixed_mask,
            name=self.name,
            progress=progress,
        )
        return replace(found, maps=CheckMaps(**{name: getattr(found.maps, name) for name in self.maps}))
