"""The list of models, and what can be done with the chosen one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from VoxelMorphRegistrationLib.errors import EngineError, RegistrationError
from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL, Catalogue
from VoxelMorphRegistrationLib.network.families import SUFFIXES
from VoxelMorphRegistrationLib.panel.model_card_form import ModelCardForm
from VoxelMorphRegistrationLib.panel.run_control import RunControl
from VoxelMorphRegistrationLib.pipeline.background import FOLDER_PREFIX
from VoxelMorphRegistrationLib.pipeline.model_job import ModelJob
from VoxelMorphRegistrationLib.pipeline.model_preparation import PreparedModel
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge.background import reading_worker


class ModelsSection:
    """Fills the model list, shows the chosen model's card, downloads, adds and removes.

    ``chosen(name)`` is called when the user chooses another model.
    """

    def __init__(
        self, ui: Any, form_path: str, catalogue: Catalogue, control: RunControl, chosen: Callable[[str], None]
    ) -> None:
        self._ui, self._form_path, self._catalogue, self._control = ui, form_path, catalogue, control
        self._chosen = chosen
        self._cards: dict[str, ModelCard] = {}
        self._filling = self._available = False
        self.refresh()
        ui.modelComboBox.connect("currentIndexChanged(int)", self._on_chosen)
        ui.downloadModelButton.connect("clicked(bool)", self._on_download)
        ui.addModelButton.connect("clicked(bool)", self._on_add)
        ui.removeModelButton.connect("clicked(bool)", self._on_remove)

    @property
    def card(self) -> ModelCard | None:
        """The chosen model's card; None for a model that is not in the catalogue any more."""
        return self._cards.get(self._ui.modelComboBox.currentData)

    @property
    def is_available(self) -> bool:
        """Whether the chosen model can be used without a download; as last looked up."""
        return self._available

    @property
    def can_be_had(self) -> bool:
        """Whether the chosen model is there or can be downloaded."""
        return self._available or (self.card is not None and bool(self.card.source_url))

    def download_question(self) -> str:
        """What the user is asked before the chosen model's weights are downloaded."""
        card = self.card
        assert card is not None
        question = _("The weights of {title} ({size:.1f} MB) are not on this computer.\n\nDownload them from {url}?")
        text: str = question.format(title=card.title, size=card.size_bytes / 1e6, url=card.source_url)
        return text

    def select(self, name: str) -> None:
        """Show this model as chosen; one that is not in the catalogue is said to be missing."""
        if name == self._ui.modelComboBox.currentData:
            return
        index = self._ui.modelComboBox.findData(name)
        self._filling = True
        if index < 0:
            self._ui.modelComboBox.addItem(_("{name} (not available)").format(name=name), name)
            index = self._ui.modelComboBox.findData(name)
        self._ui.modelComboBox.setCurrentIndex(index)
        self._filling = False
        self._show_card()

    def choose(self, name: str) -> None:
        """Choose this model, as the user would."""
        self.refresh()  # it may be new
        self.select(name)
        self.refresh()  # the former one may be gone
        self._chosen(name)

    def refresh(self) -> None:
        """Read the catalogue again; the chosen model stays chosen."""
        before = self._ui.modelComboBox.currentData
        self._cards = {card.name: card for card in self._catalogue.cards()}
        self._filling = True
        self._ui.modelComboBox.clear()
        for card in self._cards.values():
            self._ui.modelComboBox.addItem(card.title, card.name)
        self._filling = False
        if before is not None:
            self.select(before)
        self._show_card()

    def update(self) -> None:
        """Enable what can be done now."""
        idle, card = not self._control.busy, self.card
        own = card is not None and self._catalogue.is_users_own(card)
        downloaded = card is not None and self._catalogue.is_downloaded(card)
        self._ui.modelComboBox.enabled = idle
        self._ui.addModelButton.enabled = idle
        self._ui.downloadModelButton.enabled = idle and self.can_be_had and not self._available
        self._ui.removeModelButton.enabled = idle and (own or downloaded)

    def _show_card(self) -> None:
        card = self.card
        self._available = card is not None and self._catalogue.is_available(card)
        self._ui.modelDescriptionLabel.text = card.description if card else ""
        self._ui.modelSuitableLabel.text = card.suitable_for if card else ""
        self._ui.modelLicenseLabel.text = card.licence if card else ""
        if card is None:
            status = _("This model is not in the list of models; choose another, or add its file.")
        elif self._available:
            status = _("Ready.")
        elif card.source_url:
            status = _("Not downloaded yet ({size:.1f} MB).").format(size=card.size_bytes / 1e6)
        else:
            status = _("Its file {name} is missing.").format(name=card.file_name)
        self._ui.modelStatusLabel.text = status
        self.update()

    def _on_chosen(self, index: int) -> None:
        if not self._filling and index >= 0:
            self._show_card()
            self._chosen(self._ui.modelComboBox.currentData)

    def _on_download(self, _checked: bool = False) -> None:
        card = self.card
        if card is not None:
            stage = _("Downloading {title}").format(title=card.title)
            self._control.do(lambda progress: self._catalogue.download(card, progress), stage)

    def _on_remove(self, _checked: bool = False) -> None:
        card = self.card
        if card is None or not slicer.util.confirmOkCancelDisplay(
            _("Delete the files of {title} from this computer?").format(title=card.title)
        ):
            return
        try:
            self._catalogue.remove(card)
        except RegistrationError as error:
            slicer.util.errorDisplay(str(error))
        self.refresh()
        if self.card is None:  # it was the user's own: its card is gone, too
            self.choose(DEFAULT_MODEL)

    def _on_add(self, _checked: bool = False) -> None:
        chosen = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(),
            _("Add model file"),
            "",
            _("VoxelMorph networks") + f" ({' '.join(f'*{suffix}' for suffix in SUFFIXES)})",
        )
        if chosen:
            path = Path(chosen)
            stage = _("Converting and trying {name}").format(name=path.name)
            self._control.do(lambda progress: _prepare(self._catalogue, path, progress), stage, self._ask_for_the_card)

    def _ask_for_the_card(self, found: _Found) -> None:
        form = ModelCardForm(self._form_path, found.path, found.prepared, found.note)
        with found.folder:
            while form.ask():  # again for as long as something is wrong with it
                try:
                    added = self._catalogue.add(found.weights, form.card(self._catalogue))
                except RegistrationError as error:
                    slicer.util.errorDisplay(str(error))
                else:
                    self.choose(added.name)
                    break
            form.close()


@dataclass(frozen=True)
class _Found:
    """A model file and what the background process made of it; without an engine it could make nothing."""

    path: Path
    folder: tempfile.TemporaryDirectory[str]
    prepared: PreparedModel | None
    note: str = ""

    @property
    def weights(self) -> Path:
        """The file to be added."""
        return self.path if self.prepared is None else self.prepared.model.weights_path


def _prepare(catalogue: Catalogue, path: Path, progress: Progress) -> _Found:
    """Convert and try it where the engines are. Without one, a VxmDense file is taken as it is."""
    catalogue.require_unknown(path)
    folder = tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX)
    try:
        job = ModelJob(path, Path(folder.name))
        prepared = reading_worker().run_blocking(job, progress=progress)
        catalogue.require_unknown(prepared.model.weights_path)
        return _Found(path, folder, prepared)
    except EngineError as error:
        if path.suffix.lower() in (".h5", ".hdf5"):
            return _Found(path, folder, None, str(error))
        folder.cleanup()
        raise
    except BaseException:
        folder.cleanup()
        raise
