"""Where what was gained folds, it is taken back."""

from __future__ import annotations

import numpy as np

from VoxelMorphRegistrationLib.pipeline.refinement.contrast import Mask
from VoxelMorphRegistrationLib.pipeline.refinement.fields import folded
from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats, blurred, spread

_WIDTHS = (2.0, 4.0, 8.0)  # voxels around folds over which it is taken back, each where the one before left some
_DAMPINGS = (0.75, 0.5, 0.25, 0.0)  # of it, everywhere, where there are folds even so


def less_folded(base: Floats, gain: Floats, folds: Mask, inside: Mask) -> Floats:
    """``base`` and as much of ``gain`` as folds in no more voxels ``inside`` than ``base`` does.

    Fields are (3, D, H, W) in voxels; ``folds`` are those voxels inside of which base + gain folds. Of a few folds only
    what lies around them is lost; ``base`` itself is what is left in the end.
    """
    allowed = np.count_nonzero(folded(base) & inside)
    field = base + gain
    for width in _WIDTHS:
        if np.count_nonzero(folds) > allowed:
            gain = gain * _away_from(folds, width)
            field = base + gain
            folds = folded(field) & inside
    for part in _DAMPINGS:
        if np.count_nonzero(folds) > allowed:
            field = base + np.float32(part) * gain
            folds = folded(field) & inside
    return field


def _away_from(folds: Mask, width: float) -> Floats:
    """0 at the folds, 1 some ``width`` voxels from them."""
    every = max(1, int(width / 2))
    near = blurred(folds.astype(np.float32), width, every)
    near *= np.float32((np.sqrt(2 * np.pi) * width) ** 3)  # 1 at a single voxel
    away: Floats = 1 - np.minimum(spread(near, folds.shape, every), 1)
    return away
