"""The section "Check": measures any transform of the scene, says what speaks against it, and shows what it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from VoxelMorphRegistrationLib.errors import RegistrationError
from VoxelMorphRegistrationLib.panel.run_control import RunControl
from VoxelMorphRegistrationLib.pipeline.quality.results import CheckResult
from VoxelMorphRegistrationLib.pipeline.quality.table import as_table, not_measured
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge.background import reading_worker
from VoxelMorphRegistrationLib.slicer_bridge.checking import CheckNodes, check_job, write_check
from VoxelMorphRegistrationLib.slicer_bridge.map_display import Style, show_transform, shown_style

_INPUTS = ("Transform", "Inverse", "FixedSegmentation", "MovingSegmentation", "FixedPoints", "MovingPoints")
_OUTPUTS = ("Jacobian", "Magnitude")


class CheckSection:
    """``widget`` was loaded from CheckSection.ui; ``chosen()`` gives the panel's parameters or None."""

    def __init__(self, widget: Any, control: RunControl, chosen: Callable[[], Any]) -> None:
        self._ui = ui = slicer.util.childWidgetVariables(widget)
        self._control, self._chosen = control, chosen
        self._place = SimpleNamespace(progressBar=ui.checkProgressBar, statusLabel=ui.checkStatusLabel)
        self._checked: tuple[Any, Any] | None = None  # the volumes that what is said is about
        self._table: Any = None
        self._report: Path | None = None  # the last one that was written
        for name in (*_INPUTS, *_OUTPUTS):  # nothing is compared, or written over, that the user has not chosen
            self._selector(name).setCurrentNode(None)
        for name in _INPUTS:
            self._selector(name).connect("currentNodeChanged(vtkMRMLNode*)", self._on_changed)
        for name in _OUTPUTS:
            self._selector(name).connect("currentNodeChanged(vtkMRMLNode*)", self._on_output_changed)
        ui.checkButton.connect("clicked(bool)", self._on_check)
        ui.checkGridButton.connect("clicked(bool)", self._on_grid)
        ui.checkArrowsButton.connect("clicked(bool)", self._on_arrows)
        ui.checkMapButton.connect("clicked(bool)", self._on_map)
        ui.checkReportPathLineEdit.connect("currentPathChanged(QString)", self._on_output_changed)
        ui.checkReportButton.connect("clicked(bool)", self._on_report)
        ui.checkProgressBar.hide()
        self.forget()

    def forget(self) -> None:
        """Say nothing that was found: something else is chosen, or the nodes go."""
        self._checked = None
        self._say("")
        self.update()

    def update(self) -> None:
        """Enable what can be done now, and say what is missing."""
        button, parameters = self._ui.checkButton, self._chosen()
        volumes = None if parameters is None else (parameters.fixedVolume, parameters.movingVolume)
        if self._checked is not None and (
            volumes is None or any(one is not other for one, other in zip(self._checked, volumes, strict=True))
        ):
            self.forget()
            return
        if self._control.busy_in(self._place):
            button.text = _("Cancelling...") if self._control.cancelling else _("Cancel")
            button.enabled = not self._control.cancelling
            button.toolTip = _("End this; nothing of it is kept.")
        else:
            missing = self._what_is_missing()
            button.text = _("Check")
            button.enabled = not missing
            button.toolTip = missing or _("Measure what this transform does to the moving volume.")
        self._update_display_buttons(parameters)

    def _update_display_buttons(self, parameters: Any) -> None:
        ui, transform = self._ui, self._selector("Transform").currentNode()
        fixed = parameters.fixedVolume if parameters is not None else None
        drawable = transform is not None and fixed is not None
        style = shown_style(transform)
        for button, own, shows in (
            (
                ui.checkGridButton,
                "grid",
                _("Draw the transform as a warped grid over the slice views; again to hide it."),
            ),
            (
                ui.checkArrowsButton,
                "arrows",
                _("Draw the transform as arrows over the slice views; again to hide them."),
            ),
        ):
            button.enabled = drawable
            button.checked = drawable and style == own
            button.toolTip = shows if drawable else _("Select a transform here, and the fixed volume above.")
        maps = self._maps()
        ui.checkMapButton.enabled = fixed is not None and bool(maps)
        ui.checkMapButton.toolTip = (
            _("Lay the next of the maps over the fixed volume in the slice views.")
            if ui.checkMapButton.enabled
            else _("Choose a map among the outputs and press Check.")
        )

        ui.checkReportButton.enabled = self._report is not None and self._report.is_file()
        ui.checkReportButton.toolTip = (
            _("Open {file} in your browser.").format(file=self._report)
            if ui.checkReportButton.enabled
            else _("Name a file for the report among the outputs and press Check.")
        )

    def _what_is_missing(self) -> str:
        parameters = self._chosen()
        if parameters is None:
            return str(_("There is no scene."))
        fixed, moving = parameters.fixedVolume, parameters.movingVolume
        node = {name: self._selector(name).currentNode() for name in (*_INPUTS, *_OUTPUTS)}
        outputs = [node[name] for name in _OUTPUTS if node[name] is not None]
        reasons = (
            (self._control.busy, _("Wait for what is running, or cancel it.")),
            (fixed is None, _("Select the fixed volume above: the one that stays.")),
            (moving is None, _("Select the moving volume above: the one that the transform moves.")),
            (fixed is moving, _("The fixed and the moving volume are the same; select two volumes.")),
            (node["Transform"] is None, _("Select a transform.")),
            (
                node["MovingSegmentation"] is not None and node["FixedSegmentation"] is None,
                _("Select the fixed segmentation, too: there is nothing to compare the moving one with."),
            ),
            (
                (node["FixedPoints"] is None) != (node["MovingPoints"] is None),
                _("Select landmarks on both sides, or on none."),
            ),
            (
                any(output is volume for output in outputs for volume in (fixed, moving))
                or len(set(outputs)) < len(outputs),
                _("A map would replace another volume; select another output."),
            ),
        )
        return next((str(reason) for applies, reason in reasons if applies), "")

    def _on_check(self, _checked: bool = False) -> None:
        if self._control.busy:
            self._control.cancel()
            return
        if self._what_is_missing():
            self.update()
            return
        self.forget()
        nodes = self._nodes()
        try:
            job = check_job(nodes, self._report_path())
        except RegistrationError as error:
            self._say(str(error))
            return

        def check(progress: Progress) -> CheckResult:
            return reading_worker().run_blocking(job, progress=progress)

        def found(result: CheckResult) -> None:
            if nodes.fixed.GetScene() is None or nodes.moving.GetScene() is None:
                self._say(_("A volume was deleted meanwhile; nothing was changed."))
                return
            self._table = write_check(result, nodes).table
            self._checked = nodes.fixed, nodes.moving
            self._report = job.report
            self._say(_in_plain_words(result))
            self._control.log(as_table(result))
            self.update()

        self._control.do(check, _("Starting"), found, self._place)

    def _nodes(self) -> CheckNodes:
        parameters = self._chosen()
        node = {name: self._selector(name).currentNode() for name in (*_INPUTS, *_OUTPUTS)}
        table = self._table if self._table is not None and self._table.GetScene() is not None else None
        return CheckNodes(
            parameters.fixedVolume,
            parameters.movingVolume,
            node["Transform"],
            node["FixedSegmentation"],
            node["MovingSegmentation"],
            node["FixedPoints"],
            node["MovingPoints"],
            inverse=node["Inverse"],
            fixed_mask=parameters.fixedMask,
            jacobian=node["Jacobian"],
            magnitude=node["Magnitude"],
            table=table,
        )

    def _on_grid(self, checked: bool = False) -> None:
        self._draw("grid" if checked else None)

    def _on_arrows(self, checked: bool = False) -> None:
        self._draw("arrows" if checked else None)

    def _draw(self, style: Style | None) -> None:
        parameters, transform = self._chosen(), self._selector("Transform").currentNode()
        if parameters is not None and transform is not None and parameters.fixedVolume is not None:
            try:
                show_transform(transform, style, parameters.fixedVolume)
            except RegistrationError as error:
                self._say(str(error))
        self.update()

    def _on_map(self, _checked: bool = False) -> None:
        """The first map, or the one after that which lies over the fixed volume now."""
        maps, parameters = self._maps(), self._chosen()
        if not maps or parameters is None or parameters.fixedVolume is None:
            return
        views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
        shown = views[0].GetForegroundVolumeID() if views else None
        ids = [node.GetID() for node in maps]
        following = maps[(ids.index(shown) + 1) % len(maps)] if shown in ids else maps[0]
        slicer.util.setSliceViewerLayers(background=parameters.fixedVolume, foreground=following, foregroundOpacity=0.6)

    def _on_report(self, _checked: bool = False) -> None:
        if self._report is not None and self._report.is_file():
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._report)))
        self.update()

    def _report_path(self) -> Path | None:
        text = str(self._ui.checkReportPathLineEdit.currentPath).strip()
        return Path(text) if text else None

    def _maps(self) -> list[Any]:
        nodes = [self._selector(name).currentNode() for name in _OUTPUTS]
        return [node for node in nodes if node is not None and node.GetImageData() is not None]

    def _selector(self, name: str) -> Any:
        return getattr(self._ui, f"check{name}Selector")

    def _on_changed(self, _node: Any) -> None:
        self.forget()

    def _on_output_changed(self, _node: Any) -> None:
        self.update()

    def _say(self, text: str) -> None:
        self._ui.checkStatusLabel.text = text
        self._ui.checkStatusLabel.setVisible(bool(text))


def _in_plain_words(found: CheckResult) -> str:
    """The verdict, then what it rests on, then what could not be told."""
    lines = [found.verdict, *(f"• {remark.message}" for remark in found.further_remarks)]
    missing = not_measured(found)
    if missing:
        lines.append(_("Not measured: {what}.").format(what="; ".join(missing)))
    lines.append(_("All numbers are in a table of the scene, and below in the log."))
    return "\n".join(lines)
