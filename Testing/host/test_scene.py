"""The headless scene: real MRML, `slicer.util`, files and bundles."""

from __future__ import annotations

import numpy as np
import pytest
import vtk

slicer = pytest.importorskip("slicer")
from host import scene as scenes  # noqa: E402


def a_volume(name="volume", shape=(6, 7, 8)):
    ijk_to_ras = np.diag([-1.5, -1.0, 2.0, 1.0])
    ijk_to_ras[:3, 3] = 10, 20, -30
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return slicer.util.addVolumeFromArray(array, ijkToRAS=ijk_to_ras, name=name)


def a_grid_transform(vector=(3.0, -2.0, 4.0), name="grid"):
    image = vtk.vtkImageData()
    image.SetDimensions(5, 6, 7)
    image.SetOrigin(-10, -10, -10)
    image.SetSpacing(4, 4, 4)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    for component, value in enumerate(vector):
        image.GetPointData().GetScalars().FillComponent(component, value)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    transform.SetInterpolationModeToCubic()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", name)
    node.SetAndObserveTransformFromParent(transform)
    return node


def test_each_test_gets_its_own_scene(scene):
    assert scene is slicer.mrmlScene
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    a_volume()
    fresh = scenes.new_scene().scene
    assert fresh is slicer.mrmlScene is not scene
    assert fresh.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


def test_arrays_of_slicer_util(scene):
    volume = a_volume()
    assert slicer.util.arrayFromVolume(volume).shape == (6, 7, 8)
    assert volume.GetDisplayNode() is not None
    grid = slicer.util.arrayFromGridTransform(a_grid_transform())
    assert grid.shape == (7, 6, 5, 3)
    assert grid[3, 3, 3].tolist() == [3, -2, 4]


def test_segment_as_an_array(scene):
    volume = a_volume()
    labels = np.zeros((6, 7, 8), np.uint8)
    labels[2:4, 2:5, 3:6] = 1
    label_map = slicer.util.addVolumeFromArray(labels, name="labels", nodeClassName="vtkMRMLLabelMapVolumeNode")
    label_map.CopyOrientation(volume)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label_map, segmentation)
    segment = segmentation.GetSegmentation().GetNthSegmentID(0)
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume), labels)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_a_volume_survives_its_file(scene, tmp_path, suffix):
    volume = a_volume()
    read = scenes.read_node_file(scenes.write_node_file(volume, tmp_path / f"v{suffix}"), name="again")
    assert read.GetName() == "again"
    # Left-handed volumes are turned on reading: the same point must hold the same value.
    ras_to_ijk = vtk.vtkMatrix4x4()
    read.GetRASToIJKMatrix(ras_to_ijk)
    point = np.diag([-1.5, -1.0, 2.0, 1.0]) @ [5, 2, 1, 1] + [10, 20, -30, 0]
    i, j, k, _ = np.round(ras_to_ijk.MultiplyPoint(point)).astype(int)
    assert slicer.util.arrayFromVolume(read)[k, j, i] == slicer.util.arrayFromVolume(volume)[1, 2, 5]


@pytest.mark.parametrize("suffix", [".nrrd", ".h5", ".nii.gz"])
def test_a_grid_transform_survives_its_file(scene, tmp_path, suffix):
    path = scenes.write_node_file(a_grid_transform(), tmp_path / f"t{suffix}")
    node = scenes.read_node_file(path, "vtkMRMLTransformNode")
    assert np.allclose(node.GetTransformFromParent().TransformPoint(0, 0, 0), (3, -2, 4))


def test_a_refused_or_missing_file_is_an_error_and_leaves_nothing(scene, tmp_path):
    count = scene.GetNumberOfNodes()
    with pytest.raises(OSError, match="Cannot read"):
        scenes.read_node_file(tmp_path / "none.nrrd")
    (tmp_path / "broken.nrrd").write_text("NRRD0004\nnot an image")
    with pytest.raises(OSError, match="Cannot read"):
        scenes.read_node_file(tmp_path / "broken.nrrd")
    assert scene.GetNumberOfNodes() == count
    to_parent = a_grid_transform()
    to_parent.Inverse()  # NIfTI cannot say which way a field goes
    with pytest.raises(OSError, match="Cannot write"):
        scenes.write_node_file(to_parent, tmp_path / "t.nii.gz")


def test_a_bundle_restores_the_scene(scene, tmp_path):
    volume, grid = a_volume("fixed"), a_grid_transform()
    volume.SetAndObserveTransformNodeID(grid.GetID())
    expected = slicer.util.arrayFromVolume(volume).sum()
    scenes.save_scene(tmp_path / "scene.mrb")
    scene.Clear(False)
    assert scene.GetFirstNodeByName("fixed") is None
    scenes.load_scene(tmp_path / "scene.mrb")
    restored = slicer.util.getNode("fixed")
    assert slicer.util.arrayFromVolume(restored).sum() == expected
    assert restored.GetParentTransformNode().GetName() == "grid"


def test_an_exception_in_an_observer_is_not_lost(scene, swallowed):
    def fail(caller, event):
        raise ValueError("lost in an observer")

    volume = a_volume()
    volume.AddObserver(vtk.vtkCommand.ModifiedEvent, fail)
    with swallowed.expect(ValueError, "lost in an observer"):
        volume.Modified()
    with pytest.raises(AssertionError, match="expected one swallowed"), swallowed.expect(ValueError):
        pass
    volume.RemoveAllObservers()
