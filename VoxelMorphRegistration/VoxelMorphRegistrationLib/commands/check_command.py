"""``voxelmorph-registration check``: how good a registration is, as a table or as JSON.

Its options are in `check_options`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple, TextIO

import SimpleITK as sitk

from VoxelMorphRegistrationLib import __version__
from VoxelMorphRegistrationLib.commands.terminal import ProgressDisplay
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.any_transform import SpatialMap, read_transforms
from VoxelMorphRegistrationLib.files.label_names import names_in_segmentation, read_label_names
from VoxelMorphRegistrationLib.files.output import all_or_nothing, check_output
from VoxelMorphRegistrationLib.files.points import Points, read_points
from VoxelMorphRegistrationLib.files.volumes import VOLUME_WRITERS, read_labels, read_volume, write_volume
from VoxelMorphRegistrationLib.pipeline.quality.checking import check_registration
from VoxelMorphRegistrationLib.pipeline.quality.results import CheckResult
from VoxelMorphRegistrationLib.pipeline.quality.table import as_table
from VoxelMorphRegistrationLib.pipeline.report.page import check_report_path
from VoxelMorphRegistrationLib.pipeline.report.pair_report import write_pair_report
from VoxelMorphRegistrationLib.pipeline.report.provenance import Provenance, Source
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Image

_MAPS = {"jacobian": "jacobian", "magnitude": "magnitude_mm", "inverse_error": "inverse_error_mm"}
"""Options that ask for a map: its name in `CheckMaps`."""

_INPUTS = (
    "fixed",
    "moving",
    "transform",
    "inverse",
    "fixed_mask",
    "fixed_labels",
    "moving_labels",
    "label_names",
    "fixed_points",
    "moving_points",
)
"""Options that name a file, or several."""


def run(arguments: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> None:
    """Check, write the maps, and tell the result on ``stdout``. Raises a RegistrationError; nothing is written then."""
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    outputs = _checked_outputs(arguments)
    report = check_report_path(arguments.report) if arguments.report else None
    display = None if arguments.json or arguments.quiet else ProgressDisplay(stderr)
    try:
        compared = _compared(arguments, display.progress() if display else Progress())
    finally:
        if display:
            display.close()
    found = compared.result
    with all_or_nothing():
        if report:
            provenance = Provenance(_sources(arguments), arguments.command_line)
            write_pair_report(report, compared.fixed, compared.moving, compared.transform, found, provenance)
            outputs["report"] = report
        for option, path in outputs.items():
            if option in _MAPS:
                write_volume(getattr(found.maps, _MAPS[option]), path)
    if arguments.json:
        told = {"ok": True, "version": __version__, **found.as_json()}
        told["outputs"] = {name: str(path) for name, path in outputs.items()}
        stdout.write(json.dumps(told, indent=2, allow_nan=False) + "\n")
        return
    stdout.write(as_table(found))
    for path in outputs.values():
        stdout.write(f"Written: {path}\n")


class _Compared(NamedTuple):
    fixed: Image
    moving: Image
    transform: SpatialMap
    result: CheckResult


def _compared(arguments: argparse.Namespace, progress: Progress) -> _Compared:
    progress("Reading the volumes", 0.0)
    fixed, moving = read_volume(arguments.fixed), read_volume(arguments.moving)
    transform = read_transforms(arguments.transform, fixed.grid)
    inverse = read_transforms(arguments.inverse, moving.grid) if arguments.inverse else None
    result = check_registration(
        fixed,
        moving,
        transform,
        fixed_labels=_labels(arguments.fixed_labels),
        moving_labels=_labels(arguments.moving_labels),
        label_names=_names(arguments),
        fixed_points=_points(arguments.fixed_points, arguments),
        moving_points=_points(arguments.moving_points, arguments),
        inverse=inverse,
        fixed_mask=_labels(arguments.fixed_mask),
        name=", ".join(Path(path).name for path in arguments.transform),
        progress=progress.part(0.2, 1.0),
    )
    return _Compared(fixed, moving, transform, result)


def _sources(arguments: argparse.Namespace) -> tuple[Source, ...]:
    given = [(name, getattr(arguments, name)) for name in _INPUTS]
    each = [(name, path) for name, paths in given for path in ([paths] if isinstance(paths, str) else paths or [])]
    return tuple(Source.of_file(name.replace("_", " "), path) for name, path in each)


def _checked_outputs(arguments: argparse.Namespace) -> dict[str, Path]:
    if arguments.inverse_error and not arguments.inverse:
        raise InputError("--inverse-error needs --inverse: what takes moving points to fixed ones.")
    return {
        option: check_output(path, VOLUME_WRITERS, "volume") for option in _MAPS if (path := getattr(arguments, option))
    }


def _labels(path: str | None) -> Image | None:
    return read_labels(path) if path else None


def _points(path: str | None, arguments: argparse.Namespace) -> Points | None:
    return read_points(path, arguments.point_coordinates) if path else None


def _names(arguments: argparse.Namespace) -> dict[int, str]:
    if arguments.label_names:
        return read_label_names(arguments.label_names)
    names: dict[int, str] = {}
    for path in (arguments.moving_labels, arguments.fixed_labels):
        names |= names_in_segmentation(path) if path else {}
    return names
