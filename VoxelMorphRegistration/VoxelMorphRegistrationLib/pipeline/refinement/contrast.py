"""Intensities by which a pair can be compared voxel by voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.network.histogram import match_histogram
from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats, blurred
from VoxelMorphRegistrationLib.pipeline.refinement.transfer import carried_over

_SAME = 0.4  # correlation in the fixed content from which a pair counts as one of the same contrast, still misaligned
_WINDOW = 6.0  # voxels, the standard deviation of the window in which brightness is fitted
_NOISE = 1e-3  # variance; the standard deviation is 3 % of the brightest tissue
_LARGEST_GAIN = 3.0


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is left between the images, and how the moved image's slopes count: ``fixed - gain * moved - offset``."""

    difference: Floats
    gain: Floats | None
    """None for 1 everywhere."""


class SameContrast:
    """The fixed image has the moving one's histogram: brightness means tissue, and differences mean motion."""

    name = "same contrast"
    least_gain = 5e-4
    """Of the similarity, from which the result is taken."""
    step_smoothing = 0.0
    """Voxels; what is added in a step is smoothed that much."""

    def __init__(self, fixed: Floats) -> None:
        self.fixed = fixed

    def compare(self, moved: Floats) -> Comparison:
        """The plain difference."""
        return Comparison(self.fixed - moved, None)


class DifferentContrast:
    """The moved image is carried over to the fixed one's contrast, by one curve for the whole image and then, in each
    window, by a line that rises: inverted contrasts and bias fields are seen through.

    The curve is the mean of the fixed image at each brightness of the moved one, as it lies at the moment. A line for
    each window alone, which may fall, was tried and takes inverted pairs apart: edges to the background decide then.
    """

    name = "different contrast"
    least_gain = 0.1
    step_smoothing = 2.0
    """Carried over or not, the images' details differ; they must not pull voxel by voxel."""

    def __init__(self, fixed: Floats) -> None:
        self.fixed = fixed
        self._mean = blurred(fixed, _WINDOW)

    def compare(self, moved: Floats) -> Comparison:
        """What curve and line leave, and their slopes."""
        carried, slope = carried_over(moved, self.fixed)
        mean, squares, product = blurred(np.stack([carried, carried * carried, carried * self.fixed]), _WINDOW)
        gain = (product - mean * self._mean) / (squares - mean * mean + np.float32(_NOISE))
        np.clip(gain, 0, _LARGEST_GAIN, out=gain)
        return Comparison(self.fixed - self._mean - gain * (carried - mean), gain * slope)


Contrast = SameContrast | DifferentContrast


def contrast_of(
    fixed: Floats, moving: Floats, moved: Floats, inside: npt.NDArray[np.bool_]
) -> tuple[type[Contrast], Floats]:
    """Which of the two serves a pair that lies as it does, judged by the images alone, and the fixed image for it."""
    matched = match_histogram(fixed, moving)
    thin = (slice(None, None, 2),) * 3
    a, b = (image[thin][inside[thin]] for image in (matched, moved))
    if a.size > 1 and min(a.std(), b.std()) > 1e-6 and np.corrcoef(a, b)[0, 1] >= _SAME:
        return SameContrast, matched
    return DifferentContrast, fixed
