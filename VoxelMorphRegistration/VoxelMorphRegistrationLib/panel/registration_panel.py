"""The panel: binds the parameter node to the widgets and hands each button to its section."""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.panel.adaptation_section import AdaptationSection
from VoxelMorphRegistrationLib.panel.check_section import CheckSection
from VoxelMorphRegistrationLib.panel.engine_first import with_engine
from VoxelMorphRegistrationLib.panel.field_import_section import FieldImportSection
from VoxelMorphRegistrationLib.panel.fit_check import FitCheck
from VoxelMorphRegistrationLib.panel.models_section import ModelsSection
from VoxelMorphRegistrationLib.panel.run_control import RunControl
from VoxelMorphRegistrationLib.panel.sequence_section import SequenceSection
from VoxelMorphRegistrationLib.panel.setup_section import SetupSection
from VoxelMorphRegistrationLib.panel.transform_diagnosis_section import TransformDiagnosisSection
from VoxelMorphRegistrationLib.slicer_bridge.background import close_shared_worker
from VoxelMorphRegistrationLib.slicer_bridge.registration import RegistrationNodes


class RegistrationPanel(VTKObservationMixin):  # type: ignore[misc]  # slicer has no types
    """What the module's widget consists of, apart from the base class that Slicer prescribes.

    ``ui_widget`` was loaded from VoxelMorphRegistration.ui, ``logic`` starts registrations and owns the parameter
    node, ``resource_path`` finds the module's resources.
    """

    def __init__(self, ui_widget: Any, logic: Any, resource_path: Any, catalogue: Catalogue | None = None) -> None:
        VTKObservationMixin.__init__(self)
        self.logic = logic
        self.ui = ui = slicer.util.childWidgetVariables(ui_widget)
        self._ui_widget, self._resource_path = ui_widget, resource_path
        self._parameters: Any = None
        self._gui_tag: Any = None
        self.control = RunControl(ui, self._on_run_changed)
        self.models = ModelsSection(
            ui,
            resource_path("UI/ModelCardForm.ui"),
            catalogue or Catalogue(),
            self.control,
            self._on_model_chosen,
        )
        self.setup = SetupSection(ui, self.control)
        self.sequences = SequenceSection(self._added("SequenceSection"), self.control, self.models, logic)
        self.adaptation = AdaptationSection(self._added("AdaptationSection"), self.control, self.models, logic)
        self.check = CheckSection(self._added("CheckSection"), self.control, lambda: self._parameters)
        self.fields = FieldImportSection(self._added("FieldImportSection"), self.control, lambda: self._parameters)
        self.transforms = TransformDiagnosisSection(
            self._added("TransformDiagnosisSection"), self.control, lambda: self._parameters
        )
        self.fit = FitCheck(ui.fitLabel)
        ui.applyButton.connect("clicked(bool)", self._on_apply)
        self._shortcut = qt.QShortcut(qt.QKeySequence("Ctrl+Return"), ui_widget)
        self._shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        self._shortcut.connect("activated()", self._on_shortcut)

    def set_parameters(self, parameters: Any) -> None:
        """Show and edit these parameters; None shows nothing."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._gui_tag)
            self.removeObserver(self._parameters, vtk.vtkCommand.ModifiedEvent, self._on_parameters_modified)
        self._parameters = parameters
        self.sequences.set_parameters(parameters)
        self.adaptation.set_parameters(parameters)
        if parameters is not None:
            self._gui_tag = parameters.connectGui(self.ui)
            self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self._on_parameters_modified)
            self._on_parameters_modified()

    def close(self) -> None:
        """End what runs, and the background process, and let go of the scene."""
        self.on_scene_closing()
        close_shared_worker()
        self.removeObservers()

    def on_scene_closing(self) -> None:
        """The nodes are about to go: so does what runs on them."""
        self.fit.stop()
        self.control.abandon()
        self.check.forget()
        self.fields.forget()
        self.transforms.forget()
        self.set_parameters(None)

    def update(self) -> None:
        """Show what can be done now."""
        button = self.ui.applyButton
        if self.control.busy:
            button.text = _("Cancelling...") if self.control.cancelling else _("Cancel")
            button.enabled = not self.control.cancelling
            button.toolTip = _("End the registration; nothing of it is kept.")
        else:
            missing = self._what_is_missing()
            button.text = _("Apply")
            button.enabled = not missing
            button.toolTip = missing or _("Register the moving volume to the fixed volume (Ctrl+Enter).")
        self.models.update()
        self.setup.update()
        self.sequences.update()
        self.adaptation.update()
        self.check.update()
        self.fields.update()
        self.transforms.update()

    def _added(self, section: str) -> Any:
        """A section's widget from its own .ui, put above the models."""
        widget = slicer.util.loadUI(self._resource_path(f"UI/{section}.ui"))
        widget.layout().setContentsMargins(0, 0, 0, 0)
        layout = self._ui_widget.layout()
        layout.insertWidget(layout.indexOf(self.ui.modelsCollapsibleButton), widget)
        widget.setMRMLScene(slicer.mrmlScene)
        return widget

    def _what_is_missing(self) -> str:
        """Why Apply cannot be pressed, for its tooltip; empty if it can."""
        chosen = self._parameters
        if chosen is None:
            return str(_("There is no scene."))
        outputs = (chosen.outputTransform, chosen.outputInverseTransform, chosen.outputVolume)
        reasons = (
            (chosen.fixedVolume is None, _("Select a fixed volume.")),
            (chosen.movingVolume is None, _("Select a moving volume.")),
            (
                chosen.fixedVolume is chosen.movingVolume,
                _("The fixed and the moving volume are the same; select two volumes."),
            ),
            (
                all(node is None for node in outputs),
                _("Select at least one output: a transform, an inverse transform or a transformed volume."),
            ),
            (self.models.card is None, _("The chosen model is not available; choose another.")),
            (
                not self.models.can_be_had,
                _("The file of the chosen model is missing; add it again or choose another model."),
            ),
        )
        said: str = next((reason for applies, reason in reasons if applies), "")
        return said

    def _nodes(self) -> RegistrationNodes:
        chosen = self._parameters
        return RegistrationNodes(
            chosen.fixedVolume,
            chosen.movingVolume,
            chosen.fixedMask,
            chosen.movingMask,
            transform=chosen.outputTransform,
            affine_transform=chosen.outputAffineTransform,
            inverse_transform=chosen.outputInverseTransform,
            volume=chosen.outputVolume,
            direction=chosen.direction.value,
            output_grid=chosen.outputGrid.value,
        )

    def _on_apply(self, _checked: bool = False) -> None:
        if self.control.busy:
            self.control.cancel()
            return
        self.models.refresh()  # its file may have been deleted, or put there, meanwhile
        if self._what_is_missing():
            self.update()
            return
        if not self.models.is_available and not slicer.util.confirmOkCancelDisplay(self.models.download_question()):
            self.control.say(_("The model was not downloaded, so nothing was registered."))
            return
        with_engine(self.control, self._parameters.engine.value, self._register)

    def _register(self, engine_folders: list[Any]) -> None:
        chosen = self._parameters
        if chosen is None:  # another module was opened while the engine was installed
            return
        nodes = self._nodes()
        self.control.register(
            lambda: self.logic.start(
                nodes,
                engine_folders,
                keepFiles=chosen.keepFiles,
                model=chosen.model,
                engine=chosen.engine.value,
                preAlignment=chosen.preAlignment.value,
                resolution=chosen.resolution.value,
                intensity=chosen.intensity.value,
                refineSeconds=chosen.refineSeconds,
            )
        )

    def _on_shortcut(self) -> None:
        if self.ui.applyButton.enabled and not self.control.busy:
            self._on_apply()

    def _on_run_changed(self) -> None:
        if not self.control.busy:  # what ran may have downloaded a model or installed an engine
            self.models.refresh()
            self.setup.refresh()
        self.update()

    def _on_model_chosen(self, name: str) -> None:
        if self._parameters is not None:
            self._parameters.model = name

    def _on_parameters_modified(self, _caller: object = None, _event: object = None) -> None:
        if self._parameters is None:
            return
        self.models.select(self._parameters.model)
        self.fit.look_at(self._nodes(), self.models.card, self._parameters.resolution.value)
        self.update()
