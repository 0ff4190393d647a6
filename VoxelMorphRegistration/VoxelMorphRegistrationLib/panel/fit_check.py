"""The line that says, before the run, what in the chosen volumes does not fit the chosen model."""

from __future__ import annotations

from typing import Any

import qt

from VoxelMorphRegistrationLib.errors import RegistrationError
from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.panel.background_task import BackgroundTask
from VoxelMorphRegistrationLib.pipeline.input_check import check_volume, misfits, on_grid_of
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge.registration import RegistrationNodes, read_inputs
from VoxelMorphRegistrationLib.slicer_bridge.volumes import is_quick_to_read

_DELAY_MILLISECONDS = 300  # so that choosing several things in a row is looked at once


class FitCheck:
    """Looks at the volumes a moment after they were chosen, in a thread, and shows sentences in ``label``.

    Inputs that take long to read, such as segmentations and volumes under non-linear transforms, are looked at by
    the registration itself only.
    """

    def __init__(self, label: Any) -> None:
        self._label = label  # a QLabel, hidden while there is nothing to say
        self._wanted: tuple[RegistrationNodes, ModelCard | None, str] | None = None
        self._task: BackgroundTask | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DELAY_MILLISECONDS)
        self._timer.connect("timeout()", self._look)
        self._say([])

    def look_at(self, nodes: RegistrationNodes, card: ModelCard | None, resolution: str) -> None:
        """What is chosen now."""
        self._wanted = nodes, card, resolution
        self._timer.start()

    def stop(self) -> None:
        """Forget what was chosen: the nodes are about to go."""
        self._timer.stop()
        if self._task is not None:
            self._task.abandon(0.0)
        self._task = self._wanted = None
        self._say([])

    def _look(self) -> None:
        if self._task is not None or self._wanted is None:
            return  # the one that runs looks again when it has ended
        nodes, card, resolution = wanted = self._wanted
        said: list[str] = []
        inputs_chosen = (nodes.fixed, nodes.moving, nodes.fixed_mask, nodes.moving_mask)
        volumes = [node for node in inputs_chosen if node is not None]
        if card is None or nodes.fixed is None or nodes.moving is None or not all(map(is_quick_to_read, volumes)):
            self._say([])
            return
        try:
            inputs = read_inputs(nodes)
        except RegistrationError as error:
            self._say([str(error)])
            return

        def look(_progress: Progress) -> None:
            fixed, moving = inputs.fixed, inputs.moving
            check_volume(fixed, "fixed")
            check_volume(moving, "moving")
            masks = on_grid_of(fixed, inputs.fixed_mask, "fixed"), on_grid_of(moving, inputs.moving_mask, "moving")
            said.extend(misfits(fixed, moving, card, resolution, *masks))

        def ended(error: RegistrationError | None) -> None:
            self._task = None
            if self._wanted is not wanted:
                self._timer.start()
            else:
                self._say(said if error is None else [str(error)])

        self._task = BackgroundTask(look, lambda _stage, _fraction: None, ended)

    def _say(self, sentences: list[str]) -> None:
        self._label.text = "\n".join(sentences)
        self._label.setVisible(bool(sentences))
