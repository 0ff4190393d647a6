"""``voxelmorph-registration register``: files in, files out."""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import SimpleITK as sitk

from VoxelMorphRegistrationLib import __version__
from VoxelMorphRegistrationLib.commands.terminal import ProgressDisplay
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.output import check_output
from VoxelMorphRegistrationLib.network.packages import engine_title
from VoxelMorphRegistrationLib.pipeline.logged_warnings import logged_warnings
from VoxelMorphRegistrationLib.pipeline.pair_files import PAIR_OUTPUTS, PairInputs, write_pair_outputs
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, RegistrationResult, register
from VoxelMorphRegistrationLib.pipeline.report.provenance import Source
from VoxelMorphRegistrationLib.pipeline.report.registered import write_registration_report
from VoxelMorphRegistrationLib.progress import Progress

_INPUTS = ("fixed", "moving", "fixed_mask", "moving_mask", "labels")


def run(arguments: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> None:
    """Do what the parsed arguments say, and tell the result on ``stdout``.

    Outputs are checked before, and put in place together after, everything else. Raises a RegistrationError,
    or KeyboardInterrupt; nothing is written then.
    """
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK's own warnings are for programmers
    started = time.perf_counter()
    display = None if arguments.json or arguments.quiet else ProgressDisplay(stderr)
    progress = display.progress() if display else Progress()
    outputs = _checked_outputs(arguments)
    seconds: dict[str, float] = {}
    options = _options(arguments)
    written_from = 0.8 if "report" in outputs else 0.95
    try:
        with logged_warnings() as noticed:
            with _timed(seconds, "reading"):
                progress("Reading the volumes", 0.0)
                inputs = PairInputs.read(*(getattr(arguments, name) for name in _INPUTS))
            result = register(
                inputs.fixed,
                inputs.moving,
                options,
                fixed_mask=inputs.fixed_mask,
                moving_mask=inputs.moving_mask,
                progress=progress.part(0.02, written_from).without_end(),
            )
            seconds |= result.seconds

            def report(path: Path) -> None:
                write_registration_report(
                    path,
                    inputs.fixed,
                    inputs.moving,
                    result,
                    options,
                    sources=_sources(arguments),
                    command=arguments.command_line,
                    fixed_mask=inputs.fixed_mask,
                    warnings=[*noticed, *result.warnings],
                    seconds=dict(seconds),
                    progress=progress.part(written_from, 0.98).without_end(),
                )

            with _timed(seconds, "writing"):
                progress("Writing the results", written_from)
                write_pair_outputs(outputs, inputs, result, compact=arguments.grid == "network", report=report)
    finally:
        if display:
            display.close()
    warnings = [*noticed, *result.warnings]
    total = time.perf_counter() - started
    if arguments.json:
        stdout.write(json.dumps(_report(arguments, outputs, result, warnings, seconds, total), indent=2) + "\n")
    elif not arguments.quiet:
        stdout.write(_summary(outputs, inputs, result, warnings, seconds, total))
    else:
        stderr.writelines(f"Warning: {warning}\n" for warning in warnings)


def _checked_outputs(arguments: argparse.Namespace) -> dict[str, Path]:
    """The outputs asked for, each of which can be written. Raises OutputError, or InputError where two
    collide.
    """
    inputs = {name: Path(given).expanduser() for name in _INPUTS if (given := getattr(arguments, name))}
    outputs: dict[str, Path] = {}
    for name, kind in PAIR_OUTPUTS.items():
        given = getattr(arguments, name)
        if not given:
            continue
        path = check_output(given, kind.endings, kind.what)
        for other, taken in (inputs | outputs).items():
            if _same_file(path, taken):
                raise InputError(
                    f"--{_dashed(name)} and --{_dashed(other)} are the same file, {path}; name another one."
                )
        outputs[name] = path
    return outputs


def _same_file(first: Path, second: Path) -> bool:
    if first.exists() and second.exists():
        return first.samefile(second)
    return os.path.normcase(first.resolve()) == os.path.normcase(second.resolve())


def _sources(arguments: argparse.Namespace) -> list[Source]:
    given = {name: getattr(arguments, name) for name in _INPUTS}
    return [Source.of_file(name.replace("_", " "), path) for name, path in given.items() if path]


def _options(arguments: argparse.Namespace) -> RegistrationOptions:
    return RegistrationOptions(
        model=arguments.model,
        engine=arguments.engine,
        pre_align=arguments.pre_align,
        resolution=arguments.resolution,
        intensity=arguments.intensity,
        inverse=bool(arguments.inverse),
        refine_seconds=arguments.refine,
    )


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    since = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - since


def _report(
    arguments: argparse.Namespace,
    outputs: dict[str, Path],
    result: RegistrationResult,
    warnings: list[str],
    seconds: dict[str, float],
    total: float,
) -> dict[str, Any]:
    """The result for machines; keys are only ever added."""
    return {
        "ok": True,
        "version": __version__,
        "inputs": {name: given for name in _INPUTS if (given := getattr(arguments, name))},
        "outputs": {name: str(path) for name, path in outputs.items()},
        "model": result.model,
        "engine": result.engine,
        "pre_align": arguments.pre_align,
        "resolution": arguments.resolution,
        "plan": result.plan,
        "similarity_before": _number(result.similarity_before),
        "similarity_after": _number(result.similarity_after),
        "folded_percent": _number(result.folded_percent),
        "largest_displacement_mm": _number(_largest(result)),
        "refinement": result.refinement and {**asdict(result.refinement), "gained": result.refinement.gained},
        "affine_ras": result.deformation.affine.tolist(),
        "warnings": warnings,
        "seconds": {step: round(value, 3) for step, value in seconds.items()} | {"total": round(total, 3)},
    }


def _number(value: float) -> float | None:
    """JSON knows no NaN."""
    return round(float(value), 6) if math.isfinite(value) else None


def _largest(result: RegistrationResult) -> float:
    return float(result.deformation.displacement.magnitude().max())


def _summary(
    outputs: dict[str, Path],
    inputs: PairInputs,
    result: RegistrationResult,
    warnings: list[str],
    seconds: dict[str, float],
    total: float,
) -> str:
    """The result for somebody who has little time: what was done, how it looks, where it is, what to check."""
    better = result.similarity_after - result.similarity_before
    verdict = "more alike" if better > 0 else "LESS ALIKE"
    folding = (
        "none; the deformation can be inverted everywhere"
        if result.folded_percent == 0
        else f"{result.folded_percent:.2g} % of the volume; points there cannot be mapped back"
    )
    steps = ", ".join(f"{step} {value:.1f}" for step, value in seconds.items())
    lines = [
        f"Registered {inputs.moving.name} (moving) to {inputs.fixed.name} (fixed).",
        "",
        f"  Similarity    {result.similarity_before:.3f} before, {result.similarity_after:.3f} after "
        f"(1 is identical): {verdict} than before",
        f"  Folding       {folding}",
        f"  Displacement  up to {_largest(result):.1f} mm, beside the pre-alignment",
        f"  Model         {result.model_title} ({result.model}), {engine_title(result.engine)}",
        *([f"  Refinement    {result.refinement}"] if result.refinement else []),
        f"  Time          {total:.1f} s ({steps})",
        "",
        "Written:",
    ]
    for name, path in outputs.items():
        hint = (
            "in Slicer, put it over the affine, over the moving volume"
            if _over_affine(name, outputs)
            else PAIR_OUTPUTS[name].hint
        )
        lines.append(f"  {path}  ({hint})")
    if warnings:
        lines += ["", "Please check:", *(f"  - {warning}" for warning in warnings)]
    return "\n".join([*lines, ""])


def _over_affine(name: str, outputs: dict[str, Path]) -> bool:
    return name == "transform" and "affine" in outputs


def _dashed(name: str) -> str:
    return name.replace("_", "-")
