"""What coarse copies of the frames tell before anything is registered: a good reference, good key frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError, RegistrationError
from VoxelMorphRegistrationLib.files.frames import Frames
from VoxelMorphRegistrationLib.spatial import Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

_SIDE = 20
"""Voxels along the longest side of a coarse copy: breathing and heartbeats show in them, noise does not."""
_MOST_FRAMES = 200
"""Of longer sequences, so many frames, evenly spread, are compared: time and memory stay flat."""

Copies = npt.NDArray[np.float32]


class CoarseCopies:
    """Each frame as a short vector of mean 0 and length 1, so that a product of two is their correlation."""

    def __init__(self, frames: Frames, heard: Callable[[int, int], None] | None = None) -> None:
        """Reads up to 200 frames once; ``heard(done, of)`` may raise to stop. A frame that cannot be read is left out.

        Raises InputError where fewer than two can be read.
        """
        step = max(1, -(-len(frames) // _MOST_FRAMES))
        wanted = sorted({*range(0, len(frames), step), len(frames) - 1})
        numbers, copies, grid = [], [], None
        for done, n in enumerate(wanted):
            if heard:
                heard(done, len(wanted))
            try:
                image = frames.read(n)
                grid = grid or _coarse(image.grid)
                copies.append(_normalised(image, grid))
            except RegistrationError:
                continue
            numbers.append(n)
        if len(numbers) < 2:
            raise InputError(f"Fewer than two frames of {frames.name} can be read; export the sequence again.")
        self.numbers = np.array(numbers)
        self.copies: Copies = np.stack(copies)

    def middle(self) -> int:
        """The frame whose least similar frame is most similar to it: the one nearest the middle of the motion."""
        correlation = self.copies @ self.copies.T
        worst, mean = correlation.min(axis=1), correlation.mean(axis=1)
        return int(self.numbers[np.lexsort((-mean, -worst.round(6)))[0]])

    def keys(self, count: int, fixed: list[int]) -> list[int]:
        """About ``count`` frames between which the others lie as straight in time as can be; ``fixed`` are among them.

        The frame that lies farthest from the straight line between the key frames around it becomes the next key.
        """
        keys = sorted(set(fixed))
        while len(keys) < count:
            errors = [self._off_line(n, keys) for n in self.numbers]
            if max(errors) <= 1e-6:
                break
            keys = sorted({*keys, int(self.numbers[int(np.argmax(errors))])})
        return keys

    def _off_line(self, n: int, keys: list[int]) -> float:
        if n in keys:
            return 0.0
        before, after = max(k for k in keys if k < n), min(k for k in keys if k > n)
        t = (n - before) / (after - before)
        between = (1 - t) * self._copy(before) + t * self._copy(after)
        return float(np.linalg.norm(self._copy(n) - between))

    def _copy(self, n: int) -> npt.NDArray[np.float32]:
        """Of the nearest frame that was read."""
        nearest: npt.NDArray[np.float32] = self.copies[int(np.argmin(np.abs(self.numbers - n)))]
        return nearest


def _coarse(grid: Grid) -> Grid:
    size = np.maximum(np.round(grid.extent_mm / grid.extent_mm.max() * _SIDE), 4).astype(int)
    size = np.minimum(size, grid.shape)
    matrix = grid.ijk_to_ras.copy()
    scale = np.array(grid.shape) / size
    matrix[:3, :3] = grid.axes * scale
    matrix[:3, 3] = grid.to_ras((scale - 1) / 2)
    return Grid((int(size[0]), int(size[1]), int(size[2])), matrix)


def _normalised(image: Image, grid: Grid) -> npt.NDArray[np.float32]:
    import SimpleITK as sitk

    whole = sitk.Cast(bridge.scalar_to_sitk(image.array, image.grid), sitk.sitkFloat32)
    factors = np.maximum(np.floor(grid.spacing / image.grid.spacing), 1).astype(int)
    factors = np.minimum(factors, image.grid.shape)
    small = bridge.resample(
        sitk.BinShrink(whole, factors.tolist()), grid, outside=float(image.array.min()), pixel_type=bridge.FLOAT32
    )
    values: npt.NDArray[np.float32] = bridge.scalar_from_sitk(small).ravel()
    values = values - values.mean()
    length = float(np.linalg.norm(values))
    if length == 0:
        raise InputError(f"{image.name} is empty.")
    return values / length
