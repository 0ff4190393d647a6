"""Values at scattered points, many at a time: trilinear, plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.spatial.grid import Floats

Values = npt.NDArray[np.float32]


class Sampler:
    """An array (I, J, K) or (I, J, K, C) at fractional indices, linear, the nearest edge voxel outside."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        """Copies the array: rows side by side are what makes it fast."""
        self.shape = array.shape[:3]
        channels = array.shape[3:]
        self._rows = np.ascontiguousarray(array, np.float32).reshape(-1, *channels)

    def at(self, index: npt.ArrayLike) -> Values:
        """(..., 3) indices to (...) or (..., C) values."""
        i, j, k = self.shape
        last = np.array((i - 1, j - 1, k - 1), np.float32)
        where = np.clip(np.asarray(index, np.float32), 0, last)
        low = np.minimum(where.astype(np.int32), np.maximum(np.array((i - 2, j - 2, k - 2), np.int32), 0))
        part = where - low
        base = (low[..., 0] * j + low[..., 1]) * k + low[..., 2]
        a, b, c = (part[..., axis, None] if self._rows.ndim > 1 else part[..., axis] for axis in range(3))
        x, y, z = (j * k if i > 1 else 0), (k if j > 1 else 0), (1 if k > 1 else 0)
        planes = []
        for start in (base, base + x):
            front, back = self._mix(start, z, c), self._mix(start + y, z, c)
            planes.append(front + (back - front) * b)
        values: Values = planes[0] + (planes[1] - planes[0]) * a
        return values

    def _mix(self, at: npt.NDArray[np.int32], step: int, part: Values) -> Values:
        near, far = self._rows.take(at, axis=0), self._rows.take(at + step, axis=0)
        mixed: Values = near + (far - near) * part
        return mixed


class ImageSampler(Sampler):
    """A scalar image at RAS positions; its minimum outside."""

    def __init__(self, array: npt.NDArray[Any], ras_to_ijk: Floats) -> None:
        super().__init__(array)
        self._to_ijk = ras_to_ijk.astype(np.float32)
        self._outside = np.float32(self._rows.min())

    def at_ras(self, points: npt.ArrayLike) -> Values:
        """(..., 3) RAS positions to (...) values."""
        index = np.nan_to_num(np.asarray(points, np.float32) @ self._to_ijk[:3, :3].T + self._to_ijk[:3, 3])
        inside = ((index > -0.5) & (index < np.array(self.shape, np.float32) - 0.5)).all(axis=-1)
        return np.where(inside, self.at(index), self._outside)
