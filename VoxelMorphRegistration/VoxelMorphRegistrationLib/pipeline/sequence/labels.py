"""The reference's labels carried to a frame."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image

_CORNERS = np.array(list(np.ndindex(2, 2, 2)))


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
        self._padded = np.pad(np.ascontiguousarray(labels.array), 1)
        self._mixed = _mixed(self._padded)
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
        found = np.zeros(window.shape, self.labels.array.dtype, order="F")
        to_index = (self.labels.grid.ras_to_ijk @ window.ijk_to_ras).astype(np.float32)
        shifts = total.resampled(window).vectors @ self.labels.grid.ras_to_ijk[:3, :3].T.astype(np.float32)
        plane = np.indices(window.shape[:2], np.float32).reshape(2, -1).T @ to_index[:3, :2].T

        def fill(k: int) -> None:  # a slice at a time stays in the processor's cache
            position = plane + (to_index[:3, 2] * np.float32(k) + to_index[:3, 3])
            position += shifts[:, :, k].reshape(-1, 3)
            found[:, :, k] = self._at(position).reshape(window.shape[:2])

        with ThreadPoolExecutor() as pool:  # numpy lets go of the interpreter meanwhile
            list(pool.map(fill, range(window.shape[2])))
        return found

    def _at(self, position: npt.NDArray[np.float32]) -> npt.NDArray[np.generic]:
        """The labels at (n, 3) fractional indices of the labels' array."""
        padded = np.clip(position + 1, 0, np.array(self._padded.shape, np.float32) - 1.001)
        low = padded.astype(np.int32)
        first = np.ravel_multi_index(tuple(low.T), self._padded.shape)
        found: npt.NDArray[np.generic] = self._padded.ravel()[first]
        mixed = np.flatnonzero(self._mixed.ravel()[first])
        if mixed.size:
            found[mixed] = self._heaviest(first[mixed], (padded - low)[mixed])
        return found

    def _heaviest(self, first: npt.NDArray[np.intp], part: npt.NDArray[np.float32]) -> npt.NDArray[np.generic]:
        """The label with the most linear weight among the eight voxels that start at flat index ``first``."""
        steps = _CORNERS @ np.array([self._padded.shape[1] * self._padded.shape[2], self._padded.shape[2], 1])
        labels = self._padded.ravel()[first + steps[:, None]]
        ends = np.stack([1 - part, part])
        i, j, k = _CORNERS.T
        scores = ends[i, :, 0] * ends[j, :, 1] * ends[k, :, 2]
        weights = scores.copy()
        for a, b in combinations(range(8), 2):
            same = labels[a] == labels[b]
            scores[a] += weights[b] * same
            scores[b] += weights[a] * same
        found: npt.NDArray[np.generic] = np.take_along_axis(labels, scores.argmax(axis=0)[None], axis=0)[0]
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


def _mixed(labels: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Whether the eight voxels that start at each one are not all the same."""
    mixed = np.zeros(labels.shape, np.bool_)
    first = labels[:-1, :-1, :-1]
    for i, j, k in _CORNERS[1:]:
        other = labels[i : i + first.shape[0], j : j + first.shape[1], k : k + first.shape[2]]
        mixed[:-1, :-1, :-1] |= other != first
    return mixed
