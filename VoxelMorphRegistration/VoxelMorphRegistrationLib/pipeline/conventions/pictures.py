"""Small pictures of how well two volumes lie on each other: checkerboards of the fixed volume and the moving one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from VoxelMorphRegistrationLib.pipeline.conventions.sampling import Values
from VoxelMorphRegistrationLib.pipeline.planes import DIRECTIONS, Cube, Picture, grey
from VoxelMorphRegistrationLib.spatial import Grid, Image
from VoxelMorphRegistrationLib.spatial.grid import Floats

_GAP = 4


def checkerboard(
    fixed: Image, seen_at: Callable[[Floats], tuple[Values, Values]], pixels: int = 116, tiles: int = 6
) -> Picture:
    """Axial, coronal and sagittal plane through the middle of what the fixed volume shows, side by side.

    ``seen_at`` gives the values of both volumes at (..., 3) RAS positions; they take turns in the tiles, each in its
    own grey scale, so that edges that do not go on across a tile's border are where they do not fit. A plane is a
    square of ``pixels`` that holds all of it, with patient's right on the left.
    """
    cube = Cube.around_content(fixed)
    first, second = (
        grey(values) for values in seen_at(np.stack([_positions(cube.plane(name, pixels)) for name in DIRECTIONS]))
    )
    tile = (np.arange(pixels) * tiles // pixels) % 2
    board = np.where(tile[:, None] == tile[None, :], first, second)
    black = np.zeros((pixels, _GAP), np.uint8)
    return np.hstack([board[0], black, board[1], black, board[2]])


def _positions(plane: Grid) -> Floats:
    """(rows, columns, 3) RAS positions of a plane's pixels."""
    columns, rows, _ = plane.shape
    j, i = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    return plane.to_ras(np.stack([i, j, np.zeros_like(i)], axis=-1))
