"""``voxelmorph-registration train``: a general model from synthetic pairs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TextIO

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.pipeline.training.anatomies import read_image, read_label_maps
from VoxelMorphRegistrationLib.pipeline.training.model_card import general_card
from VoxelMorphRegistrationLib.pipeline.training.synthetic import SyntheticPairs
from VoxelMorphRegistrationLib.pipeline.training.trainer import CONTRAST, MODEL_NAME, Trainer, TrainingSettings
from VoxelMorphRegistrationLib.progress import Progress

_VALIDATION_SEED, _VALIDATION_PAIRS = 777, 16


def run(arguments: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> None:
    """Train, and say where the model is. Raises a RegistrationError."""
    settings = TrainingSettings(
        seed=arguments.seed,
        learning_rate=arguments.learning_rate,
        smoothness=arguments.smoothness,
        mixed=not arguments.float32,
        threads=arguments.threads,
    )
    start = None if arguments.start == "nothing" else Catalogue().find(arguments.start).weights_path
    pairs = SyntheticPairs(
        settings.seed,
        settings.shape,
        CONTRAST,
        read_label_maps(_files(arguments.labels)),
        [read_image(path) for path in _files(arguments.images)],
    )
    held_out = SyntheticPairs(
        _VALIDATION_SEED, settings.shape, CONTRAST, read_label_maps(_files(arguments.validation_labels))
    )
    validation = [held_out(number) for number in range(_VALIDATION_PAIRS)]
    trainer = Trainer(arguments.folder, pairs, settings, start, validation)

    def report(stage: str, fraction: float) -> None:
        print(f"{100 * fraction:5.1f} %  {stage}", file=stderr, flush=True)

    trainer.run(arguments.steps, minutes=arguments.minutes, progress=Progress(report))
    weights = arguments.folder / MODEL_NAME
    card = general_card(
        weights,
        arguments.name,
        preparation=CONTRAST,
        description=f"Trained on synthetic pairs from {arguments.start}: {trainer.step} steps of one pair in "
        f"{trainer.seconds / 3600:.2f} h, seed {settings.seed}.",
        licence=arguments.licence,
    )
    weights.with_suffix(".json").write_text(card.to_json(), encoding="utf-8")
    print(f"{trainer.step} steps, {trainer.seconds / 3600:.2f} h: {weights}", file=stdout)


def _files(folder: Path | None) -> list[Path]:
    """The volumes in a folder, in order of their names. Raises InputError where there is none."""
    if folder is None:
        return []
    files = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise InputError(f"The folder {folder} holds no volumes.")
    return files
