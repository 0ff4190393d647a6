"""A case that is a sequence."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.frames import open_frames
from VoxelMorphRegistrationLib.files.volumes import read_labels
from VoxelMorphRegistrationLib.pipeline.batch.case import Case
from VoxelMorphRegistrationLib.pipeline.batch.outcome import Outcome, number
from VoxelMorphRegistrationLib.pipeline.batch.pair_work import registration_options
from VoxelMorphRegistrationLib.pipeline.sequence import (
    FrameRecord,
    SequenceOptions,
    SequenceResult,
    SequenceStore,
    register_sequence,
)

SEQUENCE_FOLDER = "sequence"
"""In the case's folder."""


def register_frames(case: Case, folder: Path, threads: int | None) -> Outcome:
    """Register every frame; those of an attempt that was lost are kept. Raises RegistrationError."""
    result = _register(case, folder / SEQUENCE_FOLDER, threads)
    failed = result.failed
    return Outcome(
        files={"sequence": folder / SEQUENCE_FOLDER / "sequence.json"},
        model=result.model,
        engine=result.engine,
        plan=result.plan,
        quality=_quality([record for record in result.records if record.is_done], len(failed), result.reference),
        warnings=(*result.warnings, *(warning for record in result.records for warning in record.warnings)),
        seconds={},
        error=_told(failed, len(result.records)),
    )


def _register(case: Case, folder: Path, threads: int | None) -> SequenceResult:
    frames, labels = open_frames(case.inputs["sequence"]), case.inputs.get("labels")
    options, carried = sequence_options(case, threads), read_labels(labels) if labels else None
    try:
        return register_sequence(frames, folder, options, labels=carried)
    except InputError:  # most likely the folder's, of frames that are no longer those of then: so begin anew
        if not SequenceStore(folder).records():
            raise
        shutil.rmtree(folder)
        return register_sequence(frames, folder, options, labels=carried)


def sequence_options(case: Case, threads: int | None) -> SequenceOptions:
    """The case's columns as the library has them."""
    given = case.options
    chosen: dict[str, Any] = {
        name: given[name] for name in ("direction", "mode", "key_choice", "keep") if name in given
    }
    chosen |= {name: int(given[name]) for name in ("reference", "key_every") if name in given}
    registration = registration_options(case, threads, pre_align="none")
    return SequenceOptions(registration=registration, moved=given.get("moved") == "yes", **chosen)


def _quality(done: Sequence[FrameRecord], failed: int, reference: int) -> dict[str, float | None]:
    """Means over the frames, but the worst of what should not be."""
    others = [record for record in done if record.status != "reference"]
    if not others:
        return {"frames": len(done) + failed, "failed_frames": failed, "reference": reference}
    return {
        "similarity_before": number(mean(record.similarity_before for record in others)),
        "similarity_after": number(mean(record.similarity_after for record in others)),
        "worst_similarity": number(min(record.similarity_after for record in others)),
        "folded_percent": number(max(record.folded_percent for record in others)),
        "largest_displacement_mm": number(max(record.max_displacement_mm for record in others)),
        "frames": len(done) + failed,
        "failed_frames": failed,
        "reference": reference,
    }


def _told(failed: Sequence[FrameRecord], of: int) -> str:
    if not failed:
        return ""
    first = failed[0]
    return f"{len(failed)} of {of} frames have no result; the first is frame {first.frame}: {first.error}"
