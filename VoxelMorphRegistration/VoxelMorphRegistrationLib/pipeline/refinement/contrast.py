"""In what a pair can be compared voxel by voxel: its intensities, or, of different contrast, its structure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.network.histogram import match_histogram, sample
from VoxelMorphRegistrationLib.network.intensity import equalised
from VoxelMorphRegistrationLib.pipeline.refinement.self_similarity import self_similarity
from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats, blurred
from VoxelMorphRegistrationLib.pipeline.refinement.similarity import LocalCorrelation

Mask = npt.NDArray[np.bool_]

_SAME = 0.8  # of the local correlation that any curve gives, from which intensities as they are serve
_THIN = (slice(None, None, 2),) * 3


class SameContrast:
    """Brightness means tissue, and differences mean motion. One channel: the image."""

    name = "same contrast"
    around = (4, 2)
    """Coarser voxels, every n-th, on which is found what is put before the field."""
    least_gain = 5e-4
    """Of the similarity, from which the result is taken."""
    within = True
    """Whether the field itself is refined then, all of it."""

    def __init__(self, fixed: Floats, inside: Mask) -> None:
        self.fixed = fixed[None]
        self._alike = LocalCorrelation(fixed, inside)

    def channels(self, moved: Floats) -> Floats:
        """(1, D, H, W), to be compared with ``fixed``."""
        return moved[None]

    def similarity(self, channels: Floats) -> float:
        """Local correlation, squared."""
        return self._alike(channels[0])


class DifferentContrast:
    """Structure is where an image differs from itself a voxel further on, whatever its contrast (`self_similarity`).

    Three channels. In trials, carrying one image over to the other's contrast by a curve gained less than this on an
    inverted trunk and brain, and a curve for each window took inverted pairs apart.
    """

    name = "different contrast"
    around = (1,)
    """On coarser voxels structure undoes what the network found."""
    least_gain = 0.01
    within = False

    def __init__(self, fixed: Floats, inside: Mask) -> None:
        self.fixed = self_similarity(fixed)
        self._inside = inside[_THIN]
        self._counted = self._of(self.fixed)

    def channels(self, moved: Floats) -> Floats:
        """(3, D, H, W), to be compared with ``fixed``."""
        return self_similarity(moved)

    def similarity(self, channels: Floats) -> float:
        """1 for the same structure, about 0 for none in common."""
        counted = self._of(channels)
        spread = float(self._counted.var() + counted.var())
        return 1 - float(np.square(self._counted - counted).mean()) / spread if spread > 0 else 0.0

    def _of(self, channels: Floats) -> Floats:
        every: Floats = channels[(slice(None), *_THIN)][:, self._inside]
        return every


Contrast = SameContrast | DifferentContrast


def contrast_of(fixed: Floats, moving: Floats, moved: Floats, inside: Mask) -> tuple[type[Contrast], Floats]:
    """Which of the two serves a pair that lies as it does, judged by the images alone, and the fixed image for it.

    That of one contrast has the moving image's histogram. Contrasts differ where the fixed image through a curve, the
    mean of the moving one at each of its intensities, is locally much more like the moving one than it is by itself.
    """
    thin = [blurred(image, 1.0, 2) for image in (fixed, moved)]
    if min(float(np.ptp(sample(image))) for image in thin) > 0:
        a, b = (equalised(image) for image in thin)
        some = inside[_THIN]
        plain, best = (LocalCorrelation(image, some, 1.5)(b) for image in (match_histogram(a, b), _by_mean(a, b)))
        if plain < _SAME * best:
            return DifferentContrast, fixed
    return SameContrast, match_histogram(fixed, moving)


def _by_mean(image: Floats, other: Floats) -> Floats:
    """The mean of ``other`` at each of 64 intensities (0 to 1) of ``image`` (Guimond et al., IEEE TMI 20(1), 2001).

    With the histogram of ``other``: means are paler than what they are the means of.
    """
    bins = np.clip(image * 64, 0, 63).astype(np.int32)
    counts = np.bincount(bins.ravel(), minlength=64)
    sums = np.bincount(bins.ravel(), other.ravel(), minlength=64)
    return match_histogram((sums / np.maximum(counts, 1)).astype(np.float32)[bins], other)
