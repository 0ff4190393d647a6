"""Where pictures of a volume are taken: the three planes through the middle of what it shows, and their grey values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.spatial import Grid, Image
from VoxelMorphRegistrationLib.spatial.grid import Floats

Picture = npt.NDArray[np.uint8]
"""Grey values (rows, columns), first row on top."""

_LEFT, _BACK, _DOWN = (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)
DIRECTIONS = {"axial": (_LEFT, _BACK), "coronal": (_LEFT, _DOWN), "sagittal": (_BACK, _DOWN)}
"""RAS directions along a row and down a column, as radiologists look at them: the patient's right on the left."""


@dataclass(frozen=True)
class Cube:
    """A cube along the RAS axes: ``centre`` in RAS mm, ``side`` in mm."""

    centre: Floats
    side: float

    @classmethod
    def around_content(cls, image: Image) -> Cube:
        """The one around what is not background."""
        low, high = np.percentile(image.array[::2, ::2, ::2], (2, 99.5))
        found = np.argwhere(image.array[::2, ::2, ::2] > low + 0.1 * (high - low)) * 2
        grid = image.grid
        if len(found) == 0:
            return cls(grid.centre_ras, float(grid.extent_mm.max() + grid.spacing.max()))
        first, last = np.percentile(found, (0.5, 99.5), axis=0)
        corners = grid.window(first, _size(last - first + 1)).corners_ras()
        return cls(corners.mean(axis=0), 1.06 * float(np.ptp(corners, axis=0).max()))

    def plane(self, name: str, pixels: int) -> Grid:
        """The plane of `DIRECTIONS` through the centre as a grid one voxel thick: i along a row, j down a column."""
        along, down = (np.array(direction) for direction in DIRECTIONS[name])
        step = self.side / pixels
        matrix = np.eye(4)
        matrix[:3, :3] = step * np.stack([along, down, np.cross(along, down)], axis=1)
        matrix[:3, 3] = self.centre + (0.5 * step - 0.5 * self.side) * (along + down)
        return Grid((pixels, pixels, 1), matrix)


def grey(values: npt.NDArray[np.floating], window: tuple[float, float] | None = None) -> Picture:
    """Values on a grey scale from black to white, by default from their 2nd to their 99.5th percentile."""
    low, high = window or np.percentile(values, (2, 99.5))
    scaled = np.clip((values - low) / max(float(high - low), 1e-6), 0, 1)
    return np.asarray(255 * scaled, np.uint8)


def _size(extent: Floats) -> tuple[int, int, int]:
    i, j, k = (max(2, int(n)) for n in extent)
    return i, j, k
