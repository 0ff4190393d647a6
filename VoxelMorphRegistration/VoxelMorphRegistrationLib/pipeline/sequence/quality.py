"""How well a frame was registered, on the coarse lattice of its field: quick enough for thousands of frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.pipeline.sequence.solver import PreparedFrame
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

_MOST_SAMPLES = 300_000


@dataclass(frozen=True)
class FrameQuality:
    """See the fields of the same names in FrameRecord."""

    similarity_before: float
    similarity_after: float
    folded_percent: float
    mean_displacement_mm: float
    max_displacement_mm: float


def judge(
    fixed: PreparedFrame, moving: Image, deformation: Deformation, total: DisplacementField, network: Grid
) -> FrameQuality:
    """Inside the fixed frame's content, that is, above its minimum. ``network`` is the grid of the prepared values."""
    displacement = deformation.displacement
    lattice = displacement.grid
    whole = total.resampled(lattice)
    step = max(1, round((math.prod(lattice.shape) / _MOST_SAMPLES) ** (1 / 3)))
    every = (slice(None, None, step),) * 3
    values = _sampled(Image(fixed.values, network), lattice, None)[every]
    inside = values > fixed.values.min()
    if not inside.any():
        inside = np.ones_like(inside)
    before = _sampled(moving, lattice, None)[every]
    after = _sampled(moving, lattice, whole)[every]
    lengths = whole.magnitude()[every][inside]
    folded = displacement.jacobian_determinant().array[every] <= 0
    return FrameQuality(
        correlation(values[inside], before[inside]),
        correlation(values[inside], after[inside]),
        100.0 * float(np.mean(folded[inside])),
        float(lengths.mean()),
        float(lengths.max()),
    )


def correlation(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> float:
    """Normalised cross-correlation; 0 where there is nothing to correlate."""
    x, y = a.astype(np.float64) - a.mean(), b.astype(np.float64) - b.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else 0.0


def _sampled(image: Image, lattice: Grid, through: DisplacementField | None) -> npt.NDArray[np.float32]:
    seen = bridge.resample(
        bridge.scalar_to_sitk(image.array, image.grid),
        lattice,
        None if through is None else through.transform(),
        outside=float(image.array.min()),
        pixel_type=bridge.FLOAT32,
    )
    return bridge.scalar_from_sitk(seen)
