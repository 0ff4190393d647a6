"""A case that is a pair of volumes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL
from VoxelMorphRegistrationLib.pipeline.batch.case import Case
from VoxelMorphRegistrationLib.pipeline.batch.cases_file import output_names
from VoxelMorphRegistrationLib.pipeline.batch.outcome import Outcome, number
from VoxelMorphRegistrationLib.pipeline.pair_files import PairInputs, write_pair_outputs
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, register
from VoxelMorphRegistrationLib.spatial.pre_alignment import Kind


def register_pair(case: Case, folder: Path, threads: int | None) -> Outcome:
    """Register the pair and write what the case asks for into the folder, all or nothing. Raises RegistrationError."""
    began = time.perf_counter()
    inputs = PairInputs.read(**case.inputs)
    read = time.perf_counter()
    files = {kind: folder / name for kind, name in output_names(case).items()}
    options = registration_options(case, threads, inverse="inverse" in files)
    result = register(
        inputs.fixed, inputs.moving, options, fixed_mask=inputs.fixed_mask, moving_mask=inputs.moving_mask
    )
    registered = time.perf_counter()
    write_pair_outputs(files, inputs, result, compact=case.options.get("grid") == "network")
    seconds = {"reading": read - began, **result.seconds, "writing": time.perf_counter() - registered}
    return Outcome(
        files=files,
        model=result.model,
        engine=result.engine,
        plan=result.plan,
        quality={
            "similarity_before": number(result.similarity_before),
            "similarity_after": number(result.similarity_after),
            "folded_percent": number(result.folded_percent),
            "largest_displacement_mm": number(float(result.deformation.displacement.magnitude().max())),
        },
        warnings=result.warnings,
        seconds={step: round(value, 3) for step, value in seconds.items()},
    )


def registration_options(
    case: Case, threads: int | None, *, inverse: bool = False, pre_align: Kind = "affine"
) -> RegistrationOptions:
    """The case's columns as the library has them; ``pre_align`` is what an empty cell means."""
    chosen: dict[str, Any] = {"pre_align": pre_align} | {
        name: case.options[name] for name in ("engine", "pre_align", "resolution", "intensity") if name in case.options
    }
    model = case.options.get("model", DEFAULT_MODEL)
    if "refine_seconds" in case.options:
        chosen["refine_seconds"] = float(case.options["refine_seconds"])
    return RegistrationOptions(model=model, inverse=inverse, threads=threads, **chosen)
