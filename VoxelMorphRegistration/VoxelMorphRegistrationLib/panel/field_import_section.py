"""The section that imports a displacement field of another program: examined, chosen among previews, imported."""

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
from VoxelMorphRegistrationLib.panel.views import show_result
from VoxelMorphRegistrationLib.panel.wording import SHOWN, candidate_title, fit_of_candidate, plain_verdict
from VoxelMorphRegistrationLib.pipeline.field_jobs import FieldDiagnosis, FieldDiagnosisJob
from VoxelMorphRegistrationLib.slicer_bridge import field_import
from VoxelMorphRegistrationLib.slicer_bridge.registration import RegistrationNodes


class FieldImportSection:
    """``widget`` was loaded from FieldImportSection.ui; ``chosen()`` gives the panel's parameters, None if none."""

    def __init__(self, widget: Any, control: RunControl, chosen: Callable[[], Any]) -> None:
        self._ui = ui = slicer.util.childWidgetVariables(widget)
        self._control, self._chosen = control, chosen
        self._place = SimpleNamespace(progressBar=ui.importProgressBar, statusLabel=ui.importStatusLabel)
        self._examined: tuple[FieldDiagnosisJob, FieldDiagnosis, Any, Any] | None = None  # and fixed, moving node
        self._examined_path = ""
        ui.importPathLineEdit.connect("currentPathChanged(QString)", self._on_changed)
        ui.importKeyLineEdit.connect("textChanged(QString)", self._on_changed)
        ui.importExamineButton.connect("clicked(bool)", self._on_examine)
        for number in range(SHOWN):
            self._row(number).button.connect("clicked(bool)", self._importer(number))
        ui.importOthersCheckBox.connect("toggled(bool)", self._on_others)
        ui.importProgressBar.hide()
        self.forget()

    def forget(self) -> None:
        """Show nothing that was found: the volumes or the field are others, or go."""
        self._examined = None
        self._say("")
        self._show_candidates()
        self.update()

    def update(self) -> None:
        """Enable what can be done now, and say what is missing."""
        ui, button = self._ui, self._ui.importExamineButton
        if self._examined is not None and not self._is_about_what_is_chosen():
            self.forget()
            return
        here = self._control.busy_in(self._place)
        if here:
            button.text = _("Cancelling...") if self._control.cancelling else _("Cancel")
            button.enabled = not self._control.cancelling
            button.toolTip = _("End this; nothing of it is kept.")
        else:
            missing = self._what_is_missing()
            button.text = _("Find out what it means")
            button.enabled = not missing
            button.toolTip = missing or _("Read the file and find out what the numbers in it mean.")
        for number in range(SHOWN):
            row = self._row(number)
            row.button.enabled = not self._control.busy
            row.button.toolTip = (
                _("Wait for what is running.")
                if self._control.busy
                else _("Make a grid transform of the field, read so.")
            )
        with_moving = self._examined is not None and self._examined[3] is not None
        ui.importUnderCheckBox.visible = with_moving
        found = self._examined[1].findings if self._examined is not None else ()
        for box, repair in self._repairs():
            box.visible = any(finding.repair == repair for finding in found)

    def _what_is_missing(self) -> str:
        parameters = self._chosen()
        if parameters is None:
            return str(_("There is no scene."))
        fixed, moving = parameters.fixedVolume, parameters.movingVolume
        reasons = (
            (self._control.busy, _("Wait for what is running, or cancel it.")),
            (fixed is None, _("Select the fixed volume above: the one that stayed when the field was computed.")),
            (
                fixed is not None and fixed is moving,
                _("The fixed and the moving volume are the same; select two volumes."),
            ),
            (not self._path(), _("Choose the file that holds the field.")),
        )
        return next((str(reason) for applies, reason in reasons if applies), "")

    def _path(self) -> str:
        return str(self._ui.importPathLineEdit.currentPath).strip()

    def _is_about_what_is_chosen(self) -> bool:
        parameters = self._chosen()
        if parameters is None or self._examined is None:
            return False
        fixed, moving = self._examined[2:]
        return fixed is parameters.fixedVolume and moving is parameters.movingVolume

    def _on_changed(self, _text: str) -> None:
        self.forget()

    def _on_others(self, _checked: bool) -> None:
        self._show_candidates()

    def _on_examine(self, _checked: bool = False) -> None:
        if self._control.busy:
            self._control.cancel()
            return
        if self._what_is_missing():
            self.update()
            return
        self.forget()
        parameters = self._chosen()
        fixed, moving = parameters.fixedVolume, parameters.movingVolume
        key = str(self._ui.importKeyLineEdit.text).strip()
        masks = parameters.fixedMask, parameters.movingMask

        def make_job() -> FieldDiagnosisJob:
            return field_import.field_diagnosis_job(
                self._path(), fixed, moving, key=key, fill=True, pictures=SHOWN, masks=masks
            )

        def found(job: FieldDiagnosisJob, diagnosis: FieldDiagnosis) -> None:
            self._examined = job, diagnosis, fixed, moving
            self._show_candidates()
            self._say(plain_verdict(diagnosis))
            self.update()

        examine(self._control, self._place, make_job, found)

    def _importer(self, number: int) -> Callable[..., None]:
        def import_it(_checked: bool = False) -> None:
            self._import(number)

        return import_it

    def _import(self, number: int) -> None:
        if self._examined is None or self._control.busy:
            return
        job, diagnosis, fixed, moving = self._examined
        repair = [name for box, name in self._repairs() if box.visible and box.checked]
        name = field_import.name_for(self._path())

        def write(converted: Converted) -> None:
            field, meant = converted
            try:
                node, linear = field_import.write_meant_field(
                    field, name=name, fixed=_if_there(fixed), moving=_if_there(moving)
                )
            except RegistrationError as error:
                self._say(str(error))
                return
            said = [_("Imported as the transform {name}.").format(name=node.GetName()), *meant.done]
            if self._ui.importUnderCheckBox.checked and _if_there(moving) is not None:
                said.append(show_result(RegistrationNodes(fixed, moving, transform=node, affine_transform=linear)))
            said += [f"• {finding.message}" for finding in meant.findings]
            self._say("\n".join(text for text in said if text))

        convert = converter(job, diagnosis, number + 1, repair)
        self._control.do(convert, _("Converting the field"), write, self._place)

    def _repairs(self) -> list[tuple[Any, str]]:
        """The check boxes of repairs, each shown where a finding asks for it."""
        ui = self._ui
        return [
            (ui.importUnfoldCheckBox, "unfold"),
            (ui.importSplitCheckBox, "split affine"),
            (ui.importTaperCheckBox, "taper border"),
        ]

    def _show_candidates(self) -> None:
        diagnosis = self._examined[1] if self._examined is not None else None
        candidates = diagnosis.candidates[:SHOWN] if diagnosis is not None else ()
        pictures = diagnosis.pictures if diagnosis is not None else ()
        before = diagnosis.before if diagnosis is not None else None
        clear = diagnosis is not None and diagnosis.accepted
        all_of_them = not clear or self._ui.importOthersCheckBox.checked
        self._ui.importOthersCheckBox.visible = clear and len(candidates) > 1
        self._ui.importBeforeLabel.visible = before is not None
        show_picture(self._ui.importBeforePicture, before)
        for number in range(SHOWN):
            row = self._row(number)
            row.frame.visible = number < len(candidates) and (number == 0 or all_of_them)
            if number < len(candidates) and diagnosis is not None:
                row.label.text = candidate_title(diagnosis, number)
                row.evidence.text = fit_of_candidate(diagnosis, number)
                show_picture(row.picture, pictures[number] if number < len(pictures) else None)

    def _row(self, number: int) -> SimpleNamespace:
        ui, start = self._ui, f"importCandidate{number + 1}"
        return SimpleNamespace(
            frame=getattr(ui, f"{start}Frame"),
            label=getattr(ui, f"{start}Label"),
            picture=getattr(ui, f"{start}Picture"),
            evidence=getattr(ui, f"{start}EvidenceLabel"),
            button=getattr(ui, f"{start}Button"),
        )

    def _say(self, text: str) -> None:
        self._ui.importStatusLabel.text = text
        self._ui.importStatusLabel.setVisible(bool(text))


def _if_there(node: Any) -> Any:
    """The node; None if it was deleted meanwhile."""
    return node if node is not None and node.GetScene() is not None else None
