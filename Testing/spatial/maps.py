"""Smooth maps of space that are known in closed form, and their Jacobian determinants."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid

Floats = NDArray[np.float64]


def positions(grid: Grid) -> Floats:
    """(I, J, K, 3) RAS positions of a grid's voxels."""
    return grid.to_ras(np.moveaxis(np.indices(grid.shape), 0, -1))


class QuadraticMap:
    """x to x + L r + (r.a) b + c, where r = x - centre: every derivative is known, none is zero."""

    linear = np.array([[0.05, -0.10, 0.02], [0.08, 0.12, -0.04], [-0.03, 0.06, -0.07]])
    a, b = np.array([0.02, -0.01, 0.03]), np.array([0.06, 0.05, -0.08])
    shift = np.array([1.5, -2.0, 0.7])

    def __init__(self, centre: Floats) -> None:
        self.centre = centre

    def displacement(self, points: Floats) -> Floats:
        r = points - self.centre
        return r @ self.linear.T + ((r @ self.a) ** 2)[..., None] * self.b + self.shift

    def determinant(self, points: Floats) -> Floats:
        r = points - self.centre
        jacobian = np.eye(3) + self.linear + 2 * np.einsum("...,c,d->...cd", r @ self.a, self.b, self.a)
        return np.linalg.det(jacobian)

    def field(self, grid: Grid) -> DisplacementField:
        return DisplacementField(self.displacement(positions(grid)).astype(np.float32), grid)


def bump_field(grid: Grid, amplitude_mm: float, width_mm: float) -> DisplacementField:
    """A smooth push of ``amplitude_mm`` along (1, 2, -1) at the grid's middle, zero at its border."""
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    to_border = np.minimum(index, np.array(grid.shape) - 1 - index).min(axis=-1)
    distance = np.linalg.norm(positions(grid) - grid.centre_ras, axis=-1)
    size = amplitude_mm * np.exp(-0.5 * (distance / width_mm) ** 2) * np.minimum(to_border / 2, 1)
    direction = np.array([1, 2, -1]) / np.sqrt(6)
    return DisplacementField((size[..., None] * direction).astype(np.float32), grid)
