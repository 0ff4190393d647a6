"""An endless series of synthetic pairs, each a function of the seed and its number alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from VoxelMorphRegistrationLib.network.card import IntensityPreparation
from VoxelMorphRegistrationLib.pipeline.training.anatomies import Anatomy, Labels, random_anatomy
from VoxelMorphRegistrationLib.pipeline.training.pairs import TrainingPair, make_pair
from VoxelMorphRegistrationLib.pipeline.training.random_fields import FloatArray, Shape

_STEPS_AN_ANATOMY = 12


class SyntheticPairs:
    """Pairs of random anatomies, of which ``anatomies`` are kept at a time and one is renewed every dozen pairs.

    Being numbered, they need no state to go on with: pair 5000 is the same whether or not 4999 was made before it.
    """

    def __init__(
        self,
        seed: int,
        shape: Shape,
        preparation: IntensityPreparation,
        label_maps: Sequence[Labels] = (),
        images: Sequence[FloatArray] = (),
        anatomies: int = 40,
    ) -> None:
        """Without label maps and images, anatomies are random shapes only."""
        self._seed = seed
        self._shape = shape
        self._preparation = preparation
        self._label_maps = label_maps
        self._images = images
        self._kept = anatomies
        self._anatomies: dict[int, Anatomy] = {}

    def __call__(self, number: int) -> TrainingPair:
        """The pair of this number."""
        first = number // _STEPS_AN_ANATOMY
        wanted = range(first, first + self._kept)
        self._anatomies = {
            index: self._anatomies[index] if index in self._anatomies else self._anatomy(index) for index in wanted
        }
        rng = np.random.default_rng([self._seed, 1, number])
        return make_pair(rng, list(self._anatomies.values()), self._shape, self._preparation)

    def _anatomy(self, index: int) -> Anatomy:
        return random_anatomy(np.random.default_rng([self._seed, 0, index]), self._label_maps, self._images)
