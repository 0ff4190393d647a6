"""Grids of every kind a scanner or a user makes: oblique, anisotropic, left-handed, in any axis order."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from VoxelMorphRegistrationLib.spatial import Grid

quick = settings(max_examples=40, deadline=None)
"""For every property test here: no deadline, because the machine may be shared."""

AXIS_ORDERS = [
    np.eye(3)[:, list(order)] * np.array(signs)
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]
"""The 48 ways in which three array axes can lie along R, A and S; half of them are left-handed."""


def rotation(axis: object, degrees: float) -> NDArray[np.float64]:
    """Rodrigues' formula: 3x3 rotation about an axis."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(np.asarray(axis, float))
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def affine(linear: object, translation: object = (0, 0, 0)) -> NDArray[np.float64]:
    """A 4x4 matrix of its 3x3 part and its translation."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, translation
    return matrix


def grid_of(
    shape: tuple[int, int, int],
    *,
    spacing: object = (1, 1, 1),
    turned: NDArray[np.float64] | None = None,
    axes: NDArray[np.float64] | None = None,
    centre: object = (0, 0, 0),
) -> Grid:
    """A grid whose middle lies at ``centre``: array axes along ``axes`` (default RAS), then rotated by ``turned``."""
    linear = (np.eye(3) if turned is None else turned) @ (np.eye(3) if axes is None else axes) * np.asarray(spacing)
    return Grid(shape, affine(linear, np.asarray(centre) - linear @ ((np.array(shape) - 1) / 2)))


def rotations(largest: float) -> st.SearchStrategy[NDArray[np.float64]]:
    component = st.floats(-1, 1, width=32)
    axis = st.tuples(component, component, component).filter(lambda a: np.linalg.norm(a) > 0.1)
    return st.builds(rotation, axis, st.floats(-largest, largest))


def shapes(smallest: int = 2, largest: int = 9) -> st.SearchStrategy[tuple[int, int, int]]:
    return st.tuples(*[st.integers(smallest, largest)] * 3)


def grids(
    *, largest_angle: float = 180, smallest: int = 2, largest: int = 9, spacing: tuple[float, float] = (0.3, 6)
) -> st.SearchStrategy[Grid]:
    """Any orientation, rotated up to ``largest_angle`` degrees, anisotropic, anywhere in a scanner."""
    length, position = st.floats(*spacing), st.floats(-400, 400)
    return st.builds(
        lambda shape, spacing, turned, axes, centre: grid_of(
            shape, spacing=spacing, turned=turned, axes=axes, centre=centre
        ),
        shapes(smallest, largest),
        st.tuples(length, length, length),
        rotations(largest_angle),
        st.sampled_from(AXIS_ORDERS),
        st.tuples(position, position, position),
    )


OBLIQUE_LEFT_HANDED = grid_of(
    (24, 20, 28),
    spacing=(1.5, 2.5, 1.0),
    turned=rotation((1, 2, 3), 30),
    axes=np.diag([-1.0, 1.0, 1.0]),
    centre=(12, -34, 56),
)
"""The hard case: oblique by 30 degrees, anisotropic, left-handed, off centre."""
