"""Slicer's own slice views, rendered off-screen to PNG on slicer-core.

The pixels come from Slicer's slice logic and displayable managers: volumes with their window and level, a
blended foreground, live transforms, segmentations, markups and the 2D display of transforms look as they do
in Slicer. Only the frame around the view (slider, corner texts) is not here. Needs EGL or OSMesa, e.g.
Debian's `libegl1` and `libgl1-mesa-dri`; the first view takes about half a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from host.scene import current

Orientation = Literal["Axial", "Coronal", "Sagittal"]

DISPLAYABLE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
)


class SliceView:
    """One slice view on the current scene; ends with it.

    `name` is the slice node's layout name ("Red", "Yellow", "Green" or one of your own), `size` is in pixels.
    """

    def __init__(
        self, name: str = "Red", orientation: Orientation = "Axial", size: tuple[int, int] = (420, 420)
    ) -> None:
        environment = current()
        self.size = size
        self.logic = slice_logic(name)
        self.node = self.logic.GetSliceNode()
        self.node.SetOrientation(orientation)

        self._renderer = vtk.vtkRenderer()
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetSize(*size)
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()  # markups and transforms want one, though nobody moves it
        self._interactor.SetRenderWindow(self._window)
        self._interactor.Initialize()

        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(self._renderer)
        self._managers = []
        for class_name in DISPLAYABLE_MANAGERS:
            manager = getattr(slicer, class_name)()
            manager.SetMRMLApplicationLogic(environment.application_logic)
            self._group.AddDisplayableManager(manager)
            self._managers.append(manager)
        self._group.SetMRMLDisplayableNode(self.node)
        self.logic.ResizeSliceNode(*size)

        self._mapper = vtk.vtkImageMapper()  # the slice logic's image has its colours already: 0..255 as they are
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self._mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self._renderer.AddViewProp(actor)

    def show(self, background: Any, foreground: Any = None, opacity: float = 0.5, label: Any = None) -> None:
        """Shows volume nodes, fitted to the background volume, on the slice through its middle."""
        composite = self.logic.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
        composite.SetForegroundOpacity(opacity if foreground is not None else 0.0)
        composite.SetLabelVolumeID(label.GetID() if label is not None else None)
        self.logic.FitSliceToBackground()
        self.logic.SnapSliceOffsetToIJK()

    def move_to(self, offset_mm: float) -> None:
        """Moves the slice along its normal as the slider does: an axial view to this S coordinate."""
        self.logic.SetSliceOffset(offset_mm)

    def pixels(self) -> np.ndarray:
        """What the view shows: (height, width, 3) uint8, first row on top."""
        self.logic.UpdatePipeline()
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())
        self._window.Render()
        capture = vtk.vtkWindowToImageFilter()
        capture.SetInput(self._window)
        capture.ReadFrontBufferOff()
        capture.Update()
        image = capture.GetOutput()
        width, height, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[::-1].copy()

    def grab(self, png: Path | str) -> Path:
        """Writes `pixels()` to a PNG file."""
        return write_png(self.pixels(), png)

    def close(self) -> None:
        """Detaches the view from the scene and frees its window."""
        self._group.SetMRMLDisplayableNode(None)
        self._window.Finalize()


def grab_views(
    png: Path | str,
    background: Any,
    foreground: Any = None,
    opacity: float = 0.5,
    size: tuple[int, int] = (360, 360),
) -> Path:
    """Axial, sagittal and coronal views side by side in one PNG file."""
    columns = []
    for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
        view = SliceView(name, orientation, size)
        view.show(background, foreground, opacity)
        columns.append(view.pixels())
        view.close()
    return write_png(np.concatenate(columns, axis=1), png)


def show_transform(node: Any, mode: Literal["grid", "glyph", "contour"] = "grid", spacing_mm: float = 10.0) -> None:
    """Switches on the 2D display of a transform node, as the Transforms module's Display section does."""
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetVisualizationMode(getattr(display, f"VIS_MODE_{mode.upper()}"))
    display.SetGridSpacingMm(spacing_mm)
    display.SetGlyphSpacingMm(spacing_mm)
    display.SetVisibility(True)
    display.SetVisibility2D(True)


def write_png(pixels: np.ndarray, png: Path | str) -> Path:
    """Writes an (height, width, 3) uint8 array, first row on top."""
    height, width, _ = pixels.shape
    image = vtk.vtkImageData()
    image.SetDimensions(width, height, 1)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[:] = pixels[::-1]
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(png))
    writer.SetInputData(image)
    writer.Write()
    if not Path(png).exists():
        raise OSError(f"Cannot write {png}.")
    return Path(png)


def slice_logic(name: str) -> Any:
    """The slice logic of this layout name: the one registered with the application, or a new one."""
    environment = current()
    logics = environment.application_logic.GetSliceLogics()
    for index in range(logics.GetNumberOfItems()):
        logic = logics.GetItemAsObject(index)
        if logic.GetSliceNode() is not None and logic.GetSliceNode().GetLayoutName() == name:
            return logic
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(environment.application_logic)
    logics.AddItem(logic)
    logic.SetMRMLScene(environment.scene)
    logic.AddSliceNode(name)
    return logic
