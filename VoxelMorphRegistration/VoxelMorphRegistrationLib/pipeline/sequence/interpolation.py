"""Fields between key frames, interpolated as velocities, so that the result neither folds nor shrinks the motion."""

from __future__ import annotations

import numpy as np

from VoxelMorphRegistrationLib.network.integration import FloatArray, integrate
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField
from VoxelMorphRegistrationLib.spatial.grid import Floats

_STEPS = 7
_ITERATIONS = 12
_TOLERANCE_VOXELS = 0.005


def between(before: Deformation, after: Deformation, part: float) -> Deformation:
    """The deformation at ``part`` (0 to 1) of the way from one to the other; both on the same lattice.

    The logarithms of the two fields are interpolated linearly and integrated (Arsigny et al., MICCAI 2006). The
    pre-alignments, which between key frames of one patient differ by a few degrees, are interpolated entry by entry.
    """
    grid = before.displacement.grid
    to_voxels, to_ras = grid.ras_to_ijk[:3, :3].T.astype(np.float32), grid.axes.T.astype(np.float32)
    velocity = (1 - part) * logarithm(before.displacement.vectors @ to_voxels)
    velocity += part * logarithm(after.displacement.resampled(grid).vectors @ to_voxels)
    affine: Floats = (1 - part) * before.affine + part * after.affine
    return Deformation(affine, DisplacementField(integrate(velocity, _STEPS) @ to_ras, grid))


def logarithm(displacement: FloatArray) -> FloatArray:
    """The stationary velocity whose exponential is x + u(x); (D, H, W, 3), in voxels.

    v grows by what u has more than exp(v), so that the exponential is u again, which going back by exp(-v) (Bossa and
    Olmos, 2008) leaves to the accuracy of a numerical inverse. For a field that was composed or refined it is a flow
    near by. It stops when nothing is gained.
    """
    velocity, best, smallest = displacement.copy(), displacement, np.inf
    for _ in range(_ITERATIONS):
        rest = displacement - integrate(velocity, _STEPS)
        left = float(np.sqrt(np.mean(np.square(rest))))
        if left >= smallest:
            return best
        best, smallest = velocity.copy(), left
        if left < _TOLERANCE_VOXELS:
            break
        velocity += rest
    return best
