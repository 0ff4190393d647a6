"""The reference's labels carried to a frame."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge
from VoxelMorphRegistrationLib.spatial.grid import Floats

_CORNERS = np.array(list(np.ndindex(2, 2, 2)))
_CHUNK = 500_000


class LabelCarrier:
    """Labels ready to be carried by one map after another.

    Each voxel gets the label that has the most weight among the eight voxels around where it is mapped, weighted as
    linear interpolation would: smoother than nearest neighbour, and no label is ever made up. Inside a structure,
    where all eight agree, nothing of that has to be computed; ITK's own interpolator of this kind (sitkLabelLinear)
    takes a pass over the image for every label.
    """

    def __init__(self, labels: Image) -> None:
        """Raises InputError for labels that mark nothing."""
        if not labels.array.any():
            raise InputError(
                f"{labels.name} marks nothing (all its values are 0); give a segmentation of the reference."
            )
        self.labels = labels
        found = np.unique(labels.array)
        self.values: npt.NDArray[np.integer] = found[found != 0]
        """The labels there are."""
        self._stored = bridge.scalar_to_sitk(labels.array, labels.grid)
        largest = sitk.GrayscaleDilate(sitk.Cast(self._stored, sitk.sitkInt32), [1, 1, 1], sitk.sitkBox)
        smallest = sitk.GrayscaleErode(sitk.Cast(self._stored, sitk.sitkInt32), [1, 1, 1], sitk.sitkBox)
        self._mixed = largest != smallest
        first, stop = labels.content_window(0)
        size = stop - first + 2
        self._box = labels.grid.window(first - 1, (int(size[0]), int(size[1]), int(size[2])))

    def carried(self, total: DisplacementField, target: Grid) -> Image:
        """The labels seen through a whole map (phi(x) - x) on ``target``, their type kept; 0 outside."""
        carried = np.zeros(target.shape, self.labels.array.dtype, order="F")
        start, size = self._window(total, target)
        if min(size) > 0:
            window = target.window(start, size)
            inner = tuple(slice(first, first + n) for first, n in zip(start, size, strict=True))
            carried[inner] = self._in_window(total, window)
        return Image(carried, target, self.labels.name)

    def _in_window(self, total: DisplacementField, window: Grid) -> npt.NDArray[np.generic]:
        through = total.transform()
        nearest = sitk.sitkNearestNeighbor
        found = bridge.scalar_from_sitk(bridge.resample(self._stored, window, through, interpolator=nearest)).copy()
        mixed = bridge.scalar_from_sitk(bridge.resample(self._mixed, window, through, interpolator=nearest))
        index = np.argwhere(mixed)
        for first in range(0, len(index), _CHUNK):
            some = index[first : first + _CHUNK]
            found[tuple(some.T)] = self._heaviest(total.map_points(window.to_ras(some)))
        return found

    def _heaviest(self, points_ras: Floats) -> npt.NDArray[np.generic]:
        """The label with the most linear weight at each (n, 3) position."""
        position = self.labels.grid.to_ijk(points_ras)
        low = np.floor(position).astype(np.intp)
        part = (position - low).astype(np.float32)
        labels, weights = [], []
        for corner in _CORNERS:
            index = low + corner
            inside = ((index >= 0) & (index < self.labels.grid.shape)).all(axis=1)
            i, j, k = np.where(inside[:, None], index, 0).T
            labels.append(np.where(inside, self.labels.array[i, j, k], 0))
            weights.append(np.prod(np.where(corner, part, 1 - part), axis=1))
        scores = np.stack(weights)
        for a, b in combinations(range(8), 2):
            same = labels[a] == labels[b]
            scores[a] += weights[b] * same
            scores[b] += weights[a] * same
        found: npt.NDArray[np.generic] = np.stack(labels)[scores.argmax(axis=0), np.arange(len(low))]
        return found

    def _window(self, total: DisplacementField, target: Grid) -> tuple[list[int], tuple[int, int, int]]:
        """First voxel and size of the part of ``target`` that can be mapped into the labels' box."""
        corners, reach = self._box.corners_ras(), np.abs(total.vectors).reshape(-1, 3).max(axis=0)
        low, high = corners.min(axis=0) - reach, corners.max(axis=0) + reach
        around = target.to_ijk(np.array(np.meshgrid(*np.stack([low, high], axis=1))).reshape(3, -1).T)
        first = np.clip(np.floor(around.min(axis=0)).astype(int), 0, target.shape)
        stop = np.clip(np.ceil(around.max(axis=0)).astype(int) + 1, 0, target.shape)
        size = np.maximum(stop - first, 0)
        return first.tolist(), (int(size[0]), int(size[1]), int(size[2]))
