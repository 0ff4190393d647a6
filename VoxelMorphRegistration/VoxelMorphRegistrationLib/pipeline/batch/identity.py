"""What a result was made of: the inputs' checksums, the options, the model. The same again need not be done again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL, Catalogue
from VoxelMorphRegistrationLib.pipeline.batch.case import Case
from VoxelMorphRegistrationLib.pipeline.file_state import FileState

_MODEL = "model"


@dataclass(frozen=True)
class Identity:
    """Of a case: equal where the same inputs, wherever they lie, would be worked on in the same way."""

    inputs: Mapping[str, FileState]
    """By column; a model that is a file is one of them."""
    options: Mapping[str, str]
    model_sha256: str
    """Of a model that is known by name; "" for a file."""

    @classmethod
    def of(cls, case: Case) -> Identity:
        """Reads every input. Raises FileError, or ModelError for a model that is unknown here."""
        files = _files(case)
        model = "" if _MODEL in files else Catalogue().card(_model(case)).sha256
        return cls({name: FileState.of(path) for name, path in files.items()}, _other_options(case, files), model)

    def is_same(self, other: Identity, *, but_for: str = "") -> bool:
        """By content: a file that was moved or touched is the same. ``but_for``: an input that may differ."""
        return (
            self.options == other.options
            and self.model_sha256 == other.model_sha256
            and self.inputs.keys() == other.inputs.keys()
            and all(state.sha256 == other.inputs[name].sha256 for name, state in self.inputs.items() if name != but_for)
        )

    def looks_like(self, case: Case) -> bool:
        """Whether the case is the same as far as names, sizes and times tell."""
        files = _files(case)
        return (
            self.options == _other_options(case, files)
            and self.inputs.keys() == files.keys()
            and (_MODEL in files or self.model_sha256 == Catalogue().card(_model(case)).sha256)
            and all(state.looks_the_same(files[name]) for name, state in self.inputs.items())
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Identity:
        """What ``dataclasses.asdict`` made, back."""
        inputs = {name: FileState(**state) for name, state in values["inputs"].items()}
        return cls(inputs, values["options"], values["model_sha256"])


def _model(case: Case) -> str:
    return case.options.get("model", DEFAULT_MODEL)


def _files(case: Case) -> dict[str, str]:
    files = dict(case.inputs)
    if os.path.isabs(_model(case)):
        files[_MODEL] = _model(case)
        card = Path(_model(case)).with_suffix(".json")
        if card.is_file():
            files["model_card"] = str(card)
    return files


def _other_options(case: Case, files: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in sorted(case.options.items()) if name not in files}
