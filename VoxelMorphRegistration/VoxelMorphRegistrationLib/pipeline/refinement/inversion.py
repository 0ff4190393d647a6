"""The inverse of a refined field, from the inverse of the field that it was refined from."""

from __future__ import annotations

import numpy as np

from VoxelMorphRegistrationLib.errors import TransformError
from VoxelMorphRegistrationLib.pipeline.refinement.fields import after_small, in_space, in_voxels, then
from VoxelMorphRegistrationLib.spatial import DisplacementField

_TOLERANCE = 0.02  # voxels, for 99.9 % of them
_STEPS = 15
_FAR = 0.5  # voxels; a correction that is longer somewhere is composed exactly


def inverted(field: DisplacementField, start: DisplacementField) -> DisplacementField:
    """v on the field's grid with y + v(y) = x where x + u(x) = y; ``start`` is one that is roughly so.

    Newton's method on the maps: what the field makes of y + v(y) misses y by r(y), so y - r(y) is what has to be
    asked for, v(y - r(y)) - r(y). Raises TransformError where that does not converge, as for a field that folds.
    """
    forward, back = in_voxels(field), in_voxels(start.resampled(field.grid))
    for _ in range(_STEPS):
        missed = then(back, forward)
        length = np.sqrt(np.einsum("cijk,cijk->ijk", missed, missed))
        if float(np.quantile(length[::2, ::2, ::2], 0.999)) <= _TOLERANCE:
            return in_space(back, field.grid)
        missed *= -1
        back = after_small(back, missed) if float(length.max()) <= _FAR else then(missed, back)
    raise TransformError(
        "The refined field cannot be inverted; register without refinement, or with fixed and moving swapped."
    )
