"""Volume and segmentation nodes as library images, wherever their parent transforms put them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer")
import slicer
import vtk
from slicer_bridge.support import (
    GEOMETRIES,
    add_transform,
    add_volume,
    grid,
    rotation,
    scene_content,
    smooth_field,
    texture,
)
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import chain, write_grid_transform, write_linear_transform
from VoxelMorphRegistrationLib.slicer_bridge.volumes import (
    grid_of_volume_node,
    image_from_volume_node,
    mask_from_node,
    volume_node_from_image,
)
from VoxelMorphRegistrationLib.spatial import Grid, Image

every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES)


def a_matrix() -> np.ndarray:
    """To parent: rotation, scaling, shear and translation."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(25, (1, 0.5, 0)) @ [[1.2, 0.3, 0], [0, 0.9, 0], [0.1, 0, 1.0]]
    matrix[:3, 3] = 30, -12, 7
    return matrix


def linear_node(to_parent: np.ndarray):
    node = add_transform("vtkMRMLLinearTransformNode")
    write_linear_transform(np.linalg.inv(to_parent), node)
    return node


@every_geometry
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_a_volume_is_read_as_ijk_at_its_place_and_not_copied(scene, geometry, dtype):
    on = grid(geometry)
    array = texture(on).astype(dtype)
    node = add_volume(array, on, "head")
    image = image_from_volume_node(node)
    assert image.name == "head"
    assert image.array.dtype == dtype
    assert np.array_equal(image.array, array)
    assert image.grid.is_same(on)
    assert np.shares_memory(image.array, slicer.util.arrayFromVolume(node))


@every_geometry
def test_a_written_volume_is_read_back(scene, geometry):
    on = grid(geometry)
    node = volume_node_from_image(Image(texture(on), on, "moved"))
    assert node.GetName() == "moved"
    assert node.GetDisplayNode() is not None
    again = image_from_volume_node(node)
    assert np.array_equal(again.array, texture(on))
    assert again.grid.is_same(on)


def test_writing_replaces_everything_but_the_nodes_display(scene):
    """Voxels that another node shares must not change with them."""
    on = grid()
    node, twin = add_volume(texture(on, 1), grid("ras"), "result"), add_volume(texture(on, 2), on, "twin")
    twin.SetAndObserveImageData(node.GetImageData())
    node.SetAndObserveTransformNodeID(linear_node(a_matrix()).GetID())
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevel(77, 33)
    count, heard = scene.GetNumberOfNodes(), []
    tag = node.AddObserver(slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, lambda *_: heard.append(1))
    assert volume_node_from_image(Image(texture(on, 3), on), node) is node
    node.RemoveObserver(tag)
    assert heard
    assert scene.GetNumberOfNodes() == count
    assert node.GetName() == "result"
    assert node.GetParentTransformNode() is None
    assert np.array_equal(image_from_volume_node(node).array, texture(on, 3))
    assert image_from_volume_node(node).grid.is_same(on)
    assert np.array_equal(image_from_volume_node(twin).array, texture(on, 1))
    assert (node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()) == (77, 33)


@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.float16])
def test_voxels_that_slicer_cannot_show_are_refused_and_no_node_is_added(scene, dtype):
    before = scene_content(scene)
    with pytest.raises(InputError, match="cannot show voxels"):
        volume_node_from_image(Image(np.zeros((3, 4, 5), dtype), Grid((3, 4, 5), np.eye(4))))
    assert scene_content(scene) == before


@every_geometry
def test_under_linear_transforms_the_grid_is_moved(scene, geometry):
    """Two of them, one with shear: voxel (i, j, k) lies where Slicer says."""
    on, outer, inner = grid(geometry), linear_node(np.diag([2, 1, 0.5, 1])), linear_node(a_matrix())
    chain(inner, outer)
    node = add_volume(texture(on), on)
    node.SetAndObserveTransformNodeID(inner.GetID())
    image = image_from_volume_node(node)
    assert np.shares_memory(image.array, slicer.util.arrayFromVolume(node))
    expected = np.diag([2, 1, 0.5, 1]) @ a_matrix() @ GEOMETRIES[geometry]
    assert np.allclose(image.grid.ijk_to_ras, expected)
    assert grid_of_volume_node(node).is_same(image.grid)
    world = [0.0, 0.0, 0.0]
    node.TransformPointToWorld(on.to_ras([3, 4, 5]), world)
    assert np.allclose(image.grid.to_ras([3, 4, 5]), world)
    below = image_from_volume_node(node, frame=outer)  # before the outer transform
    assert np.allclose(below.grid.ijk_to_ras, a_matrix() @ GEOMETRIES[geometry])
    assert image_from_volume_node(node, frame=inner).grid.is_same(on)


@every_geometry
@pytest.mark.parametrize("direction", ["resampling", "modeling"])
def test_under_a_non_linear_transform_the_volume_is_resampled_as_on_hardening(scene, geometry, direction):
    on = grid(geometry)
    node, nonlinear, linear = add_volume(texture(on), on), add_transform(), linear_node(np.diag([1.0, 1, 1, 1]))
    write_grid_transform(smooth_field(on, 3, waves=1.5), nonlinear, direction)
    slicer.util.updateTransformMatrixFromArray(linear, a_matrix())
    nonlinear.SetAndObserveTransformNodeID(linear.GetID())
    node.SetAndObserveTransformNodeID(nonlinear.GetID())
    before, count = scene_content(scene), scene.GetNumberOfNodes()

    image = image_from_volume_node(node)
    assert scene_content(scene) == before
    assert scene.GetNumberOfNodes() == count
    assert np.array_equal(slicer.util.arrayFromVolume(node), texture(on).T)
    with pytest.raises(InputError, match="non-linear transform"):
        grid_of_volume_node(node)
    assert grid_of_volume_node(node, frame=nonlinear).is_same(on)

    node.HardenTransform()
    own = image_from_volume_node(node)
    assert own.grid.is_same(image.grid)
    assert np.array_equal(own.array, image.array)
    assert image.array.std() > 0.3 * texture(on).std()


def test_a_label_map_under_a_non_linear_transform_keeps_its_labels(scene):
    on = grid()
    labels = (texture(on) > 100).astype(np.uint8) * 7
    node, nonlinear = add_volume(labels, on, "labels", "vtkMRMLLabelMapVolumeNode"), add_transform()
    write_grid_transform(smooth_field(on, 3), nonlinear)
    node.SetAndObserveTransformNodeID(nonlinear.GetID())
    assert set(np.unique(image_from_volume_node(node).array)) == {0, 7}


# ---- masks --------------------------------------------------------------------------------------------------------


def ball(on: Grid, radius: float) -> np.ndarray:
    positions = on.to_ras(np.stack(np.meshgrid(*map(np.arange, on.shape), indexing="ij"), axis=-1))
    return (np.linalg.norm(positions - on.centre_ras, axis=-1) < radius).astype(np.uint8)


def centroid(mask: Image) -> np.ndarray:
    return mask.grid.to_ras(np.argwhere(mask.array > 0)).mean(axis=0)


@pytest.mark.parametrize("geometry", ["ras", "oblique left-handed"])
@pytest.mark.parametrize("kind", ["labelmap", "segmentation", "surface"])
def test_a_mask_lies_where_the_node_lies(scene, geometry, kind):
    on = grid(geometry)
    label = add_volume(3 * ball(on, 8), on, "label", "vtkMRMLLabelMapVolumeNode")
    node = label
    if kind != "labelmap":
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segmentation")
        logic = slicer.modules.segmentations.logic()
        logic.ImportLabelmapToSegmentationNode(label, node)
    if kind == "surface":
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surface")
        node.GetSegmentation().SetSourceRepresentationName("Closed surface")
        sphere = vtk.vtkSphereSource()
        sphere.SetCenter(*on.centre_ras)
        sphere.SetRadius(8)
        sphere.SetThetaResolution(40)
        sphere.SetPhiResolution(40)
        sphere.Update()
        node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "ball", [1, 0, 0])
    shift = np.eye(4)
    shift[:3, 3] = 5, 6, -7
    node.SetAndObserveTransformNodeID(linear_node(shift).GetID())
    before, names = scene_content(scene), representations(node)

    mask = mask_from_node(node, on)
    assert scene_content(scene) == before
    assert representations(node) == names
    assert np.linalg.norm(centroid(mask) - on.centre_ras - [5, 6, -7]) < 0.6
    volume = (mask.array > 0).sum() * abs(np.linalg.det(mask.grid.axes))
    assert volume == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.06)
    assert np.allclose(mask.grid.spacing, on.spacing, rtol=1e-3)


def representations(node):
    if not node.IsA("vtkMRMLSegmentationNode"):
        return ()
    names = []
    node.GetSegmentation().GetContainedRepresentationNames(names)
    return tuple(names)


def test_all_segments_of_a_segmentation_count_even_where_they_overlap(scene):
    on = grid("ras")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    both = np.zeros(on.shape, bool)
    for radius in (5, 9):
        labels = ball(on, radius)
        labels[: int(radius)] = 0
        both |= labels > 0
        slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(
            add_volume(labels, on, f"r{radius}", "vtkMRMLLabelMapVolumeNode"), node
        )
    assert node.GetSegmentation().GetNumberOfSegments() == 2
    assert (mask_from_node(node, on).array > 0).sum() == both.sum()


def test_a_segmentation_without_content_is_no_mask(scene):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "nothing")
    with pytest.raises(InputError, match=r"fixed mask 'nothing' has no segments"):
        mask_from_node(node, grid(), "fixed mask")
    node.GetSegmentation().AddEmptySegment("empty")
    with pytest.raises(InputError, match=r"fixed mask 'nothing' is empty"):
        mask_from_node(node, grid(), "fixed mask")
