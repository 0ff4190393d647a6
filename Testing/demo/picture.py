"""The demo's picture: Slicer's slice views of a registration, in rows of three planes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from host.slice_views import SliceView, show_transform
from PIL import Image, ImageDraw, ImageFont

_PLANES = (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal"))
_SIZE = (320, 320)
_LABEL_HEIGHT = 26
_TILE_MM = 25


def render(png: Path, fixed: Any, moving: Any, moved: Any, transform: Any, moving_mask: Any) -> None:
    """Write fixed, moving as it lay, moved, their checkerboards, and the transform's grid over the moved volume.

    ``moving`` lies under ``transform``. The slice views are left showing fixed and moved blended, and nothing else
    is left in the scene.
    """
    views = [SliceView(name, orientation, _SIZE) for name, orientation in _PLANES]
    temporary: list[Any] = []

    def row(title: str, volume: Any) -> np.ndarray:
        pixels = []
        for view in views:
            view.show(fixed)  # the same slices and the same zoom in each row
            _set_layers(view, volume)
            pixels.append(view.pixels())
        return np.concatenate([_label(title, len(views) * _SIZE[0]), np.concatenate(pixels, axis=1)])

    def checkerboard(other: Any) -> Any:
        temporary.append(_checkerboard(fixed, other))
        return temporary[-1]

    _show_brain_bright(moving, moving_mask)
    _show_brain_bright(moved, fixed)
    moving.SetAndObserveTransformNodeID(None)
    temporary.append(_on_fixed(moving, fixed))
    before = [
        row("Fixed: MNI152", fixed),
        row("Moving: single subject, as it lies", moving),
        row("Checkerboard of fixed and moving, before", checkerboard(temporary[0])),
    ]
    moving.SetAndObserveTransformNodeID(transform.GetID())
    after = [
        row("Moving under the grid transform, after", moving),
        row("Checkerboard of fixed and moved, after", checkerboard(moved)),
    ]
    show_transform(transform, "grid", 8.0)
    after.append(row("Deformation grid over the moved volume", moved))
    transform.GetDisplayNode().SetVisibility2D(False)
    for view in views:
        _set_layers(view, fixed, moved, 0.5)
        view.close()
    for node in temporary:
        slicer.mrmlScene.RemoveNode(node)
    Image.fromarray(np.concatenate([np.concatenate(before), np.concatenate(after)], axis=1)).save(png)


def _show_brain_bright(node: Any, inside: Any) -> None:
    """Window and level for the voxels inside the brain: fat is brighter, and not what is looked at."""
    values = slicer.util.arrayFromVolume(node)
    mask = slicer.util.arrayFromVolume(inside) > 0
    top = float(np.quantile(values[mask] if mask.shape == values.shape else values, 0.99))
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevelMinMax(0.0, 1.1 * top)


def _set_layers(view: SliceView, background: Any, foreground: Any = None, opacity: float = 0.0) -> None:
    composite = view.logic.GetSliceCompositeNode()
    composite.SetBackgroundVolumeID(background.GetID())
    composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
    composite.SetForegroundOpacity(opacity)


def _on_fixed(moving: Any, fixed: Any) -> Any:
    """The moving volume as it lies, on the fixed voxels."""
    from VoxelMorphRegistrationLib.slicer_bridge import volumes
    from VoxelMorphRegistrationLib.spatial import DisplacementField

    image = volumes.image_from_volume_node(moving, "moving volume")
    seen = DisplacementField.zero(volumes.grid_of_volume_node(fixed)).warp(image)
    return volumes.volume_node_from_image(seen, name="before")


def _checkerboard(fixed: Any, other: Any) -> Any:
    """Tiles of 25 mm from either volume, each stretched to its own bright tissue."""
    a, b = (_stretched(slicer.util.arrayFromVolume(node)) for node in (fixed, other))
    tile = (
        np.indices(a.shape)
        // np.maximum(1, (_TILE_MM / np.array(fixed.GetSpacing()[::-1])).astype(int))[:, None, None, None]
    )
    board = np.where(tile.sum(axis=0) % 2 == 0, a, b)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "checkerboard")
    slicer.util.updateVolumeFromArray(node, board)
    node.CopyOrientation(fixed)
    node.CreateDefaultDisplayNodes()
    return node


def _stretched(array: np.ndarray) -> np.ndarray:
    top = np.quantile(array[array > 0], 0.99)
    return np.clip(array / top, 0, 1).astype(np.float32) * 255


def _label(text: str, width: int) -> np.ndarray:
    label = Image.new("RGB", (width, _LABEL_HEIGHT), "black")
    ImageDraw.Draw(label).text((8, 5), text, fill="white", font=ImageFont.load_default(15))
    return np.asarray(label)
