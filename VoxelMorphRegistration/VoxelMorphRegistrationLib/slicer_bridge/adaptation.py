"""Adapting a model to the volumes of the scene, from their voxels to the model in the list."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.errors import CancelledError, InputError
from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.network.catalogue import EMBEDDED_MODEL, Catalogue
from VoxelMorphRegistrationLib.pipeline.adaptation_job import AdaptationJob
from VoxelMorphRegistrationLib.pipeline.background import FOLDER_PREFIX, Event
from VoxelMorphRegistrationLib.pipeline.frame_handover import FrameHandover
from VoxelMorphRegistrationLib.pipeline.training.fine_tuning import Adaptation
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge.background import (
    close_shared_worker,
    events_without_input,
    shared_worker,
)
from VoxelMorphRegistrationLib.slicer_bridge.installation import ensure_installed
from VoxelMorphRegistrationLib.slicer_bridge.sequences import SequenceOfVolumes
from VoxelMorphRegistrationLib.slicer_bridge.volumes import image_from_volume_node
from VoxelMorphRegistrationLib.slicer_bridge.waiting import waited_for
from VoxelMorphRegistrationLib.spatial import Image

ENGINE = "tensorflow"
"""The only engine that trains."""
_TIDYING = "VoxelMorph tidying"


@dataclass(frozen=True)
class AdaptationRequest:
    """To what a model is to be adapted.

    ``volumes`` is a sequence node, a browser, or scalar volume nodes that lie on one another; ``title`` is the new
    model's ("": after the volumes); ``model`` is the one to begin with.
    """

    volumes: Any
    title: str = ""
    model: str = EMBEDDED_MODEL
    options: Adaptation = field(default_factory=Adaptation)


class AdaptationRun:
    """Reads the nodes at once, trains in the background, and lists the model when told to.

    For the main thread: `poll` is to be called often, `finish` after `Finished`. ``engine_folders`` are
    `Installation.paths` of TensorFlow. Raises a RegistrationError for what cannot be used.
    """

    def __init__(
        self, request: AdaptationRequest, engine_folders: Sequence[Path] = (), catalogue: Catalogue | None = None
    ) -> None:
        self._catalogue = catalogue or Catalogue()
        frames, name = _frames(request.volumes)
        title = request.title.strip() or self._catalogue.free_title(f"Adapted to {name}")
        new_name = self._catalogue.name_for(title)  # whether it is free, before the work
        model = EMBEDDED_MODEL if request.model == "default" else request.model
        self._cancelled = False
        self._handover = FrameHandover(frames, name, FOLDER_PREFIX)
        try:
            self._job = shared_worker(engine_folders).start(
                AdaptationJob(self._handover.frames, model, new_name, title, request.options, self._catalogue)
            )
        except BaseException:
            self._handover.close()
            raise

    def poll(self) -> list[Event]:
        """What happened since the last call; ends with `Finished`, which says that `finish` can be called."""
        return self._job.poll()

    def cancel(self) -> None:
        """Stop; the process ends within a second. Returns at once."""
        self._cancelled = True
        self._job.cancel()
        if not self._job.cancelled:  # its part was done already; no process is to be left all the same
            close_shared_worker()
        self._tidy()

    def finish(self) -> ModelCard:
        """Add the adapted model to the list. Raises what ended the run, the list as it was."""
        try:
            if self._cancelled:
                raise CancelledError("The adaptation of the model was cancelled; no model was added.")
            adapted = self._job.result()
            return self._catalogue.add(adapted.weights_path, adapted.card)
        finally:
            self._tidy()

    def _tidy(self) -> None:
        """Stop the thread that hands over, and remove its folder; it may have to wait, so not in this thread."""

        def tidy() -> None:
            self._job.wait(5.0)
            self._handover.close()

        threading.Thread(target=tidy, name=_TIDYING).start()  # not a daemon: done even if the program ends


def adapt_model(request: AdaptationRequest, progress: Progress) -> ModelCard:
    """The same, waited for, with Slicer kept alive meanwhile; for scripts.

    Raises a RegistrationError, the list of models as it was. Where TensorFlow is not installed, the user is asked.
    """
    progress("Reading the volumes", 0.0)
    folders = ensure_installed(ENGINE, progress=progress.part(0.0, 0.01))
    run = AdaptationRun(request, folders)
    card = waited_for(run, progress.part(0.01, 0.99), events_without_input())
    progress.report("Done", 1.0)  # no longer a chance to cancel
    return card


def _frames(volumes: Any) -> tuple[list[Image | str], str]:
    """The volumes as images, or why one cannot be used, and what they are called together."""
    if isinstance(volumes, (list, tuple)):
        if len(volumes) < 2:
            raise InputError("Adapting a model takes at least two volumes of the same study; give more.")
        images: list[Image | str] = [image_from_volume_node(node) for node in volumes]
        return images, str(volumes[0].GetName())
    sequence = SequenceOfVolumes.of(volumes)
    return list(sequence.frames()), sequence.name
