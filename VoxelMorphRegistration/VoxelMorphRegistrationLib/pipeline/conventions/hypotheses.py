"""Every convention that a field's shape and numbers allow, and how often people meet each of them."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

from VoxelMorphRegistrationLib.files.fields import RawField
from VoxelMorphRegistrationLib.pipeline.conventions.convention import (
    Convention,
    Layout,
    Letters,
    Placement,
    Units,
    opposite,
)
from VoxelMorphRegistrationLib.pipeline.conventions.statistics import Statistics
from VoxelMorphRegistrationLib.spatial import Grid

FACTORS = (1, 2, 4)
"""How many voxels of the volume one voxel of a field may span."""

_ORIENTATIONS = ("RAS", "LPS", "LIA", "LAS")
_OBLIQUE = 0.02
"""Cosine off a body axis (1 degree) from which mm along the grid and mm along the body differ."""

KNOWN = 1.0
"""Up to this cost a convention is one that some program writes."""


def signed(axes: str, names: dict[str, str]) -> list[Letters]:
    """All 48 signed orders of three axes."""
    found: list[Letters] = []
    for order in permutations(axes):
        for flips in product((False, True), repeat=3):
            a, b, c = (names[x] if flip else x for x, flip in zip(order, flips, strict=True))
            found.append((a, b, c))
    return found


VOXEL_ORDERS = signed("ijk", {axis: f"-{axis}" for axis in "ijk"})
WORLD_ORDERS = signed("RAS", {"R": "L", "A": "P", "S": "I"})


def fits(space: tuple[int, ...], axes: Letters, grid: Grid) -> int:
    """The resolution factor at which an array with these axes covers a grid, or 0."""
    for factor in FACTORS:
        sizes = [grid.shape["ijk".index(letter[-1])] for letter in axes]
        if all(abs(n * factor - full) < factor for n, full in zip(space, sizes, strict=True)):
            return factor
    return 0


def arrangements(space: tuple[int, ...], grid: Grid) -> list[tuple[Letters, float]]:
    """The orders of axes in which an array fits a grid, with their cost: as it is, reversed (NumPy arrays of Slicer
    and SimpleITK), reoriented (nibabel's as_closest_canonical and the like), any other.
    """
    candidates: dict[Letters, float] = {("i", "j", "k"): 0.0, ("k", "j", "i"): 0.2}
    for orientation in _ORIENTATIONS:
        letters = _letters_of(grid, grid.reoriented(orientation))
        candidates.setdefault(letters, 0.6 if orientation == "RAS" else 0.8)
        candidates.setdefault((letters[2], letters[1], letters[0]), 0.9)
    for order in permutations("ijk"):
        candidates.setdefault((order[0], order[1], order[2]), 1.2)
    return [(letters, cost) for letters, cost in candidates.items() if fits(space, letters, grid)]


def _letters_of(grid: Grid, other: Grid) -> Letters:
    """The axes of ``other``, a reorientation of ``grid``, in terms of ``grid``'s."""
    turned = np.linalg.solve(grid.directions, other.directions)
    found = []
    for n in range(3):
        axis = int(np.abs(turned[:, n]).argmax())
        found.append(("" if turned[axis, n] > 0 else "-") + "ijk"[axis])
    return found[0], found[1], found[2]


def is_oblique(grid: Grid) -> bool:
    """Whether the grid's axes are more than a degree off the body's."""
    return bool((np.sort(np.abs(grid.directions), axis=0)[:2] > _OBLIQUE).any())


def component_cost(components: Letters, units: Units, axes: Letters, grid: Grid) -> float:
    """0 for what most programs write, up to `KNOWN` for what some do, 2 and more for what nobody is known to."""
    backwards = (axes[2], axes[1], axes[0])
    if units == "mm" and components[0] in "RLAPSI":
        return {("L", "P", "S"): 0.0, ("R", "A", "S"): 0.0}.get(components, 2.0)
    extra = 0.3 if units in ("mm", "full voxel") else 0.0
    usual = {("k", "j", "i"): 0.5, backwards: 0.5, ("i", "j", "k"): 0.3, axes: 0.0}  # the last of the same counts
    if units == "normalised":
        usual |= {backwards: 0.1, axes: 0.4}
    if components in usual:
        return usual[components] + extra
    x, y, z = (opposite(letter) for letter in components)
    return 3.0 if (x, y, z) in usual else 2.0  # all three reversed is what an inverse looks like


def placements(
    raw: RawField, layout: Layout, space: tuple[int, ...], fixed: Grid, moving: Grid | None
) -> list[tuple[Placement, Letters, float]]:
    """Where the voxels of the array may lie, with the cost."""
    found: list[tuple[Placement, Letters, float]] = []
    own = raw.grid if layout in ("first", "last") else None
    straight: Letters = ("i", "j", "k")
    if own is not None and overlap(own, fixed) > 0.3:
        found.append(("own", straight, 0.0))
    for axes, cost in arrangements(space, fixed):
        if own is not None and axes == straight and own.is_same(fixed.with_shape(own.shape), 0.05):
            continue
        found.append(("fixed", axes, cost + (0.5 if own is not None else 0.0)))
    if moving is not None and not moving.is_same(fixed):
        for axes, cost in arrangements(space, moving):
            if own is not None and axes == straight and own.is_same(moving.with_shape(own.shape), 0.05):
                continue
            found.append(("moving", axes, cost + 0.4))
    return found


def overlap(one: Grid, other: Grid) -> float:
    """The share of ``other``'s box that lies in ``one``, on a lattice of points."""
    corners = np.stack(np.meshgrid(*[np.linspace(0, n - 1, 8) for n in other.shape], indexing="ij"), -1).reshape(-1, 3)
    index = one.to_ijk(other.to_ras(corners))
    return float(((index > -1) & (index < np.array(one.shape))).all(axis=1).mean())


def hypotheses(raw: RawField, stats: Statistics, fixed: Grid, moving: Grid | None) -> list[tuple[Convention, float]]:
    """All conventions for one layout, each with its cost, as resampling displacements or positions.

    Dropped are those under which the field would leave the volume, turn it inside out or change its size fivefold.
    """
    space = stats.space
    found: list[tuple[Convention, float]] = []
    differ = moving is not None and not moving.is_same(fixed)
    for placement, axes, place_cost in placements(raw, stats.layout, space, fixed, moving):
        base = {"own": raw.grid, "fixed": fixed, "moving": moving}[placement]
        assert base is not None
        units: list[Units] = ["voxel", "mm"]
        coarse = (
            base.shape != tuple(space["ijk".index(a[-1])] for a in axes)
            if placement != "own"
            else (fits(space, axes, fixed) > 1)
        )
        if coarse:
            units.append("full voxel")
        if stats.largest <= 2.1:
            units.append("normalised")
        for unit in units:
            orders = list(VOXEL_ORDERS)
            if unit == "mm":
                orders = [*WORLD_ORDERS, *(VOXEL_ORDERS if is_oblique(base) else [axes, (axes[2], axes[1], axes[0])])]
            for order in orders:
                cost = place_cost + component_cost(order, unit, axes, base)
                cost += 0.2 if unit == "mm" and raw.grid is None else 0.0  # files without geometry come from networks
                for content in ("displacement", "positions"):
                    if content == "positions" and (stats.linear < 0.8 or (unit == "mm" and order[0][-1] in "ijk")):
                        continue
                    for into in ("same", "moving") if differ and unit != "mm" else ("same",):
                        convention = Convention(
                            components=order,
                            units=unit,
                            content=content,
                            layout=stats.layout,
                            axes=axes,
                            placement=placement,
                            into=into,
                        )
                        if _is_possible(convention, raw, stats, space, fixed, moving):
                            found.append((convention, cost + (0.1 if into == "moving" else 0.0)))
    return found


def _is_possible(
    convention: Convention, raw: RawField, stats: Statistics, space: tuple[int, ...], fixed: Grid, moving: Grid | None
) -> bool:
    linear = convention.map_on(space, raw.grid, fixed, moving)
    lattice = linear.lattice
    to_index = np.linalg.inv(lattice.axes)
    slope = linear.matrix @ stats.affine @ to_index + linear.around
    growth = float(np.linalg.det(np.eye(3) + slope))
    corners = np.array(list(product(*[(0, n - 1) for n in space])), float)
    at = lattice.to_ras(corners)
    moved = (corners @ stats.affine.T + stats.offset) @ linear.matrix.T + at @ linear.around.T + linear.offset
    away = float(np.linalg.norm(moved.mean(axis=0)))
    return 0.2 < growth < 5 and away < 0.75 * float(np.linalg.norm(lattice.extent_mm))
