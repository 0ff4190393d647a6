"""``voxelmorph-registration models add``: a model file of the user's own becomes one of the models."""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import TextIO

from VoxelMorphRegistrationLib.commands.terminal import ProgressDisplay
from VoxelMorphRegistrationLib.network.card import IntensityPreparation, ModelCard
from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.pipeline.model_preparation import PreparedModel, prepare_model

_LEVELS = {"percentile": 1.0, "white_matter_peak": 0.43, "equalised": 0.8}


def run(arguments: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> None:
    """Convert, compare, try and add it, and say what was found. Raises ModelError, EngineError and FileError."""
    path, catalogue = Path(arguments.file).expanduser(), Catalogue()
    title = arguments.name or path.stem
    catalogue.name_for(title)  # whether it is free, before the work
    catalogue.require_unknown(path)
    display = ProgressDisplay(stderr)
    with tempfile.TemporaryDirectory(prefix="voxelmorph-model-") as folder:
        try:
            prepared = prepare_model(path, Path(folder), probe=not arguments.no_probe, progress=display.progress())
        finally:
            display.close()
        card = catalogue.add(prepared.model.weights_path, _card(arguments, title, catalogue, prepared))
    _say(arguments, card, prepared, catalogue, stdout)


def _card(arguments: argparse.Namespace, title: str, catalogue: Catalogue, prepared: PreparedModel) -> ModelCard:
    given = arguments.spacing or [1.0]
    spacing = given if len(given) == 3 else given * 3
    model = prepared.model
    return catalogue.card_for_own_file(
        model.weights_path,
        title=title,
        modality=arguments.modality,
        orientation=arguments.orientation.upper(),
        spacing_mm=(spacing[0], spacing[1], spacing[2]),
        any_spacing=arguments.any_spacing,
        skull_stripped=arguments.skull_stripped,
        intensity=_intensity(arguments, prepared),
        field_kind=model.field_kind,
        shape_multiple=model.shape_multiple,
        description=prepared.sentences[0],
    )


def _intensity(arguments: argparse.Namespace, prepared: PreparedModel) -> IntensityPreparation:
    if arguments.scaling is not None:
        level = _LEVELS.get(arguments.scaling, 1.0) if arguments.level is None else arguments.level
        return IntensityPreparation(arguments.scaling, level, arguments.match)
    found = prepared.probe.intensity if prepared.probe is not None else None
    found = found or IntensityPreparation("unit_range", 1.0, "none")
    return dataclasses.replace(found, match=arguments.match)


def _say(
    arguments: argparse.Namespace, card: ModelCard, prepared: PreparedModel, catalogue: Catalogue, stdout: TextIO
) -> None:
    if arguments.json:
        result = {
            "ok": True,
            "name": card.name,
            "weights": str(catalogue.cache_folder / card.file_name),
            "card": dataclasses.asdict(card),
            "probe": None if prepared.probe is None else dataclasses.asdict(prepared.probe),
            "findings": prepared.sentences,
        }
        print(json.dumps(result, indent=2, ensure_ascii=False), file=stdout)
        return
    for sentence in prepared.sentences:
        print(sentence, file=stdout)
    scaling = card.intensity.scaling
    level = f" to {card.intensity.level:g}" if scaling in _LEVELS else ""
    voxels = "of any size" if card.any_spacing else f"of {' x '.join(f'{size:g}' for size in card.spacing_mm)} mm"
    print(
        f'\n"{card.name}" was added, taken to expect {card.orientation} axes, '
        f"voxels {voxels}, intensities scaled by {scaling}{level}; "
        f"its card is {catalogue.cache_folder / (card.name + '.json')}.",
        file=stdout,
    )
