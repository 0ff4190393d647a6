"""A case that is a pair of volumes."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL
from VoxelMorphRegistrationLib.pipeline.batch.case import Case
from VoxelMorphRegistrationLib.pipeline.batch.cases_file import output_names
from VoxelMorphRegistrationLib.pipeline.batch.outcome import Outcome, number
from VoxelMorphRegistrationLib.pipeline.pair_files import PairInputs, write_pair_outputs
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, register
from VoxelMorphRegistrationLib.pipeline.report.provenance import Source
from VoxelMorphRegistrationLib.pipeline.report.registered import write_registration_report
from VoxelMorphRegistrationLib.spatial.pre_alignment import Kind

_SAME_OPTIONS = ("model", "engine", "pre_align", "resolution", "intensity", "grid")
"""Columns that are options of ``register``, too."""


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
    seconds = {"reading": read - began, **result.seconds}

    def report(path: Path) -> None:
        write_registration_report(
            path,
            inputs.fixed,
            inputs.moving,
            result,
            options,
            sources=[Source.of_file(name.replace("_", " "), given) for name, given in case.inputs.items()],
            command=_command(case, output_names(case)),
            fixed_mask=inputs.fixed_mask,
            warnings=result.warnings,
            seconds=seconds,
        )

    write_pair_outputs(files, inputs, result, compact=case.options.get("grid") == "network", report=report)
    seconds["writing"] = time.perf_counter() - registered
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


def _command(case: Case, outputs: Mapping[str, str]) -> str:
    """What does the same for this case alone."""
    given = {**case.inputs, **outputs}
    given |= {name: case.options[name] for name in _SAME_OPTIONS if name in case.options}
    if "refine_seconds" in case.options:
        given["refine"] = case.options["refine_seconds"]
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    return shlex.join(["voxelmorph-registration", "register", *words])


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
