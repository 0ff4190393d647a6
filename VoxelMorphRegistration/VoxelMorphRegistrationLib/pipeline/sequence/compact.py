"""A field in 16-bit numbers: half the size, with a stated largest error. NIfTI can say the step; NRRD cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.files import nifti
from VoxelMorphRegistrationLib.spatial import DisplacementField

_LARGEST = 32767


def write_rounded(field: DisplacementField, path: Path) -> float:
    """Write a resampling field as NIfTI (displacement intent, RAS mm) of int16 with one step for all.

    Returns the largest difference in mm to what a reader gets: half a step, which is the longest component / 65534.
    """
    import nibabel

    longest = float(np.abs(field.vectors).max())
    step = np.float32(max(longest / _LARGEST, 1e-9))
    stored = np.rint(field.vectors / step).astype(np.int16)
    image: Any = nibabel.Nifti1Image(stored[:, :, :, None, :], np.array(field.grid.ijk_to_ras), dtype=np.int16)
    image.header.set_intent(nifti.DISPLACEMENT_VECTOR)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(float(step), 0.0)
    image.set_sform(field.grid.ijk_to_ras, code="scanner")
    image.set_qform(field.grid.ijk_to_ras, code="scanner")
    nifti.save(image, path)
    return float(np.abs(stored * step - field.vectors).max())
