"""The reference's labels carried to a frame."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image

Floats = npt.NDArray[np.float32]
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
        padded = np.pad(np.ascontiguousarray(labels.array.T), 1)  # [k, j, i]: neighbours along i lie side by side
        self._size = np.array(padded.shape[::-1], np.float32)[:, None]
        self._strides = np.array([1, padded.shape[2], padded.shape[2] * padded.shape[1]])
        self._padded, self._mixed = padded.ravel(), _mixed(padded).ravel()
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
        found = np.zeros(window.shape[::-1], self.labels.array.dtype)
        to_index = (self.labels.grid.ras_to_ijk @ window.ijk_to_ras).astype(np.float32)
        shift_of = _slices(total, window, self.labels.grid.ras_to_ijk[:3, :3])
        plane = to_index[:3, :2] @ np.indices(window.shape[1::-1], np.float32)[::-1].reshape(2, -1)

        def fill(k: int) -> None:  # a slice at a time stays in the processor's cache
            position = shift_of(k)
            position += plane
            position += (to_index[:3, 2] * np.float32(k) + to_index[:3, 3])[:, None]
            found[k] = self._at(position).reshape(window.shape[1::-1])

        with ThreadPoolExecutor() as pool:  # numpy lets go of the interpreter meanwhile
            list(pool.map(fill, range(window.shape[2])))
        return found.T

    def _at(self, position: Floats) -> npt.NDArray[np.generic]:
        """The labels at (3, n) fractional indices of the labels' array, which are overwritten."""
        position += 1
        np.clip(position, 0, self._size - np.float32(1.001), out=position)
        low = position.astype(np.int32)
        first = low[0] + low[1] * self._strides[1] + low[2] * self._strides[2]
        found: npt.NDArray[np.generic] = self._padded.take(first)
        mixed = np.flatnonzero(self._mixed.take(first))
        if mixed.size:
            found[mixed] = self._heaviest(first[mixed], position[:, mixed] - low[:, mixed])
        return found

    def _heaviest(self, first: npt.NDArray[np.intp], part: Floats) -> npt.NDArray[np.generic]:
        """The label with the most linear weight among the eight voxels that start at flat index ``first``.

        ``part``: (3, n), how far from the first to the next voxel. Of labels of one weight the first one.
        """
        labels = self._padded.take(first + (_CORNERS @ self._strides)[:, None])
        weights = _linear_weights(part)
        one = labels[0]
        is_one = labels == one
        # Nearly everywhere there are two labels: one of them has half of the weight, or the other has more.
        other = np.take_along_axis(labels, is_one.argmin(axis=0)[None], axis=0)[0]
        found: npt.NDArray[np.generic] = np.where((weights * is_one).sum(axis=0) >= 0.5, one, other)
        many = np.flatnonzero(~(is_one | (labels == other)).all(axis=0))
        if many.size:
            found[many] = _of_many(labels[:, many], weights[:, many])
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


def _slices(total: DisplacementField, window: Grid, to_index: npt.NDArray[np.floating]) -> Callable[[int], Floats]:
    """What gives the displacements at the voxels of slice k of ``window``: (3, J * I), multiplied by ``to_index``.

    Where the two grids have the same axes, as they have but for frames that were aligned or tilted, linear
    interpolation is done one axis after the other, which costs little.
    """
    relative = total.grid.ras_to_ijk @ window.ijk_to_ras
    along = np.abs(relative[:3, :3]).argmax(axis=0)  # which axis of the field each one of the window is
    aligned = np.zeros((3, 3))
    aligned[along, range(3)] = relative[along, range(3)]
    reach = np.abs(relative[:3, :3] - aligned) @ np.array(window.shape)
    if len(set(along.tolist())) < 3 or reach.max() > 1e-3:
        shifts = total.resampled(window).vectors @ to_index.T.astype(np.float32)
        return lambda k: np.ascontiguousarray(shifts[:, :, k].transpose(2, 1, 0)).reshape(3, -1)
    vectors = (total.vectors @ to_index.T.astype(np.float32)).transpose(*along[::-1], 3)
    lattice = np.ascontiguousarray(np.moveaxis(vectors, 3, 1))  # (K, 3, J, I) of the field, in the window's order
    # x (1 - t) + y t along i, then j, of every plane of the field; along k when a slice is wanted
    low, part = [], []
    for axis in range(3):
        size = total.grid.shape[along[axis]]
        position = relative[along[axis], axis] * np.arange(window.shape[axis]) + relative[along[axis], 3]
        position = np.clip(position, 0, size - 1)  # beyond the field its edge counts
        low.append(np.minimum(position.astype(np.intp), max(size - 2, 0)))
        part.append((position - low[axis]).astype(np.float32))
    for axis in (0, 1):
        first = lattice.take(low[axis], axis=3 - axis)
        after = lattice.take(np.minimum(low[axis] + 1, lattice.shape[3 - axis] - 1), axis=3 - axis)
        after -= first
        after *= part[axis] if axis == 0 else part[axis][:, None]
        first += after
        lattice = first
    planes = lattice.reshape(len(lattice), 3, -1)

    def shift_of(k: int) -> Floats:
        n, t = int(low[2][k]), part[2][k]
        shift: Floats = planes[n] * (1 - t)
        if t:
            shift += planes[n + 1] * t
        return shift

    return shift_of


def _linear_weights(part: Floats) -> Floats:
    """(8, n) weights of the eight corners of a voxel, in the order of _CORNERS, at (3, n) positions in it."""
    (i, j, k), (back_i, back_j, back_k) = part, 1 - part
    weights = np.empty((8, part.shape[1]), np.float32)
    for n, (a, b) in enumerate(((back_i, back_j), (back_i, j), (i, back_j), (i, j))):
        np.multiply(a, b, out=weights[2 * n + 1])
        np.multiply(weights[2 * n + 1], back_k, out=weights[2 * n])
        weights[2 * n + 1] *= k
    return weights


def _of_many(labels: npt.NDArray[np.generic], weights: Floats) -> npt.NDArray[np.generic]:
    """Of (8, n) labels the ones with the most weight."""
    scores = weights.copy()
    for a, b in combinations(range(8), 2):
        same = labels[a] == labels[b]
        scores[a] += weights[b] * same
        scores[b] += weights[a] * same
    found: npt.NDArray[np.generic] = np.take_along_axis(labels, scores.argmax(axis=0)[None], axis=0)[0]
    return found


def _mixed(labels: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Whether the eight voxels that start at each one are not all the same."""
    mixed = np.zeros(labels.shape, np.bool_)
    first = labels[:-1, :-1, :-1]
    for i, j, k in _CORNERS[1:]:
        other = labels[i : i + first.shape[0], j : j + first.shape[1], k : k + first.shape[2]]
        mixed[:-1, :-1, :-1] |= other != first
    return mixed
