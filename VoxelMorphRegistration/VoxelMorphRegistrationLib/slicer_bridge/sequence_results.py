"""What lies in the folder of a registered sequence, as nodes: transforms, carried nodes, table and charts.

`SequenceWriter` makes them frame by frame: a thread of its own reads the files and does what takes long, and `step`,
called in the main thread again and again, makes one frame's nodes. Nothing is in the scene before `finish`, which takes
no longer than a moment.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from VoxelMorphRegistrationLib.errors import CancelledError, FileError, RegistrationError, TransformError
from VoxelMorphRegistrationLib.files.volumes import read_labels
from VoxelMorphRegistrationLib.pipeline.sequence import FrameRecord, SequenceStore
from VoxelMorphRegistrationLib.pipeline.sequence.options import Direction
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import checked_grid_transform, set_grid_transform
from VoxelMorphRegistrationLib.slicer_bridge.sequence_carrying import Carrier, FrameMap
from VoxelMorphRegistrationLib.slicer_bridge.sequence_table import add_charts, add_table, motion_columns
from VoxelMorphRegistrationLib.slicer_bridge.sequences import (
    AddedNodes,
    FramesOfScene,
    OutputSequence,
    show_all,
)
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid

_AHEAD = 2  # frames that are prepared while the main thread has no time for them


@dataclass(frozen=True)
class SequenceNodes:
    """What was written; every node is in the scene."""

    browser: Any
    transforms: OutputSequence | None
    """The transform sequence (``node``) and what shows it (``proxy``)."""
    carried: tuple[OutputSequence, ...]
    table: Any
    charts: tuple[Any, ...]
    """Chart nodes, each after the plot series in it."""
    warnings: tuple[str, ...]
    added: AddedNodes
    """All of them, to be removed."""


@dataclass(frozen=True, eq=False)
class _Prepared:
    """One frame, as far as any thread can make it. None is what there is not."""

    record: FrameRecord
    transform: Any
    carried: tuple[Any, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is to be made of the results."""

    transforms: bool
    carriers: tuple[Carrier, ...]
    direction: Direction
    grids: Sequence[Grid | None] | None
    """Each frame's voxels, None for a frame that cannot be used; None: unknown, where only stored labels are shown."""
    labelled: Carrier | None = None
    """The one of the carriers whose labels the registration was given."""


class SequenceWriter:
    """Reads ``store`` and makes nodes in the browser of ``frames``; made and called in the main thread."""

    def __init__(self, store: SequenceStore, frames: FramesOfScene, wanted: Wanted) -> None:
        self._store, self._frames, self._wanted = store, frames, wanted
        self._records = store.records()
        self._made = 0
        self._warnings: list[str] = []
        name = frames.name
        self._transforms = (
            OutputSequence(f"{name} motion", f"{name} motion transform", frames.axis, editable=False)
            if wanted.transforms
            else None
        )
        self._carried = [
            OutputSequence(f"{c.name} over time", f"{c.name} moving", frames.axis, editable=True, display_like=c.node)
            for c in wanted.carriers
        ]
        self._queue: queue.Queue[_Prepared | RegistrationError] = queue.Queue(_AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._prepare_all, name="VoxelMorph outputs", daemon=True)
        self._thread.start()

    @property
    def progress(self) -> tuple[int, int]:
        """How many frames are made, of how many."""
        return self._made, len(self._records)

    @property
    def is_done(self) -> bool:
        """Whether `finish` can be called."""
        return self._made == len(self._records)

    def step(self, seconds: float = 0.0) -> bool:
        """Make the next frame's nodes, if it is prepared within so long; whether it was.

        Raises a RegistrationError where nothing can be made of the results.
        """
        try:
            prepared = self._queue.get(timeout=seconds) if seconds else self._queue.get_nowait()
        except queue.Empty:
            return False
        if isinstance(prepared, RegistrationError):
            raise prepared
        self._write(prepared)
        self._made += 1
        return True

    def stop(self) -> None:
        """Make no more; the files may go when this returns."""
        self._stopped.set()
        self._thread.join()

    def finish(self) -> SequenceNodes:
        """Put all into the scene. Raises a RegistrationError, the scene as it was."""
        self._frames.require_in_scene()
        outputs = [o for o in (self._transforms, *self._carried) if o is not None and not o.is_empty]
        axis, labelled = self._frames.axis, self._wanted.labelled
        names = labelled.label_names if labelled is not None else {}
        colors = labelled.label_colors if labelled is not None else {}
        columns = motion_columns(self._records, axis.values, axis.title, names)
        with AddedNodes() as added:
            browser = self._frames.shown_in()
            table = add_table(columns, f"{self._frames.name} motion results")
            charts = add_charts(table, columns, self._frames.name, colors)
            show_all(browser, outputs)
        return SequenceNodes(
            browser,
            self._transforms if self._transforms in outputs else None,
            tuple(output for output in self._carried if output in outputs),
            table,
            tuple(charts),
            tuple(self._warnings),
            added,
        )

    # ---- in the thread ---------------------------------------------------------------------------------------------

    def _prepare_all(self) -> None:
        with suppress(CancelledError):
            try:
                lattice = self._lattice()
                for record in self._records:
                    self._put(self._prepared(record, lattice))
            except RegistrationError as error:
                self._put(error)
            except MemoryError:
                self._put(TransformError("There is not enough memory for the results; choose a lower resolution."))
            except Exception as error:
                logging.getLogger(__name__).exception("Unexpected error while preparing the nodes of a sequence")
                self._put(TransformError(f"The nodes could not be made ({type(error).__name__}: {error})."))

    def _put(self, item: _Prepared | RegistrationError) -> None:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._queue.put(item, timeout=0.1)
                return
        raise CancelledError

    def _lattice(self) -> Grid | None:
        """The grid of some frame's field, for the reference's, which moves nothing: all of one size can be saved."""
        if not self._wanted.transforms:
            return None
        for record in self._records:
            if record.is_done and record.status != "reference":
                return self._store.field(record.frame).grid
        return next((grid.with_shape((2, 2, 2)) for grid in self._wanted.grids or () if grid is not None), None)

    def _prepared(self, record: FrameRecord, lattice: Grid | None) -> _Prepared:
        if not record.is_done:
            return _Prepared(record, None, (None,) * len(self._wanted.carriers))
        if record.status == "reference":
            nothing = checked_grid_transform(DisplacementField.zero(lattice)) if lattice is not None else None
            return _Prepared(record, nothing, ())
        grid = None if self._wanted.grids is None else self._wanted.grids[record.frame]
        field, labels = self._field(record), self._labels(record)
        frame_map = FrameMap(record.frame, self._wanted.direction, grid, field)
        carried, warnings = [], []
        for carrier in self._wanted.carriers:
            try:
                carried.append(carrier.prepared(frame_map, labels if carrier is self._wanted.labelled else None))
            except TransformError as error:
                carried.append(None)
                warnings.append(f"{carrier.name} was not carried to frame {record.frame}: {error}")
        transform = frame_map.transform if self._wanted.transforms else None
        return _Prepared(record, transform, tuple(carried), tuple(warnings))

    def _field(self, record: FrameRecord) -> DisplacementField | None:
        path = self._store.path("field", record.frame)
        return self._store.field(record.frame) if path.exists() else None

    def _labels(self, record: FrameRecord) -> Any:
        path = self._store.path("labels", record.frame)
        return read_labels(path) if self._wanted.labelled is not None and path.exists() else None

    # ---- in the main thread ----------------------------------------------------------------------------------------

    def _write(self, prepared: _Prepared) -> None:
        import slicer

        frame = prepared.record.frame
        self._warnings += [*prepared.record.warnings, *prepared.warnings]
        if not prepared.record.is_done:
            self._warnings.append(f"Frame {frame} failed: {prepared.record.error}")
        if self._transforms is not None and prepared.transform is not None:
            node = slicer.vtkMRMLTransformNode()
            node.SetName(f"{self._frames.name} motion {frame}")
            set_grid_transform(prepared.transform, node, "resampling")
            self._transforms.add(frame, node)
        is_reference = prepared.record.status == "reference"
        for n, (carrier, output) in enumerate(zip(self._wanted.carriers, self._carried, strict=True)):
            if is_reference:
                output.add(frame, carrier.resting())
            elif prepared.carried[n] is not None:
                output.add(frame, carrier.data_node(prepared.carried[n]))


def grid_of(frame: Any) -> Grid | None:
    """Where a frame's voxels lie; None for one that cannot be used."""
    return None if isinstance(frame, str) else frame.grid


def require_results(store: SequenceStore) -> None:
    """Raises FileError for a folder without any finished frame."""
    if not any(record.is_done for record in store.records()):
        raise FileError(f"{store.folder} holds no finished frame of a sequence; choose the folder of its results.")
