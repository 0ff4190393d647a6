"""Scaling and squaring of a velocity field, and resizing of a vector field, as VoxelMorph's layers do them.

Arrays are (D, H, W, 3) float32; component n points along array axis n, in voxels of the array's own grid.
integrate() runs on SimpleITK's threads, upsample() on numpy's.
"""

from __future__ import annotations

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
    shape = velocity.shape[:3]
    u = _to_xyz(velocity) * np.float32(0.5**steps)
    # ITK samples 0 outside the image; stopping each vector at the last voxel gives VoxelMorph's edge value.
    lowest, highest = _room_to_edges(shape)
    for _ in range(steps):
        field = sitk.GetImageFromArray(u, isVector=True)
        inside = sitk.GetImageFromArray(np.clip(u, lowest, highest), isVector=True)
        moved = sitk.Warp(field, inside, sitk.sitkLinear, outputSize=field.GetSize())
        u += sitk.GetArrayViewFromImage(moved)
    return np.ascontiguousarray(u[..., ::-1])


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


def _room_to_edges(shape: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
    """Each voxel's smallest and largest displacement that stays on the grid, components in ITK's order."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")[::-1], axis=-1).astype(np.float32)
    last = np.array(shape[::-1], np.float32) - 1
    return -index, last - index


def _to_xyz(field: FloatArray) -> FloatArray:
    """For SimpleITK, whose x is the last array axis: the same array with the components reversed (a copy)."""
    return np.array(field[..., ::-1], dtype=np.float32, order="C")
