"""A check as a job of the background process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from VoxelMorphRegistrationLib.files.any_transform import SpatialMap
from VoxelMorphRegistrationLib.files.points import Points
from VoxelMorphRegistrationLib.pipeline.jobs import BackgroundJob
from VoxelMorphRegistrationLib.pipeline.quality.results import CheckMaps, CheckResult, Remark
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image
from VoxelMorphRegistrationLib.spatial.grid import Floats
from VoxelMorphRegistrationLib.spatial.linear_part import inverse_on


@dataclass(frozen=True, eq=False)
class GivenTransform:
    """A map as it is stored: x to A(x + u(x)), or, where it ``is_inverse``, the inverse of that (without A)."""

    field: DisplacementField
    affine: Floats | None = None
    is_inverse: bool = False

    def as_map(self, grid: Grid) -> SpatialMap:
        """The map itself; an inverse one on ``grid``. Raises TransformError where it cannot be inverted."""
        if self.is_inverse:
            return inverse_on(self.field, grid)
        return self.field if self.affine is None else Deformation(self.affine, self.field)


@dataclass(frozen=True, eq=False)
class CheckJob(BackgroundJob[CheckResult]):
    """What `check_registration` is to be given; ``label_names`` as pairs of a label and its name.

    ``maps`` are the names of the `CheckMaps` that are to come back: each is as large as the fixed volume. ``notes`` are
    sentences on the inputs, to be told with what is found.
    """

    title: ClassVar[str] = "check of the registration"

    fixed: Image
    moving: Image
    transform: GivenTransform
    name: str = "transform"
    fixed_labels: Image | None = None
    moving_labels: Image | None = None
    label_names: tuple[tuple[int, str], ...] = ()
    fixed_points: Points | None = None
    moving_points: Points | None = None
    inverse: GivenTransform | None = None
    fixed_mask: Image | None = None
    maps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    report: Path | None = None
    """Where a report is to be written (`pipeline.report`), before the result comes back; None for nowhere."""
    command: str = ""
    """For the report: what does the same again."""

    def run(self, progress: Progress) -> CheckResult:
        """Check, as `check_registration` says. Raises OutputError for a report that cannot be written."""
        from VoxelMorphRegistrationLib.pipeline.quality.checking import check_registration

        transform = self.transform.as_map(self.fixed.grid)
        found = check_registration(
            self.fixed,
            self.moving,
            transform,
            fixed_labels=self.fixed_labels,
            moving_labels=self.moving_labels,
            label_names=dict(self.label_names),
            fixed_points=self.fixed_points,
            moving_points=self.moving_points,
            inverse=None if self.inverse is None else self.inverse.as_map(self.moving.grid),
            fixed_mask=self.fixed_mask,
            name=self.name,
            progress=progress,
        )
        notes = tuple(Remark("look", text) for text in self.notes)
        found = replace(found, remarks=(*found.remarks, *notes))
        if self.report is not None:
            self._write_report(self.report, transform, found)
        return replace(found, maps=CheckMaps(**{name: getattr(found.maps, name) for name in self.maps}))

    def _write_report(self, path: Path, transform: SpatialMap, found: CheckResult) -> None:
        from VoxelMorphRegistrationLib.pipeline.report.pair_report import write_pair_report
        from VoxelMorphRegistrationLib.pipeline.report.provenance import Provenance, Source

        given = {
            "fixed": self.fixed,
            "moving": self.moving,
            "fixed mask": self.fixed_mask,
            "fixed labels": self.fixed_labels,
            "moving labels": self.moving_labels,
        }
        sources = tuple(Source.of_image(role, image) for role, image in given.items() if image is not None)
        write_pair_report(path, self.fixed, self.moving, transform, found, Provenance(sources, self.command))
