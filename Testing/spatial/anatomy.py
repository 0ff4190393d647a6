"""Real anatomy that needs no shared data: the MNI152 head that nilearn's wheel ships."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from VoxelMorphRegistrationLib.spatial import Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

_MNI = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


@lru_cache
def mni_brain(step: int = 2) -> Image:
    """The MNI152 2009a T1 brain, skull removed; at 2 mm for speed. Skips where nilearn is not installed."""
    found = importlib.util.find_spec("nilearn")  # the package itself is slow to import
    if found is None or found.origin is None:
        pytest.skip("needs the MNI152 volume of the nilearn package (pip install nilearn)")
    return shrunk(load(Path(found.origin).parent / _MNI), step)


def load(path: Path) -> Image:
    """A volume file, read with nibabel: the tests' own way, apart from the library's."""
    file = nibabel.load(path)
    return Image(np.asarray(file.dataobj), Grid(file.shape, file.affine), path.name)


def shrunk(image: Image, factor: int) -> Image:
    """Means of blocks of voxels; labels are better taken with [::factor]."""
    small = sitk.BinShrink(bridge.scalar_to_sitk(image.array, image.grid), [factor] * 3)
    return Image(bridge.scalar_from_sitk(small), bridge.grid_from_sitk(small), image.name)


def seen_through(image: Image, matrix: np.ndarray, grid: Grid, outside: float = 0.0) -> Image:
    """``image(matrix x)`` on ``grid``: what is found by registering it as fixed to ``image`` is ``matrix``."""
    seen = bridge.resample(
        bridge.scalar_to_sitk(image.array.astype(np.float32), image.grid),
        grid,
        bridge.affine_to_sitk(matrix),
        outside=outside,
    )
    return Image(bridge.scalar_from_sitk(seen), grid, f"transformed {image.name}")
