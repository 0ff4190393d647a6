"""Pairs of the volumes of one study or sequence, as the network would see them: what fine-tuning learns from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.network.intensity import prepare_pair
from VoxelMorphRegistrationLib.pipeline.model_grid import plan_model_grid
from VoxelMorphRegistrationLib.pipeline.steps import on_network_grid
from VoxelMorphRegistrationLib.pipeline.training.pairs import TrainingPair
from VoxelMorphRegistrationLib.pipeline.training.random_fields import FloatArray, Shape
from VoxelMorphRegistrationLib.spatial import Image

_CROPS_A_PAIR = 4


class StudyPairs:
    """Numbered crops of pairs of volumes on the network's grid; the prepared images are their own truth.

    The volumes have to lie on one another already, as the frames of a sequence do.
    """

    def __init__(self, volumes: Sequence[Image], card: ModelCard, resolution: str, shape: Shape, seed: int) -> None:
        """``shape`` is a crop's. Raises InputError for fewer than two volumes."""
        if len(volumes) < 2:
            raise InputError("Adapting a model takes at least two volumes of the same study.")
        self._seed = seed
        self._shape = shape
        self._card = card
        grid = plan_model_grid(volumes[0], card, resolution).grid
        self._images = [_filled(on_network_grid(volume, grid, np.eye(4)), shape) for volume in volumes]
        self._prepared: tuple[tuple[int, int], FloatArray, FloatArray] | None = None

    def __call__(self, number: int) -> TrainingPair:
        """The pair of this number: two volumes, four crops of them in a row."""
        rng = np.random.default_rng([self._seed, number // _CROPS_A_PAIR])
        first, second = (int(n) for n in rng.choice(len(self._images), 2, replace=False))
        if self._prepared is None or self._prepared[0] != (first, second):
            fixed, moving = prepare_pair(self._images[first], self._images[second], self._card.intensity)
            self._prepared = (first, second), fixed, moving
        _, fixed, moving = self._prepared
        rng = np.random.default_rng([self._seed, 1, number])
        start = [int(rng.integers(0, size - crop + 1)) for size, crop in zip(fixed.shape, self._shape, strict=True)]
        window = tuple(slice(a, a + n) for a, n in zip(start, self._shape, strict=True))
        fixed, moving = (np.ascontiguousarray(image[window]) for image in (fixed, moving))
        return TrainingPair(moving, fixed, moving, fixed)


def _filled(image: FloatArray, shape: Shape) -> FloatArray:
    """At least as large as a crop, background around it."""
    lacking = np.maximum(np.array(shape) - image.shape, 0)
    return np.pad(image, [(0, int(n)) for n in lacking], constant_values=image.min()) if lacking.any() else image
