"""What Slicer's developers say about grid transforms (S1-S31 of slicer-facts.md), on real MRML nodes.

Each statement that touches grid transforms has a test whose name starts with its number. Where a geometry
matters it is oblique, anisotropic, left-handed or LPS. S7 (VoxelMorph's own direction) is
`test_constant_shift` in `test_known_warps.py`; S30 (volume rendering of what lies under a transform) needs
a 3-D view and is not tested.
"""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("slicer")
import slicer
import vtk
from host.scene import read_node_file, write_node_file
from slicer_bridge.support import (
    GEOMETRIES,
    add_transform,
    add_volume,
    distance,
    grid,
    inside,
    read_by_sitk,
    scene_content,
    smooth_field,
    texture,
    through_sitk,
)
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import (
    chain,
    map_points,
    read_grid_transform,
    write_grid_transform,
    write_linear_transform,
)
from VoxelMorphRegistrationLib.slicer_bridge.volumes import image_from_volume_node, mask_from_node
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image

every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES)
both_directions = pytest.mark.parametrize("direction", ["resampling", "modeling"])

INVERSE_TOLERANCE_MM = 0.01  # Slicer's default; S21


def constant_field(vector_ras, on: Grid) -> DisplacementField:
    return DisplacementField(np.broadcast_to(np.float32(vector_ras), (*on.shape, 3)).copy(), on)


def node_of(field: DisplacementField, direction="resampling", class_name="vtkMRMLGridTransformNode"):
    node = add_transform(class_name)
    write_grid_transform(field, node, direction)
    return node


def harden(node) -> None:
    assert node.HardenTransform()


# ---- direction
# ----------------------------------------------------------------------------------------------------


@every_geometry
def test_s01_the_moving_volume_under_the_transform_coincides_with_the_fixed(scene, geometry):
    on = grid(geometry)
    moving, field = texture(on), smooth_field(on)
    node = add_volume(moving, on, "moving")
    node.SetAndObserveTransformNodeID(node_of(field).GetID())
    moved = image_from_volume_node(node)  # what Slicer's hardening gives, on a grid of its own
    index = np.argwhere(np.ones(moved.array.shape))
    points = moved.grid.to_ras(index)
    central = (np.abs(on.to_ijk(points) / (np.array(on.shape) - 1) - 0.5) < 0.2).all(axis=1)
    assert central.sum() > 300
    seen = moved.array[tuple(index[central].T)]
    wanted = sample(Image(moving, on), field.map_points(points[central]))  # fixed(x) = moving(x + u(x))
    assert np.abs(seen - wanted).max() < 0.01
    assert np.corrcoef(sample(Image(moving, on), points[central]), wanted)[0, 1] < 0.9  # it was needed


def sample(image: Image, points_ras) -> np.ndarray:
    from scipy.ndimage import map_coordinates

    return map_coordinates(np.asarray(image.array, float), image.grid.to_ijk(points_ras).T, order=1, mode="nearest")


@every_geometry
def test_s02_a_volume_and_its_segmentation_model_and_markup_stay_together(scene, geometry):
    on = grid(geometry)
    centre = on.to_ras([11.3, 9.1, 10.4])
    points = on.to_ras(np.stack(np.meshgrid(*map(np.arange, on.shape), indexing="ij"), axis=-1))
    blob = np.exp(-(np.linalg.norm(points - centre, axis=-1) ** 2) / (2 * 5.0**2)).astype(np.float32)
    transform = node_of(smooth_field(on, waves=1.0))

    volume = add_volume(blob * 1000, on)
    label = add_volume((blob > 0.5).astype(np.uint8), on, "label", "vtkMRMLLabelMapVolumeNode")
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label, segmentation)
    fiducial = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    fiducial.AddControlPoint(vtk.vtkVector3d(centre))
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(*centre)
    sphere.SetRadius(2)
    sphere.Update()
    model = scene.AddNewNodeByClass("vtkMRMLModelNode")
    model.SetAndObservePolyData(sphere.GetOutput())
    for node in (volume, label, segmentation, fiducial, model):
        node.SetAndObserveTransformNodeID(transform.GetID())
        harden(node)

    moved = np.array(fiducial.GetNthControlPointPosition(0))
    assert np.linalg.norm(moved - centre) > 1  # it went somewhere
    image = image_from_volume_node(volume)
    peak = image.grid.to_ras(np.argwhere(image.array > 0.8 * image.array.max())).mean(axis=0)
    assert np.linalg.norm(peak - moved) < 0.6
    assert (
        np.linalg.norm(np.mean([model.GetPolyData().GetBounds()[a : a + 2] for a in (0, 2, 4)], axis=1) - moved) < 0.3
    )
    for mask in (image_from_volume_node(label), mask_from_node(segmentation, on)):
        # to the nearest voxel: up to half a voxel along each axis
        error = mask.grid.directions.T @ (mask.grid.to_ras(np.argwhere(mask.array > 0)).mean(axis=0) - moved)
        assert (np.abs(error) < 0.55 * on.spacing).all()


def test_s03_a_resampling_field_is_stored_from_parent_and_not_as_an_inverse(scene):
    node = node_of(smooth_field(grid()))
    assert node.GetTransformFromParent().GetInverseFlag() == 0
    assert node.GetTransformFromParent().GetDisplacementGrid().GetScalarTypeAsString() == "float"
    assert node.IsAbstractTransformComputedFromInverse(node.GetTransformToParent())


@every_geometry
@pytest.mark.parametrize("suffix", [".h5", ".nrrd", ".nii.gz", ".mha"])
def test_s04_files_keep_from_parent_and_every_point(scene, tmp_path, geometry, suffix):
    """The same point goes to the same place through node, file read by Slicer, and file read by SimpleITK."""
    on = grid(geometry)
    field = smooth_field(on)
    points = inside(on)
    expected = field.map_points(points)
    node = node_of(field)
    assert distance(map_points(node, points), expected) < 1e-3
    path = write_node_file(node, tmp_path / f"field{suffix}")

    assert distance(through_sitk(read_by_sitk(path), points), expected) < 1e-3

    again = read_node_file(path, "vtkMRMLTransformNode")
    read, direction = read_grid_transform(again)
    assert direction == "resampling"
    assert np.abs(read.at(on.to_ras([3, 4, 5])) - field.vectors[3, 4, 5]).max() < 1e-4
    centres = on.to_ras(np.random.default_rng(3).integers(1, np.array(on.shape) - 1, (200, 3)))
    assert distance(map_points(again, centres), field.map_points(centres)) < 1e-3
    again.GetTransformFromParent().SetInterpolationModeToLinear()  # Slicer's reader makes it cubic
    assert distance(map_points(again, points), expected) < 1e-3


def test_s04_reading_a_file_switches_to_cubic_interpolation(scene, tmp_path):
    """Slicer's choice, not ours: linear until saved. The difference is that of the two interpolations."""
    field = smooth_field(grid())
    node = node_of(field)
    path = write_node_file(node, tmp_path / "field.h5")
    again = read_node_file(path, "vtkMRMLTransformNode")
    assert node.GetTransformFromParent().GetInterpolationModeAsString() == "Linear"
    assert again.GetTransformFromParent().GetInterpolationModeAsString() == "Cubic"
    points = inside(grid())
    assert 1e-3 < distance(map_points(again, points), map_points(node, points)) < 0.1


def test_s05_slicer_draws_arrows_to_parent(scene):
    """A field that pulls +x, from fixed to moving, is drawn as arrows along -x: where the moving points go."""
    node = node_of(constant_field((6, 0, 0), grid("ras")))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetVisualizationMode(display.VIS_MODE_GLYPH)
    display.SetGlyphSpacingMm(10)
    arrows, slice_to_ras = vtk.vtkPolyData(), vtk.vtkMatrix4x4()
    logic = slicer.vtkSlicerTransformLogic
    assert logic.GetVisualization2d(arrows, display, slice_to_ras, [-15.0, -15.0, 0.0], [30.0, 30.0, 0.0])
    points = np.array([arrows.GetPoint(n) for n in range(arrows.GetNumberOfPoints())]).reshape(-1, 5, 3)
    assert len(points) > 0
    assert np.allclose(points[:, 1] - points[:, 0], (-6, 0, 0), atol=0.01)  # each arrow: start, tip, its head


def test_s06_resampling_on_the_fixed_and_modeling_on_the_moving_geometry(scene, logic):
    fixed_grid, moving_grid = grid("oblique"), Grid((18, 21, 25), GEOMETRIES["lps"])
    fixed = add_volume(texture(fixed_grid), fixed_grid, "fixed")
    moving = add_volume(texture(moving_grid), moving_grid, "moving")
    for direction, volume, on in (("resampling", fixed, fixed_grid), ("modeling", moving, moving_grid)):
        node = logic.gridTransformFromTensor(np.zeros((1, 3, *on.shape), np.float32), volume, direction)
        field, stored = read_grid_transform(node)
        assert stored == direction
        assert field.grid.is_same(on)


@every_geometry
def test_s08_content_moves_against_a_resampling_field_and_with_a_modeling_field(scene, geometry):
    on = grid(geometry)
    shift = np.array([10.0, 0, 0])
    point = on.centre_ras
    for direction, sign in (("resampling", -1), ("modeling", 1)):
        node = node_of(constant_field(shift, on), direction)
        fiducial = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
        fiducial.AddControlPoint(vtk.vtkVector3d(point))
        volume = add_volume(np.exp(-(on_distance(on, point) ** 2) / 18).astype(np.float32), on)
        for moved in (fiducial, volume):
            moved.SetAndObserveTransformNodeID(node.GetID())
            harden(moved)
        assert distance(fiducial.GetNthControlPointPosition(0), point + sign * shift) < INVERSE_TOLERANCE_MM * 1.1
        image = image_from_volume_node(volume)
        weights = np.maximum(image.array, 0.05) - 0.05
        positions = image.grid.to_ras(np.stack(np.meshgrid(*map(np.arange, image.grid.shape), indexing="ij"), axis=-1))
        centroid = (positions * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum()
        assert distance(centroid, point + sign * shift) < 0.5


def on_distance(on: Grid, point) -> np.ndarray:
    positions = on.to_ras(np.stack(np.meshgrid(*map(np.arange, on.shape), indexing="ij"), axis=-1))
    return np.linalg.norm(positions - point, axis=-1)


def older_array_from_grid_transform(node):
    """`slicer.util.arrayFromGridTransform` as it was before September 2026: no Update() (Slicer PR #9384)."""
    from vtk.util.numpy_support import vtk_to_numpy

    displacement = node.GetTransformFromParent().GetDisplacementGrid()
    shape = (*reversed(displacement.GetDimensions()), 3)
    return vtk_to_numpy(displacement.GetPointData().GetScalars()).reshape(shape)


def older_array_from_grid_transform_modified(node):
    displacement = node.GetTransformFromParent().GetDisplacementGrid()
    displacement.GetPointData().GetScalars().Modified()
    displacement.Modified()


@both_directions
def test_s09_nodes_are_written_and_read_where_slicer_util_knows_no_to_parent_array(scene, monkeypatch, direction):
    monkeypatch.setattr(slicer.util, "arrayFromGridTransform", older_array_from_grid_transform)
    monkeypatch.setattr(slicer.util, "arrayFromGridTransformModified", older_array_from_grid_transform_modified)
    field = smooth_field(grid())
    node = node_of(field, direction)
    if direction == "modeling":  # what the seed case ran into
        with pytest.raises(AttributeError, match="GetDimensions"):
            slicer.util.arrayFromGridTransform(node)
    read, stored = read_grid_transform(node)
    assert stored == direction
    assert np.array_equal(read.vectors, field.vectors)


@both_directions
def test_s09_the_array_holds_the_stored_displacements(scene, direction):
    field = smooth_field(grid())
    array = slicer.util.arrayFromGridTransform(node_of(field, direction))
    assert np.array_equal(array.transpose(2, 1, 0, 3), field.vectors)


# ---- vectors and units
# --------------------------------------------------------------------------------------------


@every_geometry
@both_directions
def test_s10_the_array_holds_ras_vectors_from_each_voxel(scene, geometry, direction):
    on = grid(geometry)
    node = node_of(smooth_field(on), direction)
    array = slicer.util.arrayFromGridTransform(node)
    for index in np.random.default_rng(5).integers(0, on.shape, (50, 3)):
        i, j, k = index
        start = (GEOMETRIES[geometry] @ [i, j, k, 1])[:3]
        assert distance(map_points(node, [start], direction)[0] - start, array[k, j, i]) < 1e-4


@every_geometry
@pytest.mark.parametrize("axis", range(3))
def test_s11_voxels_become_millimetres_along_the_axis(scene, logic, geometry, axis):
    """A tensor of 4 voxels along one axis is that many spacings of mm along the axis's direction."""
    on = grid(geometry)
    tensor = np.zeros((1, 3, *on.shape), np.float32)
    tensor[0, axis] = 4
    node = logic.gridTransformFromTensor(tensor, add_volume(texture(on), on))
    expected = 4 * GEOMETRIES[geometry][:3, axis]
    assert distance(map_points(node, [on.centre_ras])[0] - on.centre_ras, expected) < 1e-3
    assert np.linalg.norm(expected) == pytest.approx(4 * on.spacing[axis])


@every_geometry
def test_s12_files_are_lps_in_positions_and_in_vectors(scene, tmp_path, geometry):
    on = grid(geometry)
    path = write_node_file(node_of(constant_field((3, -2, 4), on)), tmp_path / "t.h5")
    field = sitk.DisplacementFieldTransform(sitk.ReadTransform(str(path))).GetDisplacementField()
    assert np.allclose(field.GetOrigin(), on.origin * [-1, -1, 1])
    assert np.allclose(np.reshape(field.GetDirection(), (3, 3)), on.directions * [[-1], [-1], [1]])
    assert np.allclose(field.GetPixel(2, 3, 4), (-3, 2, 4))


@both_directions
def test_s13_vectors_are_scalars_in_kji_order_and_not_the_identity(scene, direction):
    on = grid()
    node = node_of(smooth_field(on), direction)
    transform = node.GetTransformFromParent() if direction == "resampling" else node.GetTransformToParent()
    data = transform.GetDisplacementGrid().GetPointData()
    assert data.GetScalars().GetNumberOfComponents() == 3
    assert data.GetVectors() is None
    assert slicer.util.arrayFromGridTransform(node).shape == (*reversed(on.shape), 3)
    assert distance(map_points(node, inside(on), direction), inside(on)) > 1


@every_geometry
def test_s14_the_transform_is_an_oriented_one(scene, geometry):
    transform = node_of(smooth_field(grid(geometry))).GetTransformFromParent()
    assert transform.GetClassName() == "vtkOrientedGridTransform"
    directions = slicer.util.arrayFromVTKMatrix(transform.GetGridDirectionMatrix())[:3, :3]
    assert np.allclose(directions, grid(geometry).directions)
    assert np.allclose(transform.GetDisplacementGrid().GetSpacing(), grid(geometry).spacing)
    assert (transform.GetDisplacementScale(), transform.GetDisplacementShift()) == (1, 0)


@both_directions
def test_s15_writing_into_a_node_in_use_updates_what_lies_under_it(scene, direction):
    on = grid()
    node = node_of(constant_field((1, 0, 0), on), direction)
    fiducial = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    fiducial.AddControlPoint(vtk.vtkVector3d(on.centre_ras))
    fiducial.SetAndObserveTransformNodeID(node.GetID())
    heard = []
    tags = [
        (observed, observed.AddObserver(event, lambda caller, name: heard.append((caller.GetClassName(), name))))
        for observed, event in (
            (node, node.TransformModifiedEvent),
            (fiducial, slicer.vtkMRMLTransformableNode.TransformModifiedEvent),
        )
    ]
    write_grid_transform(constant_field((7, 0, 0), on), node, direction)
    for observed, tag in tags:
        observed.RemoveObserver(tag)
    assert {name for name, _ in heard} == {"vtkMRMLGridTransformNode", "vtkMRMLMarkupsFiducialNode"}
    assert len([1 for name, _ in heard if name == "vtkMRMLGridTransformNode"]) <= 2  # no storm of half-written states
    world = [0.0, 0.0, 0.0]
    fiducial.GetNthControlPointPositionWorld(0, world)
    sign = -1 if direction == "resampling" else 1
    assert distance(world, on.centre_ras + np.array([sign * 7, 0, 0])) < 0.011
    assert node.GetModifiedSinceRead()


# ---- outside the grid
# ---------------------------------------------------------------------------------------------


@every_geometry
def test_s16_s17_outside_the_grid_the_edge_displacement_goes_on_for_ever(scene, tmp_path, geometry):
    """S17 (it converges to zero) does not hold for grid transforms; the library follows Slicer, ITK has zero."""
    on = grid(geometry)
    field = smooth_field(on)
    node = node_of(field)
    for distance_in_voxels in (1, 20, 1000):
        beyond = on.to_ras([on.shape[0] - 1 + distance_in_voxels, 7, 5])
        displaced = map_points(node, [beyond])[0] - beyond
        assert distance(displaced, field.vectors[-1, 7, 5]) < 1e-3
        assert distance(displaced, field.at(beyond)) < 1e-3
        path = write_node_file(node, tmp_path / "field.h5")
        assert distance(through_sitk(read_by_sitk(path), np.array([beyond])), beyond) < 1e-9


def test_s18_a_field_that_fades_to_zero_at_its_border_can_be_inverted_everywhere(scene):
    on = grid()
    fade = np.ones(on.shape)
    for axis, n in enumerate(on.shape):
        ramp = np.sin(np.pi * np.arange(n) / (n - 1)) ** 2
        fade *= ramp.reshape([-1 if a == axis else 1 for a in range(3)])
    field = DisplacementField((smooth_field(on).vectors * fade[..., None]).astype(np.float32), on)
    node = node_of(field)
    everywhere = on.to_ras(np.random.default_rng(2).uniform(-10, 35, (500, 3)))
    assert distance(map_points(node, map_points(node, everywhere), "modeling"), everywhere) < 1.1 * INVERSE_TOLERANCE_MM
    outside = everywhere[~on.contains(everywhere)]
    assert distance(map_points(node, outside), outside) < 1e-6  # and ITK, with zero outside, agrees


# ---- inverse
# ------------------------------------------------------------------------------------------------------


@both_directions
def test_s19_inverting_a_node_only_swaps_the_sides(scene, direction):
    field = smooth_field(grid())
    node = node_of(field, direction)
    before = map_points(node, inside(grid()), direction)
    node.Inverse()
    read, stored = read_grid_transform(node)
    assert stored != direction
    assert np.array_equal(read.vectors, field.vectors)
    assert distance(map_points(node, inside(grid()), stored), before) == 0


@every_geometry
@both_directions
def test_s20_s21_there_and_back_is_within_slicers_tolerance(scene, geometry, direction):
    on = grid(geometry)
    node = node_of(smooth_field(on), direction)
    points = inside(on, 500)
    there_and_back = map_points(node, map_points(node, points, "resampling"), "modeling")
    assert distance(there_and_back, points) < 1.1 * INVERSE_TOLERANCE_MM
    transform = node.GetTransformFromParent() if direction == "resampling" else node.GetTransformToParent()
    assert transform.GetInverseTolerance() == INVERSE_TOLERANCE_MM


def test_s21_a_folding_field_is_where_slicers_inverse_fails(scene):
    """Why a registration reports folding: the moving points of such a field have no one place to go to."""
    on = grid("ras")
    folding = smooth_field(on, peak_mm=30)
    assert (folding.jacobian_determinant().array <= 0).any()
    node = node_of(folding)  # the resampling side is as exact as ever
    points = inside(on, 300)
    there_and_back = map_points(node, map_points(node, points), "modeling")
    assert distance(there_and_back, points) > 1


@every_geometry
def test_s22_the_other_direction_as_a_field_of_its_own_is_the_inverse(scene, geometry):
    """Two nodes, one per direction, instead of Slicer's iteration: the library's inverse, stored to parent."""
    on = grid(geometry)
    field = smooth_field(on, peak_mm=1, waves=1.5)
    modeling = node_of(field.inverse(tolerance_mm=0.1), "modeling")
    points = inside(on)
    assert distance(map_points(modeling, field.map_points(points), "modeling"), points) < 0.1
    assert distance(map_points(modeling, points, "modeling"), map_points(node_of(field), points, "modeling")) < 0.1


@every_geometry
def test_s23_affine_under_field_is_first_the_field_then_the_affine(scene, geometry):
    """Apart: phi(x) = A(x + u(x)) from the world to the moving volume; no composite transform is made."""
    on = grid(geometry)
    field, affine = smooth_field(on), np.eye(4)
    affine[:3, :3] = [[1.1, 0.2, 0], [-0.1, 0.9, 0.05], [0, 0.1, 1.05]]
    affine[:3, 3] = 12, -5, 8
    linear, nonlinear = add_transform("vtkMRMLLinearTransformNode"), node_of(field)
    write_linear_transform(affine, linear)
    chain(linear, nonlinear)
    volume = add_volume(texture(on), on)
    volume.SetAndObserveTransformNodeID(linear.GetID())

    from_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volume.GetParentTransformNode(), from_world)
    points = inside(on)
    expected = field.map_points(points) @ affine[:3, :3].T + affine[:3, 3]
    assert distance([from_world.TransformPoint(*p) for p in points], expected) < 1e-3
    assert not nonlinear.GetParentTransformNode()


# ---- files
# --------------------------------------------------------------------------------------------------------


def test_s24_nifti_is_five_dimensional_with_intent_1006_and_ras_vectors(scene, tmp_path):
    on = grid("ras")
    path = write_node_file(node_of(constant_field((3, -2, 4), on)), tmp_path / "t.nii.gz")
    raw = gzip.decompress(path.read_bytes())
    assert struct.unpack("<8h", raw[40:56])[:6] == (5, *on.shape, 1, 3)
    assert struct.unpack("<h", raw[68:70])[0] == 1006
    assert struct.unpack("<h", raw[70:72])[0] == 64  # double: Slicer's writer knows no other
    values = np.frombuffer(raw, "<f8", offset=352).reshape(3, -1)
    assert np.allclose(values, [[3], [-2], [4]])


@both_directions
def test_s25_nrrd_says_which_direction_it_holds(scene, tmp_path, direction):
    field = smooth_field(grid())
    path = write_node_file(node_of(field, direction), tmp_path / "t.nrrd")
    header = path.read_bytes().split(b"\n\n")[0].decode("ascii", "replace")
    assert "intent_code:=1006" in header
    assert f"displacement field type:={direction}" in header
    assert "kinds: vector domain domain domain" in header or "domain domain domain vector" in header
    again = read_node_file(path, "vtkMRMLTransformNode")
    read, stored = read_grid_transform(again)
    assert stored == direction
    assert distance(read.map_points(inside(grid())), field.map_points(inside(grid()))) < 1e-4


def test_s26_a_vector_volume_of_the_same_vectors_loads_mirrored(scene, tmp_path):
    """Why fields are saved as transforms: a vector volume's vectors are not turned to LPS in the file."""
    on = grid("ras")
    vectors = np.broadcast_to(np.float32((3, -2, 4)), (*on.shape[::-1], 3)).copy()
    volume = slicer.util.addVolumeFromArray(vectors, np.array(on.ijk_to_ras), "vectors", "vtkMRMLVectorVolumeNode")
    path = write_node_file(volume, tmp_path / "vectors.nrrd")
    node = read_node_file(path, "vtkMRMLTransformNode")
    displaced = map_points(node, [on.centre_ras])[0] - on.centre_ras
    assert np.allclose(displaced, (-3, 2, 4), atol=1e-4)  # not (3, -2, 4)
    with pytest.raises(InputError, match="3 values per voxel"):
        image_from_volume_node(volume, "fixed volume")


def test_s27_a_modeling_field_is_saved_as_an_inverse_that_only_slicer_reads(scene, tmp_path):
    field = smooth_field(grid())
    node = node_of(field, "modeling")
    path = write_node_file(node, tmp_path / "t.h5")
    again = read_node_file(path, "vtkMRMLTransformNode")
    assert read_grid_transform(again)[1] == "modeling"
    centres = grid().to_ras([[4, 5, 6], [10, 11, 12]])
    assert distance(map_points(again, centres, "modeling"), field.map_points(centres)) < 1e-3
    with pytest.raises(RuntimeError, match=r"(?i)transform"):
        sitk.ReadTransform(str(path))
    for suffix in (".nii.gz", ".mha"):
        with pytest.raises(OSError, match="Cannot write"):
            write_node_file(node, tmp_path / f"t{suffix}")


# ---- hardening
# ----------------------------------------------------------------------------------------------------


@every_geometry
def test_s28_hardening_a_volume_keeps_its_spacing_but_not_its_extent(scene, geometry):
    """Why the output volume is resampled to the fixed grid instead of hardened."""
    on = grid(geometry)
    volume = add_volume(texture(on), on)
    volume.SetAndObserveTransformNodeID(node_of(constant_field(2.5 * on.axes[:, 0], on)).GetID())
    hardened = image_from_volume_node(volume)
    harden(volume)
    own = image_from_volume_node(volume)
    assert own.grid.is_same(hardened.grid)  # image_from_volume_node sees what hardening gives, without doing it
    assert np.array_equal(own.array, hardened.array)
    assert np.allclose(own.grid.axes, on.axes)
    assert not own.grid.is_same(on)


def test_s28_hardening_a_linear_transform_changes_the_header_only(scene):
    on, affine = grid(), np.eye(4)
    affine[:3, 3] = 5, 6, 7
    array = texture(on)
    volume, node = add_volume(array, on), add_transform("vtkMRMLLinearTransformNode")
    write_linear_transform(affine, node)
    volume.SetAndObserveTransformNodeID(node.GetID())
    seen = image_from_volume_node(volume)
    harden(volume)
    assert image_from_volume_node(volume).grid.is_same(seen.grid)
    assert np.array_equal(seen.array, array)


def test_s29_a_segmentation_is_hardened_at_its_own_resolution(scene):
    fine = Grid((48, 40, 44), np.diag([1.0, 1.0, 1.0, 1.0]))
    coarse = Grid((12, 10, 11), np.diag([4.0, 4.0, 4.0, 1.0]))
    ball = (on_distance(fine, fine.centre_ras) < 14).astype(np.uint8)
    label = add_volume(ball, fine, "label", "vtkMRMLLabelMapVolumeNode")
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label, segmentation)
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(add_volume(texture(coarse), coarse))
    segmentation.SetAndObserveTransformNodeID(node_of(smooth_field(fine, 2)).GetID())
    harden(segmentation)
    segment = segmentation.GetSegmentation().GetNthSegmentID(0)
    labelmap = segmentation.GetSegmentation().GetSegment(segment).GetRepresentation("Binary labelmap")
    assert np.allclose(labelmap.GetSpacing(), 1.0)


# ---- nodes
# --------------------------------------------------------------------------------------------------------


@both_directions
@pytest.mark.parametrize(
    "class_name",
    ["vtkMRMLTransformNode", "vtkMRMLGridTransformNode", "vtkMRMLBSplineTransformNode", "vtkMRMLLinearTransformNode"],
)
def test_s31_any_transform_node_is_accepted(scene, class_name, direction):
    field = smooth_field(grid())
    node = node_of(field, direction, class_name)
    assert distance(map_points(node, inside(grid()), direction), field.map_points(inside(grid()))) < 1e-3
    before = scene_content(scene)
    with pytest.raises(InputError, match="not a transform node"):
        write_grid_transform(field, scene.AddNewNodeByClass("vtkMRMLModelNode"), direction)
    assert scene_content(scene)[: len(before)] == before
