"""Adapting a model to the volumes of one patient: VoxelMorph's unsupervised training, for minutes, on these alone."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from VoxelMorphRegistrationLib.errors import ModelError
from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.network.catalogue import Catalogue, Model
from VoxelMorphRegistrationLib.pipeline.training.model_card import adapted_card
from VoxelMorphRegistrationLib.pipeline.training.study import StudyPairs
from VoxelMorphRegistrationLib.pipeline.training.trainer import MODEL_NAME, Trainer, TrainingSettings
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Image

_CHECKED_PAIRS = 8


@dataclass(frozen=True)
class AdaptedModel:
    """The card as the catalogue lists it, and the share of the volumes' difference left before and after."""

    card: ModelCard
    steps: int
    residual_before: float
    residual_after: float


def fine_tune(
    volumes: Sequence[Image],
    start: Model,
    minutes: float,
    *,
    title: str,
    resolution: str = "half",
    seed: int = 1,
    threads: int = 2,
    smoothness: float = 0.1,
    learning_rate: float = 1e-4,
    catalogue: Catalogue | None = None,
    progress: Progress | None = None,
) -> AdaptedModel:
    """Train ``start`` on pairs of these volumes and list the result in the catalogue.

    The volumes are frames of a sequence, or visits of a patient that lie on one another.

    Nothing is listed where it is cancelled (CancelledError) or the volumes are no better registered than before
    (ModelError). Needs the TensorFlow engine; raises EngineError without.
    """
    say = progress or Progress()
    catalogue = catalogue or Catalogue()
    settings = TrainingSettings(
        seed=seed,
        learning_rate=learning_rate,
        warm_up_steps=20,
        smoothness=smoothness,
        averaging=0.98,
        threads=threads,
    )
    say("Preparing the volumes", 0.0)
    pairs = StudyPairs(volumes, start.card, resolution, settings.shape, seed)
    held_out = StudyPairs(volumes, start.card, resolution, settings.shape, seed + 1)
    checked = [held_out(4 * number) for number in range(_CHECKED_PAIRS)]
    with tempfile.TemporaryDirectory(prefix="voxelmorph-adapting-") as folder:
        say("Building the network", 0.02)
        trainer = Trainer(Path(folder), pairs, settings, start.weights_path, checked)
        before = float(np.mean(trainer.validate()))
        trainer.run(10**9, minutes=minutes, save_minutes=np.inf, progress=say.part(0.05, 0.98))
        after = float(np.mean(trainer.validate()))
        if not after < before:
            raise ModelError(
                f"Adapting {start.card.title} to these volumes made nothing better ({100 * after:.0f} % of their "
                f"difference left, {100 * before:.0f} % before), so the model stays as it is."
            )
        weights = Path(folder) / MODEL_NAME
        card = adapted_card(
            weights,
            start.card,
            re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip("-.") or "adapted",
            title,
            f"{start.card.title}, adapted to {len(volumes)} volumes in {trainer.step} steps "
            f"({trainer.seconds / 60:.1f} minutes): {100 * after:.0f} % of their difference left, "
            f"{100 * before:.0f} % before.",
        )
        catalogue.add(weights, card)
    say("Done", 1.0)
    return AdaptedModel(card, trainer.step, before, after)
