"""The report of a registered sequence: how it went over time, and pictures of the frames to look at first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

from VoxelMorphRegistrationLib.errors import RegistrationError
from VoxelMorphRegistrationLib.files.frames import Frames
from VoxelMorphRegistrationLib.pipeline.quality.results import Level, Remark
from VoxelMorphRegistrationLib.pipeline.report import parts
from VoxelMorphRegistrationLib.pipeline.report.figures import pair_pictures
from VoxelMorphRegistrationLib.pipeline.report.markup import Element, element
from VoxelMorphRegistrationLib.pipeline.report.page import write_page
from VoxelMorphRegistrationLib.pipeline.report.parts import Cell, Tile, hint, number, number_cell, percent
from VoxelMorphRegistrationLib.pipeline.report.picture_parts import PictureParts, tiles_mask
from VoxelMorphRegistrationLib.pipeline.report.plots import Line, line_plot
from VoxelMorphRegistrationLib.pipeline.report.provenance import Provenance
from VoxelMorphRegistrationLib.pipeline.sequence import DIRECTIONS, MODES, FrameRecord, SequenceOptions, SequenceResult
from VoxelMorphRegistrationLib.progress import Progress

_PIXELS = 280
_PICTURED = 3
_MOST_LABELS = 6
_LESS_ALIKE = 0.01
"""By so much a similarity may fall through interpolation alone."""


def write_sequence_report(
    path: Path,
    frames: Frames,
    options: SequenceOptions,
    result: SequenceResult,
    provenance: Provenance,
    progress: Progress | None = None,
) -> None:
    """Write the report to one file. Raises OutputError, and CancelledError where ``progress`` says so.

    Pictures are of the worst frames of which the field was kept and the volume can still be read.
    """
    shown = list(_pictured(frames, options, result, progress or Progress()))
    write_page(path, f"{frames.name}: sequence report", _body(frames, options, result, provenance, shown))


def _pictured(
    frames: Frames, options: SequenceOptions, result: SequenceResult, progress: Progress
) -> Iterator[tuple[FrameRecord, PictureParts]]:
    worst = result.worst(_PICTURED)
    for done, record in enumerate(worst):
        progress(f"Pictures of frame {record.frame}", done / len(worst))
        with suppress(RegistrationError):  # a field that was not kept, or a frame that is gone
            reference, frame = frames.read(result.reference), frames.read(record.frame)
            fixed, moving = (frame, reference) if options.direction == "carry" else (reference, frame)
            pictures = pair_pictures(fixed, moving, result.store.field(record.frame), most_pixels=_PIXELS)
            yield record, PictureParts(pictures, f"f{record.frame}")


def _body(
    frames: Frames,
    options: SequenceOptions,
    result: SequenceResult,
    provenance: Provenance,
    shown: Sequence[tuple[FrameRecord, PictureParts]],
) -> Iterator[Element]:
    remarks = _remarks(result)
    yield tiles_mask()
    yield from (pictures.store() for _, pictures in shown)
    yield parts.heading("Sequence report", [frames.name], provenance.made)
    yield parts.verdict(*_verdict(result, remarks), badge="Incomplete" if result.failed else "")
    yield parts.tiles(_tiles(result))
    asked = f"Asked to {DIRECTIONS[options.direction]}; {MODES[options.mode]}. Frames are counted from 0."
    yield parts.section("Over time", hint(asked), element("div", list(_plots(result)), class_="plots"))
    for record, pictures in shown:
        yield _frame(record, pictures, options)
    yield parts.section("Frames", parts.remarks(remarks), _table(result), class_="long")
    yield provenance.section()


def _verdict(result: SequenceResult, remarks: Sequence[Remark]) -> tuple[Level, str]:
    done, of = sum(record.is_done for record in result.records), len(result.records)
    level: Level = next((level for level in ("bad", "look") if any(r.level == level for r in remarks)), "good")
    worst = result.worst(1)
    look = f" Look first at frame {worst[0].frame}, the least like the reference." if worst else ""
    if result.failed:
        return (
            "bad",
            f"{len(result.failed)} of {of} frames have no result; the first is frame {result.failed[0].frame}.{look}",
        )
    if level == "good":
        return level, f"All {done} frames are done, and nothing that was measured speaks against them.{look}"
    told = next(remark.message for remark in remarks if remark.level == level)
    more = f" ({len(remarks) - 1} more below)" if len(remarks) > 1 else ""
    return level, f"All {done} frames are done. {told}{more}{look}"


def _remarks(result: SequenceResult) -> list[Remark]:
    """The same of several frames is said once."""
    found: dict[tuple[Level, str], list[int]] = {}
    for record in result.records:
        if not record.is_done:
            found.setdefault(("bad", record.error), []).append(record.frame)
        elif record.similarity_after < record.similarity_before - _LESS_ALIKE:
            found.setdefault(("bad", "less like the reference than before; do not use it."), []).append(record.frame)
        for warning in record.warnings:
            found.setdefault(("look", warning), []).append(record.frame)
    framewise = [
        Remark(level, f"Frame{'s' * (len(frames) > 1)} {_listed(frames)}: {said}")
        for (level, said), frames in sorted(found.items(), key=lambda item: item[0][0])
    ]
    drifts = [
        Remark(
            "look", f"Frame {d.frame}: the chain drifted by {d.mean_mm:.1f} mm on average from the direct registration."
        )
        for d in result.drift
    ]
    return [*framewise, *(Remark("look", warning) for warning in result.warnings), *drifts]


def _listed(frames: Sequence[int], most: int = 12) -> str:
    more = f" and {len(frames) - most} more" if len(frames) > most else ""
    return ", ".join(map(str, frames[:most])) + more


def _tiles(result: SequenceResult) -> Iterator[Tile]:
    finished = [record for record in result.records if record.is_done and record.status != "reference"]
    yield Tile("Frames", str(len(result.records)), f"reference: frame {result.reference}; {len(result.failed)} failed")
    if not finished:
        return
    yield Tile(
        "Similarity (median)",
        number(median(record.similarity_after for record in finished)),
        f"{number(median(record.similarity_before for record in finished))} before; 1 is the same",
    )
    farthest = max(finished, key=lambda record: record.max_displacement_mm)
    mean_mm = median(record.mean_displacement_mm for record in finished)
    yield Tile(
        "Displacement",
        number(mean_mm, " mm"),
        f"on average; at most {number(farthest.max_displacement_mm)} mm (frame {farthest.frame})",
    )
    folded = max(finished, key=lambda record: record.folded_percent)
    yield Tile(
        "Folding",
        percent(folded.folded_percent),
        f"of the volume in frame {folded.frame}, the most" if folded.folded_percent else "in every frame",
    )
    yield Tile("Time", f"{result.seconds:.1f} s", f"for {len(result.computed)} frames in this run")


def _plots(result: SequenceResult) -> Iterator[Element]:
    records = result.records
    x = [float(record.frame) for record in records]

    def over_time(title: str, *lines: tuple[str, Callable[[FrameRecord], float]], unit: str = "") -> Element:
        drawn = [Line(name, [value(record) for record in records]) for name, value in lines]
        return line_plot(title, x, drawn, unit=unit, mark=float(result.reference), from_zero=bool(unit))

    yield over_time(
        "Similarity to the reference",
        ("before", lambda r: r.similarity_before),
        ("after", lambda r: r.similarity_after),
    )
    yield over_time(
        "Displacement",
        ("mean", lambda r: r.mean_displacement_mm),
        ("largest", lambda r: r.max_displacement_mm),
        unit=" mm",
    )
    yield over_time("Folding", ("share of the volume", lambda r: r.folded_percent), unit=" %")
    largest = _labels(records)[:_MOST_LABELS]
    if largest:
        yield over_time("Volume of the structures", *((f"label {n}", _volume_of(n)) for n in largest), unit=" ml")


def _labels(records: Sequence[FrameRecord]) -> list[int]:
    """The largest first."""
    volume = {each.label: each.volume_ml for record in records for each in record.structures}
    return sorted(volume, key=lambda label: -volume[label])


def _volume_of(label: int) -> Callable[[FrameRecord], float]:
    return lambda record: next((each.volume_ml for each in record.structures if each.label == label), math.nan)


def _frame(record: FrameRecord, pictures: PictureParts, options: SequenceOptions) -> Element:
    carry = options.direction == "carry"
    fixed, moving = (f"frame {record.frame}", "reference") if carry else ("reference", f"frame {record.frame}")
    return parts.section(
        f"Frame {record.frame}: similarity {number(record.similarity_before)} → {number(record.similarity_after)}",
        hint(f"{record.name}. The {moving} is moved onto the {fixed}."),
        pictures.viewer(),
        pictures.rows((("fixed", f"Fixed: {fixed}"), ("after", f"Moved: {moving}, through the transform"))),
        element("h3", "Jacobian determinant"),
        pictures.jacobian(),
        class_="long",
    )


def _table(result: SequenceResult) -> Element:
    def row(record: FrameRecord) -> list[Cell | str]:
        said = record.error or " ".join(record.warnings)
        return [
            Cell([f"{record.frame}", element("small", record.name)], record.frame),
            Cell([record.status, element("small", f" {said}")] if said else record.status, record.status),
            number_cell(record.similarity_before),
            number_cell(record.similarity_after),
            number_cell(record.mean_displacement_mm),
            number_cell(record.max_displacement_mm),
            number_cell(record.folded_percent),
        ]

    heads = ("Frame", "State", "Similarity before", "after", "Mean (mm)", "Largest (mm)", "Folded (%)")
    return parts.table(heads, [row(record) for record in result.records], numbers=range(2, 7), sortable=True)
