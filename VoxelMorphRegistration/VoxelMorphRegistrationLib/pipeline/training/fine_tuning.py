"""Adapting a model to the volumes of one patient: VoxelMorph's unsupervised training, for minutes, on these alone."""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from VoxelMorphRegistrationLib.errors import InputError, ModelError
from VoxelMorphRegistrationLib.files.frames.protocol import Frames
from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.network.catalogue import Catalogue, Model
from VoxelMorphRegistrationLib.pipeline.training.model_card import adapted_card
from VoxelMorphRegistrationLib.pipeline.training.network import has_fast_bfloat16
from VoxelMorphRegistrationLib.pipeline.training.study import StudyPairs, spread_volumes, study_images
from VoxelMorphRegistrationLib.pipeline.training.trainer import MODEL_NAME, Trainer, TrainingSettings
from VoxelMorphRegistrationLib.progress import Progress

DEFAULT_MINUTES = 10.0
_CROP = (48, 64, 64)  # voxels of the network's grid, where the volumes have so many
_CHECKED_PAIRS = 8
_LEAST_GAIN = 0.01  # of the difference left before; less is chance
_NO_LIMIT = 10**9


@dataclass(frozen=True)
class Adaptation:
    """How long to train, and how; the minutes are said in `Trainer.run`. Raises InputError for what cannot be."""

    minutes: float = DEFAULT_MINUTES
    steps: int = _NO_LIMIT
    """Stop after so many, if the minutes are not over before."""
    resolution: str = "half"
    seed: int = 1
    threads: int = 2
    smoothness: float = 0.1
    learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        if not (math.isfinite(self.minutes) and self.minutes > 0):
            raise InputError(f"Adapting a model takes a number of minutes above 0, not {self.minutes}.")


@dataclass(frozen=True)
class AdaptedModel:
    """Card and weights, and the share of the volumes' difference left before and after (1: as unregistered)."""

    card: ModelCard
    weights_path: Path
    steps: int
    residual_before: float
    residual_after: float


def adapt(
    frames: Frames,
    start: Model,
    folder: Path,
    *,
    name: str,
    title: str,
    options: Adaptation | None = None,
    clock: Callable[[], float] = time.monotonic,
    progress: Progress | None = None,
) -> AdaptedModel:
    """Train ``start`` on pairs of these volumes; everything is written into ``folder``, nothing is listed.

    The volumes are frames of a sequence, or visits of a patient that lie on one another. ``name`` and ``title`` are
    those of the new card. Raises CancelledError, ModelError where the volumes are registered no better than before,
    InputError for fewer than two volumes, and EngineError without the TensorFlow engine.
    """
    say, options = progress or Progress(), options or Adaptation()
    images = study_images(spread_volumes(frames, say.part(0.0, 0.03)), start.card, options.resolution)
    d, h, w = (min(crop, size) for crop, size in zip(_CROP, images[0].shape, strict=True))
    settings = TrainingSettings(
        seed=options.seed,
        shape=(d, h, w),
        learning_rate=options.learning_rate,
        warm_up_steps=20,
        smoothness=options.smoothness,
        averaging=0.98,
        mixed=has_fast_bfloat16(),
        threads=options.threads,
    )
    pairs = StudyPairs(images, start.card, settings.shape, options.seed)
    held_out = StudyPairs(images, start.card, settings.shape, options.seed + 1)
    checked = [held_out(4 * number) for number in range(_CHECKED_PAIRS)]
    say("Building the network", 0.03)
    trainer = Trainer(folder, pairs, settings, start.weights_path, checked)
    before = float(np.mean(trainer.validate()))
    trainer.run(
        options.steps, minutes=options.minutes, save_minutes=math.inf, clock=clock, progress=say.part(0.05, 0.98)
    )
    say("Checking the adapted model", 0.98)
    after = float(np.mean(trainer.validate()))
    if not after <= (1 - _LEAST_GAIN) * before:
        time_given, done = _many(options.minutes, "minute"), _many(trainer.step, "step")
        raise ModelError(
            f"Nothing was gained in {time_given} ({done}: {_left(before, after)}), so no model was added; give it more "
            f"time, or keep {start.card.title}, which may suit these volumes as it is."
        )
    weights = folder / MODEL_NAME
    of = f"{len(images)} volumes" if len(images) == len(frames) else f"{len(images)} of {len(frames)} volumes"
    description = (
        f"{start.card.title}, adapted to {of} in {trainer.step} steps ({trainer.seconds / 60:.1f} minutes): "
        f"{_left(before, after)}."
    )
    card = adapted_card(weights, start.card, name, title, description)
    return AdaptedModel(card, weights, trainer.step, before, after)


def fine_tune(
    frames: Frames,
    start: Model,
    *,
    title: str,
    options: Adaptation | None = None,
    catalogue: Catalogue | None = None,
    clock: Callable[[], float] = time.monotonic,
    progress: Progress | None = None,
) -> AdaptedModel:
    """`adapt`, and list the result in the catalogue.

    Nothing is listed or left behind where it fails or is cancelled; a title that is taken is told before the work.
    """
    catalogue = catalogue or Catalogue()
    name = catalogue.name_for(title)
    with tempfile.TemporaryDirectory(prefix="voxelmorph-adapting-") as folder:
        adapted = adapt(
            frames, start, Path(folder), name=name, title=title, options=options, clock=clock, progress=progress
        )
        card = catalogue.add(adapted.weights_path, adapted.card)
    return dataclasses.replace(adapted, card=card, weights_path=catalogue.weights_path(card))


def _left(before: float, after: float) -> str:
    return f"{100 * after:.1f} % of their difference left, {100 * before:.1f} % before"


def _many(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"
