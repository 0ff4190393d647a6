"""Target registration error: corresponding points, and how far apart the transform leaves them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.points import Points
from VoxelMorphRegistrationLib.pipeline.quality.results import BeforeAfter, Landmark, LandmarkErrors
from VoxelMorphRegistrationLib.spatial.grid import Floats


def landmark_errors(fixed: Points, moving: Points, to_moving: Callable[[Floats], Floats]) -> LandmarkErrors:
    """How far the moving points lie from the fixed ones, as they lie and carried to moving space by ``to_moving``.

    Measured in moving space, where a transform from fixed to moving is exact. Points belong together by their names
    where these are the same on both sides, else by their order. Raises InputError where neither fits.
    """
    moving = paired(fixed, moving)
    before = np.linalg.norm(fixed.positions - moving.positions, axis=1)
    after = np.linalg.norm(to_moving(fixed.positions) - moving.positions, axis=1)
    points = tuple(
        Landmark(name, _triple(f), _triple(m), BeforeAfter(float(b), float(a)))
        for name, f, m, b, a in zip(fixed.names, fixed.positions, moving.positions, before, after, strict=True)
    )
    return LandmarkErrors(
        points,
        BeforeAfter(float(before.mean()), float(after.mean())),
        BeforeAfter(float(np.median(before)), float(np.median(after))),
        BeforeAfter(float(before.max()), float(after.max())),
    )


def paired(fixed: Points, moving: Points) -> Points:
    """The moving points in the order of the fixed ones. Raises InputError where they do not correspond."""
    if len(fixed) == 0 or len(moving) == 0:
        side = "fixed" if len(fixed) == 0 else "moving"
        raise InputError(f"There are no {side} landmarks to compare; place some, or leave both sides out.")
    if len(fixed) != len(moving):
        raise InputError(
            f"There are {len(fixed)} fixed but {len(moving)} moving landmarks; give the same points on both sides, in "
            "the same order."
        )
    where = {name: n for n, name in enumerate(moving.names)}
    if len(where) == len(moving) and set(fixed.names) == set(moving.names):
        order = [where[name] for name in fixed.names]
        return Points(moving.positions[order], fixed.names)
    return moving


def _triple(position: Floats) -> tuple[float, float, float]:
    return float(position[0]), float(position[1]), float(position[2])
