"""A breathing sequence made from one volume: the truth of every voxel, label and point of each frame is known.

Frame n shows the volume through ``exp(v_n)``, where ``v_n(x) = a(n) down(x) + b(n) forward(x)`` is a smooth analytic
velocity in RAS mm: the middle of the body moves down (with the diaphragm) and its front forward, each fading as a
Gaussian, the second a little later than the first, as a real chest does. Nothing slides and nothing folds. The flow is
integrated along each point's own path by Runge-Kutta, so it is exact to far below a voxel, in both directions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from shared_data import shared
from spatial.maps import positions
from VoxelMorphRegistrationLib.files.volumes import read_labels, read_volume
from VoxelMorphRegistrationLib.spatial import Grid, Image

Points = npt.NDArray[np.floating]

_STEPS = 6


@dataclass(frozen=True, eq=False)
class Breathing:
    """``count`` frames of one breath of ``anatomy``; frame 0 shows it as it is (breathed out).

    ``down_mm`` and ``forward_mm`` are the largest velocities; ``noise`` is the standard deviation added to each frame.
    """

    anatomy: Image
    labels: Image | None = None
    count: int = 10
    down_mm: float = 22.0
    forward_mm: float = 8.0
    noise: float = 0.0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Image]:
        return (self.image(n) for n in range(self.count))

    def image(self, n: int) -> Image:
        """Frame ``n`` on the anatomy's grid, linear, with its own noise."""
        seen = _sampled(self.anatomy, self._sources(n))
        if self.noise:
            seen += np.random.default_rng(n).normal(0, self.noise, seen.shape).astype(np.float32)
        return Image(seen, self.anatomy.grid, f"frame {n}")

    def labels_of(self, n: int) -> Image:
        """The true labels of frame ``n``: those of the anatomy at each voxel's own source, nearest neighbour."""
        assert self.labels is not None
        index = np.rint(self.labels.grid.to_ijk(self._sources(n))).astype(int)
        inside = ((index >= 0) & (index < np.array(self.labels.grid.shape))).all(axis=-1)
        i, j, k = np.moveaxis(np.where(inside[..., None], index, 0), -1, 0)
        return Image(np.where(inside, self.labels.array[i, j, k], 0), self.anatomy.grid, f"labels of frame {n}")

    def between(self, start: int, stop: int, points_ras: Points) -> Points:
        """Where (..., 3) points of frame ``start`` lie in frame ``stop``."""
        return self._flow(self._flow(points_ras, start, 1), stop, -1)

    def landmarks(self, n: int, count: int = 200) -> Points:
        """(count, 3) points of the anatomy with texture around them, where they lie in frame ``n``."""
        return self._flow(self._textured[:: max(1, len(self._textured) // count)][:count], n, -1)

    @cached_property
    def _textured(self) -> Points:
        """Voxels of the anatomy with the steepest surroundings, well inside, spread by a fixed shuffle."""
        array = self.anatomy.array.astype(np.float32)
        steep = np.sqrt(sum(g**2 for g in np.gradient(array)))
        edge = np.ones(array.shape, bool)
        margin = tuple(slice(max(3, n // 10), -max(3, n // 10)) for n in array.shape)
        edge[margin] = False
        steep[edge] = 0
        chosen = np.argwhere(steep > np.quantile(steep[~edge], 0.9))
        return self.anatomy.grid.to_ras(np.random.default_rng(0).permutation(chosen))

    def _sources(self, n: int) -> Points:
        return self._flow(positions(self.anatomy.grid), n, 1)

    def _flow(self, points: Points, n: int, sign: int) -> Points:
        """From frame ``n`` to the anatomy (sign 1) or back (-1)."""
        phase = 2 * math.pi * n / self.count
        down = sign * self.down_mm * (1 - math.cos(phase)) / 2
        forward = sign * self.forward_mm * ((1 - math.cos(phase)) / 2 - 0.3 * math.sin(phase))
        x = np.array(points, np.float64)
        if n % self.count == 0:
            return x
        h = 1.0 / _STEPS
        for _ in range(_STEPS):
            a = self._velocity(x, down, forward)
            b = self._velocity(x + h / 2 * a, down, forward)
            c = self._velocity(x + h / 2 * b, down, forward)
            d = self._velocity(x + h * c, down, forward)
            x = x + h / 6 * (a + 2 * b + 2 * c + d)
        return x

    def _velocity(self, x: Points, down: float, forward: float) -> Points:
        """In frame space the anatomy's point lies above (what has gone down came from above) and behind."""
        middle, size = self.anatomy.grid.centre_ras, _ras_extent(self.anatomy.grid)
        y = (x - middle) / size  # -0.5 to 0.5 along R, A, S
        trunk = np.exp(-(y[..., 0] ** 2) / (2 * 0.22**2))
        low = np.exp(-(y[..., 1] ** 2) / (2 * 0.25**2) - y[..., 2] ** 2 / (2 * 0.2**2))
        front = np.exp(-((y[..., 1] - 0.3) ** 2) / (2 * 0.2**2) - y[..., 2] ** 2 / (2 * 0.25**2))
        velocity = np.zeros_like(x)
        velocity[..., 2] = down * trunk * low
        velocity[..., 1] = -forward * trunk * front
        return velocity


def breathing_ct(count: int = 10, noise: float = 10.0) -> Breathing:
    """The trunk CT of ``../shared/data/ct`` with its organs; skips the test where it is absent."""
    anatomy = read_volume(shared("ct/example_ct.nii.gz"))
    clipped = anatomy.with_array(np.clip(anatomy.array, -1024, 1500).astype(np.float32))
    return Breathing(clipped, read_labels(shared("ct/example_seg.nii.gz")), count, noise=noise)


def breathing_phantom(count: int = 5, shape: tuple[int, int, int] = (48, 48, 48), spacing_mm: float = 4.0) -> Breathing:
    """Blobs of several brightnesses in an ellipsoid, some of them labelled: needs no data."""
    matrix = np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0])
    matrix[:3, 3] = np.array([1, 1, -1]) * (np.array(shape) - 1) / 2 * spacing_mm
    grid = Grid(shape, matrix)
    y = positions(grid) / (np.array(shape) * spacing_mm)
    values = 300.0 * (np.linalg.norm(y / [0.42, 0.42, 0.46], axis=-1) < 1)
    labels = np.zeros(shape, np.uint8)
    random = np.random.default_rng(7)
    for number in range(24):
        centre, width = random.uniform(-0.25, 0.25, 3), random.uniform(0.03, 0.08)
        distance = np.linalg.norm(y - centre, axis=-1)
        values += random.uniform(-200, 400) * np.exp(-(distance**2) / (2 * width**2))
        if number < 3:
            labels[distance < 1.3 * width] = number + 1
    return Breathing(Image(np.clip(values, 0, None).astype(np.float32), grid, "phantom"), Image(labels, grid), count)


def _sampled(image: Image, points: Points) -> npt.NDArray[np.float32]:
    """Linear, the edge's value outside (a frame shows the same body beyond the anatomy's border)."""
    index = np.clip(image.grid.to_ijk(points), 0, np.array(image.grid.shape) - 1)
    low = np.minimum(index.astype(int), np.array(image.grid.shape) - 2)
    part = (index - low).astype(np.float32)
    total = np.zeros(index.shape[:3], np.float32)
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, part, 1 - part), axis=-1)
        i, j, k = np.moveaxis(low + corner, -1, 0)
        total += weight * image.array[i, j, k]
    return total


def _ras_extent(grid: Grid) -> Points:
    corners = grid.corners_ras()
    return np.ptp(corners, axis=0)
