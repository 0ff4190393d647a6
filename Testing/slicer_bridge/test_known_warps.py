"""Warps that are known beforehand come back through MRML: a shift by voxels, and an analytic warp of real anatomy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

pytest.importorskip("slicer")
import slicer
import vtk
from scipy.ndimage import map_coordinates
from shared_data import shared
from slicer_bridge.support import GEOMETRIES, SHAPE, add_transform, add_volume, distance, grid, rotation, texture
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import map_points, read_grid_transform
from VoxelMorphRegistrationLib.slicer_bridge.volumes import image_from_volume_node, mask_from_node
from VoxelMorphRegistrationLib.spatial import Grid, Image

every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES)
every_axis = pytest.mark.parametrize("axis", range(3))

LAYOUTS = {
    "ijk, channels first": ("ijk", lambda u: u.transpose(3, 0, 1, 2)[None]),
    "ijk, channels last": ("ijk", lambda u: u[None]),
    "kji, channels first": ("kji", lambda u: u.transpose(2, 1, 0, 3)[..., ::-1].transpose(3, 0, 1, 2)[None]),
    "kji, channels last": ("kji", lambda u: u.transpose(2, 1, 0, 3)[..., ::-1]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@every_geometry
@every_axis
def test_constant_shift(scene, logic, geometry, axis, layout):
    """S7, S11: fixed(x) = moving(x + 4 voxels along an axis) is that axis's direction times 4 spacings, in mm."""
    on = grid(geometry)
    moving = texture(on)
    fixed = np.roll(moving, -4, axis=axis)
    fixed_node, moving_node = add_volume(fixed, on, "fixed"), add_volume(moving, on, "moving")
    voxels = np.zeros((*on.shape, 3), np.float32)
    voxels[..., axis] = 4
    axis_order, arranged = LAYOUTS[layout]
    node = logic.gridTransformFromTensor(arranged(voxels), fixed_node, axisOrder=axis_order)

    step = GEOMETRIES[geometry][:3, axis]
    assert np.linalg.norm(4 * step) == pytest.approx(4 * on.spacing[axis])
    field, direction = read_grid_transform(node)
    assert direction == "resampling"
    assert np.allclose(field.vectors, 4 * step, atol=1e-5)

    moving_node.SetAndObserveTransformNodeID(node.GetID())
    assert moving_node.HardenTransform()
    moved = image_from_volume_node(moving_node)
    assert np.allclose(moved.grid.origin, on.origin - 4 * step, atol=1e-4)  # 4 voxels: Slicer needs no interpolation
    inner = tuple(slice(4, n) if a == axis else slice(None) for a, n in enumerate(SHAPE))
    assert (
        np.abs(
            moved.array[inner]
            - fixed[tuple(slice(0, n - 4) if a == axis else slice(None) for a, n in enumerate(SHAPE))]
        ).max()
        < 1e-2
    )


@every_geometry
@every_axis
def test_constant_shift_of_a_half_resolution_tensor(scene, logic, geometry, axis):
    """VoxelMorph's field before its last resizing: 2 of its voxels are 4 of the volume's."""
    on = grid(geometry)
    tensor = np.zeros((1, 3, *(n // 2 for n in on.shape)), np.float32)
    tensor[0, axis] = 2
    node = logic.gridTransformFromTensor(tensor, add_volume(texture(on), on))
    displaced = map_points(node, [on.centre_ras])[0] - on.centre_ras
    assert distance(displaced, 4 * GEOMETRIES[geometry][:3, axis]) < 1e-3


@every_geometry
def test_a_modeling_tensor_moves_points_by_itself(scene, logic, geometry):
    """On the moving volume's grid, it says where its points go: content moves along with it, not against it."""
    on = grid(geometry)
    tensor = np.zeros((1, 3, *on.shape), np.float32)
    tensor[0, 2] = 3
    node = logic.gridTransformFromTensor(tensor, add_volume(texture(on), on, "moving"), "modeling")
    fiducial = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    fiducial.AddControlPoint(vtk.vtkVector3d(on.centre_ras))
    fiducial.SetAndObserveTransformNodeID(node.GetID())
    world = [0.0, 0.0, 0.0]
    fiducial.GetNthControlPointPositionWorld(0, world)
    assert distance(world, on.centre_ras + 3 * GEOMETRIES[geometry][:3, 2]) < 1e-3


def test_a_velocity_tensor_is_integrated(scene, logic):
    """A constant velocity is its own displacement; a rotation about an axis keeps the distance to it."""
    on = grid("ras")
    index = np.stack(np.meshgrid(*map(np.arange, on.shape), indexing="ij"), axis=-1) - (np.array(on.shape) - 1) / 2
    spin = np.stack([-index[..., 1], index[..., 0], 0 * index[..., 0]], axis=-1) * np.radians(20)
    reference = add_volume(texture(on), on)
    velocity = logic.gridTransformFromTensor(
        np.float32(spin.transpose(3, 0, 1, 2)[None]), reference, fieldKind="velocity"
    )
    start = on.to_ras((np.array(on.shape) - 1) / 2 + [5, 0, 0])
    turned = map_points(velocity, [start])[0]
    expected = on.centre_ras + rotation(20, (0, 0, 1)) @ (start - on.centre_ras)
    assert distance(turned, expected) < 0.1
    plain = logic.gridTransformFromTensor(np.float32(spin.transpose(3, 0, 1, 2)[None]), reference)
    assert distance(map_points(plain, [start])[0], expected) > 0.3


# ---- real anatomy -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Anatomy:
    head: np.ndarray
    labels: np.ndarray
    grid: Grid


@cache
def anatomy() -> Anatomy:
    """A real brain and its structures, every second voxel, laid obliquely (30 degrees) and anisotropically in space."""
    import nibabel

    head = np.asarray(nibabel.load(shared("vxm_pair/test_scan_t1.nii.gz")).dataobj)[::2, ::2, ::2]
    labels = np.asarray(nibabel.load(shared("vxm_pair/test_scan_aseg.nii.gz")).dataobj)[::2, ::2, ::2]
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(30, (1, 0.4, -0.2)) @ [[-2.0, 0, 0], [0, 0, 2.4], [0, -1.8, 0]]  # about LIA
    matrix[:3, 3] = 80, -100, 90
    return Anatomy(np.float32(head), labels.astype(np.int16), Grid(head.shape, matrix))


def displacement(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The known warp, RAS mm: up to 9 mm, different along each axis, smooth and without folds."""
    p = (points - centre) / 25
    return np.stack(
        [6 * np.sin(p[..., 1] + 0.5), 5 * np.cos(p[..., 2]) - 2, 4 * np.sin(p[..., 0] - p[..., 1])], axis=-1
    )


def test_a_known_warp_of_real_anatomy_aligns_volume_segmentation_model_and_markup(scene, logic):
    moving = anatomy()
    centre = moving.grid.centre_ras
    # The fixed volume has another grid: upright, LPS, its own spacing.
    fixed_grid = Grid((84, 92, 88), np.diag([-2.2, -2.0, 2.1, 1]))
    matrix = np.array(fixed_grid.ijk_to_ras)
    matrix[:3, 3] = centre - fixed_grid.axes @ ((np.array(fixed_grid.shape) - 1) / 2)
    fixed_grid = Grid(fixed_grid.shape, matrix)
    positions = fixed_grid.to_ras(np.stack(np.meshgrid(*map(np.arange, fixed_grid.shape), indexing="ij"), axis=-1))
    pulled = positions + displacement(positions, centre)  # fixed(x) = moving(x + u(x))
    index = np.moveaxis(moving.grid.to_ijk(pulled), -1, 0)
    fixed_head = map_coordinates(moving.head, index, order=1)
    fixed_labels = map_coordinates(moving.labels, index, order=0)

    # A network gives voxels of the fixed grid, components first.
    voxels = displacement(positions, centre) @ np.linalg.inv(fixed_grid.axes).T
    tensor = np.float32(voxels.transpose(3, 0, 1, 2)[None])
    fixed_node = add_volume(fixed_head, fixed_grid, "fixed")
    transform = add_transform("vtkMRMLTransformNode")
    assert logic.gridTransformFromTensor(tensor, fixed_node, outputTransform=transform) is transform

    volume = add_volume(moving.head, moving.grid, "moving")
    label_node = add_volume(moving.labels, moving.grid, "labels", "vtkMRMLLabelMapVolumeNode")
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    brain = add_volume((moving.labels > 0).astype(np.uint8), moving.grid, "brain", "vtkMRMLLabelMapVolumeNode")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(brain, segmentation)
    surface = vtk.vtkDiscreteFlyingEdges3D()  # of the left thalamus, in its voxels
    thalamus = add_volume((moving.labels == 10).astype(np.uint8), moving.grid, "thalamus")
    surface.SetInputData(thalamus.GetImageData())
    to_space = vtk.vtkTransformPolyDataFilter()
    to_space.SetInputConnection(surface.GetOutputPort())
    placed = vtk.vtkTransform()
    placed.SetMatrix(slicer.util.vtkMatrixFromArray(np.array(moving.grid.ijk_to_ras)))
    to_space.SetTransform(placed)
    to_space.Update()
    model = scene.AddNewNodeByClass("vtkMRMLModelNode")
    model.SetAndObservePolyData(to_space.GetOutput())
    model_before = slicer.util.arrayFromModelPoints(model).copy()
    assert len(model_before) > 200
    landmarks = np.array(
        [moving.grid.to_ras(np.argwhere(moving.labels == label).mean(axis=0)) for label in (10, 49, 16, 11, 50)]
    )
    markup = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    slicer.util.updateMarkupsControlPointsFromArray(markup, landmarks)

    for node in (volume, label_node, segmentation, model, markup):
        node.SetAndObserveTransformNodeID(transform.GetID())
        assert node.HardenTransform()

    # Points: the known map takes each back to where it was. The field is linear between voxels of 2 mm.
    def back(points):
        return points + displacement(points, centre)

    moved_landmarks = slicer.util.arrayFromMarkupsControlPoints(markup)
    assert distance(back(moved_landmarks), landmarks) < 0.05
    assert distance(moved_landmarks, landmarks) > 3
    assert distance(back(slicer.util.arrayFromModelPoints(model)), model_before) < 0.05

    # The volume: what lies under the transform is the fixed volume.
    inside = fixed_labels > 0
    seen = at(image_from_volume_node(volume), positions[inside], order=1)
    assert np.corrcoef(seen, fixed_head[inside])[0, 1] > 0.99
    untouched = map_coordinates(moving.head, moving.grid.to_ijk(positions[inside]).T, order=1)
    assert np.corrcoef(untouched, fixed_head[inside])[0, 1] < 0.8

    # Label volume and segmentation, both to the nearest voxel.
    for mask, reference in (
        (at(image_from_volume_node(label_node), positions, order=0) > 0, inside),
        (at(mask_from_node(segmentation, fixed_grid), positions, order=0) > 0, inside),
        (at(image_from_volume_node(label_node), positions, order=0) == 10, fixed_labels == 10),
    ):
        assert dice(mask, reference) > 0.9
    # And with one another: each landmark still lies in its structure, the surface still bounds the thalamus.
    moved_labels = image_from_volume_node(label_node)
    assert at(moved_labels, moved_landmarks[:4], order=0).tolist() == [10, 49, 16, 11]
    centre_of_surface = slicer.util.arrayFromModelPoints(model).mean(axis=0)
    assert (
        distance(centre_of_surface, moved_labels.grid.to_ras(np.argwhere(moved_labels.array == 10)).mean(axis=0)) < 1.5
    )


def at(image: Image, points: np.ndarray, order: int) -> np.ndarray:
    index = np.moveaxis(image.grid.to_ijk(points), -1, 0)
    return map_coordinates(np.asarray(image.array), index, order=order)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))
