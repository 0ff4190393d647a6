"""Fields imported and transforms examined in the background process and waited for, with Slicer kept alive; scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from VoxelMorphRegistrationLib.pipeline.field_jobs import FieldDiagnosis, FieldDiagnosisJob, MeantField
from VoxelMorphRegistrationLib.pipeline.jobs import BackgroundJob
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge import field_import
from VoxelMorphRegistrationLib.slicer_bridge.background import events_without_input, reading_worker
from VoxelMorphRegistrationLib.slicer_bridge.transform_content import TransformContent

_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class ImportedField:
    """What was written: ``node`` holds the field, ``affine_node`` a linear part that was split off, else None.

    The moving volume goes under ``affine_node`` if there is one, else under ``node``. ``diagnosis`` is the evidence,
    ``meant`` the field itself, what was done to it and what is left to be told.
    """

    node: Any
    affine_node: Any
    diagnosis: FieldDiagnosis
    meant: MeantField


def import_displacement_field(
    source: object,
    fixed: Any,
    moving: Any = None,
    node: Any = None,
    *,
    given: Mapping[str, object] | None = None,
    key: str | None = None,
    choice: field_import.Choice = None,
    repair: Sequence[str] = (),
    affine_node: Any = None,
    masks: tuple[Any, Any] = (None, None),
    progress: Progress | None = None,
) -> ImportedField:
    """A field file, NumPy array, PyTorch or TensorFlow tensor as a grid transform node (a new one for None).

    Without the moving volume nothing can be tried, so that only what the file states, or ``given``, is accepted. Raises
    InputError with the evidence where nothing is accepted and no ``choice`` made, and what the jobs of `field_jobs`
    raise; then the scene is as it was.
    """
    say = progress or Progress()
    say("Reading the volumes", 0.0)
    job = field_import.field_diagnosis_job(
        source, fixed, moving, node, given=given, key=key, fill="fill not finite" in repair, masks=masks
    )
    diagnosis = _run(job, say.part(0.0, 0.6))
    meant = _run(field_import.field_job(job, diagnosis, choice, repair), say.part(0.6, 0.9))
    say("Writing the transform", 0.9)
    written, linear = field_import.write_meant_field(
        field_import.prepared(meant),
        node,
        name=field_import.name_for(source),
        fixed=fixed,
        moving=moving,
        affine_node=affine_node,
    )
    say.report("Done", 1.0)
    return ImportedField(written, linear, diagnosis, meant)


@dataclass(eq=False)
class ExaminedTransform:
    """What was found in a transform of the scene, and its repair."""

    node: Any
    fixed: Any
    moving: Any
    diagnosis: FieldDiagnosis
    _job: FieldDiagnosisJob
    _former: list[TransformContent] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether there is nothing to repair."""
        return field_import.is_right(self.diagnosis)

    @property
    def findings(self) -> list[str]:
        """The causes in plain language; empty where nothing is wrong."""
        return [finding.message for finding in self.diagnosis.findings]

    def repair(
        self,
        choice: field_import.Choice = None,
        repair: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> MeantField:
        """Replace the transform's content by what its numbers mean, mended (None: as the findings ask for).

        Raises InputError with the evidence where nothing was accepted and no ``choice`` made; the transform is as it
        was whenever this fails. `undo` puts its former content back.
        """
        wanted = field_import.repairs_for(self.diagnosis) if repair is None else repair
        say = progress or Progress()
        meant = _run(field_import.field_job(self._job, self.diagnosis, choice, wanted), say.part(0.0, 0.9))
        transform = field_import.prepared(meant)
        say("Writing the transform", 0.95)
        former = TransformContent(self.node)
        field_import.write_meant_field(transform, self.node, fixed=self.fixed, moving=self.moving)
        self._former.append(former)
        return meant

    def undo(self) -> None:
        """Put back what the last `repair` replaced; does nothing where there was none."""
        if self._former:
            self._former.pop().restore()


def diagnose_transform(
    node: Any,
    fixed: Any,
    moving: Any = None,
    progress: Progress | None = None,
    masks: tuple[Any, Any] = (None, None),
) -> ExaminedTransform:
    """What is wrong with a transform that is in the scene. Raises InputError for one that holds no grid."""
    job = field_import.transform_diagnosis_job(node, fixed, moving, masks=masks)
    return ExaminedTransform(node, fixed, moving, _run(job, progress or Progress()), job)


def _run(job: BackgroundJob[_Result], progress: Progress) -> _Result:
    return reading_worker().run_blocking(job, progress=progress, process_events=events_without_input())
