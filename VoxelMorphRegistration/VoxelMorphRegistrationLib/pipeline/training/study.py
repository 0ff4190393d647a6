"""Pairs of the volumes of one study or sequence, as the network would see them: what fine-tuning learns from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files.frames.protocol import Frames
from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.network.intensity import prepare_pair
from VoxelMorphRegistrationLib.pipeline.input_check import check_volume
from VoxelMorphRegistrationLib.pipeline.model_grid import plan_model_grid
from VoxelMorphRegistrationLib.pipeline.steps import on_network_grid
from VoxelMorphRegistrationLib.pipeline.training.pairs import TrainingPair
from VoxelMorphRegistrationLib.pipeline.training.random_fields import FloatArray, Shape
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Image

_CROPS_A_PAIR = 4
_MOST_VOLUMES = 60  # of a sequence of any length: kept in memory, on the network's grid


class StudyPairs:
    """Numbered crops of pairs of volumes on the network's grid; the prepared images are their own truth.

    The volumes have to lie on one another already, as the frames of a sequence do.
    """

    def __init__(self, images: list[FloatArray], card: ModelCard, shape: Shape, seed: int) -> None:
        """``images`` are those of `study_images`, at least as large as a crop, of this ``shape``."""
        self._images = images
        self._seed = seed
        self._shape = shape
        self._card = card
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


def study_images(volumes: Iterable[Image], card: ModelCard, resolution: str) -> list[FloatArray]:
    """The volumes on the network's grid over the first one's content.

    Raises InputError for fewer than two.
    """
    images: list[FloatArray] = []
    grid = None
    for volume in volumes:
        grid = grid or plan_model_grid(volume, card, resolution).grid
        images.append(on_network_grid(volume, grid, np.eye(4)))
    if len(images) < 2:
        raise InputError("Adapting a model takes at least two volumes of the same study.")
    return images


def spread_volumes(frames: Frames, progress: Progress | None = None) -> Iterator[Image]:
    """The frames, or 60 of them spread evenly, one after the other; those that cannot be used are left out.

    Raises what is wrong with the last one where fewer than two can be used.
    """
    say = progress or Progress()
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _MOST_VOLUMES)).round().astype(int))
    used = 0
    problem: InputError | FileError | None = None
    for number, n in enumerate(chosen):
        say(f"Preparing the volumes ({number + 1} of {len(chosen)})", number / len(chosen))
        try:
            volume = frames.read(int(n))
            check_volume(volume, "fixed")
        except (InputError, FileError) as error:
            problem = error
            continue
        used += 1
        yield volume
    if problem is not None and used < 2:
        raise problem
