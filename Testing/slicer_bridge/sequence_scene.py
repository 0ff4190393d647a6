"""A small sequence of volumes in the scene, with a motion that is known, and what belongs to its reference frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from pipeline.known_networks import as_keras_reads_it, write_vxm_dense
from pipeline.small_pair import small_volume
from slicer_bridge.support import add_volume
from VoxelMorphRegistrationLib.spatial import Grid

SHIFTS = (0.0, 4.0, 8.0, 8.0, 4.0, 0.0)
"""Of the anatomy in each frame, to the right, in mm; frame 1 is the reference."""
REFERENCE = 1
POINT = (20.0, 10.0, 3.0)
"""In the reference frame."""


def still_network(folder: Path) -> str:
    """A real network that moves nothing: what is found is then the pre-alignment, whose truth is known."""
    return str(write_vxm_dense(folder / "still.h5", card={"orientation": "RAS", "spacing_mm": [4.0, 4.0, 4.0]}))


def wrong_network(folder: Path) -> str:
    """A small network that moves everything by a voxel of its field; a few steps of training make it less wrong."""
    card = {"orientation": "RAS", "spacing_mm": [4.0, 4.0, 4.0]}
    return str(as_keras_reads_it(write_vxm_dense(folder / "wrong.h5", bias=(1, 0, 0), card=card)))


def moved(frame: int) -> np.ndarray:
    """Where POINT lies in a frame."""
    return np.add(POINT, (SHIFTS[frame] - SHIFTS[REFERENCE], 0, 0))


def add_sequence(name: str = "CT", selected: int = 3) -> tuple[Any, Any]:
    """Browser and sequence of volumes of 40 x 40 x 40 voxels, at times that are no frame numbers."""
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    for n, shift in enumerate(SHIFTS):
        image = small_volume("frame", shift, shape=(40, 40, 40))
        volume = add_volume(image.array, image.grid, f"{name} {n}")
        sequence.SetDataNodeAtValue(volume, f"{0.5 * n:g}")
        for node in (volume.GetDisplayNode(), volume):
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{name} browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    browser.SetSelectedItemNumber(selected)
    return browser, sequence


def frames_grid() -> Grid:
    return small_volume("frame", shape=(40, 40, 40)).grid


def labels() -> np.ndarray:
    """Two structures in the reference: one around POINT, one elsewhere."""
    grid = frames_grid()
    found = np.zeros(grid.shape, np.uint8)
    i, j, k = np.rint(grid.to_ijk(POINT)).astype(int)
    found[i - 4 : i + 5, j - 4 : j + 5, k - 4 : k + 5] = 1
    found[28:32, 6:12, 20:27] = 5
    return found


def add_labelmap(name: str = "labels") -> Any:
    return add_volume(labels(), frames_grid(), name, "vtkMRMLLabelMapVolumeNode")


def add_segmentation(name: str = "organs", *, surfaces: bool = False) -> Any:
    """Segments "liver" (label 1) and "spleen" (label 5)."""
    source = add_labelmap("source")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(source, node)
    for n, (called, color) in enumerate((("liver", (0.9, 0.4, 0.1)), ("spleen", (0.1, 0.3, 0.8)))):
        node.GetSegmentation().GetNthSegment(n).SetName(called)
        node.GetSegmentation().GetNthSegment(n).SetColor(color)
    for display in (source.GetDisplayNode(), source):
        if display is not None:
            slicer.mrmlScene.RemoveNode(display)
    node.CreateDefaultDisplayNodes()
    if surfaces:
        node.CreateClosedSurfaceRepresentation()
    return node


def add_point(name: str = "landmark") -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    node.CreateDefaultDisplayNodes()
    node.AddControlPoint(vtk.vtkVector3d(*POINT))
    return node


def add_sphere(name: str = "ball") -> Any:
    """A model around POINT."""
    source = vtk.vtkSphereSource()
    source.SetCenter(POINT)
    source.SetRadius(8.0)
    source.Update()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", name)
    node.SetAndObservePolyData(source.GetOutput())
    node.CreateDefaultDisplayNodes()
    return node


def centre_of_label(node: Any, value: int) -> np.ndarray:
    """Centroid of a label of a segmentation's (shared) labelmap or of a labelmap volume, in RAS mm; NaN where none."""
    from vtk.util.numpy_support import vtk_to_numpy

    if node.IsA("vtkMRMLSegmentationNode"):
        image = node.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
        matrix, first = vtk.vtkMatrix4x4(), image.GetExtent()[::2]
        image.GetImageToWorldMatrix(matrix)
    else:
        image, matrix, first = node.GetImageData(), vtk.vtkMatrix4x4(), (0, 0, 0)
        node.GetIJKToRASMatrix(matrix)
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]).T
    index = np.argwhere(array == value)
    if not len(index):
        return np.full(3, np.nan)
    return (slicer.util.arrayFromVTKMatrix(matrix) @ [*(index.mean(axis=0) + first), 1])[:3]


def centre_of_points(polydata: Any) -> np.ndarray:
    from vtk.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(polydata.GetPoints().GetData()).mean(axis=0)


def control_point(node: Any) -> np.ndarray:
    found = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(0, found)
    return np.array(found)
