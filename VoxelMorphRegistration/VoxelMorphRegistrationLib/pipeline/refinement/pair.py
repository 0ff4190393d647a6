"""The two images of a refinement on one lattice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats
from VoxelMorphRegistrationLib.spatial import Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge
from VoxelMorphRegistrationLib.spatial.grid import Floats as Matrix

MOST_VOXELS = 8_000_000  # of the lattice; a larger fixed volume is worked on at so much coarser voxels
MARGIN = 8  # voxels around the fixed content, in which what is refined fades to what was there


@dataclass(frozen=True, eq=False)
class Pair:
    """Both images on ``grid``, [i, j, k] float32: background 0, the brightest tissue about 1, NaN outside a volume."""

    grid: Grid
    fixed: Floats
    moving: Floats
    inside: npt.NDArray[np.bool_]
    """The fixed content: above its background, or in its mask."""


def pair_on_lattice(
    fixed: Image, moving: Image, affine: Matrix, fixed_mask: Image | None, moving_mask: Image | None
) -> Pair:
    """The fixed volume's own voxels around its content (coarser ones where they are too many), and the moving
    volume seen through the pre-alignment on them. Masks lie on their volumes' grids; outside them is background.
    """
    content = fixed if fixed_mask is None else fixed_mask
    start, stop = content.content_window()
    factors = _factors(fixed.grid.spacing, stop - start)
    lattice = _shrunk_grid(fixed.grid, factors)
    first = np.floor(lattice.to_ijk(fixed.grid.to_ras(start))).astype(int) - MARGIN
    last = np.ceil(lattice.to_ijk(fixed.grid.to_ras(stop - 1))).astype(int) + MARGIN
    shape = last - first + 1
    grid = lattice.window(first, (int(shape[0]), int(shape[1]), int(shape[2])))
    seen_fixed = _seen(fixed, fixed_mask, np.eye(4), grid)
    seen_moving = _seen(moving, moving_mask, affine, grid)
    inside = np.nan_to_num(seen_fixed) > 0
    return Pair(grid, seen_fixed, seen_moving, inside)


def _seen(image: Image, mask: Image | None, affine: Matrix, grid: Grid) -> Floats:
    array = np.asarray(image.array, np.float32)
    lowest = float(array.min() if mask is None else array[mask.array > 0].min())
    above = np.maximum(array - lowest, 0)
    if mask is not None:
        above = np.where(mask.array > 0, above, 0)
    there = above[above > 0]
    top = float(np.quantile(there[:: max(1, there.size // 250_000)], 0.999)) if there.size else 1.0
    scaled = bridge.scalar_to_sitk(above / np.float32(max(top, 1e-12)), image.grid)
    # Voxels finer than the lattice's are averaged, or noise between the samples would be taken for detail.
    factors = np.maximum(np.floor(grid.spacing.min() / image.grid.spacing + 1e-3), 1).astype(int)
    if factors.max() > 1:
        scaled = sitk.BinShrink(scaled, [int(n) for n in factors])
    seen = bridge.resample(scaled, grid, bridge.affine_to_sitk(affine), outside=math.nan, pixel_type=bridge.FLOAT32)
    return np.ascontiguousarray(bridge.scalar_from_sitk(seen), np.float32)


def _factors(spacing: Matrix, size: npt.NDArray[np.intp]) -> list[int]:
    """By how much to shrink each axis, the finest first, for the content to have no more than MOST_VOXELS."""
    factors = [1, 1, 1]
    while np.prod(size / factors) > MOST_VOXELS:
        finest = int(np.argmin(spacing * factors))
        factors[finest] += 1
    return factors


def _shrunk_grid(grid: Grid, factors: list[int]) -> Grid:
    """That of sitk.BinShrink: whole blocks, their centres."""
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, :3] = grid.axes * factors
    matrix[:3, 3] = grid.to_ras((np.array(factors) - 1) / 2)
    i, j, k = (max(n // factor, 1) for n, factor in zip(grid.shape, factors, strict=True))
    return Grid((i, j, k), matrix)
