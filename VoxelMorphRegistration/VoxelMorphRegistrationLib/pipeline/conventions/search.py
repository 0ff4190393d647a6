"""Which hypothesis makes the moving volume look like the fixed one: coarse to fine over points of both contents.

A hypothesis is judged by the share of the fixed volume's variance that a cubic polynomial of the moved volume's
values explains (R squared): like a squared correlation, but the contrasts of the two may differ. Two hypotheses are
compared over blocks of neighbouring points: ``z`` is the mean difference of their errors over its standard error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.files.fields import RawField
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention, LinearMap
from VoxelMorphRegistrationLib.pipeline.conventions.sampling import ImageSampler, Sampler, Values
from VoxelMorphRegistrationLib.pipeline.conventions.statistics import Statistics
from VoxelMorphRegistrationLib.spatial import Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge
from VoxelMorphRegistrationLib.spatial.grid import Floats

_BLOCKS = 7  # along the longest side of the content
_FIELD_VOXELS = 64  # along each axis of a field
_INVERSION_STEPS = 6
_INVERTED = 0.02  # of a voxel, rms: what is left when an inversion is good enough to be judged
_INTEGRATION_STEPS = 6


class Level:
    """A pair of volumes at one resolution: points in fixed space, the fixed values there, the moving image."""

    def __init__(self, fixed: Image, moving: Image, voxels: int, points: int) -> None:
        """``voxels`` along the longest side of the fixed content; at most ``points`` of both contents."""
        coarse_fixed, grid = _shrunk(fixed, voxels)
        coarse_moving, moving_grid = _shrunk(moving, voxels)
        self.moving = ImageSampler(coarse_moving, moving_grid.ras_to_ijk)
        index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1).reshape(-1, 3)
        ras = grid.to_ras(index)
        values = coarse_fixed.reshape(-1)
        lies = self.moving.at_ras(ras)
        content = (values > _floor(coarse_fixed)) | (lies > _floor(coarse_moving))
        chosen = np.flatnonzero(content if content.sum() > 100 else np.ones_like(content))
        if len(chosen) > points:
            chosen = np.sort(np.random.default_rng(0).choice(chosen, points, replace=False))
        self.points = ras[chosen]
        self.values = values[chosen].astype(np.float64)
        self.variance = float(self.values.var()) or 1.0
        self.spacing = float(grid.spacing.mean())
        window = index[chosen]
        side = max(1.0, float((window.max(axis=0) - window.min(axis=0) + 1).max()) / _BLOCKS)
        _, self.block = np.unique((window // side).astype(int), axis=0, return_inverse=True)
        self.block = self.block.reshape(-1)
        self._scale = (float(coarse_moving.mean()), float(coarse_moving.std()) or 1.0)

    def errors(self, displacements: Floats) -> npt.NDArray[np.float64]:
        """(n,) squared errors of the fixed values as explained by the moving ones at points + displacements (n, 3),
        in units of their variance; their mean is 1 - R squared.
        """
        errors: npt.NDArray[np.float64] = self._errors(self.moving.at_ras(self.points + displacements)[None])[0]
        return errors

    def scores(self, displacements: Values) -> npt.NDArray[np.float64]:
        """R squared of each of (m, n, 3) sets of displacements."""
        moved = self.moving.at_ras(self.points.astype(np.float32) + displacements)
        return np.asarray(1 - self._errors(moved).mean(axis=1))

    def _errors(self, moved: Values) -> npt.NDArray[np.float64]:
        m = np.clip((moved.astype(np.float64) - self._scale[0]) / self._scale[1], -4, 4)
        powers = np.stack([m, m**2, m**3], axis=1)
        powers -= powers.mean(axis=2, keepdims=True)
        target = self.values - self.values.mean()
        normal = powers @ powers.transpose(0, 2, 1) + 1e-6 * len(target) * np.eye(3)
        weights = np.linalg.solve(normal, (powers @ target)[..., None])[..., 0]
        rest = target - np.einsum("mp,mpn->mn", weights, powers)
        return np.asarray(rest**2 / self.variance)

    def compare(self, better: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
        """By how many standard errors the first set of errors is the smaller one, over blocks."""
        difference = np.bincount(self.block, other - better)
        n = len(difference)
        spread = float(difference.std(ddof=1)) * np.sqrt(n) if n > 1 else 0.0
        total = float(difference.sum())
        return total / spread if spread > 1e-12 else 0.0


class CoarseField:
    """The stored numbers of one layout on every n-th voxel: enough to tell conventions apart, and quick to sample."""

    def __init__(self, stats: Statistics, vectors: npt.NDArray[np.generic]) -> None:
        """``vectors`` (a, b, c, 3) as `read_layout` gives them; NaN and infinity count as 0."""
        self.stats = stats
        self.every = [max(1, -(-n // _FIELD_VOXELS)) for n in stats.space]
        thin = vectors[:: self.every[0], :: self.every[1], :: self.every[2]].astype(np.float32)
        self._sampler = Sampler(np.nan_to_num(thin, nan=0.0, posinf=0.0, neginf=0.0))

    def at(self, index: Floats) -> Values:
        """(n, 3) indices of the full array to (n, 3) stored numbers."""
        return self._sampler.at(index / self.every)


@dataclass(frozen=True, eq=False)
class Trial:
    """One hypothesis, made ready to be evaluated at any points."""

    convention: Convention
    cost: float
    linear: LinearMap
    field: CoarseField

    def displacements(self, points: Floats) -> Floats:
        """(n, 3) displacements from fixed to moving space at RAS points."""
        if self.convention.content == "velocity":
            return self._integrated(points, 1.0 if self.convention.direction == "resampling" else -1.0)
        if self.convention.direction == "resampling":
            return self._stored(points)
        return self._inverted(points)

    def _stored(self, points: Floats) -> Floats:
        raw = self.field.at(self.linear.lattice.to_ijk(points))
        return raw @ self.linear.matrix.T + points @ self.linear.around.T + self.linear.offset

    def _inverted(self, points: Floats) -> Floats:
        """Newton's iteration from the inverse of the field's best affine fit; each point keeps its best position."""
        at = self._start(points)
        rest = at + self._stored(at) - points
        step = float(self.linear.lattice.spacing.min()) * max(self.field.every)
        scale = np.ones(len(points))
        for _ in range(_INVERSION_STEPS):
            here = self._stored(at)
            slopes = [(self._stored(at + step * axis) - here) / step for axis in np.eye(3)]
            matrix = np.eye(3) + np.stack(slopes, axis=-1)
            matrix[np.abs(np.linalg.det(matrix)) < 0.05] = np.eye(3)
            tried = at - scale[:, None] * np.linalg.solve(matrix, rest[..., None])[..., 0]
            left = tried + self._stored(tried) - points
            better = (left**2).sum(axis=1) < (rest**2).sum(axis=1)
            at, rest = np.where(better[:, None], tried, at), np.where(better[:, None], left, rest)
            scale = np.where(better, 1.0, 0.4 * scale)
            if float((rest**2).sum(axis=1).mean()) < (_INVERTED * step) ** 2:
                break
        return at - points

    def _start(self, points: Floats) -> Floats:
        lattice, stats = self.linear.lattice, self.field.stats
        slope = self.linear.matrix @ stats.affine @ np.linalg.inv(lattice.axes)
        start = self.linear.matrix @ stats.offset - slope @ lattice.origin + self.linear.offset
        matrix = np.eye(3) + slope + self.linear.around
        if abs(np.linalg.det(matrix)) < 0.05:
            return points.copy()
        return np.asarray((points - start) @ np.linalg.inv(matrix).T)

    def _integrated(self, points: Floats, sign: float) -> Floats:
        """The flow of the velocity for one unit of time, by the midpoint rule."""
        at, step = points.copy(), sign / _INTEGRATION_STEPS
        for _ in range(_INTEGRATION_STEPS):
            half = at + 0.5 * step * self._stored(at)
            at = at + step * self._stored(half)
        return at - points

    def varied(self, convention: Convention, cost: float, fixed: Grid, moving: Grid | None, raw: RawField) -> Trial:
        """The same array in another convention of the same layout."""
        linear = convention.map_on(self.field.stats.space, raw.grid, fixed, moving)
        return Trial(convention, cost, linear, self.field)


def coarse_scores(level: Level, trials: Sequence[Trial]) -> npt.NDArray[np.float64]:
    """R squared of many resampling hypotheses; those on one lattice share the samples of the field."""
    scores = np.empty(len(trials))
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, trial in enumerate(trials):
        c = trial.convention
        groups.setdefault((c.layout, c.placement, c.axes), []).append(number)
    points = level.points
    for members in groups.values():
        first = trials[members[0]]
        raw = first.field.at(first.linear.lattice.to_ijk(points))
        for at in range(0, len(members), 32):
            part = members[at : at + 32]
            sets = np.stack(
                [
                    raw @ trials[n].linear.matrix.T.astype(np.float32)
                    + (points @ trials[n].linear.around.T + trials[n].linear.offset).astype(np.float32)
                    for n in part
                ]
            )
            scores[part] = level.scores(sets)
    return scores


def _floor(array: npt.NDArray[np.float32]) -> float:
    """What counts as content: a little above the background."""
    low, high = float(array.min()), float(np.percentile(array, 99.5))
    return low + 0.05 * (high - low)


def _shrunk(image: Image, voxels: int) -> tuple[npt.NDArray[np.float32], Grid]:
    """An image averaged so that its longest side has about ``voxels`` voxels."""
    spacing = float((image.grid.spacing * image.grid.shape).max()) / voxels
    factors = [
        max(1, min(round(spacing / s), n // 4)) for s, n in zip(image.grid.spacing, image.grid.shape, strict=True)
    ]
    shrunk = sitk.BinShrink(sitk.Cast(bridge.scalar_to_sitk(image.array, image.grid), sitk.sitkFloat32), factors)
    return bridge.scalar_from_sitk(shrunk), bridge.grid_from_sitk(shrunk)
