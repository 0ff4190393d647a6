"""The main job for a sequence: every frame registered with the reference, results on disk as they come."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib import __version__
from VoxelMorphRegistrationLib.errors import (
    CancelledError,
    EngineError,
    InputError,
    OutputError,
    RegistrationError,
)
from VoxelMorphRegistrationLib.files.frames import Frames
from VoxelMorphRegistrationLib.files.frames.protocol import content_hash, require_frame
from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.pipeline.sequence.coarse import CoarseCopies
from VoxelMorphRegistrationLib.pipeline.sequence.finder import FieldFinder, Found
from VoxelMorphRegistrationLib.pipeline.sequence.labels import LabelCarrier
from VoxelMorphRegistrationLib.pipeline.sequence.options import SequenceOptions
from VoxelMorphRegistrationLib.pipeline.sequence.outputs import FrameOutputs
from VoxelMorphRegistrationLib.pipeline.sequence.overlap import overlapped
from VoxelMorphRegistrationLib.pipeline.sequence.records import FrameRecord
from VoxelMorphRegistrationLib.pipeline.sequence.result import SequenceResult
from VoxelMorphRegistrationLib.pipeline.sequence.schedule import Step, regular_keys, schedule
from VoxelMorphRegistrationLib.pipeline.sequence.solver import FrameSolver, PreparedFrame
from VoxelMorphRegistrationLib.pipeline.sequence.store import SequenceStore, predicted_bytes
from VoxelMorphRegistrationLib.pipeline.sequence.tables import LABEL_SEQUENCE, write_label_sequence, write_tables
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Image

_FORMAT = 1
"""Of the folder; a number up where results of before no longer belong to those of now."""


def register_sequence(
    frames: Frames,
    output: str | Path,
    options: SequenceOptions | None = None,
    *,
    labels: Image | None = None,
    catalogue: Catalogue | None = None,
    progress: Progress | None = None,
) -> SequenceResult:
    """Register every frame with the reference frame and keep the results in the folder ``output``.

    ``labels`` is a segmentation of the reference frame, on any grid: carried to every frame (direction "carry"), and
    followed for volumes, centroids and displacements (both directions). One frame is read at a time, each one's results
    are written as soon as they are there, and memory does not grow with the number of frames. A folder in which
    the same run was begun is gone on with: finished frames are kept, those that failed are tried again.

    A frame that cannot be read or registered is "failed" in its record, with one sentence, and the others are done.
    Raises a RegistrationError where nothing can be done at all (reference, model, folder made with other options, too
    little room), and CancelledError when ``progress`` says so; what was finished stays.
    """
    options = options or SequenceOptions()
    say = progress or Progress()
    if options.reference is not None:
        require_frame(options.reference, len(frames), frames.name)
    store = SequenceStore(output)
    try:
        with store.held(say):
            return _Run(frames, store, options, labels, catalogue, say).result()
    except (CancelledError, KeyboardInterrupt) as error:
        done = sum(record.is_done for record in store.records())
        raise CancelledError(
            f"Stopped: {done} of {len(frames)} frames are done and kept in {store.folder}; "
            "the same command or settings go on from there."
        ) from error
    finally:
        store.remove_if_empty()


class _Run:
    """One call of register_sequence."""

    def __init__(
        self,
        frames: Frames,
        store: SequenceStore,
        options: SequenceOptions,
        labels: Image | None,
        catalogue: Catalogue | None,
        say: Progress,
    ) -> None:
        self.frames, self.store, self.options, self.say = frames, store, options, say
        self.started = time.perf_counter()
        say("Looking at the sequence", 0.0)
        self._coarse: CoarseCopies | None = None
        self.reference = self._reference()
        image = frames.read(self.reference)
        carrier = None if labels is None else _carrier(labels, image)
        say("Loading the model", 0.05)
        self.solver = FrameSolver(image, options.registration, options.bias, catalogue, say.part(0.05, 0.1))
        self._content = content_hash(image)
        self.outputs = FrameOutputs(store, options, self.solver, carrier)
        store.begin(self._identity(labels), self._more())
        keys = self._keys() if options.mode == "keyframes" else []
        self.steps = schedule(len(frames), self.reference, options.mode, keys)
        self.finder = FieldFinder(frames, store, options, self.solver, self.reference, keys)
        self.todo: list[Step] = []
        self.asked = 0

    def result(self) -> SequenceResult:
        """Do what is not done yet."""
        todo = self.todo = self._todo()
        self._begin_with_reference()
        if todo:
            self._require_room(len(todo))
        failed: dict[int, FrameRecord] = {}
        self._since = time.perf_counter()
        for record in overlapped(todo, self._read, self._ask, self._finish, self._goes_alone):
            if not record.is_done:
                failed[record.frame] = record
        self.say("Checking the whole", 0.98)
        drift = self.finder.drift(self.steps) if todo or self.options.keep != "results" else ()
        if self.options.keep == "results":
            for step in self.steps:
                self.store.remove_field(step.frame)
        found = {record.frame: record for record in self.store.records()} | failed
        records = [found[n] for n in sorted(found)]
        write_tables(self.store, records)
        if todo or not (self.store.folder / LABEL_SEQUENCE).exists():
            write_label_sequence(self.store, records)
        self.say("Done", 1.0)
        return SequenceResult(
            store=self.store,
            records=tuple(records),
            reference=self.reference,
            computed=tuple(sorted(step.frame for step in todo if step.frame not in failed)),
            drift=drift,
            warnings=tuple(self.solver.warnings),
            seconds=time.perf_counter() - self.started,
            plan=self.solver.plan,
            model=self.solver.card.name,
            engine=self.solver.engine.name,
        )

    # ---- before the first frame ------------------------------------------------------------------------------------

    def _reference(self) -> int:
        if self.options.reference is not None:
            return self.options.reference
        begun = self.store.description.get("reference")  # suggested when the folder was begun
        return int(begun) if begun is not None else self._copies().middle()

    def _copies(self) -> CoarseCopies:
        if self._coarse is None:
            part = self.say.part(0.0, 0.05)
            self._coarse = CoarseCopies(
                self.frames, lambda done, of: part(f"Comparing the frames ({done} of {of})", done / of)
            )
        return self._coarse

    def _keys(self) -> list[int]:
        regular = regular_keys(len(self.frames), self.reference, self.options.key_every)
        if self.options.key_choice == "regular":
            return regular
        return self._copies().keys(len(regular), [0, self.reference, len(self.frames) - 1])

    def _identity(self, labels: Image | None) -> dict[str, Any]:
        """What makes results belong together. How many cores were used does not matter."""
        options = asdict(self.options)
        registration = options.pop("registration")
        for name in ("threads", "engine", "inverse"):
            registration.pop(name, None)
        options.pop("reference")
        return {
            "format": _FORMAT,
            "frames": len(self.frames),
            "reference frame": self.reference,
            "reference content": self._content,
            "labels": "none" if labels is None else content_hash(labels),
            "model file": hashlib.sha256(self.solver.weights_path.read_bytes()).hexdigest(),
            "engine": self.solver.engine.name,
            "options": options,
            "registration": registration,
        }

    def _more(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "sequence": self.frames.name,
            "reference": self.reference,
            "plan": self.solver.plan,
            "model": self.solver.card.name,
        }

    def _todo(self) -> list[Step]:
        """The steps whose frames are not done, or were made of frames that are not as they were."""
        todo: list[Step] = []
        stale: set[int] = set()
        for step in self.steps:
            record = self.store.record(step.frame)
            if (
                record is None
                or not record.is_done
                or stale.intersection(record.built_on)
                or not self._is_same_input(record)
            ):
                todo.append(step)
                if record is not None and record.is_done:
                    stale.add(step.frame)
        return todo

    def _is_same_input(self, record: FrameRecord) -> bool:
        stamp = self.frames.stamp(record.frame)
        if stamp and stamp == record.stamp:
            return True
        with suppress(RegistrationError):
            return content_hash(self.frames.read(record.frame)) == record.content
        return True  # no longer there: what it gave is kept

    def _begin_with_reference(self) -> None:
        before = self.store.record(self.reference)
        if before is None or not before.is_done:
            self.store.write_record(
                self.outputs.of_reference(
                    self.reference,
                    self.frames.frame_name(self.reference),
                    self.frames.stamp(self.reference),
                    self._content,
                )
            )

    def _require_room(self, count: int) -> None:
        first = self.store.record(self.reference)
        extra = sum(size for _, size in first.files) if first else 0
        if self.options.moved:
            extra += self.solver.reference.image.array.nbytes
        shape = self.solver.field_grid.shape
        self.bytes_of_a_frame = predicted_bytes(shape, self.options.keep, 1, extra=extra)
        self.store.require_room(predicted_bytes(shape, self.options.keep, count, extra=extra))

    # ---- frame by frame --------------------------------------------------------------------------------------------

    def _goes_alone(self, step: Step) -> bool:
        """Whether it needs the results of those before it, or would lose the time that it is given to the next."""
        return step.neighbour is not None or step.between is not None or bool(self.options.registration.refine_seconds)

    def _read(self, step: Step) -> _Read:
        prepared = self.solver.prepare(self.frames.read(step.frame))
        return _Read(prepared, self.frames.stamp(step.frame), content_hash(prepared.image))

    def _ask(self, step: Step, reading: Future[_Read]) -> _Asked | RegistrationError:
        """Bring the frame before the network; what is wrong with the frame is returned."""
        done = self.asked
        self.asked += 1
        self.say(self._told(done, len(self.todo), step.frame), 0.1 + 0.88 * done / len(self.todo))
        try:
            read = reading.result()
            return _Asked(read, self.finder.ask(step, read.prepared))
        except (CancelledError, EngineError):
            raise
        except RegistrationError as error:
            return error

    def _finish(self, step: Step, asked: _Asked | RegistrationError) -> FrameRecord:
        """Measure and write a frame, its record last. Raises OutputError where only the record cannot be written."""
        name = self.frames.frame_name(step.frame)
        try:
            if isinstance(asked, RegistrationError):
                raise asked
            self.store.require_room(self.bytes_of_a_frame)
            read = asked.read
            record = self.outputs.of_frame(step.frame, name, read.prepared, asked.found())
            record = replace(record, stamp=read.stamp, content=read.content)
        except (CancelledError, EngineError):
            raise
        except RegistrationError as error:
            record = FrameRecord(step.frame, name, "failed", str(error))
        before, self._since = self._since, time.perf_counter()
        record = replace(record, seconds=self._since - before)
        if record.is_done:
            self.store.write_record(record)
            self._forget(record)
        else:
            with suppress(OutputError):  # a full disk takes no record either
                self.store.write_record(record)
        return record

    def _forget(self, record: FrameRecord) -> None:
        """Where fields are not kept, those that were built on are not needed any more."""
        if self.options.keep == "results" and self.options.mode in ("warm", "chain"):
            for n in record.built_on:
                self.store.remove_field(n)

    def _told(self, done: int, of: int, frame: int) -> str:
        text = f"Frame {frame} ({done + 1} of {of}"
        if done >= 3:
            rate = (time.perf_counter() - self.started) / done
            text += f", about {_minutes(rate * (of - done))} left"
        return text + ")"


@dataclass(frozen=True, eq=False)
class _Read:
    prepared: PreparedFrame
    stamp: str
    content: str


@dataclass(frozen=True, eq=False)
class _Asked:
    read: _Read
    found: Callable[[], Found]


def _carrier(labels: Image, reference: Image) -> LabelCarrier:
    if not np.issubdtype(labels.array.dtype, np.integer):
        raise InputError(f"{labels.name} is not a labelmap: its values are {labels.array.dtype}, not integers.")
    carrier = LabelCarrier(labels)
    first, stop = labels.content_window(0)
    middle = labels.grid.to_ras((first + stop - 1) / 2)
    if not reference.grid.contains(middle):
        raise InputError(
            f"The labels {labels.name} do not lie on the reference frame {reference.name}; give the segmentation of "
            "this very frame, in its space."
        )
    return carrier


def _minutes(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
