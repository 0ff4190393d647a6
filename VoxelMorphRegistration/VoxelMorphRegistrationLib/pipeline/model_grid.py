"""The grid on which the network sees a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.spatial import Grid, Image

RESOLUTIONS = {"full": 1, "half": 2, "quarter": 4}
"""Each is so many times coarser than the model's own, or than what _MOST_VOXELS allow where it has none."""

_MOST_VOXELS = 160 * 192 * 224  # at full resolution, for a model of any voxel size: what the T1 model takes

_MARGIN = 4  # voxels of the network's grid; in them the field fades to the pre-alignment
_SAME_SPACING = 0.05  # relative; a lattice this close to the card's is used as it is, without interpolation
_MINIMUM_SHAPE = 32


@dataclass(frozen=True)
class ModelGridPlan:
    """The network's grid over the fixed image's content, and whether the fixed image's own voxels are used."""

    grid: Grid
    on_fixed_lattice: bool
    description: str


def plan_model_grid(fixed: Image, card: ModelCard, resolution: str, mask: Image | None = None) -> ModelGridPlan:
    """The grid in the card's orientation and spacing (times 1, 2 or 4) that holds the fixed image's content.

    Content is what lies above the image's minimum, or inside ``mask``; a margin is added and each side is
    filled up to a multiple of the card's, so nothing of the content is cropped. Where the fixed image's spacing is
    the card's to 5 %, its own voxels are used.

    For a model of any voxel size the spacing is isotropic: the fixed image's finest, or as much coarser as it takes
    for the content to fill at most 160 x 192 x 224 voxels (an eighth or a 64th of them at the lower resolutions).
    """
    content = fixed if mask is None else mask
    start, stop = content.content_window()
    size = stop - start
    window = content.grid.window(start, (int(size[0]), int(size[1]), int(size[2])))
    lattice = window.reoriented(card.orientation)
    scale = RESOLUTIONS[resolution]
    wanted = np.array(card.spacing_mm) * scale
    if card.any_spacing:
        wanted, scale = fitting_spacing(lattice.shape, lattice.spacing, card, scale), 1
    ratio = wanted / lattice.spacing
    same = bool(np.all(np.abs(ratio - np.round(ratio)) <= _SAME_SPACING * ratio) and np.all(np.round(ratio) == scale))
    step = np.round(ratio) if same else ratio  # in voxels of the fixed lattice
    extent = (np.array(lattice.shape) - 1) / step + 1 + 2 * _MARGIN
    multiple = card.shape_multiple
    shape = np.maximum(np.ceil(extent / multiple) * multiple, _MINIMUM_SHAPE).astype(int)
    middle = (np.array(lattice.shape) - 1) / 2
    first = middle - (shape - 1) / 2 * step
    if same:
        first = np.round(first)
    matrix = lattice.ijk_to_ras.copy()
    matrix[:3, :3] = lattice.axes * step
    matrix[:3, 3] = lattice.to_ras(first)
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), matrix)
    return ModelGridPlan(grid, same and scale == 1, _describe(grid, fixed, resolution))


def fitting_spacing(
    shape: tuple[int, ...], spacing: npt.NDArray[np.floating[Any]], card: ModelCard, scale: int
) -> npt.NDArray[np.float64]:
    """The network's spacing in mm on content of so many voxels, for a model of any voxel size: see plan_model_grid."""
    volume = float(np.prod(np.array(shape) * spacing))
    coarse_enough = (volume / (_MOST_VOXELS / scale**3)) ** (1 / 3)
    fitting: npt.NDArray[np.float64] = np.maximum(card.spacing_mm, max(float(np.min(spacing)), coarse_enough))
    return fitting


def _describe(grid: Grid, fixed: Image, resolution: str) -> str:
    return (
        f"network grid {' x '.join(map(str, grid.shape))} voxels of "
        f"{' x '.join(f'{s:.2f}' for s in grid.spacing)} mm, {grid.orientation} ({resolution} resolution), "
        f"over the content of {fixed.name} ({' x '.join(map(str, fixed.grid.shape))} voxels of "
        f"{' x '.join(f'{s:.2f}' for s in fixed.grid.spacing)} mm, {fixed.grid.orientation})"
    )
