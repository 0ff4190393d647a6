"""The section for volumes over time: every frame registered with one, what belongs to it carried along."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
from slicer.i18n import tr as _

from VoxelMorphRegistrationLib.errors import RegistrationError
from VoxelMorphRegistrationLib.panel.engine_first import with_engine
from VoxelMorphRegistrationLib.panel.models_section import ModelsSection
from VoxelMorphRegistrationLib.panel.parameters import SequenceMode, SequenceStorage
from VoxelMorphRegistrationLib.panel.run_control import RunControl
from VoxelMorphRegistrationLib.pipeline.background import FOLDER_PREFIX
from VoxelMorphRegistrationLib.pipeline.frame_handover import FrameHandover
from VoxelMorphRegistrationLib.pipeline.sequence.store import readable_size
from VoxelMorphRegistrationLib.pipeline.sequence_job import ReferenceJob
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge.background import reading_worker
from VoxelMorphRegistrationLib.slicer_bridge.batch_results import BatchLoading, LoadedCases
from VoxelMorphRegistrationLib.slicer_bridge.sequence_batch import ClusterFiles
from VoxelMorphRegistrationLib.slicer_bridge.sequence_running import SequenceFindings, SequenceRequest
from VoxelMorphRegistrationLib.slicer_bridge.sequence_size import predicted_size
from VoxelMorphRegistrationLib.slicer_bridge.sequences import SequenceOfVolumes
from VoxelMorphRegistrationLib.spatial import Image


class SequenceSection:
    """``widget`` was loaded from SequenceSection.ui; ``models`` knows the chosen model, ``logic`` starts runs."""

    def __init__(self, widget: Any, control: RunControl, models: ModelsSection, logic: Any) -> None:
        self._ui = ui = slicer.util.childWidgetVariables(widget)
        self._control, self._models, self._logic = control, models, logic
        self._place = SimpleNamespace(progressBar=ui.sequenceProgressBar, statusLabel=ui.sequenceStatusLabel)
        self._parameters: Any = None
        self._gui_tag: Any = None
        self._sized: tuple[tuple[object, ...], str] = ((), "")
        ui.sequenceRunButton.connect("clicked(bool)", self._on_run)
        ui.sequenceSuggestButton.connect("clicked(bool)", self._on_suggest)
        ui.sequenceClusterButton.connect("clicked(bool)", self._on_cluster)
        ui.sequenceLoadButton.connect("clicked(bool)", self._on_load)
        ui.sequenceCollapsibleButton.connect("contentsCollapsed(bool)", self._on_opened)
        ui.sequenceProgressBar.hide()
        self._say("")

    def set_parameters(self, parameters: Any) -> None:
        """Show and edit these parameters; None shows nothing."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._gui_tag)
        self._parameters = parameters
        if parameters is not None:
            self._gui_tag = parameters.connectGui(self._ui)

    def update(self) -> None:
        """Enable what can be done now, and say what is missing."""
        ui, chosen = self._ui, self._parameters
        volumes = self._volumes()
        if volumes is not None:
            ui.sequenceReferenceSpinBox.maximum = len(volumes) - 1
        by_keys = chosen is not None and chosen.sequenceMode == SequenceMode.KEY_FRAMES
        ui.sequenceKeyFramesLabel.visible = ui.sequenceKeyFramesSpinBox.visible = by_keys
        carried = chosen.sequenceCarried if chosen is not None else None
        ui.sequenceSurfaceCheckBox.enabled = carried is not None and carried.IsA("vtkMRMLSegmentationNode")
        if self._control.busy_in(self._place):
            ui.sequenceRunButton.text = _("Cancelling...") if self._control.cancelling else _("Cancel")
            ui.sequenceRunButton.enabled = not self._control.cancelling
            ui.sequenceRunButton.toolTip = _("Stop; frames that are finished are kept only if a folder is given.")
        else:
            ui.sequenceRunButton.text = _("Register the sequence")
            _enable(
                ui.sequenceRunButton,
                self._what_is_missing(),
                _("Register every frame with the reference, and add the results to the sequence browser."),
            )
        _enable(
            ui.sequenceSuggestButton, self._missing_sequence(), _("Find the frame nearest the middle of the motion.")
        )
        _enable(
            ui.sequenceClusterButton,
            self._missing_for_cluster(),
            _("Write the frames and a cases file into a folder, and the command that runs it on any Dask cluster."),
        )
        _enable(
            ui.sequenceLoadButton,
            self._missing_idle(),
            _("Load the transforms and the carried segmentations of a batch's output folder."),
        )
        self._show_size(volumes)

    # ---- what is missing -------------------------------------------------------------------------------------------

    def _missing_idle(self) -> str:
        if self._parameters is None:
            return str(_("There is no scene."))
        return str(_("Wait for what is running, or cancel it.")) if self._control.busy else ""

    def _missing_sequence(self) -> str:
        if missing := self._missing_idle():
            return missing
        if self._parameters.sequence is None:
            return str(_("Select a sequence of volumes."))
        try:
            SequenceOfVolumes.of(self._parameters.sequence)
        except RegistrationError as error:
            return str(error)
        return ""

    def _what_is_missing(self) -> str:
        if missing := self._missing_sequence():
            return missing
        chosen = self._parameters
        reasons = (
            (self._models.card is None, _("The chosen model is not available; choose another.")),
            (
                not self._models.can_be_had,
                _("The file of the chosen model is missing; add it again or choose another model."),
            ),
            (
                chosen.sequenceStorage == SequenceStorage.CARRIED and chosen.sequenceCarried is None,
                _("Select what is to be carried, or keep the transforms."),
            ),
        )
        return next((str(reason) for applies, reason in reasons if applies), "")

    def _missing_for_cluster(self) -> str:
        if missing := self._what_is_missing():
            return missing
        carried = self._parameters.sequenceCarried
        if carried is not None and not (
            carried.IsA("vtkMRMLSegmentationNode") or carried.IsA("vtkMRMLLabelMapVolumeNode")
        ):
            return str(_("On a cluster only segmentations and labelmaps are carried; choose one, or none."))
        return ""

    # ---- what the buttons do ---------------------------------------------------------------------------------------

    def _on_run(self, _checked: bool = False) -> None:
        if self._control.busy:
            self._control.cancel()
            return
        self._models.refresh()  # its file may have been deleted, or put there, meanwhile
        if self._what_is_missing():
            self.update()
            return
        if not self._models.is_available and not slicer.util.confirmOkCancelDisplay(self._models.download_question()):
            self._say(_("The model was not downloaded, so nothing was registered."))
            return
        with_engine(self._control, self._parameters.engine.value, self._register, self._place)

    def _register(self, engine_folders: list[Any]) -> None:
        if self._parameters is None:  # another module was opened while the engine was installed
            return
        request = self._request()
        if isinstance(request, RegistrationError):
            self._say(str(request))
            return
        self._control.run(
            lambda: self._logic.startSequence(request, engine_folders),
            _("Reading the sequence"),
            self._show,
            self._place,
        )

    def _request(self) -> SequenceRequest | RegistrationError:
        chosen = self._parameters
        folder = str(self._ui.sequenceFolderLineEdit.currentPath).strip()
        try:
            options = self._logic.sequenceOptions(
                chosen.sequenceReference,
                chosen.sequenceDirection.value,
                chosen.sequenceMode.value,
                chosen.sequenceStorage.value,
                chosen.sequenceKeyFrames,
                model=chosen.model,
                engine=chosen.engine.value,
                preAlignment=chosen.preAlignment.value if chosen.sequencePreAlign else "none",
                resolution=chosen.resolution.value,
                intensity=chosen.intensity.value,
            )
        except RegistrationError as error:
            return error
        return SequenceRequest(
            chosen.sequence,
            options,
            carried=() if chosen.sequenceCarried is None else (chosen.sequenceCarried,),
            closed_surface=True if chosen.sequenceSurface else None,
            folder=Path(folder).expanduser() if folder else None,
        )

    def _show(self, findings: SequenceFindings) -> None:
        nodes = findings.nodes
        for warning in (*findings.summary.warnings, *nodes.warnings):
            self._control.log(_("Warning: {text}").format(text=warning))
        self._control.log(findings.summary.plan)
        lines = [findings.text(), *findings.summary.warnings]
        if nodes.warnings:
            lines.append(_("{count} warnings are in the log.").format(count=len(nodes.warnings)))
        if nodes.transforms is not None:
            name = nodes.transforms.proxy.GetName()
            lines.append(_("Whatever is put under {transform} moves as the browser plays.").format(transform=name))
        self._say("\n".join(lines))
        self._control.log(findings.text())

    def _on_suggest(self, _checked: bool = False) -> None:
        volumes = self._volumes()
        if volumes is None or self._control.busy:
            return
        try:
            handover = FrameHandover(volumes.frames(), volumes.name, FOLDER_PREFIX)
        except RegistrationError as error:
            self._say(str(error))
            return

        def compare(progress: Progress) -> int:
            try:
                return reading_worker().run_blocking(ReferenceJob(handover.frames), progress=progress)
            finally:
                handover.close()

        def found(frame: int) -> None:
            if self._parameters is not None:
                self._parameters.sequenceReference = frame
            self._say(_("Frame {frame} lies nearest the middle of the motion.").format(frame=frame))

        self._control.do(compare, _("Comparing the frames"), found, self._place)

    def _on_cluster(self, _checked: bool = False) -> None:
        folder = _folder_from_user(_("Folder that the cluster can read and write"))
        if not folder or self._missing_for_cluster():
            return
        request = self._request()
        try:
            if isinstance(request, RegistrationError):
                raise request
            files = ClusterFiles(request, Path(folder))
        except RegistrationError as error:
            self._say(str(error))
            return

        def written(command: list[str]) -> None:
            text = shlex.join(command)
            slicer.app.clipboard().setText(text)
            self._say(
                _("Written. Run this where the cluster is (it is on the clipboard):\n{command}").format(command=text)
            )
            self._control.log(text)

        self._control.do(files.write, _("Writing the frames"), written, self._place)

    def _on_load(self, _checked: bool = False) -> None:
        folder = _folder_from_user(_("Output folder of the batch"))
        if not folder or self._missing_idle():
            return
        volumes = self._volumes()
        stage = _("Reading the results")
        self._control.run(lambda: BatchLoading(Path(folder), volumes), stage, self._show_loaded, self._place)

    def _show_loaded(self, loaded: LoadedCases) -> None:
        self._say(loaded.text())
        self._control.log(loaded.text())

    # ---- how it looks ----------------------------------------------------------------------------------------------

    def _volumes(self) -> SequenceOfVolumes | None:
        return None if self._missing_sequence() and not self._control.busy else self._chosen_volumes()

    def _chosen_volumes(self) -> SequenceOfVolumes | None:
        if self._parameters is None or self._parameters.sequence is None:
            return None
        try:
            return SequenceOfVolumes.of(self._parameters.sequence)
        except RegistrationError:
            return None

    def _on_opened(self, _collapsed: bool) -> None:
        self.update()

    def _show_size(self, volumes: SequenceOfVolumes | None) -> None:
        """The predicted size; looked at only where something changed, since a whole volume is looked at."""
        ui, chosen, card = self._ui, self._parameters, self._models.card
        if ui.sequenceCollapsibleButton.collapsed or volumes is None or card is None or self._control.busy:
            return
        keep, reference = chosen.sequenceStorage.value, min(chosen.sequenceReference, len(volumes) - 1)
        made_of = (volumes.sequence.GetID(), reference, card.name, chosen.resolution, keep, len(volumes))
        if made_of != self._sized[0]:
            self._sized = made_of, self._size_text(volumes, reference, chosen.resolution.value, keep)
        ui.sequenceSizeLabel.text = self._sized[1]

    def _size_text(self, volumes: SequenceOfVolumes, reference: int, resolution: str, keep: Any) -> str:
        card = self._models.card
        assert card is not None
        try:
            frame = volumes.frame(reference)
            if not isinstance(frame, Image):
                return frame
            size = predicted_size(frame, len(volumes), card, resolution, keep)
        except RegistrationError as error:
            return str(error)
        if not size.in_scene:
            return str(_("{count} frames: only what is carried is kept.").format(count=len(volumes)))
        text = _("{count} frames: the transforms will take about {disk} on disk and {scene} of memory.")
        return str(
            text.format(count=len(volumes), disk=readable_size(size.on_disk), scene=readable_size(size.in_scene))
        )

    def _say(self, text: str) -> None:
        self._control.say(text, self._place)


def _enable(button: Any, missing: str, what_it_does: str) -> None:
    button.enabled = not missing
    button.toolTip = missing or what_it_does


def _folder_from_user(title: str) -> str:
    import qt

    return str(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title) or "")
