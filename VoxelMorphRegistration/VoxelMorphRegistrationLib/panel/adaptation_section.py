"""The section that adapts the chosen model to the chosen sequence: minutes of training, then a model of its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import slicer
from slicer.i18n import tr as _

from VoxelMorphRegistrationLib.errors import RegistrationError
from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.panel.engine_first import with_engine
from VoxelMorphRegistrationLib.panel.models_section import ModelsSection
from VoxelMorphRegistrationLib.panel.run_control import RunControl
from VoxelMorphRegistrationLib.slicer_bridge.adaptation import ENGINE
from VoxelMorphRegistrationLib.slicer_bridge.sequences import SequenceOfVolumes


class AdaptationSection:
    """``widget`` was loaded from AdaptationSection.ui; ``models`` knows the chosen model, ``logic`` starts runs."""

    def __init__(self, widget: Any, control: RunControl, models: ModelsSection, logic: Any) -> None:
        self._ui = ui = slicer.util.childWidgetVariables(widget)
        self._control, self._models, self._logic = control, models, logic
        self._place = SimpleNamespace(progressBar=ui.adaptProgressBar, statusLabel=ui.adaptStatusLabel)
        self._parameters: Any = None
        self._gui_tag: Any = None
        ui.adaptButton.connect("clicked(bool)", self._on_run)
        ui.adaptProgressBar.hide()
        self._control.say("", self._place)

    def set_parameters(self, parameters: Any) -> None:
        """Show and edit these parameters; None shows nothing."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._gui_tag)
        self._parameters = parameters
        if parameters is not None:
            self._gui_tag = parameters.connectGui(self._ui)

    def update(self) -> None:
        """Enable what can be done now, and say what is missing."""
        button = self._ui.adaptButton
        if self._control.busy_in(self._place):
            button.text = _("Cancelling...") if self._control.cancelling else _("Cancel")
            button.enabled = not self._control.cancelling
            button.toolTip = _("End the training; no model is added.")
            return
        missing = self._what_is_missing()
        button.text = _("Adapt the model")
        button.enabled = not missing
        button.toolTip = missing or _(
            "Train the chosen model on the frames; the result is added to the list of models."
        )

    def _what_is_missing(self) -> str:
        if self._parameters is None:
            return str(_("There is no scene."))
        if self._control.busy:
            return str(_("Wait for what is running, or cancel it."))
        if self._parameters.sequence is None:
            return str(_("Select a sequence of volumes in the section Sequence."))
        try:
            SequenceOfVolumes.of(self._parameters.sequence)
        except RegistrationError as error:
            return str(error)
        if self._models.card is None or not self._models.can_be_had:
            return str(_("The chosen model is not available; choose another."))
        return ""

    def _on_run(self, _checked: bool = False) -> None:
        if self._control.busy:
            self._control.cancel()
            return
        self._models.refresh()  # its file may have been deleted, or put there, meanwhile
        if self._what_is_missing():
            self.update()
            return
        if not self._models.is_available and not slicer.util.confirmOkCancelDisplay(self._models.download_question()):
            self._control.say(_("The model was not downloaded, so it was not adapted."), self._place)
            return
        with_engine(self._control, ENGINE, self._adapt, self._place)

    def _adapt(self, engine_folders: list[Any]) -> None:
        chosen = self._parameters
        if chosen is None:  # another module was opened while the engine was installed
            return
        title = str(self._ui.adaptTitleLineEdit.text).strip()
        minutes, model, resolution = chosen.adaptMinutes, chosen.model, chosen.resolution.value
        self._control.run(
            lambda: self._logic.startAdaptation(
                self._logic.adaptationRequest(chosen.sequence, minutes, title, model, resolution), engine_folders
            ),
            _("Reading the sequence"),
            self._show,
            self._place,
        )

    def _show(self, card: ModelCard) -> None:
        self._models.choose(card.name)
        text = _("{title} was added to the models, and chosen. {description}").format(
            title=card.title, description=card.description
        )
        self._control.say(text, self._place)
        self._control.log(text)
