"""The panel: binds the parameter node to the widgets and hands each button to its section."""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from VoxelMorphRegistrationLib.errors import RegistrationError
from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.panel.models_section import ModelsSection
from VoxelMorphRegistrationLib.panel.run_control import RunControl
from VoxelMorphRegistrationLib.panel.setup_section import SetupSection
from VoxelMorphRegistrationLib.pipeline.input_check import misfits
from VoxelMorphRegistrationLib.slicer_bridge.background import close_shared_worker
from VoxelMorphRegistrationLib.slicer_bridge.installation import chosen_installation
from VoxelMorphRegistrationLib.slicer_bridge.registration import RegistrationNodes, read_inputs

_FIT_CHECK_DELAY_MILLISECONDS = 300


class RegistrationPanel(VTKObservationMixin):  # type: ignore[misc]  # slicer has no types
    """What the module's widget consists of, apart from the base class that Slicer prescribes.

    ``ui`` holds the widgets of VoxelMorphRegistration.ui, ``logic`` starts registrations and owns the parameter
    node, ``resource_path`` finds the module's resources.
    """

    def __init__(self, ui_widget: Any, logic: Any, resource_path: Any, catalogue: Catalogue | None = None) -> None:
        VTKObservationMixin.__init__(self)
        self.logic = logic
        self.ui = ui = slicer.util.childWidgetVariables(ui_widget)
        self.control = RunControl(ui, self.update)
        self.models = ModelsSection(
            ui,
            resource_path("UI/ModelCardForm.ui"),
            catalogue or Catalogue(),
            self.control,
            self._on_model_chosen,
        )
        self.setup = SetupSection(ui, self.control)
        self._parameters: Any = None
        self._gui_tag: Any = None
        self._fit_timer = qt.QTimer()
        self._fit_timer.setSingleShot(True)
        self._fit_timer.setInterval(_FIT_CHECK_DELAY_MILLISECONDS)
        self._fit_timer.connect("timeout()", self._check_fit)
        ui.fitLabel.hide()
        ui.applyButton.connect("clicked(bool)", self._on_apply)
        self._shortcut = qt.QShortcut(qt.QKeySequence("Ctrl+Return"), ui_widget)
        self._shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        self._shortcut.connect("activated()", self._on_shortcut)
        self.setup.update()

    def set_parameters(self, parameters: Any) -> None:
        """Show and edit these parameters; None shows nothing."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._gui_tag)
            self.removeObserver(self._parameters, vtk.vtkCommand.ModifiedEvent, self._on_parameters_modified)
        self._parameters = parameters
        if parameters is not None:
            self._gui_tag = parameters.connectGui(self.ui)
            self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self._on_parameters_modified)
            self._on_parameters_modified()

    def close(self) -> None:
        """End what runs, and the background process, and let go of the scene."""
        self._fit_timer.stop()
        self.control.abandon()
        close_shared_worker()
        self.set_parameters(None)
        self.removeObservers()

    def on_scene_closing(self) -> None:
        """The nodes are about to go: so does what runs on them."""
        self._fit_timer.stop()
        self.control.abandon()
        self.set_parameters(None)

    def update(self) -> None:
        """Show what can be done now."""
        missing = self._what_is_missing()
        button = self.ui.applyButton
        if self.control.busy:
            button.text = _("Cancelling...") if self.control.cancelling else _("Cancel")
            button.enabled = not self.control.cancelling
            button.toolTip = _("End the registration; nothing of it is kept.")
        else:
            button.text = _("Apply")
            button.enabled = not missing
            button.toolTip = missing or _("Register the moving volume to the fixed volume (Ctrl+Enter).")
        self.models.update()
        self.setup.update()

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
            direction=chosen.direction,
            output_grid=chosen.outputGrid,
        )

    def _on_apply(self, _checked: bool = False) -> None:
        if self.control.busy:
            self.control.cancel()
            return
        if not self.models.is_available() and not slicer.util.confirmOkCancelDisplay(self.models.download_question()):
            self.ui.statusLabel.text = _("The model was not downloaded, so nothing was registered.")
            return
        installation = chosen_installation(self._parameters.engine)
        if installation.status().is_usable:
            self._register()
        elif slicer.util.confirmOkCancelDisplay(installation.question()):
            self.control.do(lambda progress: installation.install(lambda _question: True, progress), self._register)
        else:
            self.ui.statusLabel.text = _("{title} was not installed, so nothing was registered.").format(
                title=installation.packages.title
            )

    def _on_shortcut(self) -> None:
        if self.ui.applyButton.enabled and not self.control.busy:
            self._on_apply()

    def _register(self) -> None:
        chosen = self._parameters
        if chosen is None:
            return
        nodes = self._nodes()
        self.control.register(
            lambda: self.logic.start(
                nodes,
                model=chosen.model,
                engine=chosen.engine,
                preAlignment=chosen.preAlignment,
                resolution=chosen.resolution,
                intensity=chosen.intensity,
            )
        )

    def _on_model_chosen(self, name: str) -> None:
        if self._parameters is not None:
            self._parameters.model = name

    def _on_parameters_modified(self, _caller: object = None, _event: object = None) -> None:
        if self._parameters is None:
            return
        self.models.select(self._parameters.model)
        self._fit_timer.start()
        self.update()

    def _check_fit(self) -> None:
        """Say, before the run, what in the volumes does not fit the model."""
        parameters, card = self._parameters, self.models.card
        if parameters is None or self.control.busy:
            return
        said: list[str] = []
        if parameters.fixedVolume is not None and parameters.movingVolume is not None and card is not None:
            try:
                inputs = read_inputs(self._nodes())
                said = misfits(
                    inputs.fixed, inputs.moving, card, parameters.resolution, inputs.fixed_mask, inputs.moving_mask
                )
            except RegistrationError as error:
                said = [str(error)]
        self.ui.fitLabel.text = "\n".join(said)
        self.ui.fitLabel.setVisible(bool(said))
