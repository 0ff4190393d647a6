"""The results of all frames as tables (CSV), and the carried labels as one sequence file."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files.frames.writing import write_sequence
from VoxelMorphRegistrationLib.files.volumes import read_labels
from VoxelMorphRegistrationLib.pipeline.sequence.records import FrameRecord
from VoxelMorphRegistrationLib.pipeline.sequence.store import SequenceStore
from VoxelMorphRegistrationLib.spatial import Image

FRAME_COLUMNS = (
    "frame",
    "name",
    "status",
    "similarity_before",
    "similarity_after",
    "folded_percent",
    "mean_displacement_mm",
    "max_displacement_mm",
    "seconds",
    "error",
)
MOTION_COLUMNS = (
    "frame",
    "label",
    "volume_ml",
    "centroid_r_mm",
    "centroid_a_mm",
    "centroid_s_mm",
    "from_reference_mm",
    "mean_displacement_mm",
    "max_displacement_mm",
)

LABEL_SEQUENCE = "labels.seq.nrrd"


def write_tables(store: SequenceStore, records: Sequence[FrameRecord]) -> None:
    """``frames.csv``, and ``motion.csv`` where there are labels: one line for each frame, and frame and label."""
    _write(
        store,
        store.folder / "frames.csv",
        FRAME_COLUMNS,
        ([getattr(record, name) for name in FRAME_COLUMNS] for record in records),
    )
    if any(record.structures for record in records):
        _write(store, store.folder / "motion.csv", MOTION_COLUMNS, motion_rows(records))


def motion_rows(records: Sequence[FrameRecord]) -> Iterator[list[object]]:
    """MOTION_COLUMNS of each frame and label; "from_reference": how far the centroid lies from the reference's."""
    rest = {s.label: s.centroid_ras for r in records if r.status == "reference" for s in r.structures}
    for record in records:
        for each in record.structures:
            away = math.dist(each.centroid_ras, rest[each.label]) if each.label in rest else float("nan")
            yield [
                record.frame,
                each.label,
                each.volume_ml,
                *each.centroid_ras,
                away,
                each.mean_displacement_mm,
                each.max_displacement_mm,
            ]


def write_label_sequence(store: SequenceStore, records: Sequence[FrameRecord]) -> Path | None:
    """``labels.seq.nrrd`` for Slicer: every frame's labels, empty ones where a frame failed.

    None where there are none, or where the frames have different voxels, which one such file cannot hold.
    """
    known = next((r.frame for r in records if r.status == "reference"), None)
    if known is None or not store.path("labels", known).exists():
        return None
    path = store.folder / LABEL_SEQUENCE
    like = read_labels(store.path("labels", known))
    with suppress(InputError), store.writing(path) as temporary:
        write_sequence(_labels(store, records, like), len(records), temporary, "vtkMRMLLabelMapVolumeNode")
    return path if path.exists() else None


def _labels(store: SequenceStore, records: Iterable[FrameRecord], like: Image) -> Iterator[Image]:
    for record in records:
        labels: Image | None = None
        if record.is_done:
            with suppress(FileError):
                labels = read_labels(store.path("labels", record.frame))
        yield labels or like.with_array(np.zeros_like(like.array))


def _write(store: SequenceStore, path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with store.writing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_shown(value) for value in row] for row in rows)


def _shown(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value
