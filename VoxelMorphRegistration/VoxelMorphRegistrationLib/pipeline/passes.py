"""The network's passes over a pair: where the model is better for it, a coarse one before the one that was asked for.

A network sees motion up to some voxels. At half resolution these are twice as many mm, at an eighth of the cost, and
what is left is then small. The same is done by recursive cascades (Zhao et al., ICCV 2019), there with networks
trained for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid


@dataclass(frozen=True)
class Pass:
    """One answer of the network: at which resolution, and whether it is asked in both directions (`steps.predict`)."""

    resolution: str
    both_ways: bool = False


def passes(card: ModelCard, resolution: str) -> tuple[Pass, ...]:
    """What the network is asked for a registration at ``resolution``, in order."""
    wanted = Pass(resolution)
    if card.coarse_first and resolution == "full":
        return Pass("half", both_ways=card.field_kind == "velocity"), wanted
    return (wanted,)


def one_after_the_other(coarse: Deformation, rest: Deformation) -> Deformation:
    """phi(x) = affine(x + w(x)), where x + w(x) goes through ``rest`` first and then through ``coarse``.

    Both have the same affine. The result is on ``rest``'s lattice, over both grids, so that it ends in zero as they
    do; its inverse, where both have theirs, goes the other way round.
    """
    grid = rest.displacement.grid.grown_to_cover(coarse.displacement.grid)
    field = _widened(rest.displacement, grid).then(coarse.displacement)
    back: DisplacementField | None = None
    if coarse.inverse_displacement is not None and rest.inverse_displacement is not None:
        back = coarse.inverse_displacement.resampled(grid).then(rest.inverse_displacement)
    return Deformation(coarse.affine, field, back)


def _widened(field: DisplacementField, grid: Grid) -> DisplacementField:
    """The field on a larger window of its own lattice, 0 in what is new."""
    first = np.rint(grid.to_ijk(field.grid.origin)).astype(int)
    vectors = np.zeros((*grid.shape, 3), np.float32)
    inside = tuple(slice(start, start + size) for start, size in zip(first, field.grid.shape, strict=True))
    vectors[inside] = field.vectors
    return DisplacementField(vectors, grid)
