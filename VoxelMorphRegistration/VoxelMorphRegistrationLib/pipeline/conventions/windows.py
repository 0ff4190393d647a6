"""Fields of a cropped or padded volume: where in the fixed volume they lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.files.fields import RawField
from VoxelMorphRegistrationLib.pipeline.conventions.hypotheses import arrangements, overlap
from VoxelMorphRegistrationLib.pipeline.conventions.search import Level, Trial
from VoxelMorphRegistrationLib.pipeline.conventions.statistics import Statistics
from VoxelMorphRegistrationLib.spatial import Grid, Image


def placed(raw: RawField, stats: Statistics, fixed: Image, moving: Image | None) -> tuple[RawField, list[str]]:
    """The field with a geometry of its own where neither it nor a volume gives one that fits.

    Its size then differs from the volumes': the network was given a cropped or padded volume (to a multiple of 16).
    The window is laid in the middle, as cropping and padding programs do; the sentences (the first without its end) say
    so and what would settle it. Fields that fit a volume come back as they are.
    """
    own = raw.grid if raw.grid is not None and overlap(raw.grid, fixed.grid) > 0.3 else None
    grids = [fixed.grid, *([moving.grid] if moving is not None else [])]
    if own is not None or any(arrangements(stats.space, grid) for grid in grids):
        return raw, []
    if not _looks_cropped(stats.space, fixed.grid):
        return raw, []
    start = _middle(stats.space, fixed)
    window = fixed.grid.window(start, stats.space)
    space, whole = (" x ".join(map(str, shape)) for shape in (stats.space, fixed.grid.shape))
    sentence = (
        f"Not accepted: the field ({space}) is smaller or larger than the fixed volume ({whole}), so the volume was "
        "cropped or padded for the network; where it was is only a guess"
    )
    return replace(raw, grid=window), [
        sentence,
        "the file with its own geometry (NIfTI or NRRD), or the cropped volume itself as the fixed one",
    ]


def refined(raw: RawField, trial: Trial, level: Level) -> RawField:
    """The window moved to where the field aligns the volumes best: coordinate by coordinate, from there outwards.

    ``trial`` is the likeliest convention at the window as it lies.
    """
    grid = raw.grid
    if grid is None:
        return raw

    def score(shift: npt.NDArray[np.int_]) -> float:
        linear = replace(trial.linear, lattice=grid.window(shift, grid.shape))
        moved = Trial(trial.convention, 0.0, linear, trial.field)
        return -float(level.errors(moved.displacements(level.points)).mean())

    shift = np.zeros(3, int)
    best = score(shift)
    for step in (8, 4, 2, 1):
        moving = True
        while moving:
            moving = False
            for axis in range(3):
                for sign in (-1, 1):
                    tried = shift.copy()
                    tried[axis] += sign * step
                    if np.abs(tried[axis]) < grid.shape[axis] and (found := score(tried)) > best:
                        shift, best, moving = tried, found, True
    return replace(raw, grid=grid.window(shift, grid.shape))


def _looks_cropped(space: tuple[int, ...], fixed: Grid) -> bool:
    ratio = np.array(space) / np.array(fixed.shape)
    return bool((ratio > 0.4).all() and (ratio < 2.0).all() and not np.allclose(ratio, ratio[0], rtol=0.02))


def _middle(space: tuple[int, ...], fixed: Image) -> npt.NDArray[np.int_]:
    return np.asarray((np.array(fixed.grid.shape) - np.array(space)) // 2, int)
