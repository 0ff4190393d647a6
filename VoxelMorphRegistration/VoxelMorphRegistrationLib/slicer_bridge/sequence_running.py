"""A registration of a sequence of the scene, from its frames to the nodes that play with it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.errors import CancelledError, InputError, RegistrationError
from VoxelMorphRegistrationLib.pipeline.background import FOLDER_PREFIX, Event, Finished, StageReached
from VoxelMorphRegistrationLib.pipeline.frame_handover import FrameHandover
from VoxelMorphRegistrationLib.pipeline.sequence import FrameRecord, SequenceOptions, SequenceStore
from VoxelMorphRegistrationLib.pipeline.sequence_job import ReferenceJob, SequenceJob, SequenceSummary
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge.background import (
    close_shared_worker,
    events_without_input,
    reading_worker,
    shared_worker,
)
from VoxelMorphRegistrationLib.slicer_bridge.installation import ensure_installed
from VoxelMorphRegistrationLib.slicer_bridge.segmentation_carrying import carrier_for
from VoxelMorphRegistrationLib.slicer_bridge.sequence_carrying import Carrier
from VoxelMorphRegistrationLib.slicer_bridge.sequence_results import SequenceNodes, SequenceWriter, Wanted, grid_of
from VoxelMorphRegistrationLib.slicer_bridge.sequences import SequenceOfVolumes, reference_grid
from VoxelMorphRegistrationLib.slicer_bridge.waiting import waited_for

_TIDYING = "VoxelMorph tidying"
_WRITING = 0.85  # the part of a run after which nodes are made


@dataclass(frozen=True)
class SequenceRequest:
    """What is to be done with a sequence of the scene.

    ``sequence`` is a sequence node or a browser. ``carried`` are segmentation, labelmap, model and markup nodes of the
    reference frame, of which there will be a sequence each; ``closed_surface`` says whether segmentations have surfaces
    (None: where the reference's has). ``transforms``: make the transform sequence. ``folder`` keeps the results on
    the disk, where a run that was stopped goes on; None: a temporary one.
    """

    sequence: Any
    options: SequenceOptions = field(default_factory=SequenceOptions)
    carried: tuple[Any, ...] = ()
    transforms: bool = True
    closed_surface: bool | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class SequenceFindings:
    """What a finished run tells: its nodes, the record of each frame and a summary."""

    nodes: SequenceNodes
    records: tuple[FrameRecord, ...]
    summary: SequenceSummary
    folder: Path | None
    """In which the results were kept; None where they were not."""

    def text(self) -> str:
        """One line for a status bar: how many frames, the worst ones, how fast."""
        done = [record for record in self.records if record.is_done]
        failed = [str(record.frame) for record in self.records if not record.is_done]
        text = f"{len(done)} of {len(self.records)} frames"
        if failed:
            text += f" (failed: {', '.join(failed[:5])}{' ...' if len(failed) > 5 else ''})"
        by_frame = {record.frame: record.similarity_after for record in self.records}
        worst = [f"{frame} (similarity {by_frame[frame]:.3f})" for frame in self.summary.worst]
        if worst:
            text += f"; look at the least similar: {', '.join(worst)}"
        if self.summary.drift:
            text += "; drift " + ", ".join(f"{d.mean_mm:.2f} mm at frame {d.frame}" for d in self.summary.drift)
        return f"{text}; {self.summary.seconds:.1f} s."


class SequenceRun:
    """Reads the nodes at once, registers in the background, then makes the nodes frame by frame.

    For the main thread: `poll` is to be called often, `finish` after `Finished`. ``engine_folders`` are
    `Installation.paths` of the engine. Raises a RegistrationError for what cannot be used.
    """

    def __init__(self, request: SequenceRequest, engine_folders: Sequence[Path] = ()) -> None:
        volumes = SequenceOfVolumes.of(request.sequence)
        _check(request, volumes)
        frames = volumes.frames()
        carriers: tuple[Carrier, ...] = ()
        if request.carried and request.options.reference is not None:
            grid = reference_grid(frames, request.options.reference)
            carriers = tuple(carrier_for(n, grid, closed_surface=request.closed_surface) for n in request.carried)
        labelled = next((carrier for carrier in carriers if carrier.labels is not None), None)
        _check_kept(request, carriers, labelled)
        self._request, self._volumes = request, volumes
        self._wanted = Wanted(
            transforms=request.transforms and request.options.keep != "results",
            carriers=carriers,
            direction=request.options.direction,
            grids=[grid_of(frame) for frame in frames],
            labelled=labelled,
        )
        self._events: list[Event] = []
        self._writer: SequenceWriter | None = None
        self._ended = self._cancelled = False
        self._error: RegistrationError | None = None
        self._records: tuple[FrameRecord, ...] = ()
        self._handover = FrameHandover(frames, volumes.name, FOLDER_PREFIX)
        self._store = SequenceStore(request.folder or self._handover.folder / "results")
        labels = None if labelled is None else labelled.labels
        job = SequenceJob(self._handover.frames, self._store.folder, request.options, labels)
        try:
            self._job = shared_worker(engine_folders).start(job)
        except BaseException:
            self._handover.close()
            raise

    def poll(self) -> list[Event]:
        """What happened since the last call; ends with `Finished`, which says that `finish` can be called.

        After the registration, each call makes the nodes of one frame at most.
        """
        for event in self._job.poll():
            if isinstance(event, StageReached):
                self._events.append(replace(event, fraction=_WRITING * event.fraction))
            elif not isinstance(event, Finished):
                self._events.append(event)
            elif event.error is None and not self._cancelled:
                self._records = tuple(self._store.records())
                self._writer = SequenceWriter(self._store, self._volumes, self._wanted)
            else:
                self._end(event.error or CancelledError())
        if self._writer is not None and not self._ended:
            try:
                self._write(self._writer)
            except RegistrationError as error:
                self._end(error)
        events, self._events = self._events, []
        return events

    def cancel(self) -> None:
        """Stop; the process ends within a second. What was finished stays where a folder was given. Returns at once."""
        self._cancelled = True
        self._job.cancel()
        if self._writer is not None:
            self._end(CancelledError())
        if not self._job.cancelled:  # its part was done already; no process is to be left all the same
            close_shared_worker()
        self._tidy()

    def finish(self) -> SequenceFindings:
        """Put the nodes into the scene. Raises what ended the run, the scene as it was."""
        try:
            if self._cancelled:
                raise CancelledError(self._told_cancelled())
            if self._error is not None:
                raise self._error
            assert self._writer is not None
            nodes = self._writer.finish()
        finally:
            self._tidy()
        return SequenceFindings(nodes, self._records, self._job.result(), self._request.folder)

    def _write(self, writer: SequenceWriter) -> None:
        if writer.step():
            made, of = writer.progress
            stage = f"Making the nodes (frame {made} of {of})"
            self._events.append(StageReached(stage, _WRITING + (1 - _WRITING) * made / of))
        if writer.is_done:
            self._end(None)

    def _end(self, error: RegistrationError | None) -> None:
        if not self._ended:
            self._error, self._ended = error, True
            self._events.append(Finished(error))

    def _told_cancelled(self) -> str:
        if self._request.folder is None:
            return "The registration of the sequence was cancelled; nothing was changed."
        done = sum(record.is_done for record in self._store.records())
        return (
            f"The registration of the sequence was cancelled; {done} frames are finished in {self._request.folder}: "
            "run it again with the same settings to go on."
        )

    def _tidy(self) -> None:
        """Stop the threads and remove the temporary folder; it may be large, so not in this thread."""

        def tidy() -> None:
            if self._writer is not None:
                self._writer.stop()
            self._job.wait(5.0)
            self._handover.close()

        threading.Thread(target=tidy, name=_TIDYING).start()  # not a daemon: done even if the program ends


def register_sequence_nodes(request: SequenceRequest, progress: Progress) -> SequenceFindings:
    """The same, waited for, with Slicer kept alive meanwhile; for scripts.

    Raises a RegistrationError, the scene as it was. Where no engine is installed, the user is asked.
    """
    progress("Reading the sequence", 0.0)
    engine = request.options.registration.engine
    folders = ensure_installed(engine, progress=progress.part(0.0, 0.01))
    run = SequenceRun(request, folders)
    findings = waited_for(run, progress.part(0.01, 0.99), events_without_input())
    progress.report("Done", 1.0)  # no longer a chance to cancel
    return findings


def suggested_reference(sequence: Any, progress: Progress | None = None) -> int:
    """The frame nearest the middle of the motion; found in the background process and waited for."""
    say = progress or Progress()
    volumes = SequenceOfVolumes.of(sequence)
    handover = FrameHandover(volumes.frames(), volumes.name, FOLDER_PREFIX)
    try:
        return reading_worker().run_blocking(
            ReferenceJob(handover.frames), progress=say, process_events=events_without_input()
        )
    finally:
        handover.close()


def _check(request: SequenceRequest, volumes: SequenceOfVolumes) -> None:
    reference = request.options.reference
    if reference is not None and not 0 <= reference < len(volumes):
        raise InputError(
            f"There is no frame {reference} in '{volumes.name}'; its {len(volumes)} frames are counted from 0 to "
            f"{len(volumes) - 1}."
        )
    if request.carried and reference is None:
        raise InputError(
            f"Give the reference frame: the one of '{volumes.name}' to which '{request.carried[0].GetName()}' belongs."
        )
    if volumes.browser is not None and volumes.browser.GetRecordingActive():
        raise InputError(f"'{volumes.browser.GetName()}' is recording; stop it first.")


def _check_kept(request: SequenceRequest, carriers: Sequence[Carrier], labelled: Carrier | None) -> None:
    if request.options.keep != "results":
        return
    if not carriers:
        raise InputError("There is nothing to carry and no fields are kept; keep the fields or choose a segmentation.")
    for carrier in carriers:
        if carrier is not labelled or carrier.needs_fields or request.options.direction != "carry":
            raise InputError(
                f"'{carrier.name}' can only be carried where the fields are kept; without them one segmentation "
                "without overlaps, or one labelmap, is carried, from the reference to every frame."
            )
