"""The MNI152 brain under a known smooth warp: what refinement ought to find."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import SimpleITK as sitk
from spatial.anatomy import mni_brain
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image


@dataclass(frozen=True, eq=False)
class KnownPair:
    """``fixed(x) = moving(x + true(x))``."""

    fixed: Image
    moving: Image
    true: DisplacementField

    @property
    def inside(self) -> np.ndarray:
        return self.fixed.array > 0

    def error_mm(self, deformation: Deformation) -> float:
        """Mean distance in the brain between where a point is taken and where it belongs."""
        points = self.fixed.grid.to_ras(np.argwhere(self.inside)[::7])
        return float(np.linalg.norm(deformation.map_points(points) - self.true.map_points(points), axis=-1).mean())


def unregistered(grid: Grid) -> Deformation:
    return Deformation(np.eye(4), DisplacementField.zero(grid))


@lru_cache
def known_pair(step: int = 3, size_mm: float = 4.0) -> KnownPair:
    """At 3 mm by default: 65 x 77 x 63 voxels. ``size_mm``: rms of each component of the warp."""
    moving = mni_brain(step)
    true = smooth_field(moving.grid, size_mm)
    fixed = true.warp(moving, moving.grid)
    return KnownPair(Image(fixed.array, fixed.grid, "fixed"), moving, true)


def smooth_field(grid: Grid, size_mm: float, *, scale_mm: float = 20.0, seed: int = 1) -> DisplacementField:
    """Gaussian noise smoothed over ``scale_mm``, fading to the grid's border."""
    random = np.random.default_rng(seed)
    noise = sitk.GetImageFromArray(random.normal(size=(*grid.shape, 3)), isVector=True)
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(noise, (scale_mm / grid.spacing[::-1]).tolist()))
    smooth *= size_mm / smooth.std()
    for axis, size in enumerate(grid.shape):
        ramp = np.clip(np.minimum(np.arange(size), np.arange(size)[::-1]) / 4, 0, 1)
        smooth *= ramp.reshape([-1 if a == axis else 1 for a in range(4)])
    return DisplacementField(smooth.astype(np.float32), grid)


def inverted_contrast(image: Image) -> Image:
    """Bright is dark in the brain; the background stays 0."""
    array = image.array.astype(np.float32)
    return Image(np.where(array > 0, 1.05 * array.max() - array, 0).astype(np.float32), image.grid, "inverted")
