"""The section "What is wrong with my transform?": examines a transform of the scene, says it plainly, mends it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import slicer
from slicer.i18n import tr as _

from VoxelMorphRegistrationLib.errors import RegistrationError
from VoxelMorphRegistrationLib.panel.examination import Converted, converter, examine
from VoxelMorphRegistrationLib.panel.pictures import show_picture
from VoxelMorphRegistrationLib.panel.run_control import RunControl
from VoxelMorphRegistrationLib.panel.wording import fit_of_candidate, in_words, points, why
from VoxelMorphRegistrationLib.pipeline.conventions.thresholds import MARGIN
from VoxelMorphRegistrationLib.pipeline.field_jobs import FieldDiagnosis, FieldDiagnosisJob
from VoxelMorphRegistrationLib.slicer_bridge import field_import
from VoxelMorphRegistrationLib.slicer_bridge.transform_content import TransformContent

_CLEAR_GAIN = 0.02
"""Similarity by which an unproved repair must help to be offered."""


class TransformDiagnosisSection:
    """``widget`` was loaded from TransformDiagnosisSection.ui; ``chosen()`` gives the panel's parameters or None."""

    def __init__(self, widget: Any, control: RunControl, chosen: Callable[[], Any]) -> None:
        self._ui = ui = slicer.util.childWidgetVariables(widget)
        self._control, self._chosen = control, chosen
        self._place = SimpleNamespace(progressBar=ui.diagnoseProgressBar, statusLabel=ui.diagnoseStatusLabel)
        self._examined: tuple[FieldDiagnosisJob, FieldDiagnosis, Any, Any, Any] | None = (
            None  # transform, fixed, moving
        )
        self._former: TransformContent | None = None
        ui.diagnoseTransformSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_changed)
        ui.diagnoseButton.connect("clicked(bool)", self._on_examine)
        ui.repairButton.connect("clicked(bool)", self._on_repair)
        ui.undoRepairButton.connect("clicked(bool)", self._on_undo)
        ui.diagnoseProgressBar.hide()
        self.forget()

    def forget(self) -> None:
        """Show nothing that was found: another transform or other volumes are chosen, or they go."""
        self._examined = self._former = None
        self._say("")
        self._show_pictures()
        self.update()

    def update(self) -> None:
        """Enable what can be done now, and say what is missing."""
        ui, button = self._ui, self._ui.diagnoseButton
        if self._examined is not None and not self._is_about_what_is_chosen():
            self.forget()
            return
        if self._control.busy_in(self._place):
            button.text = _("Cancelling...") if self._control.cancelling else _("Cancel")
            button.enabled = not self._control.cancelling
            button.toolTip = _("End this; nothing of it is kept.")
        else:
            missing = self._what_is_missing()
            button.text = _("Find out")
            button.enabled = not missing
            button.toolTip = missing or _("Find out what the numbers in the transform mean, and what is wrong with it.")
        why_not = self._why_no_repair()
        ui.repairButton.enabled = not why_not
        ui.repairButton.toolTip = why_not or _("Replace the transform's content by what its numbers mean.")
        ui.undoRepairButton.enabled = self._former is not None and not self._control.busy
        ui.undoRepairButton.toolTip = (
            _("Put back what the transform held before it was repaired.")
            if self._former is not None
            else _("Nothing was repaired.")
        )

    def _what_is_missing(self) -> str:
        parameters = self._chosen()
        if parameters is None:
            return str(_("There is no scene."))
        fixed, moving = parameters.fixedVolume, parameters.movingVolume
        reasons = (
            (self._control.busy, _("Wait for what is running, or cancel it.")),
            (self._ui.diagnoseTransformSelector.currentNode() is None, _("Select a transform.")),
            (fixed is None, _("Select the fixed volume above: the one that stays.")),
            (moving is None, _("Select the moving volume above: the one that the transform is to move.")),
            (fixed is moving, _("The fixed and the moving volume are the same; select two volumes.")),
        )
        return next((str(reason) for applies, reason in reasons if applies), "")

    def _why_no_repair(self) -> str:
        if self._control.busy:
            return str(_("Wait for what is running, or cancel it."))
        if self._examined is None:
            return str(_("First find out what is wrong."))
        if self._former is not None:
            return str(_("It was repaired."))
        diagnosis = self._examined[1]
        if field_import.is_right(diagnosis):
            return str(_("There is nothing to repair."))
        if not _can_be_repaired(diagnosis):
            return str(_("It is not clear what the transform's numbers mean, so it cannot be repaired."))
        return ""

    def _is_about_what_is_chosen(self) -> bool:
        parameters = self._chosen()
        if parameters is None or self._examined is None:
            return False
        transform, fixed, moving = self._examined[2:]
        chosen = (self._ui.diagnoseTransformSelector.currentNode(), parameters.fixedVolume, parameters.movingVolume)
        return all(one is other for one, other in zip((transform, fixed, moving), chosen, strict=True))

    def _on_changed(self, _node: Any) -> None:
        self.forget()

    def _on_examine(self, _checked: bool = False) -> None:
        if self._control.busy:
            self._control.cancel()
            return
        if self._what_is_missing():
            self.update()
            return
        self.forget()
        parameters, transform = self._chosen(), self._ui.diagnoseTransformSelector.currentNode()
        fixed, moving = parameters.fixedVolume, parameters.movingVolume
        masks = parameters.fixedMask, parameters.movingMask

        def make_job() -> FieldDiagnosisJob:
            return field_import.transform_diagnosis_job(transform, fixed, moving, pictures=1, masks=masks)

        def found(job: FieldDiagnosisJob, diagnosis: FieldDiagnosis) -> None:
            self._examined = job, diagnosis, transform, fixed, moving
            self._show_pictures()
            self._say(_in_plain_words(diagnosis))
            self.update()

        examine(self._control, self._place, make_job, found)

    def _on_repair(self, _checked: bool = False) -> None:
        if self._examined is None or self._why_no_repair():
            return
        job, diagnosis, transform, fixed, moving = self._examined

        def write(converted: Converted) -> None:
            field, meant = converted
            if transform.GetScene() is None:
                self._say(_("The transform was deleted meanwhile; nothing was changed."))
                return
            former = TransformContent(transform)
            there = [node if node.GetScene() is not None else None for node in (fixed, moving)]
            try:
                field_import.write_meant_field(field, transform, fixed=there[0], moving=there[1])
            except RegistrationError as error:
                self._say(str(error))
                return
            self._former = former
            said = [_("Repaired: {name} holds the field as it is meant.").format(name=transform.GetName()), *meant.done]
            if moving.GetScene() is not None and not _is_above(transform, moving):
                said.append(_("Put the moving volume under it to see it."))
            self._say("\n".join([*said, *(f"• {finding.message}" for finding in meant.findings)]))
            self.update()

        convert = converter(job, diagnosis, 1, field_import.repairs_for(diagnosis))
        self._control.do(convert, _("Repairing"), write, self._place)

    def _on_undo(self, _checked: bool = False) -> None:
        if self._former is not None and self._examined is not None:
            self._former.restore()
            self._former = None
            self._say(_in_plain_words(self._examined[1]))
            self.update()

    def _show_pictures(self) -> None:
        diagnosis = self._examined[1] if self._examined is not None else None
        before = diagnosis.before if diagnosis is not None else None
        wrong = diagnosis is not None and _can_be_repaired(diagnosis) and not field_import.is_right(diagnosis)
        after = diagnosis.pictures[0] if diagnosis is not None and wrong and diagnosis.pictures else None
        for name, picture in (("Before", before), ("After", after)):
            getattr(self._ui, f"diagnose{name}Label").visible = picture is not None
            show_picture(getattr(self._ui, f"diagnose{name}Picture"), picture)

    def _say(self, text: str) -> None:
        self._ui.diagnoseStatusLabel.text = text
        self._ui.diagnoseStatusLabel.setVisible(bool(text))


def _in_plain_words(diagnosis: FieldDiagnosis) -> str:
    """What is wrong, or that nothing is."""
    after: list[str] = []
    if field_import.is_right(diagnosis):
        lines = [_("Nothing is wrong with this transform: it moves the moving volume onto the fixed one.")]
    elif diagnosis.accepted:
        lines = [_("This transform is wrong, and can be repaired:")]
        after = [
            _("What its numbers really are: {text}.").format(text=in_words(diagnosis.best.convention)),
            fit_of_candidate(diagnosis, 0),
        ]
    else:
        lines, after = [_("It is not clear what the numbers in this transform mean.")], why(diagnosis, numbered=False)
        if _may_be_right(diagnosis):
            after.append(_("It may be right as it is."))
        elif _can_be_repaired(diagnosis):
            after += [
                _("Most likely: {text}.").format(text=in_words(diagnosis.best.convention)),
                fit_of_candidate(diagnosis, 0),
                _("Compare the pictures; a repair can be undone."),
            ]
    return "\n".join([*lines, *points(diagnosis), *after])


def _can_be_repaired(diagnosis: FieldDiagnosis) -> bool:
    """Whether the likeliest meaning is accepted, or makes the volumes clearly more alike for the user to judge."""
    if diagnosis.accepted or not diagnosis.candidates:
        return diagnosis.accepted
    if _may_be_right(diagnosis):
        return False
    after, before = diagnosis.best.similarity, diagnosis.similarity_before
    return after is not None and before is not None and after > before + _CLEAR_GAIN


def _may_be_right(diagnosis: FieldDiagnosis) -> bool:
    """Whether what the transform was used as is among what cannot be told apart."""
    near = (c for c in diagnosis.candidates if c.behind is not None and c.behind < MARGIN)
    return any(c.stated for c in near)


def _is_above(transform: Any, node: Any) -> bool:
    while (node := node.GetParentTransformNode()) is not None:
        if node is transform:
            return True
    return False
