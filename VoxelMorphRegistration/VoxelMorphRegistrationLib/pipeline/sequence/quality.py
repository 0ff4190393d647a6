"""How well a frame was registered, on the coarse lattice of its field: quick enough for thousands of frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.pipeline.sequence.solver import PreparedFrame
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

_MOST_SAMPLES = 60_000
"""Points of a sub-lattice at which similarity and displacements are looked up; folding is looked for everywhere."""


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
    step = max(1, math.ceil((math.prod(lattice.shape) / _MOST_SAMPLES) ** (1 / 3)))
    every = (slice(None, None, step),) * 3
    shape = [-(-n // step) for n in lattice.shape]
    matrix = lattice.ijk_to_ras.copy()
    matrix[:3, :3] *= step
    points = Grid((shape[0], shape[1], shape[2]), matrix)
    whole = total.resampled(points)
    content = _sampled(Image(fixed.values, network), lattice, None)
    inside_all = content > fixed.values.min()
    values, inside = content[every], inside_all[every]
    if not inside.any():
        inside, inside_all = np.ones_like(inside), np.ones_like(inside_all)
    before = _sampled(moving, points, None)
    after = _sampled(moving, points, whole)
    lengths = whole.magnitude()[inside]
    folded = displacement.jacobian_determinant().array <= 0
    return FrameQuality(
        correlation(values[inside], before[inside]),
        correlation(values[inside], after[inside]),
        100.0 * float(np.mean(folded[inside_all])),
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
