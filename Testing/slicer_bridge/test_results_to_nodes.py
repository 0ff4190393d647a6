"""A registration's result in nodes: each combination of direction, grid, affine apart and inverse is the same map."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer")
import slicer
import vtk
from slicer_bridge.support import (
    add_transform,
    add_volume,
    distance,
    grid,
    inside,
    rotation,
    scene_content,
    smooth_field,
    texture,
)
from VoxelMorphRegistrationLib.errors import InputError, TransformError
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationResult
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import (
    check_direction,
    map_points,
    read_grid_transform,
    write_grid_transform,
    write_linear_transform,
)
from VoxelMorphRegistrationLib.slicer_bridge.registration import RegistrationNodes, read_inputs, write_result
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid

FIXED_GRID = grid("oblique left-handed")
MOVING_GRID = Grid((26, 22, 20), grid("lps").moved_by(np.diag([1.0, 1.1, 1.2, 1])).ijk_to_ras)


def affine() -> np.ndarray:
    """Fixed to moving: onto the middle of the moving grid, with rotation, scaling and shear."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(12, (1, 1, 0)) @ [[1.05, 0.06, 0], [0, 0.95, 0], [0, 0.05, 1.1]]
    matrix[:3, 3] = MOVING_GRID.centre_ras - matrix[:3, :3] @ FIXED_GRID.centre_ras
    return matrix


def deformation() -> Deformation:
    """As a registration gives it: a field on a coarser lattice of its own, zero at its border, and its inverse."""
    lattice = FIXED_GRID.reoriented("LIA").with_shape((13, 12, 11))
    fade = np.ones(lattice.shape)
    for axis, n in enumerate(lattice.shape):
        ramp = np.clip(np.minimum(np.arange(n), n - 1 - np.arange(n)) / 3, 0, 1)
        fade *= ramp.reshape([-1 if a == axis else 1 for a in range(3)])
    vectors = smooth_field(lattice, 1.5, waves=1.5).vectors * fade[..., None]
    field = DisplacementField(vectors.astype(np.float32), lattice)
    return Deformation(affine(), field, field.inverse(tolerance_mm=0.2))


@pytest.fixture
def job(scene):
    """Two volumes, and what a registration found between them."""
    fixed = add_volume(texture(FIXED_GRID), FIXED_GRID, "fixed")
    moving = add_volume(texture(MOVING_GRID, 1), MOVING_GRID, "moving")

    def make(**nodes):
        return RegistrationNodes(fixed, moving, **nodes)

    return make


def result_of(nodes: RegistrationNodes) -> RegistrationResult:
    found, inputs = deformation(), read_inputs(nodes)
    moved = found.warp(inputs.moving, inputs.fixed.grid)
    return RegistrationResult(found, moved, 0.5, 0.9, 0.0, (), {"network": 1.0}, "a model", "an engine", "a plan")


def written(nodes: RegistrationNodes) -> RegistrationNodes:
    return write_result(result_of(nodes), read_inputs(nodes), nodes)


def through_chain(node, points, to_world: bool) -> np.ndarray:
    """Points from what lies under a node to the world, or back."""
    transform = vtk.vtkGeneralTransform()
    ends = (node, None) if to_world else (None, node)
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(*ends, transform)
    return np.array([transform.TransformPoint(*point) for point in points])


@pytest.mark.parametrize("output_grid", ["full", "network"])
@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
@pytest.mark.parametrize("direction", ["resampling", "modeling"])
def test_what_lies_under_the_nodes_moves_as_the_deformation_says(scene, job, direction, apart, output_grid):
    nodes = job(
        transform=add_transform(),
        affine_transform=add_transform("vtkMRMLLinearTransformNode") if apart else None,
        direction=direction,
        output_grid=output_grid,
    )
    written(nodes)
    found = deformation()
    field, stored = read_grid_transform(nodes.transform)
    assert stored == direction
    lowest = nodes.affine_transform if apart else nodes.transform  # the moving volume goes under this one

    # Exact at the voxels that the direction stores; between them as near as its grid is fine.
    voxels = field.grid.to_ras(np.random.default_rng(0).integers(1, np.array(field.grid.shape) - 1, (200, 3)))
    if direction == "resampling":
        assert distance(through_chain(lowest, voxels, to_world=False), found.map_points(voxels)) < 1e-3
    else:
        start = voxels @ affine()[:3, :3].T + affine()[:3, 3] if apart else voxels
        assert distance(through_chain(lowest, start, to_world=True), found.map_points_back(start)) < 1e-3
    points = inside(FIXED_GRID)
    assert distance(through_chain(lowest, points, to_world=False), found.map_points(points)) < 0.25
    assert distance(points, found.map_points(points)) > 5

    assert nodes.transform.GetParentTransformNode() is None
    if apart:
        assert nodes.affine_transform.GetParentTransformNode() is nodes.transform
        matrix = vtk.vtkMatrix4x4()
        nodes.affine_transform.GetMatrixTransformFromParent(matrix)
        assert np.allclose(slicer.util.arrayFromVTKMatrix(matrix), affine())


def test_the_full_grid_is_that_of_the_fixed_or_of_the_moving_volume(scene, job):
    nodes = job(transform=add_transform(), inverse_transform=add_transform())
    written(nodes)
    assert read_grid_transform(nodes.transform)[0].grid.is_same(FIXED_GRID)
    assert read_grid_transform(nodes.inverse_transform)[0].grid.is_same(MOVING_GRID)
    nodes = job(transform=add_transform(), inverse_transform=add_transform(), direction="modeling")
    written(nodes)
    assert read_grid_transform(nodes.transform)[0].grid.is_same(MOVING_GRID)
    assert read_grid_transform(nodes.inverse_transform)[0].grid.is_same(FIXED_GRID)


def test_the_networks_grid_takes_less_memory(scene, job):
    sizes = {}
    for output_grid in ("full", "network"):
        for direction in ("resampling", "modeling"):
            nodes = job(transform=add_transform(), direction=direction, output_grid=output_grid)
            written(nodes)
            sizes[output_grid, direction] = read_grid_transform(nodes.transform)[0].vectors.nbytes
    assert sizes["full", "resampling"] > 4 * sizes["network", "resampling"]
    assert sizes["full", "modeling"] > 1.5 * sizes["network", "modeling"]


@pytest.mark.parametrize("output_grid", ["full", "network"])
@pytest.mark.parametrize("direction", ["resampling", "modeling"])
def test_the_inverse_transform_moves_the_fixed_volume_onto_the_moving_one(scene, job, direction, output_grid):
    nodes = job(inverse_transform=add_transform(), direction=direction, output_grid=output_grid)
    count = scene.GetNumberOfNodes()
    written(nodes)
    assert scene.GetNumberOfNodes() == count  # no transform was asked for beside the inverse
    field, stored = read_grid_transform(nodes.inverse_transform)
    assert stored == direction
    found = deformation()
    voxels = field.grid.to_ras(np.random.default_rng(0).integers(1, np.array(field.grid.shape) - 1, (200, 3)))
    if direction == "resampling":  # from the moving image's points to where the fixed image is sampled
        assert distance(map_points(nodes.inverse_transform, voxels), found.map_points_back(voxels)) < 1e-3
    else:
        assert distance(map_points(nodes.inverse_transform, voxels, "modeling"), found.map_points(voxels)) < 1e-3
    assert nodes.inverse_transform.GetNodeReferenceID("spatialRegistrationMoving") == nodes.fixed.GetID()
    assert nodes.inverse_transform.GetNodeReferenceID("spatialRegistrationFixed") == nodes.moving.GetID()


def test_the_output_volume_is_the_moving_volume_on_the_fixed_grid(scene, job):
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "moved")
    nodes = job(volume=volume)
    result = result_of(nodes)
    assert write_result(result, read_inputs(nodes), nodes).transform is None
    assert np.array_equal(slicer.util.arrayFromVolume(volume), result.moved.array.T)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    assert np.allclose(slicer.util.arrayFromVTKMatrix(matrix), FIXED_GRID.ijk_to_ras)


def test_without_any_output_a_grid_transform_is_added(scene, job):
    count = scene.GetNumberOfNodes()
    nodes = written(job())
    assert scene.GetNumberOfNodes() == count + 1
    assert nodes.transform.GetClassName() == "vtkMRMLGridTransformNode"
    assert nodes.transform.GetName() == "moving to fixed"
    assert nodes.transform.GetNodeReferenceID("spatialRegistrationMoving") == nodes.moving.GetID()
    assert nodes.transform.GetNodeReferenceID("spatialRegistrationFixed") == nodes.fixed.GetID()


# ---- nodes that hold something already -----------------------------------------------------------------------------


def a_linear(node):
    write_linear_transform(affine(), node)


def a_bspline(node):
    image = vtk.vtkImageData()
    image.SetDimensions(6, 6, 6)
    image.SetSpacing(20, 20, 20)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    image.GetPointData().GetScalars().Fill(2)
    bspline = slicer.vtkOrientedBSplineTransform()
    bspline.SetCoefficientData(image)
    node.SetAndObserveTransformToParent(bspline)


def a_composite(node):
    general = vtk.vtkGeneralTransform()
    general.Concatenate(np.eye(4).ravel().tolist())
    general.Translate(3, 4, 5)
    other = add_transform()
    write_grid_transform(smooth_field(FIXED_GRID), other)
    general.Concatenate(other.GetTransformFromParent())
    node.SetAndObserveTransformToParent(general)


def another_field(direction):
    return lambda node: write_grid_transform(smooth_field(MOVING_GRID, seed=9), node, direction)


CONTENTS = {
    "nothing": lambda node: None,
    "linear": a_linear,
    "bspline": a_bspline,
    "composite": a_composite,
    "resampling field": another_field("resampling"),
    "modeling field": another_field("modeling"),
}


@pytest.mark.parametrize("class_name", ["vtkMRMLTransformNode", "vtkMRMLGridTransformNode"])
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("direction", ["resampling", "modeling"])
def test_a_node_in_use_is_overwritten_as_a_whole(scene, direction, content, class_name):
    node, parent = add_transform(class_name, "kept name"), add_transform("vtkMRMLLinearTransformNode")
    a_linear(parent)
    fixed = add_volume(texture(FIXED_GRID), FIXED_GRID, "fixed")
    others = [add_volume(texture(FIXED_GRID), FIXED_GRID, "other") for _ in range(2)]
    CONTENTS[content](node)
    node.SetAndObserveTransformNodeID(parent.GetID())
    for other in others:
        node.AddNodeReferenceID(node.GetMovingNodeReferenceRole(), other.GetID())
    count = scene.GetNumberOfNodes()

    field = smooth_field(FIXED_GRID)
    write_grid_transform(field, node, direction, fixed=fixed)
    read, stored = read_grid_transform(node)
    assert stored == direction
    assert np.array_equal(read.vectors, field.vectors)
    assert read.grid.is_same(FIXED_GRID)
    assert distance(map_points(node, inside(FIXED_GRID), direction), field.map_points(inside(FIXED_GRID))) < 1e-3
    assert node.GetParentTransformNode() is None
    assert node.GetNumberOfNodeReferences(node.GetMovingNodeReferenceRole()) == 0
    assert node.GetNthNodeReferenceID(node.GetFixedNodeReferenceRole(), 0) == fixed.GetID()
    assert node.GetName() == "kept name"
    assert scene.GetNumberOfNodes() == count

    a_linear(node)  # and a field gives way to a matrix
    assert node.IsLinear()
    points = inside(FIXED_GRID)
    assert distance(map_points(node, points), points @ affine()[:3, :3].T + affine()[:3, 3]) < 1e-9


@pytest.mark.parametrize("direction", ["resampling", "modeling"])
def test_writing_again_and_again_leaks_no_field(scene, direction):
    """The former field is freed: nothing but the node holds it."""
    node, field = add_transform(), smooth_field(FIXED_GRID)
    write_grid_transform(field, node, direction)
    transform = node.GetTransformFromParent() if direction == "resampling" else node.GetTransformToParent()
    gone = []
    transform.GetDisplacementGrid().AddObserver(vtk.vtkCommand.DeleteEvent, lambda *_: gone.append(True))
    del transform
    write_grid_transform(field, node, direction)
    assert gone


@pytest.mark.parametrize("content", ["nothing", "linear", "bspline", "composite"])
def test_what_is_no_field_is_not_read_as_one(scene, content):
    node = add_transform("vtkMRMLTransformNode", "some transform")
    CONTENTS[content](node)
    with pytest.raises(InputError, match="'some transform' holds no displacement field"):
        read_grid_transform(node)


def test_scaled_displacements_are_read_as_they_act(scene):
    node, field = add_transform(), smooth_field(FIXED_GRID)
    write_grid_transform(field, node)
    node.GetTransformFromParent().SetDisplacementScale(2.0)
    node.GetTransformFromParent().SetDisplacementShift(0.5)
    read, _ = read_grid_transform(node)
    assert distance(map_points(node, inside(FIXED_GRID)), read.map_points(inside(FIXED_GRID))) < 1e-3


# ---- the moving volume lies under the output already ---------------------------------------------------------------


@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
def test_registering_again_starts_from_below_the_output(scene, job, apart):
    """After a first run the moving volume is put under the result; a second run must not add to it."""
    nodes = job(transform=add_transform(), affine_transform=add_transform() if apart else None)
    patient = add_transform()
    write_linear_transform(np.linalg.inv(affine()), patient)
    lowest = nodes.affine_transform if apart else nodes.transform
    patient.SetAndObserveTransformNodeID(lowest.GetID())
    nodes.moving.SetAndObserveTransformNodeID(patient.GetID())
    expected = MOVING_GRID.moved_by(affine())
    assert read_inputs(nodes).moving.grid.is_same(expected)
    written(nodes)
    assert read_inputs(nodes).moving.grid.is_same(expected)
    assert read_inputs(job()).moving.grid.is_same(expected) is False  # through the whole chain it lies elsewhere


def test_a_volume_under_the_wrong_output_is_refused(scene, job):
    nodes = job(transform=add_transform(name="result"), inverse_transform=add_transform(name="back"))
    for volume, role, under in (
        (nodes.fixed, "fixed volume 'fixed'", nodes.transform),
        (nodes.moving, "moving volume 'moving'", nodes.inverse_transform),
    ):
        volume.SetAndObserveTransformNodeID(under.GetID())
        with pytest.raises(InputError, match=f"{role} lies under the output transform '{under.GetName()}'"):
            read_inputs(nodes)
        volume.SetAndObserveTransformNodeID(None)
    nodes.fixed.SetAndObserveTransformNodeID(nodes.inverse_transform.GetID())  # where it is put to look at the inverse
    assert read_inputs(nodes).fixed.grid.is_same(FIXED_GRID)


# ---- what goes wrong while writing --------------------------------------------------------------------------------


FAULTS = {
    "a little": lambda mapped, points: np.add(mapped, [0, 0.002, 0]),
    "mirrored": lambda mapped, points: points + (mapped - points) * [-1, -1, 1],
    "not at all": lambda mapped, points: points,
    "not a number": lambda mapped, points: mapped * np.nan,
}


def disagree(monkeypatch, kind):
    """Makes the library map points otherwise than Slicer does: what the check after writing is for."""
    real = DisplacementField.map_points
    monkeypatch.setattr(
        DisplacementField, "map_points", lambda field, points: FAULTS[kind](real(field, points), points)
    )


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("direction", ["resampling", "modeling"])
def test_a_node_that_would_map_points_elsewhere_is_refused_and_left_alone(scene, job, monkeypatch, direction, kind):
    old = smooth_field(MOVING_GRID, seed=5)
    transform, affine_node, volume = (
        add_transform(),
        add_transform(),
        add_volume(texture(MOVING_GRID), MOVING_GRID, "v"),
    )
    write_grid_transform(old, transform, "modeling")
    a_linear(affine_node)
    nodes = job(transform=transform, affine_transform=affine_node, volume=volume, direction=direction)
    result, inputs = result_of(nodes), read_inputs(nodes)
    before, stamps = scene_content(scene), [node.GetMTime() for node in (transform, affine_node, volume)]
    held = transform.GetTransformToParent()

    with monkeypatch.context() as patch:
        disagree(patch, kind)
        with pytest.raises(TransformError, match="mm away from where the registration takes them"):
            write_result(result, inputs, nodes)
        with pytest.raises(TransformError):
            write_result(result, inputs, job())  # nor is a node added
    assert scene_content(scene) == before
    assert [node.GetMTime() for node in (transform, affine_node, volume)] == stamps
    assert transform.GetTransformToParent() is held
    assert np.array_equal(read_grid_transform(transform)[0].vectors, old.vectors)


def test_a_modeling_transform_needs_the_inverse(scene, job):
    nodes = job(transform=add_transform("vtkMRMLTransformNode"), direction="modeling")
    assert nodes.needs_inverse
    result = result_of(nodes)
    one_way = Deformation(result.deformation.affine, result.deformation.displacement)
    without = RegistrationResult(**{**vars(result), "deformation": one_way})
    before = scene_content(scene)
    for apart in (None, add_transform("vtkMRMLTransformNode", "affine")):
        nodes = job(transform=nodes.transform, affine_transform=apart, direction="modeling")
        with pytest.raises(TransformError, match="without its inverse"):
            write_result(without, read_inputs(nodes), nodes)
    assert scene_content(scene)[: len(before)] == before
    with pytest.raises(InputError, match="holds no displacement field"):
        read_grid_transform(nodes.transform)


def test_an_unknown_direction_is_named(scene):
    with pytest.raises(InputError, match="Unknown direction 'sideways'; choose one of resampling, modeling"):
        check_direction("sideways")
