"""The models a user can choose from: those shipped, those of the user's own, and a file anywhere."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Literal

from VoxelMorphRegistrationLib.errors import ModelError
from VoxelMorphRegistrationLib.network.card import IntensityPreparation, ModelCard
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense
from VoxelMorphRegistrationLib.network.weights import download, file_sha256, verify
from VoxelMorphRegistrationLib.progress import Progress

BRAIN_MODEL = "voxelmorph-brain-t1"
"""For two T1 brains without skull; its weights are downloaded."""
EMBEDDED_MODEL = "voxelmorph-default"
"""For any anatomy and contrast; its weights are shipped."""
DEFAULT_MODEL = EMBEDDED_MODEL
CACHE_VARIABLE = "VOXELMORPH_REGISTRATION_CACHE"

_FINEST_MM = (0.001, 0.001, 0.001)  # of voxels, for a model that takes any
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Model:
    """A card and the weights file, checked, that belongs to it."""

    card: ModelCard
    weights_path: Path


def shipped_cards_folder() -> Path:
    """``Resources/Models``: beside the package in Slicer and in a checkout, inside it in a wheel."""
    beside = _PACKAGE.parent / "Resources" / "Models"
    return beside if beside.is_dir() else _PACKAGE / "resources" / "Models"


def user_cache_folder() -> Path:
    """Where downloads go: the environment variable's folder, or the platform's own place for caches."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "voxelmorph-registration"


@dataclass(frozen=True)
class Catalogue:
    """Model cards and the weights that belong to them.

    A user's own model is a card ``*.json`` and its weights put into the cache folder. Nothing is downloaded
    except by download(), and by weights_path() and find() where they say so.
    """

    cards_folder: Path = field(default_factory=shipped_cards_folder)
    """The shipped cards, by default the project's."""
    cache_folder: Path = field(default_factory=user_cache_folder)
    """The user's own cards and the downloads, by default in the platform's place for caches."""

    def cards(self) -> list[ModelCard]:
        """All cards, the shipped ones first. A user's card that cannot be used is logged and left out."""
        shipped = map(ModelCard.from_json, sorted(self.cards_folder.glob("*.json")))
        cards = {card.name: card for card in shipped}
        for path in sorted(self.cache_folder.glob("*.json")):
            try:
                card = ModelCard.from_json(path)
            except ModelError as error:
                logging.getLogger(__name__).warning("%s", error)
            else:
                cards.setdefault(card.name, card)
        return list(cards.values())

    def card(self, name: str) -> ModelCard:
        """The card of this name; raises ModelError that lists the known ones."""
        cards = {card.name: card for card in self.cards()}
        if name not in cards:
            raise ModelError(
                f'There is no model "{name}"; the known ones are: {", ".join(cards) or "none"}. '
                "A model of your own is given as the path of its .h5 file."
            )
        return cards[name]

    def find(
        self,
        model: str | Path = DEFAULT_MODEL,
        card_path: Path | None = None,
        progress: Progress | None = None,
    ) -> Model:
        """A model by name, its weights downloaded where necessary, or by the path of an ``.h5`` file.

        A file's card is ``card_path``, else the ``.json`` of the same name beside it, else that of a known
        model with the same checksum, else what VoxelMorph's T1 brain networks expect. Raises ModelError.
        """
        path = Path(model).expanduser()
        if path.suffix not in (".h5", ".hdf5") and not path.is_file():
            card = ModelCard.from_json(card_path) if card_path else self.card(str(model))
            return Model(card, self.weights_path(card, progress))
        sidecar = card_path or path.with_suffix(".json")
        if card_path is None and not sidecar.is_file():
            return Model(self._card_for_file(path), path)
        card = ModelCard.from_json(sidecar)
        if card.sha256:
            verify(path, card.sha256)
        return Model(card, path)

    def is_available(self, card: ModelCard | str) -> bool:
        """Whether the model can be used without a download."""
        return self._local_weights(self._as_card(card)) is not None

    def weights_path(self, card: ModelCard | str, progress: Progress | None = None) -> Path:
        """The model's weights file with the right checksum: shipped, in the cache, or else downloaded now."""
        card = self._as_card(card)
        return self._local_weights(card) or self.download(card, progress)

    def download(self, card: ModelCard | str, progress: Progress | None = None) -> Path:
        """Download the model's weights into the cache, unless the right file is there. Raises ModelError."""
        card = self._as_card(card)
        if present := self._local_weights(card):
            return present
        destination = self.cache_folder / card.file_name
        if not card.source_url:
            raise ModelError(
                f'The model "{card.name}" has no address to download from; put {card.file_name} into the '
                f"folder {self.cache_folder}."
            )
        download(card.source_url, destination, sha256=card.sha256, size=card.size_bytes, progress=progress)
        return destination

    def is_users_own(self, card: ModelCard | str) -> bool:
        """Whether the user added this model (or put its card into the cache folder)."""
        card = self._as_card(card)
        return self._own_card_path(card).is_file() and all(
            ModelCard.from_json(path).name != card.name for path in self.cards_folder.glob("*.json")
        )

    def is_downloaded(self, card: ModelCard | str) -> bool:
        """Whether the model's weights are in the cache folder."""
        return (self.cache_folder / self._as_card(card).file_name).is_file()

    def add(self, weights: Path, card: ModelCard) -> ModelCard:
        """Copy a user's own weights and their card into the cache folder; the card as it was added.

        Raises ModelError for a name that is taken, a file that is known under another, one that is no network of
        VoxelMorph (where h5py is there to look), or a folder that cannot be written; then nothing was added.
        """
        self._check_free(card.name)
        self.require_unknown(weights)
        if importlib.util.find_spec("h5py") is not None:  # in Slicer's own Python it is not; the engine looks, too
            read_vxm_dense(weights)
        own = self._own_card_path(card)
        copy = self.cache_folder / card.file_name
        parts = [path.with_name(path.name + ".part") for path in (copy, own)]
        try:
            self.cache_folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(weights, parts[0])
            parts[1].write_text(card.to_json(), encoding="utf-8")
            for part, whole in zip(parts, (copy, own), strict=True):
                part.replace(whole)
        except OSError as error:
            raise ModelError(
                f"The model file {weights} could not be copied into {self.cache_folder} ({error.strerror}); "
                f"free some space, or choose another folder with the environment variable {CACHE_VARIABLE}."
            ) from error
        finally:
            for part in parts:
                part.unlink(missing_ok=True)
        return card

    def require_unknown(self, weights: Path) -> None:
        """Raises ModelError that says under which name a file is known, by its SHA-256; for any other does nothing."""
        try:
            sha256 = file_sha256(weights)
        except OSError:
            return  # whoever reads it says what is wrong with it
        for card in self.cards():
            if card.sha256 == sha256 and (card.source_url or self.is_available(card)):
                raise ModelError(
                    f'{weights.name} is one of the models already: "{card.name}" ({card.title}); choose that one.'
                )

    def name_for(self, title: str) -> str:
        """The name of a new model of this title; raises ModelError where there is one of that name."""
        name = _name(title)
        self._check_free(name)
        return name

    def free_title(self, title: str) -> str:
        """This title, with a number behind it where there is a model of that name already."""
        taken = {card.name for card in self.cards()}
        numbered = (f"{title} {number}" for number in count(2))
        return title if _name(title) not in taken else next(other for other in numbered if _name(other) not in taken)

    def card_for_own_file(
        self,
        weights: Path,
        *,
        title: str,
        modality: str,
        orientation: str,
        spacing_mm: tuple[float, float, float],
        skull_stripped: bool,
        intensity: IntensityPreparation,
        field_kind: Literal["velocity", "displacement"] = "velocity",
        shape_multiple: int = 16,
        any_spacing: bool = False,
        description: str = "",
    ) -> ModelCard:
        """A card for a user's own file that the engines run. Raises ModelError for a file or choice that cannot be.

        With ``any_spacing`` it takes voxels of any size, and ``spacing_mm`` does not count.
        """
        name = _name(title)
        try:
            sha256, size = file_sha256(weights), weights.stat().st_size
        except OSError as error:
            raise ModelError(f"The model file {weights} cannot be read ({error.strerror}).") from error
        card = ModelCard(
            name=name,
            title=title,
            description=description or f"Added by you from {weights.name}.",
            suitable_for=modality or "not stated",
            orientation=orientation,
            spacing_mm=_FINEST_MM if any_spacing else spacing_mm,
            smallest_extent_mm=(0.0, 0.0, 0.0),
            largest_extent_mm=(10_000.0, 10_000.0, 10_000.0),
            shape_multiple=shape_multiple,
            intensity=intensity,
            modality=modality,
            skull_stripped=skull_stripped,
            field_kind=field_kind,
            file_name=f"{name}.h5",
            sha256=sha256,
            size_bytes=size,
            source_url="",
            licence="not stated",
            citation="",
            any_spacing=any_spacing,
        )
        return ModelCard.from_text(card.to_json(), f"of {title}")  # which checks it

    def remove(self, card: ModelCard | str) -> bool:
        """Delete the model's weights from the cache, and a user's own model altogether; False if there was nothing.

        Shipped files stay.
        """
        card = self._as_card(card)
        if self.is_users_own(card):
            self._own_card_path(card).unlink(missing_ok=True)
        weights = self.cache_folder / card.file_name
        found = weights.is_file()
        try:
            for suffix in ("", ".part", ".lock"):
                weights.with_name(weights.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise ModelError(f"The model file {weights} cannot be removed ({error.strerror}).") from error
        return found

    def _check_free(self, name: str) -> None:
        if any(known.name == name for known in self.cards()):
            raise ModelError(f'There is a model "{name}" already; give this one another title.')

    def _own_card_path(self, card: ModelCard) -> Path:
        return self.cache_folder / f"{card.name}.json"

    def _as_card(self, card: ModelCard | str) -> ModelCard:
        return self.card(card) if isinstance(card, str) else card

    def _local_weights(self, card: ModelCard) -> Path | None:
        """The weights on this machine whose checksum is right (or that need none)."""
        for folder in (self.cards_folder, self.cache_folder):
            path = folder / card.file_name
            with suppress(OSError):
                if path.is_file() and (not card.sha256 or file_sha256(path) == card.sha256):
                    return path
        return None

    def _card_for_file(self, path: Path) -> ModelCard:
        weights = read_vxm_dense(path)
        for card in self.cards():
            if card.sha256 == file_sha256(path):
                return card  # a known model, kept elsewhere
        return replace(
            self.card(BRAIN_MODEL),
            name=path.stem,
            title=path.name,
            description="A VxmDense file without a card: taken to expect what VoxelMorph's T1 model expects.",
            shape_multiple=weights.shape_multiple,
            field_kind="velocity" if weights.integration_steps else "displacement",
            file_name=path.name,
            sha256="",
            size_bytes=path.stat().st_size,
            source_url="",
            licence="not stated",
            citation="",
        )


def _name(title: str) -> str:
    """A model's name, which is that of its files, too, from its title."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip("-.") or "model"
