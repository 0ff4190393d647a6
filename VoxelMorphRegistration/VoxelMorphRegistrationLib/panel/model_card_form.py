"""The form for the card of a model file of the user's own, filled in with what was found out about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from VoxelMorphRegistrationLib.network.card import IntensityPreparation, ModelCard
from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.pipeline.model_preparation import PreparedModel


class ModelCardForm:
    """A small dialog. What the network's file says is not asked for; what its trial told is a suggestion."""

    def __init__(self, form_path: str, model_file: Path, prepared: PreparedModel | None, note: str = "") -> None:
        """``prepared`` is what was made of the file; None where nothing could be, and then ``note`` says why."""
        self._file, self._prepared = model_file, prepared
        form = slicer.util.loadUI(form_path)
        self._fields = fields = slicer.util.childWidgetVariables(form)
        fields.titleLineEdit.text = model_file.stem
        fields.findingsText.setPlainText("\n".join(prepared.sentences) if prepared is not None else note)
        for label, kind in ((_("A velocity, which is integrated"), "velocity"), (_("A displacement"), "displacement")):
            fields.fieldKindComboBox.addItem(label, kind)
        for label, scaling in (
            (_("Minimum to 0, maximum to 1"), "unit_range"),
            (_("99.9th percentile to the level below"), "percentile"),
            (_("White matter to the level below"), "white_matter_peak"),
            (_("Equalised, up to the level below"), "equalised"),
            (_("As they are"), "none"),
        ):
            fields.scalingComboBox.addItem(label, scaling)
        for label, match in (
            (_("As they are"), "none"),
            (_("One contrast: the fixed volume's histogram matched"), "fixed_to_moving"),
            (_("Any two: one carried over to the other's contrast"), "contrast"),
        ):
            fields.matchComboBox.addItem(label, match)
        _choose(fields.matchComboBox, "fixed_to_moving")
        if prepared is not None:
            self._fill_in(prepared)
        fields.scalingComboBox.connect("currentIndexChanged(int)", self._on_scaling)
        fields.anySpacingCheckBox.connect("toggled(bool)", self._on_any_spacing)
        self._on_scaling()
        self._dialog = dialog = qt.QDialog(slicer.util.mainWindow())
        dialog.setWindowTitle(_("Model card of {name}").format(name=model_file.name))
        layout = qt.QVBoxLayout(dialog)
        layout.addWidget(form)
        buttons = qt.QDialogButtonBox(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
        buttons.connect("accepted()", dialog.accept)
        buttons.connect("rejected()", dialog.reject)
        layout.addWidget(buttons)

    def ask(self) -> bool:
        """Let the user fill it in; whether OK was pressed."""
        return bool(self._dialog.exec_() == qt.QDialog.Accepted)

    def close(self) -> None:
        """Delete the dialog."""
        self._dialog.deleteLater()

    def card(self, catalogue: Catalogue) -> ModelCard:
        """The card as filled in. Raises ModelError for a choice that cannot be."""
        fields, prepared = self._fields, self._prepared
        i, j, k = (float(box.value) for box in (fields.spacingISpinBox, fields.spacingJSpinBox, fields.spacingKSpinBox))
        return catalogue.card_for_own_file(
            self._file if prepared is None else prepared.model.weights_path,
            title=fields.titleLineEdit.text.strip() or self._file.stem,
            modality=fields.modalityLineEdit.text.strip(),
            orientation=fields.orientationLineEdit.text.strip().upper(),
            spacing_mm=(i, j, k),
            any_spacing=bool(fields.anySpacingCheckBox.checked),
            skull_stripped=bool(fields.skullStrippedCheckBox.checked),
            intensity=IntensityPreparation(
                scaling=fields.scalingComboBox.currentData,
                level=float(fields.levelSpinBox.value),
                match=fields.matchComboBox.currentData,
            ),
            field_kind=fields.fieldKindComboBox.currentData,
            shape_multiple=16 if prepared is None else prepared.model.shape_multiple,
            description=_("Added by you from {name}.").format(name=self._file.name)
            if prepared is None
            else prepared.sentences[0],
        )

    def _fill_in(self, prepared: PreparedModel) -> None:
        fields = self._fields
        _choose(fields.fieldKindComboBox, prepared.model.field_kind)
        fields.fieldKindComboBox.enabled = False
        intensity = prepared.probe.intensity if prepared.probe is not None else None
        if intensity is not None:
            _choose(fields.scalingComboBox, intensity.scaling)
            fields.levelSpinBox.value = intensity.level

    def _on_scaling(self, _index: int = 0) -> None:
        self._fields.levelSpinBox.enabled = self._fields.scalingComboBox.currentData in (
            "percentile",
            "white_matter_peak",
            "equalised",
        )

    def _on_any_spacing(self, any_size: bool) -> None:
        fields = self._fields
        for box in (fields.spacingISpinBox, fields.spacingJSpinBox, fields.spacingKSpinBox):
            box.enabled = not any_size


def _choose(box: Any, value: str) -> None:
    box.setCurrentIndex(box.findData(value))
