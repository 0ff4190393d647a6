"""Foreign displacement fields as jobs of the background process: what one means, and the field that is meant.

Both run there because it has the packages that read files (h5py, nibabel), and because a diagnosis takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.fields import RawField, read_raw_field
from VoxelMorphRegistrationLib.pipeline.conventions import mistakes, repairs
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention, letters
from VoxelMorphRegistrationLib.pipeline.conventions.diagnosis import Diagnosis, Evidence, identify
from VoxelMorphRegistrationLib.pipeline.conventions.findings import Finding
from VoxelMorphRegistrationLib.pipeline.conventions.pictures import checkerboard
from VoxelMorphRegistrationLib.pipeline.input_check import masked, on_grid_of
from VoxelMorphRegistrationLib.pipeline.jobs import BackgroundJob
from VoxelMorphRegistrationLib.pipeline.planes import Picture
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image
from VoxelMorphRegistrationLib.spatial.grid import Floats

REPAIRS = ("fill not finite", "unfold", "taper border", "split affine")
"""What can be done to a field besides reading it rightly; names of `Finding.repair`."""


@dataclass(frozen=True, eq=False)
class FieldDiagnosis(Evidence):
    """The evidence on a field, and the field as it was read, for the `FieldJob` that follows.

    ``pictures`` are checkerboards of the volumes for the first candidates; ``before`` as they lie or, for a transform
    of a scene, as it moves them now. None of them without a moving volume.
    """

    raw: RawField
    pictures: tuple[Picture, ...]
    before: Picture | None


@dataclass(frozen=True, eq=False)
class FieldDiagnosisJob(BackgroundJob[FieldDiagnosis]):
    """What a field means: that in the file ``path`` (its array ``key``), or ``raw``.

    ``given`` are values of a `Convention` that are known, as text; ``used_as`` what a transform of a scene takes its
    numbers for. NaN and infinite vectors are always filled for the comparison; only with ``fill`` may a field that has
    some be accepted. ``pictures`` is how many candidates are drawn. Masks are of the parts of the volumes that count,
    such as the brain where the other volume shows no skull. ``seen`` is what was found wrong before, where the field
    lay.
    """

    title: ClassVar[str] = "examination of the field"

    fixed: Image
    moving: Image | None = None
    path: Path | None = None
    key: str | None = None
    raw: RawField | None = None
    given: dict[str, str] = field(default_factory=dict)
    used_as: Convention | None = None
    fill: bool = False
    pictures: int = 0
    fixed_mask: Image | None = None
    moving_mask: Image | None = None
    seen: tuple[Finding, ...] = ()

    def run(self, progress: Progress) -> FieldDiagnosis:
        """Raises FileError, InputError or TransformError for a field that cannot be read, placed or filled."""
        progress("Reading the field", 0.0)
        raw, filled = repairs.filled(self._read())
        progress("Comparing what the field may mean", 0.2)
        given: dict[str, object] = {n: letters(v) if n in ("components", "axes") else v for n, v in self.given.items()}
        fixed = masked(self.fixed, on_grid_of(self.fixed, self.fixed_mask, "fixed"))
        moving = self.moving
        if moving is not None:
            moving = masked(moving, on_grid_of(moving, self.moving_mask, "moving"))
        diagnosis = identify(raw, fixed, moving, used_as=self.used_as, given=given)
        evidence = {f.name: getattr(diagnosis, f.name) for f in fields(Evidence)}
        evidence["findings"] = (*self.seen, *evidence["findings"])
        if filled:
            evidence |= self._told_of_filled(diagnosis, filled)
        if diagnosis.accepted:
            progress("Looking at the field itself", 0.7)
            meant = diagnosis.best.convention.apply(diagnosis.raw, self.fixed.grid, self._moving_grid)
            evidence["findings"] = (*evidence["findings"], *mistakes.in_field(meant))
        progress("Drawing the previews", 0.9)
        drawn = [self._picture(diagnosis, c.convention) for c in diagnosis.candidates[: self.pictures]]
        before = self._picture(diagnosis, self.used_as) if self.pictures else None
        return FieldDiagnosis(
            **evidence, raw=diagnosis.raw, pictures=tuple(p for p in drawn if p is not None), before=before
        )

    @property
    def _moving_grid(self) -> Grid | None:
        return None if self.moving is None else self.moving.grid

    def _read(self) -> RawField:
        if self.raw is not None:
            return self.raw
        if self.path is None:
            raise InputError("There is no field to examine; give a file or an array.")
        return read_raw_field(self.path, self.key)

    def _told_of_filled(self, diagnosis: Diagnosis, count: int) -> dict[str, Any]:
        finding = Finding(
            "not finite",
            f"{count} of the field's vectors are NaN or infinite, and each spoils its neighbours; fill them from the "
            "vectors around.",
            13,
            "fill not finite",
        )
        accepted = diagnosis.accepted and self.fill
        refused = diagnosis.accepted and not accepted
        return {
            "findings": (finding, *self.seen, *diagnosis.findings),
            "accepted": accepted,
            "verdict": f"Not accepted: {finding.message}" if refused else diagnosis.verdict,
        }

    def _picture(self, diagnosis: Diagnosis, convention: Convention | None) -> Picture | None:
        if self.moving is None:
            return None
        if convention is not None and convention.layout in ("last", "first"):
            convention = replace(convention, layout="last" if diagnosis.raw.array.shape[3] == 3 else "first")
        return checkerboard(diagnosis.fixed, lambda points: diagnosis.seen_at(points, convention))


@dataclass(frozen=True, eq=False)
class MeantField:
    """A field that is understood and mended: fixed to moving, RAS mm, on the fixed volume's voxels.

    ``affine`` is the linear transform (4x4, RAS, fixed to moving) that follows it, where one was split off.
    ``findings`` are what is left to be told of it, ``done`` sentences on the repairs.
    """

    field: DisplacementField
    affine: Floats | None
    findings: tuple[Finding, ...]
    done: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FieldJob(BackgroundJob[MeantField]):
    """The field that ``raw`` means under a convention, on the fixed volume's voxels, with repairs of `REPAIRS`."""

    title: ClassVar[str] = "conversion of the field"

    raw: RawField
    convention: Convention
    fixed: Grid
    moving: Grid | None = None
    repair: tuple[str, ...] = ()

    def run(self, progress: Progress) -> MeantField:
        """Raises InputError or TransformError for a field that does not fit, cannot be inverted or mended."""
        if unknown := set(self.repair) - set(REPAIRS):
            raise InputError(f"There is no repair '{min(unknown)}'; choose among {', '.join(REPAIRS)}.")
        progress("Converting the field", 0.0)
        meant, affine, done = self.convention.resampling(self.raw, self.fixed, self.moving), None, []
        meant = repairs.on_grid(meant, self.fixed)
        if "unfold" in self.repair:
            progress("Smoothing the folds", 0.3)
            unfolded = repairs.unfold(meant)
            meant = unfolded.field
            done.append(
                f"Smoothed where it folds ({unfolded.folded_percent_before:.2g} % before, 0 after; moved by "
                f"{unfolded.rms_change_mm:.2g} mm rms, at most {unfolded.largest_change_mm:.2g})."
            )
        if "split affine" in self.repair:
            progress("Splitting off the linear part", 0.5)
            apart = repairs.split_affine(meant)
            meant, affine = apart.displacement, apart.affine
            done.append("The linear part was split off.")
        if "taper border" in self.repair:
            meant = repairs.taper(meant)
            done.append("Faded to zero around the volume.")
        progress("Looking at the field itself", 0.8)
        return MeantField(meant, affine, tuple(mistakes.in_field(meant)), tuple(done))
