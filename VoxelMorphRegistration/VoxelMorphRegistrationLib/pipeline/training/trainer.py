"""The training loop: deterministic from its seed, going on where it stopped."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.errors import CancelledError, InputError, ModelError
from VoxelMorphRegistrationLib.network.card import IntensityPreparation
from VoxelMorphRegistrationLib.pipeline.training.checkpoint import Arrays, Checkpoint
from VoxelMorphRegistrationLib.pipeline.training.curve import LossCurve
from VoxelMorphRegistrationLib.pipeline.training.network import TrainingNetwork
from VoxelMorphRegistrationLib.pipeline.training.objective import objective
from VoxelMorphRegistrationLib.pipeline.training.pairs import TrainingPair
from VoxelMorphRegistrationLib.pipeline.training.random_fields import Shape
from VoxelMorphRegistrationLib.progress import Progress

CHECKPOINT_NAME = "checkpoint.npz"
MODEL_NAME = "model.h5"
CONTRAST = IntensityPreparation(scaling="equalised", level=0.8, match="contrast")
"""How the default model's pairs are prepared, in training as in use."""

_REPORT_STEPS = 20


@dataclass(frozen=True)
class TrainingSettings:
    """What decides the result of a training, with the pairs and the starting weights."""

    seed: int = 1
    shape: Shape = (48, 64, 64)
    learning_rate: float = 2e-4
    warm_up_steps: int = 100
    smoothness: float = 0.4
    averaging: float = 0.997
    """The weights written are a running average of those of each step, this much of it kept at each."""
    mixed: bool = True
    threads: int = 1


class Trainer:
    """One training in one folder: ``checkpoint.npz``, ``model.h5``, ``curve.csv`` and ``curve.png``.

    ``pair_at(step)`` gives the pair of a step, always the same for the same step. With a checkpoint of the same
    settings in the folder it goes on from there, else from the VxmDense file ``start`` or from random weights.
    """

    def __init__(
        self,
        folder: Path,
        pair_at: Callable[[int], TrainingPair],
        settings: TrainingSettings,
        start: Path | None = None,
        validation: Sequence[TrainingPair] = (),
        mean_with: Path | None = None,
    ) -> None:
        """Builds the network.

        What is validated and written is the mean of its weights and those of ``mean_with``, where given: that keeps
        what the older weights could do (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022).
        Raises InputError where the folder's checkpoint is of other settings.
        """
        self.folder = folder
        self.settings = settings
        self._pair_at = pair_at
        self._validation = validation
        self._settings_text = json.dumps(asdict(settings) | {"start": start.name if start else ""}, sort_keys=True)
        checkpoint = self._checkpoint()  # before the work of building a network
        folder.mkdir(parents=True, exist_ok=True)
        self.network = TrainingNetwork(
            settings.shape, start, seed=settings.seed, mixed=settings.mixed, threads=settings.threads
        )
        import tensorflow as tf

        self._optimiser = tf.keras.optimizers.Adam(settings.learning_rate)
        self._optimiser.build(self.network.variables)
        self._averaged: Arrays = [variable.numpy() for variable in self.network.variables]
        self._mean_with: Arrays | None = None
        if mean_with is not None:
            other = TrainingNetwork(settings.shape, mean_with, mixed=False)
            self._mean_with = [variable.numpy() for variable in other.variables]
        self.step = 0
        self.seconds = 0.0
        self._recent: list[tuple[float, float]] = []  # loss and residual since the last row of the curve
        if checkpoint is not None:
            self._resume(checkpoint)
        self._curve = LossCurve(folder, self.step)
        self._compiled = tf.function(self._one_step)
        self._compiled_residual = tf.function(lambda *images: objective(self.network, images, 0.0)[1])

    def run(
        self,
        steps: int,
        *,
        minutes: float | None = None,
        save_minutes: float = 4.0,
        clock: Callable[[], float] = time.monotonic,
        progress: Progress | None = None,
    ) -> None:
        """Train until ``steps`` steps are done in all, or ``minutes`` have passed in this run, and save.

        The minutes are those of ``clock`` (in seconds), which may be the processor's; they count from the end of the
        run's first step, since that is spent on compiling the network. Cancelled, it raises CancelledError after the
        present step and leaves the last checkpoint. Raises ModelError where the loss is not finite any more.
        """
        say = progress or Progress()
        say("Compiling the network", 0.0)
        begun = learning = saved = clock()
        before, first = self.seconds, self.step
        told = "first steps"
        while self.step < steps:
            if say.is_cancelled():
                raise CancelledError
            loss, residual = self._train_one()
            if self.step == first + 1:
                learning = clock()
            if not np.isfinite(loss):
                raise ModelError(
                    f"The loss is not finite any more at step {self.step}: the training failed; go on from the last "
                    "checkpoint with a smaller learning rate."
                )
            self._recent.append((loss, residual))
            now = clock()
            self.seconds = before + now - begun
            passed = (now - learning) / 60
            if self.step % _REPORT_STEPS == 0:
                mean = np.mean(self._recent, axis=0)
                self._recent.clear()
                self._curve.add(step=self.step, seconds=self.seconds, loss=mean[0], residual=mean[1])
                told = f"step {self.step}, {100 * mean[1]:.1f} % of the difference left"
            done = max(self.step / steps, passed / minutes if minutes else 0.0)
            say(f"Training: {told}{_to_go(minutes, passed)}", done)
            if now - saved > 60 * save_minutes:
                self.save()
                saved = time.monotonic()
            if minutes is not None and passed >= minutes:
                break
        self.save()

    def save(self) -> None:
        """Write the checkpoint, the model (averaged weights), its score on the validation pairs and the picture."""
        if self._validation:
            residuals = self.validate()
            self._curve.add(
                step=self.step,
                seconds=self.seconds,
                validation_residual=float(np.mean(residuals)),
                validation_harmed=float(np.mean(np.array(residuals) > 1)),
            )
        optimiser = [np.asarray(variable.numpy()) for variable in self._optimiser.variables]
        weights = [variable.numpy() for variable in self.network.variables]
        self.network.write(self.folder / MODEL_NAME, self._result())
        Checkpoint(self.step, self.seconds, self._settings_text, weights, self._averaged, optimiser).write(
            self.folder / CHECKPOINT_NAME
        )
        self._curve.draw()

    def validate(self) -> list[float]:
        """The residual of each validation pair, with the weights that are written."""
        kept = [variable.numpy() for variable in self.network.variables]
        self._assign(self._result())
        try:
            return [float(self._compiled_residual(*_tensors(pair))) for pair in self._validation]
        finally:
            self._assign(kept)

    def _result(self) -> Arrays:
        if self._mean_with is None:
            return self._averaged
        return [(a + b) / 2 for a, b in zip(self._averaged, self._mean_with, strict=True)]

    def _train_one(self) -> tuple[float, float]:
        warm = min(1.0, (self.step + 1) / max(self.settings.warm_up_steps, 1))
        self._optimiser.learning_rate.assign(self.settings.learning_rate * warm)
        loss, residual = self._compiled(*_tensors(self._pair_at(self.step)))
        self.step += 1
        keep = min(self.settings.averaging, self.step / (self.step + 10))
        for number, variable in enumerate(self.network.variables):
            self._averaged[number] += np.float32(1 - keep) * (variable.numpy() - self._averaged[number])
        return float(loss), float(residual)

    def _one_step(self, *images: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss, residual = objective(self.network, images, self.settings.smoothness)
        variables = self.network.variables
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), 1.0)
        self._optimiser.apply_gradients(zip(gradients, variables, strict=True))
        return loss, residual

    def _checkpoint(self) -> Checkpoint | None:
        """That of the folder; None where there is none. Raises InputError for one of other settings."""
        path = self.folder / CHECKPOINT_NAME
        if not path.is_file():
            return None
        checkpoint = Checkpoint.read(path)
        if checkpoint.settings != self._settings_text:
            raise InputError(
                f"{path} is of a training with other settings ({checkpoint.settings}); give these again to go on, or "
                "choose another folder."
            )
        return checkpoint

    def _resume(self, checkpoint: Checkpoint) -> None:
        self._assign(checkpoint.weights)
        self._averaged = [np.array(values) for values in checkpoint.averaged]
        for variable, values in zip(self._optimiser.variables, checkpoint.optimiser, strict=True):
            variable.assign(values)
        self.step, self.seconds = checkpoint.step, checkpoint.seconds

    def _assign(self, weights: Arrays) -> None:
        for variable, values in zip(self.network.variables, weights, strict=True):
            variable.assign(values)


def _to_go(minutes: float | None, passed: float) -> str:
    """A clause for the user; "" where no time was given."""
    if minutes is None:
        return ""
    left = math.ceil(minutes - passed)
    return f", {left} minutes to go" if left > 1 else ", less than a minute to go"


def _tensors(pair: TrainingPair) -> list[Any]:
    import tensorflow as tf

    images = (pair.moving, pair.fixed, pair.hidden_moving, pair.hidden_fixed)
    return [tf.constant(image[np.newaxis, ..., np.newaxis]) for image in images]
