"""One step of symmetric demons, on as many channels as the contrast of the pair asks for.

The force is that of efficient second-order minimisation (Vercauteren et al., NeuroImage 45, 2009), as in ITK's
``ESMDemonsRegistrationFunction``: the difference times the mean of both images' slopes, over the slopes' square plus
the difference's, each summed over the channels. It is added by composition, and the sum is smoothed. What takes ITK's
filters most of their time, an exponential and a vector resampling for each step, is done to first order here: a step
is at most half a voxel.
"""

from __future__ import annotations

import numpy as np

from VoxelMorphRegistrationLib.pipeline.refinement.contrast import Contrast, Mask
from VoxelMorphRegistrationLib.pipeline.refinement.fields import after_small, gradient
from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats, blurred

LONGEST_STEP = 0.5  # voxels
_STEP_SMOOTHING = 1.0  # voxels


class Demons:
    """Steps on one lattice; ``smoothing`` is that of the field after each of them, in voxels."""

    def __init__(self, contrast: Contrast, smoothing: float) -> None:
        self._fixed = contrast.fixed
        self._slopes = [gradient(channel) for channel in contrast.fixed]
        self._smoothing = smoothing
        self._many = len(contrast.fixed) > 1

    def step(self, field: Floats, channels: Floats, known: Mask) -> Floats:
        """The field, (3, D, H, W) in voxels, a step further.

        ``channels`` are the contrast's of the moving image seen through it; nothing pulls where not both images are
        ``known``.
        """
        force = self._force(channels, known)
        if self._many:  # their details differ, and must not pull voxel by voxel
            force = blurred(force, _STEP_SMOOTHING)
        return blurred(after_small(field, force), self._smoothing)

    def _force(self, channels: Floats, known: Mask) -> Floats:
        total, weight = np.zeros((3, *known.shape), np.float32), np.full(known.shape, 1e-9, np.float32)
        for fixed, slopes, moved in zip(self._fixed, self._slopes, channels, strict=True):
            force = gradient(moved)
            force += slopes
            force *= np.float32(0.5)
            difference = np.where(known, fixed - moved, np.float32(0))
            weight += np.einsum("cijk,cijk->ijk", force, force)
            weight += difference * difference * np.float32(1 / (2 * LONGEST_STEP) ** 2)
            force *= difference
            total += force
        total /= weight
        return total
