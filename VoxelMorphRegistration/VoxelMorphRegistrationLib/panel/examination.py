"""What the sections for foreign fields and for transforms share: finding out what a field means, and reading it so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _

from VoxelMorphRegistrationLib.errors import RegistrationError
from VoxelMorphRegistrationLib.panel.run_control import RunControl
from VoxelMorphRegistrationLib.pipeline.field_jobs import FieldDiagnosis, FieldDiagnosisJob, MeantField
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge import field_import
from VoxelMorphRegistrationLib.slicer_bridge.background import reading_worker

Converted = tuple[field_import.Prepared, MeantField]


def examine(
    control: RunControl,
    place: Any,
    make_job: Callable[[], FieldDiagnosisJob],
    then: Callable[[FieldDiagnosisJob, FieldDiagnosis], None],
) -> None:
    """Do the job in the background process, and hand both to ``then``; the evidence goes into the log.

    What making the job raises is shown in ``place``, as in `RunControl.do`.
    """
    try:
        job = make_job()
    except RegistrationError as error:
        control.say(str(error), place)
        return

    def found(diagnosis: FieldDiagnosis) -> None:
        control.log(diagnosis.table())
        then(job, diagnosis)

    control.do(lambda progress: reading_worker().run_blocking(job, progress=progress), _("Starting"), found, place)


def converter(
    job: FieldDiagnosisJob, diagnosis: FieldDiagnosis, choice: field_import.Choice, repair: Sequence[str]
) -> Callable[[Progress], Converted]:
    """What makes of an examined field, read as chosen and mended, the content of a transform; for a thread."""

    def convert(progress: Progress) -> Converted:
        field_job = field_import.field_job(job, diagnosis, choice, repair)
        meant = reading_worker().run_blocking(field_job, progress=progress.part(0.0, 0.8))
        progress(_("Preparing the transform"), 0.8)
        return field_import.prepared(meant), meant

    return convert
