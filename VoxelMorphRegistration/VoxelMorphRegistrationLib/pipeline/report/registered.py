"""The report of a registration that this library has just done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.pipeline.quality.checking import check_registration
from VoxelMorphRegistrationLib.pipeline.quality.results import Remark
from VoxelMorphRegistrationLib.pipeline.quality.verdict import verdict
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, RegistrationResult
from VoxelMorphRegistrationLib.pipeline.report.pair_report import write_pair_report
from VoxelMorphRegistrationLib.pipeline.report.provenance import Provenance, Source, model_facts
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Image


def write_registration_report(
    path: Path,
    fixed: Image,
    moving: Image,
    result: RegistrationResult,
    options: RegistrationOptions,
    *,
    sources: Sequence[Source],
    command: str,
    fixed_mask: Image | None = None,
    warnings: Sequence[str] = (),
    seconds: Mapping[str, float] | None = None,
    catalogue: Catalogue | None = None,
    progress: Progress | None = None,
) -> None:
    """Check the result and write its report to one file.

    ``sources`` are what was registered, ``command`` makes it again; ``warnings`` are shown with what the check remarks.
    Raises OutputError, and CancelledError where ``progress`` says so; nothing is half written.
    """
    check = check_registration(
        fixed, moving, result.deformation, fixed_mask=fixed_mask, name="the transform found", progress=progress
    )
    said = tuple(Remark("look", warning) for warning in warnings)
    if said and check.level == "good":
        level, sentence = verdict(said)
        check = replace(check, level=level, verdict=sentence)
    provenance = Provenance(
        tuple(sources),
        command,
        model_facts(options.model, catalogue),
        settings_facts(options, result.plan),
        result.engine,
        seconds or result.seconds,
    )
    write_pair_report(
        path, fixed, moving, result.deformation, replace(check, remarks=(*said, *check.remarks)), provenance
    )


def settings_facts(options: RegistrationOptions, plan: str) -> dict[str, str]:
    """The options in words."""
    prepared = {"card": "as the model's card says", "none": "left as they were"}
    return {
        "Pre-alignment": options.pre_align,
        "Resolution": f"{options.resolution}; {plan}",
        "Intensities": prepared[options.intensity],
        "Refinement": f"{options.refine_seconds:g} s" if options.refine_seconds else "none",
    }
