"""Finished cases of a batch as nodes: transforms and carried segmentations of pairs, and sequences of both."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.errors import CancelledError, FileError, InputError, RegistrationError
from VoxelMorphRegistrationLib.files.transforms import read_field
from VoxelMorphRegistrationLib.files.volumes import read_labels
from VoxelMorphRegistrationLib.pipeline.background import Event, Finished, StageReached
from VoxelMorphRegistrationLib.pipeline.batch.results import FinishedCase, load_results
from VoxelMorphRegistrationLib.pipeline.sequence import SequenceStore
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge.background import events_without_input
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import checked_grid_transform, set_grid_transform
from VoxelMorphRegistrationLib.slicer_bridge.segmentation_carrying import StoredLabels
from VoxelMorphRegistrationLib.slicer_bridge.sequence_batch import SEGMENTS, case_name
from VoxelMorphRegistrationLib.slicer_bridge.sequence_results import (
    SequenceNodes,
    SequenceWriter,
    Wanted,
    grid_of,
)
from VoxelMorphRegistrationLib.slicer_bridge.sequences import (
    AddedNodes,
    FramesElsewhere,
    FramesOfScene,
    SequenceOfVolumes,
)
from VoxelMorphRegistrationLib.slicer_bridge.waiting import waited_for


@dataclass
class LoadedCases:
    """What came into the scene: of each case's name its nodes, and a sentence for each that could not be loaded."""

    pairs: dict[str, list[Any]] = field(default_factory=dict)
    sequences: dict[str, SequenceNodes] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        told = [f"{len(self.pairs)} pairs and {len(self.sequences)} sequences were loaded."]
        return "\n".join([*told, *self.problems])


class BatchLoading:
    """Brings the results in a batch's output folder into the scene, one small step a call of `poll`.

    A sequence's results go into the browser of ``volumes``, the sequence of the scene, if its name and its number of
    frames are the case's; otherwise into a new browser. For the main thread. What is finished when it is cancelled
    is removed again.
    """

    def __init__(self, folder: Path, volumes: SequenceOfVolumes | None = None) -> None:
        self._volumes, self._frames = volumes, volumes.frames() if volumes is not None else []
        self._loaded = LoadedCases()
        self._added: list[AddedNodes] = []
        self._events: list[Event] = []
        self._error: RegistrationError | None = None
        self._stopped = threading.Event()
        self._steps: queue.Queue[Callable[[], Event | None]] = queue.Queue(2)
        self._writer: tuple[str, SequenceWriter] | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._read, args=(folder,), name="VoxelMorph outputs", daemon=True)
        self._thread.start()

    def poll(self) -> list[Event]:
        """What happened since the last call; ends with `Finished`, which says that `finish` can be called."""
        if not self._ended:
            try:
                self._step()
            except RegistrationError as error:
                self._end(error)
        events, self._events = self._events, []
        return events

    def cancel(self) -> None:
        """Stop; returns at once."""
        self._end(CancelledError("The results were not loaded; nothing was changed."))

    def finish(self) -> LoadedCases:
        """What was loaded. Raises what ended it, the scene as it was."""
        if self._error is not None:
            for added in reversed(self._added):
                added.remove()
            raise self._error
        return self._loaded

    # ---- in the main thread ----------------------------------------------------------------------------------------

    def _step(self) -> None:
        if self._writer is not None:
            self._write_frame(*self._writer)
            return
        with suppress(queue.Empty):
            event = self._steps.get_nowait()()
            if event is not None:
                self._events.append(event)

    def _write_frame(self, name: str, writer: SequenceWriter) -> None:
        try:
            if not writer.is_done:
                if writer.step():
                    made, of = writer.progress
                    self._events.append(StageReached(f"Making the nodes of {name} (frame {made} of {of})", made / of))
                return
            nodes = writer.finish()
        except RegistrationError as error:
            self._loaded.problems.append(f"{name}: {error}")
        else:
            self._loaded.sequences[name] = nodes
            self._added.append(nodes.added)
        self._writer = None

    def _end(self, error: RegistrationError | None) -> None:
        if self._ended:
            return
        self._ended, self._error = True, error
        self._stopped.set()
        if self._writer is not None:
            self._writer[1].stop()
        self._events.append(Finished(error))

    def _add_pair(self, name: str, parts: dict[str, Any]) -> None:
        import slicer

        with AddedNodes() as added:
            made = [_pair_node(slicer.mrmlScene.GenerateUniqueName(f"{name} {kind}"), p) for kind, p in parts.items()]
        self._added.append(added)
        self._loaded.pairs[name] = made

    def _begin_sequence(self, case: FinishedCase, store: SequenceStore, labels: StoredLabels | None) -> None:
        identity = store.description["identity"]
        count = int(identity["frames"])
        in_scene = self._volumes is not None and case_name(self._volumes.name) == case.name
        frames: FramesOfScene = FramesElsewhere(case.name, count)
        grids = None
        if in_scene and self._volumes is not None and len(self._volumes) == count:
            frames, grids = self._volumes, [grid_of(frame) for frame in self._frames]
        options = identity["options"]
        wanted = Wanted(
            transforms=options["keep"] != "results",
            carriers=() if labels is None else (labels,),
            direction=options["direction"],
            grids=grids,
            labelled=labels,
        )
        self._writer = case.name, SequenceWriter(store, frames, wanted)

    # ---- in the thread ---------------------------------------------------------------------------------------------

    def _read(self, folder: Path) -> None:
        with suppress(CancelledError):
            try:
                cases = load_results(folder)
                for number, case in enumerate(cases):
                    self._put(_saying(f"Reading {case.name} ({number + 1} of {len(cases)})", number / len(cases)))
                    try:
                        self._put(self._task(case))
                    except CancelledError:
                        raise
                    except RegistrationError as error:
                        self._loaded.problems.append(f"{case.name}: {error}")
                self._put(lambda: self._end(None))
            except CancelledError:
                raise
            except RegistrationError as error:
                self._put(_raising(error))
            except Exception as error:
                logging.getLogger(__name__).exception("Unexpected error while loading the results of a batch")
                self._put(_raising(FileError(f"The results cannot be loaded ({type(error).__name__}: {error}).")))

    def _task(self, case: FinishedCase) -> Callable[[], None]:
        """What the main thread is to do for a case, everything being read."""
        if case.sequence_folder is not None:
            store = SequenceStore(case.sequence_folder)
            labels = _stored_labels(case, store)
            return lambda: self._begin_sequence(case, store, labels)
        parts: dict[str, Any] = {}
        for kind in ("transform", "inverse"):
            if kind in case.files:
                parts[kind] = checked_grid_transform(read_field(case.files[kind]))
        if "moved_labels" in case.files:
            image = read_labels(case.files["moved_labels"])
            parts["segmentation"] = _Labels(StoredLabels(case.name, image, *_names(case)))
        if not parts:
            raise InputError("there is neither a transform nor a segmentation among its outputs.")
        return lambda: self._add_pair(case.name, parts)

    def _put(self, step: Callable[[], Event | None]) -> None:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._steps.put(step, timeout=0.1)
                return
        raise CancelledError


@dataclass(frozen=True, eq=False)
class _Labels:
    carrier: StoredLabels

    def node(self) -> Any:
        return self.carrier.resting()


def _pair_node(name: str, part: Any) -> Any:
    import slicer

    if not isinstance(part, _Labels):
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", name)
        set_grid_transform(part, transform, "resampling")
        return transform
    segmentation = part.node()
    segmentation.SetName(name)
    slicer.mrmlScene.AddNode(segmentation)
    segmentation.CreateDefaultDisplayNodes()
    return segmentation


def _stored_labels(case: FinishedCase, store: SequenceStore) -> StoredLabels | None:
    reference = store.path("labels", int(store.description["reference"]))
    return StoredLabels(f"{case.name} labels", read_labels(reference), *_names(case)) if reference.exists() else None


def _names(case: FinishedCase) -> tuple[dict[int, str], dict[str, list[float]]]:
    """What the labels are called, and colors, where the case was written by Slicer; empty where it was not."""
    labels = case.inputs.get("labels")
    try:
        said = json.loads((labels.parent / SEGMENTS).read_text(encoding="utf-8")) if labels is not None else {}
        names = {int(value): str(segment["name"]) for value, segment in said.items()}
        return names, {segment["name"]: segment["color"] for segment in said.values() if segment["color"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, {}


def _saying(stage: str, fraction: float) -> Callable[[], Event]:
    return lambda: StageReached(stage, fraction)


def _raising(error: RegistrationError) -> Callable[[], None]:
    def step() -> None:
        raise error

    return step


def load_batch(folder: Path, volumes: SequenceOfVolumes | None, progress: Progress) -> LoadedCases:
    """The same, waited for; for scripts."""
    return waited_for(BatchLoading(folder, volumes), progress, events_without_input())
