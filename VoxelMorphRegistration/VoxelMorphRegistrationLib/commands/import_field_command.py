"""``voxelmorph-registration import-field`` and ``diagnose``: what a field means, as a table or as JSON.

Their options are in `import_field_options`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, TextIO

import SimpleITK as sitk

from VoxelMorphRegistrationLib.commands.import_field_options import CHOICES
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.fields import read_raw_field
from VoxelMorphRegistrationLib.files.output import all_or_nothing, check_output
from VoxelMorphRegistrationLib.files.transforms import AFFINE_SUFFIXES, read_affine, write_affine
from VoxelMorphRegistrationLib.files.volumes import VOLUME_WRITERS, read_volume, write_volume
from VoxelMorphRegistrationLib.pipeline.conventions import mistakes, repairs
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention, letters
from VoxelMorphRegistrationLib.pipeline.conventions.diagnosis import Diagnosis, identify
from VoxelMorphRegistrationLib.pipeline.conventions.findings import Finding
from VoxelMorphRegistrationLib.pipeline.conventions.writing import (
    ARRAY_SUFFIXES,
    SUFFIXES,
    VOXELMORPH,
    write_as,
    write_with_sidecar,
)
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Image


def run_import(arguments: argparse.Namespace, stdout: TextIO) -> None:
    """Identify, mend and write. Raises InputError, after printing the evidence, where nothing was accepted."""
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    check_output(arguments.transform, SUFFIXES, "transform")
    if arguments.split_affine:
        check_output(arguments.split_affine, AFFINE_SUFFIXES, "linear transform")
    if arguments.voxelmorph:
        check_output(arguments.voxelmorph, ARRAY_SUFFIXES, "array")
    if arguments.moved:
        if not arguments.moving:
            raise InputError("--moved needs --moving, the volume to be moved.")
        check_output(arguments.moved, VOLUME_WRITERS, "volume")
    diagnosis, taken = _identified(arguments)
    if taken is None:
        _print(diagnosis, arguments, stdout, {})
        arguments.json = False  # the JSON object is out
        raise InputError(diagnosis.verdict)
    field, done = _mended(diagnosis.field(taken), arguments)
    if arguments.grid == "fixed" and arguments.taper is None:
        field = repairs.on_grid(field, diagnosis.fixed.grid)
    source, model = Path(arguments.field).name, arguments.model or diagnosis.raw.model
    with all_or_nothing():
        write_with_sidecar(field, arguments.transform, source=source, model=model)
        if arguments.voxelmorph:
            write_as(field, arguments.voxelmorph, VOXELMORPH, source=source, model=model)
    if arguments.moved and diagnosis.moving is not None:
        moving = diagnosis.moving
        moved = field.warp(moving, diagnosis.fixed.grid, outside=float(moving.array.min()))
        write_volume(moved, arguments.moved)
    findings = mistakes.in_field(field)
    _print(diagnosis, arguments, stdout, {"written": str(arguments.transform), "repairs": done}, findings, taken)


def run_diagnose(arguments: argparse.Namespace, stdout: TextIO) -> None:
    """Identify, and say what is wrong. Raises InputError, the evidence printed, where nothing was accepted."""
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    arguments.fill = False
    diagnosis, taken = _identified(arguments)
    findings = mistakes.in_field(diagnosis.field(taken)) if taken is not None and not _broken(diagnosis) else []
    _print(diagnosis, arguments, stdout, {}, findings, taken)
    if taken is None:
        arguments.json = False
        raise InputError(diagnosis.verdict)


def _broken(diagnosis: Diagnosis) -> bool:
    return any(finding.code == "not finite" for finding in diagnosis.findings)


def _identified(arguments: argparse.Namespace) -> tuple[Diagnosis, Convention | None]:
    fixed = read_volume(arguments.fixed)
    moving: Image | None = read_volume(arguments.moving) if arguments.moving else None
    raw = read_raw_field(arguments.field, arguments.key)
    if arguments.fill:
        raw, _ = repairs.filled(raw)
    given: dict[str, object] = {name: v for name in CHOICES if (v := getattr(arguments, name)) is not None}
    for name in ("components", "axes"):
        if (text := getattr(arguments, name)) is not None:
            given[name] = letters(text)
    diagnosis = identify(raw, fixed, moving, given=given)
    if arguments.take is not None:
        if not 1 <= arguments.take <= len(diagnosis.candidates):
            raise InputError(f"--take {arguments.take}: there are {len(diagnosis.candidates)} candidates.")
        return diagnosis, diagnosis.candidates[arguments.take - 1].convention
    return diagnosis, diagnosis.best.convention if diagnosis.accepted else None


def _mended(field: DisplacementField, arguments: argparse.Namespace) -> tuple[DisplacementField, list[str]]:
    done: list[str] = []
    if arguments.affine:
        deformation = Deformation(read_affine(arguments.affine), field)
        field = deformation.resampling_field(field.grid)
        done.append(f"joined with the linear transform {Path(arguments.affine).name}")
    if arguments.unfold:
        unfolded = repairs.unfold(field)
        field = unfolded.field
        done.append(
            f"smoothed with {unfolded.sigma_mm:.1f} mm around the folds ({unfolded.folded_percent_before:.2g} % "
            f"before, 0 after; moved by {unfolded.rms_change_mm:.2g} mm rms, at most {unfolded.largest_change_mm:.2g})"
        )
    if arguments.split_affine:
        apart = repairs.split_affine(field)
        write_affine(apart.affine, arguments.split_affine)
        field = apart.displacement
        done.append(f"linear part split off into {arguments.split_affine}; it follows the field")
    if arguments.taper is not None:
        field = repairs.taper(field, arguments.taper)
        done.append(f"faded to zero over {arguments.taper:g} mm around it")
    return field, done


def _print(
    diagnosis: Diagnosis,
    arguments: argparse.Namespace,
    stdout: TextIO,
    more: dict[str, Any],
    findings: list[Finding] | None = None,
    taken: Convention | None = None,
) -> None:
    if arguments.json:
        report = {"ok": taken is not None, **diagnosis.as_json(), **more}
        report["findings"] = [*report["findings"], *(finding.as_json() for finding in findings or [])]
        report["taken"] = None if taken is None else taken.as_text()
        stdout.write(json.dumps(report, indent=2) + "\n")
        return
    stdout.write(diagnosis.table())
    for finding in findings or []:
        stdout.write(f"  - {finding.message}\n")
    for line in more.get("repairs", []):
        stdout.write(f"Repair: {line}\n")
    if "written" in more:
        stdout.write(f"Written: {more['written']} and its .json; in Slicer, put it over the moving volume.\n")
