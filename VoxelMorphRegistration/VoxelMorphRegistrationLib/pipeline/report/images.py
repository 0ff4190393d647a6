"""Pixels as PNG files within a page."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

Pixels = npt.NDArray[np.uint8]
"""Grey (rows, columns), or with a last axis of 4: red, green, blue, opacity."""


def data_uri(pixels: Pixels) -> str:
    """The pixels as a ``data:`` address; without loss, so that differences in a picture are those of the volumes."""
    with tempfile.TemporaryDirectory(prefix="voxelmorph-report-") as folder:  # ITK writes to files only
        path = Path(folder) / "picture.png"
        sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=pixels.ndim == 3), str(path), True)
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
