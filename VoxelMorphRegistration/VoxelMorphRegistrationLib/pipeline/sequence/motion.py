"""What moves, and how far: volumes, centroids and displacements of the labelled structures in a frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.pipeline.sequence.records import StructureMotion
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image

_MOST_POINTS = 300_000
"""Voxels of all structures together at which displacements are looked up; volumes and centroids use every voxel."""


def in_carried_labels(
    carried: Image, total: DisplacementField, values: npt.NDArray[np.integer]
) -> tuple[StructureMotion, ...]:
    """Direction "carry": the structures as they lie in the frame's own labels; ``values``: which ones, sorted."""
    index, number = _marked(carried, values)
    count = np.bincount(number, minlength=len(values))
    voxel_ml = abs(float(np.linalg.det(carried.grid.axes))) / 1000
    centroids = _means(carried.grid, index, number, len(values))
    lengths = _at(total.magnitude(), total.grid, carried.grid, index[:, :: _step(index)])
    return _structures(values, count * voxel_ml, centroids, number[:: _step(index)], lengths)


def in_held_labels(labels: Image, deformation: Deformation) -> tuple[StructureMotion, ...]:
    """Direction "hold": where the map takes the reference's structures, and how it swells or shrinks them.

    The volume is that of the label times the mean Jacobian determinant inside it.
    """
    found = np.unique(labels.array)
    values = found[found != 0]
    index, number = _marked(labels, values)
    voxel_ml = abs(float(np.linalg.det(labels.grid.axes))) / 1000
    displacement = deformation.displacement
    scale = abs(float(np.linalg.det(deformation.affine[:3, :3])))
    swelling = np.maximum(displacement.jacobian_determinant().array, 0) * np.float32(scale)
    weights = _at(swelling, displacement.grid, labels.grid, index)
    volumes = np.bincount(number, weights, len(values)) * voxel_ml
    # The centroid of what a structure became: its voxels, each displaced, by their volumes there.
    some = slice(None, None, _step(index))
    x = labels.grid.to_ras(index[:, some].T)
    y = deformation.map_points(x)
    total = np.maximum(np.bincount(number[some], weights[some], len(values)), 1e-12)
    centroids = np.stack([np.bincount(number[some], weights[some] * y[:, c], len(values)) / total for c in range(3)], 1)
    return _structures(values, volumes, centroids, number[some], np.linalg.norm(y - x, axis=-1))


def _structures(
    values: npt.NDArray[np.integer],
    volumes_ml: npt.NDArray[np.floating],
    centroids: npt.NDArray[np.floating],
    number: npt.NDArray[np.intp],
    lengths: npt.NDArray[np.floating],
) -> tuple[StructureMotion, ...]:
    """``lengths``: displacements in mm at some voxels, ``number``: of which structure each is."""
    count = np.bincount(number, minlength=len(values))
    mean = np.bincount(number, lengths, len(values)) / np.maximum(count, 1)
    longest = np.zeros(len(values))
    np.maximum.at(longest, number, lengths)
    missing = float("nan")
    found = []
    for n, label in enumerate(values):
        if not count[n]:
            found.append(StructureMotion(int(label), 0.0, (missing,) * 3, missing, missing))
            continue
        r, a, s = map(float, centroids[n])
        found.append(StructureMotion(int(label), float(volumes_ml[n]), (r, a, s), float(mean[n]), float(longest[n])))
    return tuple(found)


def _marked(labels: Image, values: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """(3, n) indices of the marked voxels, and of which of the sorted ``values`` each one is."""
    array = labels.array
    index = np.stack(np.nonzero(array.T)[::-1])  # in memory order, which for volumes is KJI
    number: npt.NDArray[np.intp] = np.searchsorted(values, array[tuple(index)])
    return index, number


def _means(
    grid: Grid, index: npt.NDArray[np.intp], number: npt.NDArray[np.intp], count: int
) -> npt.NDArray[np.floating]:
    """(count, 3) RAS centroids; NaN is left to whoever sees that there is no voxel."""
    size = np.maximum(np.bincount(number, minlength=count), 1)
    return grid.to_ras(np.stack([np.bincount(number, axis, count) / size for axis in index], axis=1))


def _at(
    values: npt.NDArray[np.float32], lattice: Grid, grid: Grid, index: npt.NDArray[np.intp]
) -> npt.NDArray[np.float32]:
    """Values on a lattice at (3, n) voxels of another grid, the nearest ones."""
    matrix = (lattice.ras_to_ijk @ grid.ijk_to_ras).astype(np.float32)
    position = matrix[:3, :3] @ index.astype(np.float32) + matrix[:3, 3:]
    last = np.array(lattice.shape)[:, None] - 1
    near: npt.NDArray[np.float32] = values[tuple(np.clip(np.rint(position).astype(np.intp), 0, last))]
    return near


def _step(index: npt.NDArray[np.intp]) -> int:
    return max(1, -(-int(index.shape[1]) // _MOST_POINTS))
