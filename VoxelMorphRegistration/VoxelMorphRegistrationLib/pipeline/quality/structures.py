"""Structures that somebody has drawn: what the deformation does within each, and how well both sides overlap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.pipeline.quality import field_measures as measures
from VoxelMorphRegistrationLib.pipeline.quality.overlap import overlaps
from VoxelMorphRegistrationLib.pipeline.quality.results import Overlap, Structure
from VoxelMorphRegistrationLib.spatial import Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge


@dataclass(frozen=True, eq=False)
class Drawn:
    """Labelmaps of both sides; without moving ones nothing is compared.

    ``labels`` are the fixed ones, ``both`` those on both sides; the others are in ``only_fixed`` and ``only_moving``,
    by their names.
    """

    fixed: Image
    moving: Image | None
    labels: tuple[int, ...]
    both: tuple[int, ...]
    only_fixed: tuple[str, ...]
    only_moving: tuple[str, ...]
    names: Mapping[int, str]

    @classmethod
    def of(cls, fixed: Image, moving: Image | None, names: Mapping[int, str]) -> Drawn:
        """Raises InputError for labelmaps that are empty, hold no whole numbers or have nothing in common."""
        here = _labels_in(fixed, "fixed")
        there = _labels_in(moving, "moving") if moving is not None else set()
        compared = moving is not None
        if compared and not here & there:
            raise InputError(
                "The fixed and the moving labels have no label in common; give the same structures the same numbers."
            )
        called = {label: names.get(label) or f"label {label}" for label in here | there}
        return cls(
            fixed,
            moving,
            tuple(sorted(here)),
            tuple(sorted(here & there)),
            tuple(called[label] for label in sorted(here - there)) if compared else (),
            tuple(called[label] for label in sorted(there - here)),
            called,
        )

    def overlaps(self, transform: sitk.Transform) -> dict[int, Overlap]:
        """Of the labels on both sides, on the fixed labels' voxels."""
        if self.moving is None:
            return {}
        source = bridge.scalar_to_sitk(self.moving.array, self.moving.grid)
        seen = [
            bridge.scalar_from_sitk(
                bridge.resample(source, self.fixed.grid, through, interpolator=sitk.sitkNearestNeighbor)
            )
            for through in (None, transform)
        ]
        return overlaps(self.fixed, self.fixed.with_array(seen[0]), self.fixed.with_array(seen[1]), self.both)


def measured(drawn: Drawn, transform: sitk.Transform, jacobian: Image, magnitude: Image) -> tuple[Structure, ...]:
    """Each fixed label: its size, what determinants and displacements are within it, and its overlap.

    ``transform`` is from fixed to moving (LPS). Labels too thin for the voxels of ``jacobian`` and ``magnitude``, which
    are on one grid, are left out.
    """
    labels, overlap = drawn.fixed, drawn.overlaps(transform)
    lattice = labels.array
    if not labels.grid.is_same(jacobian.grid):
        source = bridge.scalar_to_sitk(labels.array, labels.grid)
        lattice = bridge.scalar_from_sitk(bridge.resample(source, jacobian.grid, interpolator=sitk.sitkNearestNeighbor))
    where = np.nonzero(lattice)
    values, lengths, determinants = lattice[where], magnitude.array[where], jacobian.array[where]
    order = np.argsort(values, kind="stable")
    found, first = np.unique(values[order], return_index=True)
    voxel_ml = abs(float(np.linalg.det(labels.grid.axes))) / 1000
    sizes = dict(zip(*np.unique(labels.array, return_counts=True), strict=True))
    structures = []
    for label, part in zip(found, np.split(order, first[1:]), strict=True):
        moves = measures.distances(lengths[part])
        assert moves is not None  # a part has voxels, and lengths are finite
        structures.append(
            Structure(
                int(label),
                drawn.names[int(label)],
                int(sizes[label]) * voxel_ml,
                moves,
                measures.volume_change_percent(determinants[part]),
                measures.folded_percent(determinants[part]),
                overlap.get(int(label)),
            )
        )
    return tuple(structures)


def _labels_in(labels: Image, side: str) -> set[int]:
    if not np.issubdtype(labels.array.dtype, np.integer):
        raise InputError(f"The {side} labels {labels.name} are not whole numbers; give a labelmap.")
    found = {int(value) for value in np.unique(labels.array)} - {0}
    if not found:
        raise InputError(f"The {side} labels {labels.name} are empty; draw something in them.")
    return found
