"""What moves, and how far: volumes, centroids and displacements of the labelled structures in a frame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.pipeline.sequence.records import StructureMotion
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Image
from VoxelMorphRegistrationLib.spatial.grid import Floats

_MOST_POINTS = 20_000


def in_carried_labels(
    carried: Image, total: DisplacementField, values: npt.NDArray[np.integer]
) -> tuple[StructureMotion, ...]:
    """Direction "carry": the structures as they lie in the frame's own labels; ``values``: which ones."""
    voxel_ml = abs(float(np.linalg.det(carried.grid.axes))) / 1000
    found = []
    for label, index in _by_label(carried, values):
        lengths = np.linalg.norm(total.at(carried.grid.to_ras(_thinned(index))), axis=-1)
        found.append(_structure(label, len(index) * voxel_ml, carried.grid.to_ras(index), None, lengths))
    return tuple(found)


def in_held_labels(labels: Image, deformation: Deformation) -> tuple[StructureMotion, ...]:
    """Direction "hold": where the map takes the reference's structures, and how it swells or shrinks them.

    The volume is that of the label times the mean Jacobian determinant inside it.
    """
    voxel_ml = abs(float(np.linalg.det(labels.grid.axes))) / 1000
    jacobian = deformation.displacement.jacobian_determinant()
    scale = abs(float(np.linalg.det(deformation.affine[:3, :3])))
    found = []
    for label, index in _by_label(labels, _values(labels)):
        some = _thinned(index)
        x = labels.grid.to_ras(some)
        y = deformation.map_points(x)
        near = np.clip(np.rint(jacobian.grid.to_ijk(x)).astype(int), 0, np.array(jacobian.grid.shape) - 1)
        weight = np.maximum(jacobian.array[tuple(near.T)] * scale, 0)
        volume = len(index) * voxel_ml * float(weight.mean())
        found.append(_structure(label, volume, y, weight, np.linalg.norm(y - x, axis=-1)))
    return tuple(found)


def _structure(
    label: int, volume_ml: float, points: Floats, weights: Floats | None, lengths: Floats
) -> StructureMotion:
    if not len(points):
        missing = float("nan")
        return StructureMotion(label, 0.0, (missing,) * 3, missing, missing)
    x, y, z = np.average(points, axis=0, weights=weights if weights is not None and weights.sum() > 0 else None)
    return StructureMotion(
        label, volume_ml, (float(x), float(y), float(z)), float(lengths.mean()), float(lengths.max())
    )


def _by_label(labels: Image, values: npt.NDArray[np.integer]) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    """Each of ``values`` with the (n, 3) indices of its voxels, of which there may be none."""
    inside = np.argwhere(labels.array)
    numbers = labels.array[tuple(inside.T)]
    order = np.argsort(numbers, kind="stable")
    inside, numbers = inside[order], numbers[order]
    for label in values:
        first, stop = np.searchsorted(numbers, label, "left"), np.searchsorted(numbers, label, "right")
        yield int(label), inside[first:stop]


def _values(labels: Image) -> npt.NDArray[np.integer]:
    found = np.unique(labels.array)
    marked: npt.NDArray[np.integer] = found[found != 0]
    return marked


def _thinned(index: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    return index[:: max(1, -(-len(index) // _MOST_POINTS))]
