"""One step of symmetric demons, with the contrast of the pair as it is.

The force is that of efficient second-order minimisation (Vercauteren et al., NeuroImage 45, 2009), as in ITK's
``ESMDemonsRegistrationFunction``: the difference times the mean of both images' slopes, over the slopes' square plus
the difference's. It is added by composition, and the sum is smoothed. What takes ITK's filters most of their time, an
exponential and a vector resampling for each step, is done to first order here: a step is at most half a voxel.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.pipeline.refinement.contrast import Contrast
from VoxelMorphRegistrationLib.pipeline.refinement.fields import after_small, gradient
from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats, blurred

Mask = npt.NDArray[np.bool_]

LONGEST_STEP = 0.5  # voxels


class Demons:
    """Steps on one lattice; ``smoothing`` is that of the field after each of them, in voxels."""

    def __init__(self, contrast: Contrast, smoothing: float) -> None:
        self._contrast = contrast
        self._slopes = gradient(contrast.fixed)
        self._smoothing = smoothing

    def step(self, field: Floats, moved: Floats, known: Mask) -> Floats:
        """The field, (3, D, H, W) in voxels, a step further.

        ``moved`` is the moving image seen through it; nothing pulls where not both images are ``known``.
        """
        force = self._force(moved, known)
        if self._contrast.step_smoothing:
            force = blurred(force, self._contrast.step_smoothing)
        return blurred(after_small(field, force), self._smoothing)

    def _force(self, moved: Floats, known: Mask) -> Floats:
        compared = self._contrast.compare(moved)
        force = gradient(moved)
        if compared.gain is not None:
            force *= compared.gain
        force += self._slopes
        force *= np.float32(0.5)
        difference = np.where(known, compared.difference, np.float32(0))
        weight = np.einsum("cijk,cijk->ijk", force, force)
        weight += difference * difference * np.float32(1 / (2 * LONGEST_STEP) ** 2)
        weight += np.float32(1e-9)
        force *= difference / weight
        return force
