"""``voxelmorph-registration register``: files in, files out."""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib import __version__
from VoxelMorphRegistrationLib.commands.terminal import ProgressDisplay
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.output import all_or_nothing, check_output
from VoxelMorphRegistrationLib.files.transforms import AFFINE_SUFFIXES, FIELD_WRITERS, write_affine, write_field
from VoxelMorphRegistrationLib.files.volumes import (
    VOLUME_WRITERS,
    read_labels,
    read_volume,
    write_labels,
    write_volume,
)
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, RegistrationResult, register
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image

_INPUTS = ("fixed", "moving", "fixed_mask", "moving_mask", "labels")

_OUTPUTS: dict[str, tuple[Any, str, str]] = {  # endings, what the file is, what to do with it
    "transform": (FIELD_WRITERS, "transform", "in Slicer, put it over the moving volume"),
    "affine": (AFFINE_SUFFIXES, "linear transform", "in Slicer, put it under the transform, over the moving volume"),
    "inverse": (
        FIELD_WRITERS,
        "transform",
        "takes moving points to fixed ones; in Slicer, put it over the fixed volume",
    ),
    "moved": (VOLUME_WRITERS, "volume", "the moving volume on the fixed volume's grid"),
    "moved_labels": (VOLUME_WRITERS, "labelmap", "the moving volume's labels on the fixed volume's grid"),
}


@dataclass(frozen=True)
class _Inputs:
    fixed: Image
    moving: Image
    fixed_mask: Image | None
    moving_mask: Image | None
    labels: Image | None


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
    try:
        with _logged_warnings() as noticed:
            with _timed(seconds, "reading"):
                progress("Reading the volumes", 0.0)
                inputs = _read(arguments)
            result = register(
                inputs.fixed,
                inputs.moving,
                _options(arguments),
                fixed_mask=inputs.fixed_mask,
                moving_mask=inputs.moving_mask,
                progress=_without_end(progress.part(0.02, 0.95)),
            )
            seconds |= result.seconds
            with _timed(seconds, "writing"):
                progress("Writing the results", 0.95)
                _write(arguments, outputs, inputs, result)
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


def _without_end(progress: Progress) -> Progress:
    """The registration's "Done" is not the command's: the files are still to be written."""
    return Progress(lambda stage, fraction: progress(stage, fraction) if fraction < 1 else None)


def _checked_outputs(arguments: argparse.Namespace) -> dict[str, Path]:
    """The outputs asked for, each of which can be written. Raises OutputError, or InputError where two
    collide.
    """
    inputs = {name: Path(given).expanduser() for name in _INPUTS if (given := getattr(arguments, name))}
    outputs: dict[str, Path] = {}
    for name, (endings, what, _) in _OUTPUTS.items():
        given = getattr(arguments, name)
        if not given:
            continue
        path = check_output(given, endings, what)
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


def _read(arguments: argparse.Namespace) -> _Inputs:
    def optional(path: str | None) -> Image | None:
        return read_labels(path) if path else None

    return _Inputs(
        read_volume(arguments.fixed),
        read_volume(arguments.moving),
        optional(arguments.fixed_mask),
        optional(arguments.moving_mask),
        optional(arguments.labels),
    )


def _options(arguments: argparse.Namespace) -> RegistrationOptions:
    return RegistrationOptions(
        model=arguments.model,
        engine=arguments.engine,
        pre_align=arguments.pre_align,
        resolution=arguments.resolution,
        intensity=arguments.intensity,
        inverse=bool(arguments.inverse),
    )


def _write(
    arguments: argparse.Namespace, outputs: dict[str, Path], inputs: _Inputs, result: RegistrationResult
) -> None:
    compact = arguments.grid == "network"
    deformation = result.deformation
    writers: dict[str, Callable[[Path], None]] = {
        "transform": lambda path: write_field(
            _forward_field(result, inputs.fixed.grid, compact, apart="affine" in outputs), path
        ),
        "affine": lambda path: write_affine(deformation.affine, path),
        "inverse": lambda path: write_field(
            deformation.modeling_field(_inverse_grid(result, inputs.moving.grid, compact)), path
        ),
        "moved": lambda path: write_volume(_as_stored(result.moved, inputs.moving), path),
        "moved_labels": lambda path: write_labels(
            deformation.warp_labels(_present(inputs.labels), inputs.fixed.grid), path
        ),
    }
    with all_or_nothing():
        for name, path in outputs.items():
            writers[name](path)


def _forward_field(result: RegistrationResult, fixed: Grid, compact: bool, *, apart: bool) -> DisplacementField:
    """The field for ``--transform``: with the affine in it, unless that goes into a file of its own."""
    deformation = result.deformation
    if apart:
        return deformation.displacement if compact else deformation.displacement.resampled(fixed)
    return deformation.resampling_field(deformation.compact_grid(fixed) if compact else fixed)


def _inverse_grid(result: RegistrationResult, moving: Grid, compact: bool) -> Grid:
    """The moving volume's grid, or one over the same place with about the network's voxel size."""
    if not compact:
        return moving
    coarse = np.maximum(np.ceil(moving.extent_mm / result.deformation.displacement.grid.spacing.max()), 2).astype(int)
    shape = np.minimum(coarse, moving.shape)
    return moving.with_shape((int(shape[0]), int(shape[1]), int(shape[2])))


def _as_stored(moved: Image, moving: Image) -> Image:
    """The moved volume in the moving volume's number type, so that Hounsfield units stay whole numbers."""
    kept = moving.array.dtype
    if not np.issubdtype(kept, np.integer):
        return moved
    limits = np.iinfo(kept)
    return moved.with_array(np.clip(np.rint(moved.array), limits.min, limits.max).astype(kept))


def _present(image: Image | None) -> Image:
    assert image is not None  # the parser asks for --labels with --moved-labels
    return image


@contextmanager
def _logged_warnings() -> Iterator[list[str]]:
    """What the library logs as a warning meanwhile, for the summary."""
    noticed: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            noticed.append(record.getMessage())

    logger, collector = logging.getLogger("VoxelMorphRegistrationLib"), Collector(logging.WARNING)
    logger.addHandler(collector)
    try:
        yield noticed
    finally:
        logger.removeHandler(collector)


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
    inputs: _Inputs,
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
        f"  Model         {result.model} ({result.engine})",
        f"  Time          {total:.1f} s ({steps})",
        "",
        "Written:",
    ]
    for name, path in outputs.items():
        hint = (
            "in Slicer, put it over the affine, over the moving volume"
            if _over_affine(name, outputs)
            else _OUTPUTS[name][2]
        )
        lines.append(f"  {path}  ({hint})")
    if warnings:
        lines += ["", "Please check:", *(f"  - {warning}" for warning in warnings)]
    return "\n".join([*lines, ""])


def _over_affine(name: str, outputs: dict[str, Path]) -> bool:
    return name == "transform" and "affine" in outputs


def _dashed(name: str) -> str:
    return name.replace("_", "-")
