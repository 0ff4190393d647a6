"""Histograms of volumes: one matched to another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_MATCH_POINTS = 20


def match_histogram(image: Floats, reference: Floats) -> Floats:
    """``image`` with the tissue contrast of ``reference``; background (0) stays 0.

    Quantiles between the mean and the maximum are mapped linearly on one another, as ITK's
    HistogramMatchingImageFilter does with its threshold at the mean. The quantiles come from a sample of the voxels
    and the map from a table of 4096 steps, which together take a tenth of the filter's time.
    """
    from_knots, to_knots = _tissue_quantiles(image), _tissue_quantiles(reference)
    steps = 4096
    reach = max(float(from_knots[-1]), 1e-12)
    table = np.interp(np.linspace(0.0, reach, steps + 1), from_knots, to_knots).astype(np.float32)
    index = (image * np.float32(steps / reach) + np.float32(0.5)).astype(np.int32)
    return table.take(index, mode="clip")


def _tissue_quantiles(image: Floats) -> npt.NDArray[np.float64]:
    values = sample(image)
    tissue = values[values >= values.mean()]
    knots: npt.NDArray[np.float64] = np.zeros(_MATCH_POINTS + 3)
    knots[1:] = np.quantile(tissue, np.linspace(0, 1, _MATCH_POINTS + 2))
    return knots


def sample(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """About a quarter of a million voxels, on a regular lattice."""
    step = max(1, round((values.size / 250_000) ** (1 / 3)))
    return values[::step, ::step, ::step].ravel()
