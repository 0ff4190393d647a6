"""Small pictures of how well two volumes lie on each other: checkerboards of the fixed volume and the moving one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.pipeline.conventions.sampling import Values
from VoxelMorphRegistrationLib.spatial import Grid
from VoxelMorphRegistrationLib.spatial.grid import Floats

Picture = npt.NDArray[np.uint8]
"""Grey values (rows, columns), first row on top."""

_LEFT, _BACK, _DOWN = (-1.0, 0, 0), (0, -1.0, 0), (0, 0, -1.0)
_PLANES = ((_LEFT, _BACK), (_LEFT, _DOWN), (_BACK, _DOWN))
"""RAS directions along a row and down a column: axial, coronal, sagittal, as radiologists look at them."""

_GAP = 4


def checkerboard(
    grid: Grid, seen_at: Callable[[Floats], tuple[Values, Values]], pixels: int = 132, tiles: int = 6
) -> Picture:
    """Axial, coronal and sagittal plane through the middle of a grid, side by side.

    ``seen_at`` gives the values of both volumes at (..., 3) RAS positions; they take turns in the tiles, each in its
    own grey scale, so that edges that do not go on across a tile's border are where they do not fit. A plane is a
    square of ``pixels`` that holds the whole grid, with patient's right on the left.
    """
    side = float(grid.extent_mm.max() + grid.spacing.max())
    steps = (np.arange(pixels) + 0.5) / pixels * side - side / 2
    planes = [
        grid.centre_ras + steps[None, :, None] * np.array(along) + steps[:, None, None] * np.array(down)
        for along, down in _PLANES
    ]
    first, second = (_grey(values) for values in seen_at(np.stack(planes)))
    tile = (np.arange(pixels) * tiles // pixels) % 2
    board = np.where(tile[:, None] == tile[None, :], first, second)
    black = np.zeros((pixels, _GAP), np.uint8)
    return np.hstack([board[0], black, board[1], black, board[2]])


def _grey(values: Values) -> npt.NDArray[np.uint8]:
    low, high = np.percentile(values, (2, 99.5))
    scaled = np.clip((values - low) / max(float(high - low), 1e-6), 0, 1)
    return np.asarray(255 * scaled, np.uint8)
