"""``voxelmorph-registration train``: a general model from synthetic pairs."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import TextIO

from VoxelMorphRegistrationLib.commands.terminal import ProgressDisplay
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.frames import open_frames
from VoxelMorphRegistrationLib.network.catalogue import EMBEDDED_MODEL, Catalogue, Model
from VoxelMorphRegistrationLib.pipeline.training.anatomies import read_image, read_label_maps
from VoxelMorphRegistrationLib.pipeline.training.fine_tuning import DEFAULT_MINUTES, Adaptation, fine_tune
from VoxelMorphRegistrationLib.pipeline.training.model_card import general_card
from VoxelMorphRegistrationLib.pipeline.training.synthetic import SyntheticPairs
from VoxelMorphRegistrationLib.pipeline.training.trainer import CONTRAST, MODEL_NAME, Trainer, TrainingSettings
from VoxelMorphRegistrationLib.progress import Progress

_VALIDATION_SEED, _VALIDATION_PAIRS = 777, 16


def run(arguments: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> None:
    """Train or adapt, and say where the model is. Raises a RegistrationError."""
    if arguments.volumes is not None:
        _adapt(arguments, stdout, stderr)
    else:
        _train(arguments, stdout, stderr)


def _adapt(arguments: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> None:
    minutes = DEFAULT_MINUTES if arguments.minutes is None else arguments.minutes
    options = Adaptation(minutes=minutes, seed=arguments.seed, threads=arguments.threads)
    with closing(open_frames(arguments.volumes)) as frames:
        display = ProgressDisplay(stderr)
        try:
            adapted = fine_tune(
                frames,
                _model(arguments.start),
                title=arguments.title,
                options=options,
                progress=display.progress(),
            )
        finally:
            display.close()
    print(f"{adapted.card.name}: {adapted.card.description}", file=stdout)


def _train(arguments: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> None:
    settings = TrainingSettings(
        seed=arguments.seed,
        learning_rate=arguments.learning_rate,
        smoothness=arguments.smoothness,
        mixed=not arguments.float32,
        threads=arguments.threads,
    )
    start = None if arguments.start == "nothing" else _model(arguments.start).weights_path
    mean_with = None if arguments.mean_with is None else _model(arguments.mean_with).weights_path
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
    trainer = Trainer(arguments.folder, pairs, settings, start, validation, mean_with)

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


def _model(name: str) -> Model:
    return Catalogue().find(EMBEDDED_MODEL if name == "default" else name)


def _files(folder: Path | None) -> list[Path]:
    """The volumes in a folder, in order of their names. Raises InputError where there is none."""
    if folder is None:
        return []
    files = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise InputError(f"The folder {folder} holds no volumes.")
    return files
