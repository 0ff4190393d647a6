"""Scaling and squaring of a velocity field, and resizing of a vector field, as VoxelMorph's layers do them.

Arrays are (D, H, W, 3) float32; component n points along array axis n, in voxels of the array's own grid.
integrate() runs on as many threads as SimpleITK may use, upsample() on numpy's.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import cast

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def integrate(velocity: FloatArray, steps: int) -> FloatArray:
    """The displacement exp(v) of a stationary velocity: u = v / 2^steps, then ``steps`` times u += u(x + u).

    Equals VoxelMorph's VecInt layer (method "ss"; Dalca et al., MICCAI 2018), which samples linearly and
    takes the nearest edge voxel outside. Zero steps return the field itself.
    """
    sampled = _Sampling(velocity.shape[:3])
    # In four numbers a vector, because numpy gathers elements of 16 bytes much faster than rows of three numbers.
    u = np.zeros((sampled.count, 4), np.float32)
    u[:, :3] = velocity.reshape(-1, 3)
    u[:, :3] *= np.float32(0.5**steps)
    with ThreadPoolExecutor(sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()) as pool:
        for _ in range(steps):
            u = np.concatenate(list(pool.map(lambda part, u=u: u[part] + sampled.at(u, part), sampled.parts)))
    return np.ascontiguousarray(u[:, :3]).reshape(velocity.shape)


def upsample(field: FloatArray, factor_or_shape: float | tuple[int, int, int]) -> FloatArray:
    """Resize a vector field to another grid over the same extent, and its vectors to that grid's voxels.

    Equals VoxelMorph's RescaleTransform layer: output voxel n lies at linspace(0, size - 1, new_size)[n]
    (corner voxels coincide) and each component is multiplied by new_size / size of its axis. A factor may be
    below 1.
    """
    shape = field.shape[:3]
    if isinstance(factor_or_shape, tuple):
        new_shape = factor_or_shape
    else:
        new_shape = cast(tuple[int, int, int], tuple(int(size * factor_or_shape) for size in shape))
    if new_shape == shape:
        return field
    ratio = np.array(new_shape, np.float32) / np.array(shape, np.float32)
    # Linear resizing is one small matrix for each axis, and matrix products use every core.
    (d, h, w), (new_d, new_h, _) = shape, new_shape
    resized = _linear(d, new_shape[0]) @ (field * ratio).reshape(d, -1)
    resized = np.matmul(_linear(h, new_shape[1]), resized.reshape(new_d, h, -1))
    resized = np.matmul(_linear(w, new_shape[2]), resized.reshape(new_d * new_h, w, 3))
    result: FloatArray = resized.reshape(*new_shape, 3)
    return result


def _linear(size: int, new_size: int) -> FloatArray:
    """The (new_size, size) matrix that samples linearly at linspace(0, size - 1, new_size)."""
    position = np.linspace(0, size - 1, new_size)
    lower = np.clip(position.astype(int), 0, max(size - 2, 0))
    matrix = np.zeros((new_size, size), np.float32)
    rows, weight = np.arange(new_size), (position - lower).astype(np.float32)
    matrix[rows, lower] = 1 - weight
    matrix[rows, np.minimum(lower + 1, size - 1)] += weight
    return matrix


class _Sampling:
    """Linear samples of a field of vectors at its displaced voxels; the nearest edge voxel counts outside.

    ``parts`` are slices of the flat voxels, small enough for a processor's cache.
    """

    _PART = 16384

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._last = np.array(shape, np.float32) - 1
        self._before_last = np.maximum(np.array(shape, np.int32) - 2, 0)
        self._strides = np.array([shape[1] * shape[2], shape[2], 1], np.int32)
        self._steps = [int(stride) if size > 1 else 0 for stride, size in zip(self._strides, shape, strict=True)]
        self._voxels = np.indices(shape, np.float32).reshape(3, -1)
        self.count = self._voxels.shape[1]
        self.parts = [slice(*ends) for ends in pairwise([*range(0, self.count, self._PART), self.count])]

    def at(self, u: FloatArray, part: slice) -> FloatArray:
        """(n, 4) samples of ``u`` (all voxels, 4) at the voxels of ``part``, each displaced by its first three."""
        first = np.zeros(part.stop - part.start, np.int32)
        between = []
        for axis in range(3):
            position = np.clip(self._voxels[axis, part] + u[part, axis], 0, self._last[axis])
            low = np.minimum(position.astype(np.int32), self._before_last[axis])
            first += low * self._strides[axis]
            between.append((position - low)[:, None])
        vectors = u.view(np.complex128)[:, 0]  # one element of 16 bytes each
        i, j, k = self._steps

        def corner(step: int) -> FloatArray:
            return vectors.take(first + np.int32(step)).view(np.float32).reshape(-1, 4)

        def along_k(step: int) -> FloatArray:
            return _linear_between(corner(step), corner(step + k), between[2])

        return _linear_between(
            _linear_between(along_k(0), along_k(j), between[1]),
            _linear_between(along_k(i), along_k(i + j), between[1]),
            between[0],
        )


def _linear_between(a: FloatArray, b: FloatArray, part: FloatArray) -> FloatArray:
    """a + (b - a) part; both are overwritten."""
    b -= a
    b *= part
    a += b
    return a
