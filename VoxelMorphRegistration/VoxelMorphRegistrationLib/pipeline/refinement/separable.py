"""Linear filters along the three axes as matrix products: for any width as fast as for the narrowest.

Arrays are (..., D, H, W) float32, C order; the last three axes are filtered. BLAS uses every core, and a product with a
(new, old) matrix samples at the same time.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def blurred(array: Floats, sigma: float, every: int = 1) -> Floats:
    """Smoothed with a Gaussian of ``sigma`` voxels, of each axis only every ``every``-th voxel.

    At the ends the weights of what is there sum to 1.
    """
    d, h, w = array.shape[-3:]
    return _along_axes(array, _gaussian(d, sigma, every), _gaussian(h, sigma, every), _gaussian(w, sigma, every))


def spread(array: Floats, shape: tuple[int, int, int], every: int) -> Floats:
    """The inverse lattice of ``blurred(..., every)``: linearly interpolated to ``shape``; values are not scaled."""
    d, h, w = (_linear(new, old, every) for new, old in zip(shape, array.shape[-3:], strict=True))
    return _along_axes(array, d, h, w)


def _along_axes(array: Floats, d: Floats, h: Floats, w: Floats) -> Floats:
    *lead, depth, height, width = array.shape
    along_w = array.reshape(-1, width) @ w.T
    along_h = np.matmul(h, along_w.reshape(-1, height, len(w)))
    along_d: Floats = np.matmul(d, along_h.reshape(-1, depth, len(h) * len(w)))
    filtered: Floats = along_d.reshape(*lead, len(d), len(h), len(w))
    return filtered


@lru_cache(maxsize=64)
def _gaussian(size: int, sigma: float, every: int) -> Floats:
    """(ceil(size / every), size); each row sums to 1, at the ends too."""
    distance = np.arange(0, size, every)[:, None] - np.arange(size)
    weights = np.exp(-0.5 * (distance / max(sigma, 1e-3)) ** 2)
    weights[np.abs(distance) > max(1.0, 4 * sigma)] = 0
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


@lru_cache(maxsize=64)
def _linear(size: int, coarse: int, every: int) -> Floats:
    """(size, coarse): voxel n lies at n / every; behind the last coarse voxel its value goes on."""
    position = np.minimum(np.arange(size) / every, coarse - 1)
    lower = np.minimum(position.astype(int), max(coarse - 2, 0))
    matrix = np.zeros((size, coarse), np.float32)
    rows = np.arange(size)
    matrix[rows, lower] = 1 - (position - lower)
    matrix[rows, np.minimum(lower + 1, coarse - 1)] += position - lower
    return matrix
