"""Intensities by which a pair can be compared voxel by voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.network.histogram import match_histogram
from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats, blurred

SAME_CONTRAST = 0.8  # correlation from which a pair counts as one of the same contrast
_WINDOW = 6.0  # voxels, the standard deviation of the window in which contrasts are fitted
_NOISE = 1e-3


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is left between the images, and how the moved image's slopes count: ``fixed - gain * moved - offset``."""

    difference: Floats
    gain: Floats | None
    """None for 1 everywhere."""


class SameContrast:
    """The fixed image has the moving one's histogram: brightness means tissue, and differences mean motion."""

    name = "same contrast"

    def __init__(self, fixed: Floats) -> None:
        self.fixed = fixed

    def compare(self, moved: Floats) -> Comparison:
        """The plain difference."""
        return Comparison(self.fixed - moved, None)


class LocalContrast:
    """The moved image is fitted to the fixed one in each window by a line: any contrast, also an inverted one, and
    bias fields. What the line leaves is the difference.
    """

    name = "different contrast"

    def __init__(self, fixed: Floats) -> None:
        self.fixed = fixed
        self._mean = blurred(fixed, _WINDOW)

    def compare(self, moved: Floats) -> Comparison:
        """By linear regression in a Gaussian window of 6 voxels."""
        mean, squares, product = blurred(np.stack([moved, moved * moved, moved * self.fixed]), _WINDOW)
        gain = (product - mean * self._mean) / (squares - mean * mean + np.float32(_NOISE))
        return Comparison(self.fixed - self._mean - gain * (moved - mean), gain)


Contrast = SameContrast | LocalContrast


def contrast_of(
    fixed: Floats, moving: Floats, moved: Floats, inside: npt.NDArray[np.bool_]
) -> tuple[type[Contrast], Floats]:
    """Which of the two serves a pair that lies as it does, judged by the images alone, and the fixed image for it."""
    matched = match_histogram(fixed, moving)
    sample = tuple(slice(None, None, 2) for _ in range(3))
    a, b = (image[sample][inside[sample]] for image in (matched, moved))
    if a.size > 1 and min(a.std(), b.std()) > 1e-6 and np.corrcoef(a, b)[0, 1] >= SAME_CONTRAST:
        return SameContrast, matched
    return LocalContrast, fixed
