"""A field in 16-bit numbers: half the size, with a stated largest error.

As .npz, read by this library only: ITK crashes on NIfTI displacement fields of scaled integers (5.4, as Slicer and
SimpleITK have it), and NRRD cannot say the step, so that a program that reads the integers would take them for mm.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from VoxelMorphRegistrationLib.files.input import reading
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid

_LARGEST = 32767


def write_rounded(field: DisplacementField, path: Path) -> float:
    """Write a field as int16 with one step for all: arrays ``vectors`` (I, J, K, 3), ``step_mm``, ``ijk_to_ras``.

    Returns the largest difference in mm to what is read: about half a step, the longest component / 65534.
    """
    step = np.float32(max(float(np.abs(field.vectors).max()) / _LARGEST, 1e-9))
    stored = np.rint(field.vectors / step).astype(np.int16)
    with path.open("wb") as file:
        np.savez(file, vectors=stored, step_mm=step, ijk_to_ras=field.grid.ijk_to_ras)
    return float(np.abs(stored * step - field.vectors).max())


def read_rounded(path: Path) -> DisplacementField:
    """The field in mm. Raises FileError where the file is missing or damaged."""
    with reading(path) as source, np.load(source, allow_pickle=False) as arrays:
        stored, step, matrix = arrays["vectors"], np.float32(arrays["step_mm"]), arrays["ijk_to_ras"]
        shape = stored.shape
        return DisplacementField(stored * step, Grid((shape[0], shape[1], shape[2]), matrix))
