"""How maps of a deformation, and the deformation itself, are shown in Slicer's slice views."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import check_transform_node

DIVERGING = "vtkMRMLColorTableNodeFileDivergingBlueRed.txt"
"""ID of the color node that Slicer's Colors module loads from DivergingBlueRed.txt."""
RISING = "vtkMRMLColorTableNodeFileViridis.txt"

Style = Literal["grid", "arrows"]

_LEAST_RANGE = 0.1
_LINES = 24
_ARROWS = 20


def show_jacobian(node: Any, determinants: npt.NDArray[np.floating]) -> None:
    """Blue shrinks, red grows, and what keeps its volume (1) is in the middle: as far on both sides, 0 to 2 at most."""
    p1, p99 = np.percentile(determinants[::2, ::2, ::2], (1, 99))
    reach = float(np.clip(max(abs(p1 - 1), abs(p99 - 1)), _LEAST_RANGE, 1.0))
    _show(node, DIVERGING, "Blue to red", _blue_to_red, 2 * reach, 1.0)


def show_magnitude(node: Any, lengths: npt.NDArray[np.floating]) -> None:
    """From 0 to the largest displacement."""
    top = max(float(np.nanmax(lengths)), _LEAST_RANGE)
    _show(node, RISING, "Dark to bright", _dark_to_bright, top, top / 2)


def show_inverse_error(node: Any, lengths: npt.NDArray[np.floating]) -> None:
    """From 0 to what 99 % of the voxels are below."""
    known = lengths[lengths >= 0]
    top = max(float(np.percentile(known, 99)) if known.size else 0.0, _LEAST_RANGE)
    _show(node, RISING, "Dark to bright", _dark_to_bright, top, top / 2)


def show_transform(node: Any, style: Style | None, region: Any) -> None:
    """Show a transform in the slice views as a warped grid or as arrows, or (None) not at all.

    ``region`` is the volume over which it is drawn; lines and arrows are as dense as its size asks for. Raises
    InputError for what is no transform node.
    """
    check_transform_node(node)
    display = node.GetDisplayNode()
    if display is None:
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
    if display is None:
        raise InputError(f"Slicer makes no display for '{node.GetName()}'; convert it to a grid transform.")
    modifying = display.StartModify()
    try:
        if style is not None:
            size = _size_mm(region)
            display.SetAndObserveRegionNode(region)
            if style == "grid":
                display.SetVisualizationMode(display.VIS_MODE_GRID)
                display.SetGridSpacingMm(_round(size / _LINES))
                display.SetGridResolutionMm(_round(size / _LINES / 5))
                display.SetGridScalePercent(100)
                display.SetGridLineDiameterMm(max(size / 400, 0.1))
            else:
                display.SetVisualizationMode(display.VIS_MODE_GLYPH)
                display.SetGlyphSpacingMm(_round(size / _ARROWS))
                display.SetGlyphScalePercent(100)
                display.SetGlyphDisplayRangeMaxMm(size)
                display.SetGlyphDisplayRangeMinMm(0.01)
        display.SetVisibility(style is not None)
        display.SetVisibility2D(style is not None)
        display.SetVisibility3D(False)
    finally:
        display.EndModify(modifying)


def shown_style(node: Any) -> Style | None:
    """How a transform is shown in slice views now; None where it is not, or otherwise."""
    display = node.GetDisplayNode() if node is not None else None
    if display is None or not (display.GetVisibility() and display.GetVisibility2D()):
        return None
    if display.GetVisualizationMode() == display.VIS_MODE_GRID:
        return "grid"
    return "arrows" if display.GetVisualizationMode() == display.VIS_MODE_GLYPH else None


def _show(node: Any, slicers_own: str, name: str, colour: Any, window: float, level: float) -> None:
    import slicer

    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    colours = slicer.mrmlScene.GetNodeByID(slicers_own) or _own_colours(name, colour)
    modifying = display.StartModify()
    try:
        display.SetAndObserveColorNodeID(colours.GetID())
        display.AutoWindowLevelOff()
        display.SetWindowLevel(window, level)
        display.SetInterpolate(False)
    finally:
        display.EndModify(modifying)


def _own_colours(name: str, colour: Any) -> Any:
    """For a Slicer whose color file is missing: the same colors, made here once."""
    import slicer

    node = slicer.mrmlScene.GetFirstNode(name, "vtkMRMLColorTableNode")
    if node is None:
        node = slicer.vtkMRMLColorTableNode()
        node.SetName(name)
        node.SetTypeToUser()
        node.SetNumberOfColors(256)
        for n in range(256):
            node.SetColor(n, f"{n / 255:.3f}", *colour(n / 255), 1.0)
        node = slicer.mrmlScene.AddNode(node)
    return node


def _blue_to_red(part: float) -> tuple[float, float, float]:
    """White in the middle."""
    away = abs(2 * part - 1)
    return (1 - away, 1 - away, 1 - 0.3 * away) if part < 0.5 else (1 - 0.3 * away, 1 - away, 1 - away)


def _dark_to_bright(part: float) -> tuple[float, float, float]:
    """About viridis: violet, teal, yellow."""
    stops = np.array(
        [[0.27, 0.0, 0.33], [0.23, 0.32, 0.55], [0.13, 0.57, 0.55], [0.37, 0.79, 0.38], [0.99, 0.91, 0.14]]
    )
    red, green, blue = (float(np.interp(part, np.linspace(0, 1, len(stops)), stops[:, c])) for c in range(3))
    return red, green, blue


def _size_mm(volume: Any) -> float:
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    return max(bounds[2 * axis + 1] - bounds[2 * axis] for axis in range(3))


def _round(length: float) -> float:
    """To one significant digit, so that what the Transforms module shows can be read."""
    digit = 10.0 ** math.floor(math.log10(max(length, 1e-3)))
    return max(round(length / digit), 1) * digit
