"""Grey pictures of the library in labels."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import qt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.pipeline.planes import Picture


def show_picture(label: Any, picture: Picture | None) -> None:
    """Show a picture in a QLabel, or hide the label.

    Through a PNG file: that is how both PythonQt and PySide6 surely take pixels from NumPy.
    """
    if picture is None:
        label.clear()
        label.hide()
        return
    with tempfile.TemporaryDirectory(prefix="voxelmorph-picture-") as folder:
        path = str(Path(folder) / "picture.png")
        sitk.WriteImage(sitk.GetImageFromArray(picture), path)
        label.setPixmap(qt.QPixmap(path))
    label.show()
