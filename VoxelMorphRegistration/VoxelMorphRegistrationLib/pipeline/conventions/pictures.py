"""Small pictures of how well two volumes lie on each other: checkerboards of the fixed volume and the moving one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.pipeline.conventions.sampling import Values
from VoxelMorphRegistrationLib.spatial import Image
from VoxelMorphRegistrationLib.spatial.grid import Floats

Picture = npt.NDArray[np.uint8]
"""Grey values (rows, columns), first row on top."""

_LEFT, _BACK, _DOWN = (-1.0, 0, 0), (0, -1.0, 0), (0, 0, -1.0)
_PLANES = ((_LEFT, _BACK), (_LEFT, _DOWN), (_BACK, _DOWN))
"""RAS directions along a row and down a column: axial, coronal, sagittal, as radiologists look at them."""

_GAP = 4


def checkerboard(
    fixed: Image, seen_at: Callable[[Floats], tuple[Values, Values]], pixels: int = 116, tiles: int = 6
) -> Picture:
    """Axial, coronal and sagittal plane through the middle of what the fixed volume shows, side by side.

    ``seen_at`` gives the values of both volumes at (..., 3) RAS positions; they take turns in the tiles, each in its
    own grey scale, so that edges that do not go on across a tile's border are where they do not fit. A plane is a
    square of ``pixels`` that holds all of it, with patient's right on the left.
    """
    centre, side = _content(fixed)
    steps = (np.arange(pixels) + 0.5) / pixels * side - side / 2
    planes = [
        centre + steps[None, :, None] * np.array(along) + steps[:, None, None] * np.array(down)
        for along, down in _PLANES
    ]
    first, second = (_grey(values) for values in seen_at(np.stack(planes)))
    tile = (np.arange(pixels) * tiles // pixels) % 2
    board = np.where(tile[:, None] == tile[None, :], first, second)
    black = np.zeros((pixels, _GAP), np.uint8)
    return np.hstack([board[0], black, board[1], black, board[2]])


def _content(image: Image) -> tuple[Floats, float]:
    """The centre (RAS) of what is not background, and the side of a cube around it (mm)."""
    low, high = np.percentile(image.array[::2, ::2, ::2], (2, 99.5))
    found = np.argwhere(image.array[::2, ::2, ::2] > low + 0.1 * (high - low)) * 2
    grid = image.grid
    if len(found) == 0:
        return grid.centre_ras, float(grid.extent_mm.max() + grid.spacing.max())
    first, last = np.percentile(found, (0.5, 99.5), axis=0)
    corners = grid.window(first, _size(last - first + 1)).corners_ras()
    return corners.mean(axis=0), 1.06 * float(np.ptp(corners, axis=0).max())


def _size(extent: Floats) -> tuple[int, int, int]:
    i, j, k = (max(2, int(n)) for n in extent)
    return i, j, k


def _grey(values: Values) -> npt.NDArray[np.uint8]:
    low, high = np.percentile(values, (2, 99.5))
    scaled = np.clip((values - low) / max(float(high - low), 1e-6), 0, 1)
    return np.asarray(255 * scaled, np.uint8)
