"""What of an image does not depend on its contrast: how much it differs from itself a voxel further on.

The descriptor of Heinrich et al. (MIND, Medical Image Analysis 16(7), 2012) with three neighbours of a voxel in place
of six: the other three are the same differences a voxel away.
"""

from __future__ import annotations

import numpy as np

from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats, blurred

_PATCH = 0.8  # voxels, the standard deviation of the Gaussian over which differences are summed
_FLAT = 1e-3  # of the mean difference: less is none
_TINY = np.float32(1e-6)  # brightest tissue is about 1


def self_similarity(image: Floats) -> Floats:
    """(3, D, H, W) of a (D, H, W) image: 1 for the neighbour that differs least, towards 0 for those that differ more.

    Component n is the neighbour along axis n. An inverted image, or one with a smooth bias field, has the same.
    """
    differences = np.zeros((3, *image.shape), np.float32)
    for axis in range(3):
        here, ahead = (
            tuple(part if a == axis else slice(None) for a in range(3)) for part in (slice(0, -1), slice(1, None))
        )
        np.square(image[ahead] - image[here], out=differences[axis][here])
    differences = blurred(differences, _PATCH)
    noise = differences.mean(axis=0)
    np.maximum(noise, np.float32(_FLAT) * noise.mean(), out=noise)
    noise += _TINY
    differences -= differences.min(axis=0)
    differences /= -noise
    return np.exp(differences, out=differences)
