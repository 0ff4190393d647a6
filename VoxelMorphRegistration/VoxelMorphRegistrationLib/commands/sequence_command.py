"""``voxelmorph-registration sequence``: a 4-D data set in, a folder of results out."""

from __future__ import annotations

import argparse
import json
import math
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, TextIO

import SimpleITK as sitk

from VoxelMorphRegistrationLib import __version__
from VoxelMorphRegistrationLib.commands.terminal import ProgressDisplay
from VoxelMorphRegistrationLib.errors import SequenceError
from VoxelMorphRegistrationLib.files.frames import open_frames
from VoxelMorphRegistrationLib.files.volumes import read_labels
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions
from VoxelMorphRegistrationLib.pipeline.report.page import NAME as REPORT
from VoxelMorphRegistrationLib.pipeline.report.page import check_report_path
from VoxelMorphRegistrationLib.pipeline.report.provenance import Provenance, Source, model_facts
from VoxelMorphRegistrationLib.pipeline.report.registered import settings_facts
from VoxelMorphRegistrationLib.pipeline.report.sequence_report import write_sequence_report
from VoxelMorphRegistrationLib.pipeline.sequence import (
    DIRECTIONS,
    MODES,
    FrameRecord,
    SequenceOptions,
    SequenceResult,
    register_sequence,
)
from VoxelMorphRegistrationLib.pipeline.sequence.store import readable_size
from VoxelMorphRegistrationLib.pipeline.sequence.tables import motion_rows
from VoxelMorphRegistrationLib.progress import Progress

_MOST_LINES = 12


def run(arguments: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> None:
    """Do what the parsed arguments say, and tell the result on ``stdout``.

    Raises SequenceError, the result told, where frames failed; any other RegistrationError where nothing was done.
    """
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK's own warnings are for programmers
    options = _options(arguments)
    report = check_report_path(arguments.report) if arguments.report else Path(arguments.output).expanduser() / REPORT
    display = None if arguments.json or arguments.quiet else ProgressDisplay(stderr)
    try:
        with closing(open_frames(arguments.input)) as frames:
            labels = read_labels(arguments.labels) if arguments.labels else None
            progress = display.progress() if display else Progress()
            result = register_sequence(
                frames, Path(arguments.output), options, labels=labels, progress=progress.part(0.0, 0.95).without_end()
            )
            provenance = _provenance(arguments, options, result)
            write_sequence_report(report, frames, options, result, provenance, progress.part(0.95, 1.0))
            progress("Done", 1.0)
    finally:
        if display:
            display.close()
    failed = _failure(result)
    if arguments.json:
        stdout.write(json.dumps(_report(arguments, options, result, failed, report), indent=2) + "\n")
        arguments.json = False  # the JSON object is out
    elif not arguments.quiet:
        stdout.write(_summary(frames.name, options, result, report))
    else:
        stderr.writelines(f"Warning: {warning}\n" for warning in _warnings(result))
    if failed:
        raise SequenceError(failed)


def _provenance(arguments: argparse.Namespace, options: SequenceOptions, result: SequenceResult) -> Provenance:
    given = {"sequence": arguments.input, "labels": arguments.labels}
    settings = {
        "Direction": DIRECTIONS[options.direction],
        "Mode": MODES[options.mode],
        **settings_facts(options.registration, result.plan),
    }
    return Provenance(
        tuple(Source.of_file(role, path) for role, path in given.items() if path),
        arguments.command_line,
        model_facts(options.registration.model),
        settings,
        result.engine,
    )


def _options(arguments: argparse.Namespace) -> SequenceOptions:
    return SequenceOptions(
        reference=arguments.reference,
        direction=arguments.direction,
        mode=arguments.mode,
        key_every=arguments.key_every,
        key_choice=arguments.key_choice,
        bias=arguments.bias,
        keep=arguments.keep,
        moved=arguments.direction == "hold" if arguments.moved is None else arguments.moved,
        registration=RegistrationOptions(
            model=arguments.model,
            engine=arguments.engine,
            pre_align=arguments.pre_align,
            resolution=arguments.resolution,
            intensity=arguments.intensity,
            refine_seconds=arguments.refine,
            threads=arguments.threads,
        ),
    )


def _failure(result: SequenceResult) -> str:
    if not result.failed:
        return ""
    first = result.failed[0]
    others = f"; and {len(result.failed) - 1} more, listed in frames.csv" if len(result.failed) > 1 else ""
    return (
        f"{len(result.failed)} of {len(result.records)} frames failed, the others are done; the same command tries "
        f"them again. Frame {first.frame}: {first.error}{others}"
    )


def _warnings(result: SequenceResult) -> list[str]:
    """Of the whole, and of frames: once for all frames of which the same is to be said."""
    of: dict[str, list[int]] = {}
    for record in result.records:
        for warning in record.warnings:
            of.setdefault(warning, []).append(record.frame)
    told = [f"Frame{'s' * (len(n) > 1)} {', '.join(map(str, n))}: {warning}" for warning, n in of.items()]
    return [*result.warnings, *told]


def _report(
    arguments: argparse.Namespace, options: SequenceOptions, result: SequenceResult, failed: str, report: Path
) -> dict[str, Any]:
    """The result for machines; keys are only ever added."""
    return {
        "ok": not failed,
        "exit_code": 6 if failed else 0,
        "error": failed,
        "version": __version__,
        "input": arguments.input,
        "labels": arguments.labels,
        "output": str(result.store.folder),
        "reference": result.reference,
        "direction": options.direction,
        "mode": options.mode,
        "model": result.model,
        "engine": result.engine,
        "plan": result.plan,
        "frames": [json.loads(record.to_json()) for record in result.records],
        "computed": list(result.computed),
        "failed": [record.frame for record in result.failed],
        "worst": [record.frame for record in result.worst()],
        "drift": [{"frame": d.frame, "mean_mm": d.mean_mm, "p95_mm": d.p95_mm} for d in result.drift],
        "bytes": result.bytes_on_disk,
        "report": str(report),
        "warnings": _warnings(result),
        "seconds": round(result.seconds, 3),
    }


def _summary(name: str, options: SequenceOptions, result: SequenceResult, report: Path) -> str:
    """The result for somebody who has little time: what was done, how it looks, where to look, where it is."""
    done = [r for r in result.records if r.is_done and r.status != "reference"]
    chosen = "" if options.reference is not None else ", the one nearest the middle of the motion"
    lines = [
        f"{name}: {len(result.records)} frames, reference frame {result.reference}{chosen} "
        "(frames are counted from 0).",
        f"Asked to {DIRECTIONS[options.direction]}; {MODES[options.mode]}.",
        "",
        f"  Frames        {len(result.computed)} done now, {len(done) - len(result.computed)} before, "
        f"{len(result.failed)} failed",
    ]
    if done:
        lines += _measures(done)
    lines += [
        f"  Drift         frame {d.frame}: {d.mean_mm:.1f} mm on average (95 % below {d.p95_mm:.1f} mm) between the "
        "chain and registering it directly"
        for d in result.drift
    ]
    lines += [
        f"  Model         {result.model} ({result.engine}); {result.plan}",
        f"  Time          {result.seconds:.1f} s" + _rate(result),
    ]
    lines += _structures(result)
    worst = result.worst()
    if worst:
        told = ", ".join(f"{r.frame} ({r.similarity_after:.3f})" for r in worst)
        lines += ["", f"Look first at frames {told}: they are least like the reference."]
    lines += [
        "",
        f"Written to {result.store.folder} ({readable_size(result.bytes_on_disk)}); the same command goes on there.",
        f"Report: {report} (open it in a browser).",
    ]
    if result.failed:
        lines += ["", "Failed:"]
        lines += [f"  - frame {r.frame} ({r.name}): {r.error}" for r in result.failed[:_MOST_LINES]]
        lines += [f"  - and {len(result.failed) - _MOST_LINES} more (frames.csv)"] * (len(result.failed) > _MOST_LINES)
    warnings = _warnings(result)
    if warnings:
        lines += ["", "Please check:", *(f"  - {warning}" for warning in warnings[:_MOST_LINES])]
        lines += [f"  - and {len(warnings) - _MOST_LINES} more (--json lists all)"] * (len(warnings) > _MOST_LINES)
    return "\n".join([*lines, ""])


def _measures(done: list[FrameRecord]) -> list[str]:
    farthest = max(done, key=lambda record: record.max_displacement_mm)
    folded = [record for record in done if record.folded_percent > 0]
    told = (
        f"in {len(folded)} frames, at most {max(r.folded_percent for r in folded):.2g} % of the volume"
        if folded
        else "none"
    )
    return [
        f"  Similarity    {median(r.similarity_before for r in done):.3f} before, "
        f"{median(r.similarity_after for r in done):.3f} after (median of the frames; 1 is identical)",
        f"  Displacement  {median(r.mean_displacement_mm for r in done):.1f} mm on average, at most "
        f"{farthest.max_displacement_mm:.1f} mm (frame {farthest.frame})",
        f"  Folding       {told}",
    ]


def _rate(result: SequenceResult) -> str:
    count = len(result.computed)
    return f" ({count / result.seconds:.2g} frames a second, loading included)" if count and result.seconds else ""


def _structures(result: SequenceResult) -> list[str]:
    paths: dict[int, list[tuple[int, float, float]]] = {}
    for frame, label, volume, _, _, _, away, *_ in motion_rows(result.records):
        paths.setdefault(int(label), []).append((int(frame), float(volume), float(away)))  # type: ignore[call-overload, arg-type]
    lines = (
        ["", "Labels (volume over the frames; farthest that the centroid goes from the reference):"] if paths else []
    )
    for label, rows in list(paths.items())[:_MOST_LINES]:
        volumes = [volume for _, volume, _ in rows]
        far = max(((away, frame) for frame, _, away in rows if not math.isnan(away)), default=(0.0, result.reference))
        lines.append(f"  {label:4d}  {min(volumes):9.1f} to {max(volumes):.1f} ml; {far[0]:.1f} mm in frame {far[1]}")
    if len(paths) > _MOST_LINES:
        lines.append(f"  and {len(paths) - _MOST_LINES} more labels, all of them in motion.csv")
    return lines
