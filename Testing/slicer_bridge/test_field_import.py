"""Fields of other programs in a real MRML scene; the project's seed case reproduced, diagnosed and repaired."""

from __future__ import annotations

import numpy as np
import pytest
from pipeline.conventions import cases
from pipeline.conventions.matrix import RIGHT
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge import field_running
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import read_grid_transform, write_grid_transform
from VoxelMorphRegistrationLib.slicer_bridge.volumes import volume_node_from_image
from VoxelMorphRegistrationLib.spatial import DisplacementField


@pytest.fixture(scope="module", autouse=True)
def _needs_an_engine():
    pytest.importorskip("openvino", reason="the fields are made with the OpenVINO engine, which is not installed")


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    """What the jobs do is tested here without the process that runs them; `test_logic_field_import` has that."""
    monkeypatch.setattr(field_running, "_run", lambda job, progress: job.run(Progress()))


def nodes(pair: cases.Case) -> tuple:
    return volume_node_from_image(pair.fixed, name="fixed"), volume_node_from_image(pair.moving, name="moving")


def result_of_another_registration(pair: cases.Case):
    """A grid transform node with a field in it, as Elastix leaves one on the fixed volume's geometry."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Elastix result")
    write_grid_transform(DisplacementField.zero(pair.fixed.grid), node)
    return node


def correlation(pair: cases.Case, field: DisplacementField) -> float:
    inside = pair.fixed.array > pair.fixed.array.max() / 20
    moved = field.warp(pair.moving, pair.fixed.grid).array
    return float(np.corrcoef(pair.fixed.array[inside], moved[inside])[0, 1])


def test_the_seed(scene, tmp_path):
    """discourse.slicer.org/t/23705: ``b[:] = np.load('voxelmorph.npz')`` into the node of an Elastix result.

    "the register volume looks terrible, I don't know why".
    """
    import slicer

    pair = cases.case("vxm thick")
    fixed, moving = nodes(pair)
    tensor = cases.stored(pair, "VoxelMorph torch")[0][None]  # (1, 3, I, J, K)
    np.savez(tmp_path / "voxelmorph.npz", tensor)
    node = result_of_another_registration(pair)
    moving.SetAndObserveTransformNodeID(node.GetID())

    a = np.load(tmp_path / "voxelmorph.npz")["arr_0"]
    b = slicer.util.arrayFromGridTransform(node)
    b[:] = a.reshape(b.shape)
    slicer.util.arrayFromGridTransformModified(node)

    terrible, _ = read_grid_transform(node)
    before = correlation(pair, DisplacementField.zero(pair.fixed.grid))
    assert correlation(pair, terrible) < before + 0.02  # terrible indeed: 0.3 better is what the field can do

    examined = field_running.diagnose_transform(node, fixed, moving)
    diagnosis = examined.diagnosis
    assert diagnosis.accepted, diagnosis.table()
    assert not examined.is_right
    found = {finding.code: finding.message for finding in diagnosis.findings}
    assert "numpy.reshape" in found["reshaped"]
    assert "in voxels and were used as mm" in found["units"]
    assert "along the volume's axes" in found["directions"]

    examined.repair()
    repaired, direction = read_grid_transform(node)
    assert direction == "resampling"
    assert pair.error(repaired, pair.forward) < RIGHT
    assert correlation(pair, repaired) > before + 0.15
    assert field_running.diagnose_transform(node, fixed, moving).is_right


@pytest.mark.parametrize("transposed", [False, True])
def test_the_seed_with_its_axes_moved(scene, transposed):
    """The tensor's components moved to the end, its axes left as they are or reversed as in the node's array."""
    import slicer

    pair = cases.case("vxm cube")  # else the assignment itself fails
    fixed, moving = nodes(pair)
    tensor = cases.stored(pair, "VoxelMorph torch")[0][None]
    node = result_of_another_registration(pair)
    b = slicer.util.arrayFromGridTransform(node)
    b[:] = np.moveaxis(tensor[0], 0, -1).transpose(2, 1, 0, 3) if transposed else np.moveaxis(tensor[0], 0, -1)
    slicer.util.arrayFromGridTransformModified(node)
    examined = field_running.diagnose_transform(node, fixed, moving)
    diagnosis = examined.diagnosis
    assert diagnosis.accepted, diagnosis.table()
    assert {"units", "directions"} <= {finding.code for finding in diagnosis.findings}
    examined.repair()
    assert pair.error(read_grid_transform(node)[0], pair.forward) < RIGHT


def test_a_right_transform_is_left_alone(scene):
    pair = cases.case("vxm oblique")
    fixed, moving = nodes(pair)
    node = result_of_another_registration(pair)
    write_grid_transform(pair.forward, node)
    moving.SetAndObserveTransformNodeID(node.GetID())
    examined = field_running.diagnose_transform(node, fixed, moving)
    assert examined.is_right, examined.diagnosis.table()


def test_a_modeling_field_used_as_resampling(scene):
    pair = cases.case("vxm oblique")
    fixed, moving = nodes(pair)
    node = result_of_another_registration(pair)
    write_grid_transform(pair.backward, node)  # should have been "modeling"
    examined = field_running.diagnose_transform(node, fixed, moving)
    diagnosis = examined.diagnosis
    assert diagnosis.accepted
    assert "direction" in {finding.code for finding in diagnosis.findings}
    examined.repair()
    assert pair.error(read_grid_transform(node)[0], pair.forward) < RIGHT


def test_arrays_and_files_become_nodes(scene, tmp_path):
    pair = cases.case("vxm oblique")
    fixed, moving = nodes(pair)
    array = cases.stored(pair, "LPS mm (ITK)")[0]
    imported = field_running.import_displacement_field(array, fixed, moving)
    node = imported.node
    assert imported.diagnosis.best.convention.components == ("L", "P", "S")
    assert pair.error(read_grid_transform(node)[0], pair.forward) < RIGHT
    np.save(tmp_path / "flow.npy", array)
    node = field_running.import_displacement_field(tmp_path / "flow.npy", fixed, moving, node).node
    assert pair.error(read_grid_transform(node)[0], pair.forward) < RIGHT


@pytest.mark.tensorflow
def test_tensors_of_tensorflow(scene):
    tensorflow = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    pair = cases.case("vxm oblique")
    fixed, moving = nodes(pair)
    tensor = tensorflow.constant(cases.stored(pair, "VoxelMorph TF")[0][None])
    node = field_running.import_displacement_field(tensor, fixed, moving).node
    assert pair.error(read_grid_transform(node)[0], pair.forward) < RIGHT


def test_what_is_not_understood_is_asked_and_the_scene_stays(scene):
    import slicer

    pair = cases.case("vxm oblique")
    fixed, _ = nodes(pair)
    array = cases.stored(pair, "VoxelMorph TF")[0]
    count = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(InputError, match=r"Not accepted: .* What would settle it: the moving volume\."):
        field_running.import_displacement_field(array, fixed)
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    given = {"units": "voxel", "components": ("i", "j", "k")}
    node = field_running.import_displacement_field(array, fixed, given=given).node
    assert pair.error(read_grid_transform(node)[0], pair.forward) < RIGHT


def displacement_grid(field: DisplacementField):
    """vtkImageData of a field without its directions, its numbers in no array yet, and them."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    image.SetDimensions(field.grid.shape)
    image.SetSpacing(field.grid.spacing)
    image.SetOrigin(field.grid.origin)
    numbers = np.ascontiguousarray(field.vectors.transpose(2, 1, 0, 3).reshape(-1, 3))
    return image, numpy_to_vtk(numbers, deep=True)


def examined_and_repaired(pair: cases.Case, node) -> dict[str, str]:
    """The findings; the repair must bring the true field back."""
    import slicer

    examined = field_running.diagnose_transform(node, *nodes(pair))
    assert not examined.is_right
    examined.repair()
    assert node.GetTransformFromParentAs("vtkOrientedGridTransform", False, True) is not None
    repaired = read_grid_transform(node)[0]
    assert pair.error(repaired, pair.forward) < RIGHT
    assert len(slicer.util.arrayFromGridTransform(node)) == pair.fixed.grid.shape[2]
    return {finding.code: finding.message for finding in examined.diagnosis.findings}


def test_displacements_set_as_vectors(scene):
    """SetVectors in place of SetScalars: VTK sees no field and moves nothing (SlicerMorph, pull request 479)."""
    import slicer

    pair = cases.case("vxm coarse")
    image, numbers = displacement_grid(pair.forward)
    image.GetPointData().SetVectors(numbers)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    directions = np.eye(4)
    directions[:3, :3] = pair.fixed.grid.directions
    transform.SetGridDirectionMatrix(slicer.util.vtkMatrixFromArray(directions))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "scripted")
    node.SetAndObserveTransformFromParent(transform)
    assert "SetVectors where VTK wants SetScalars" in examined_and_repaired(pair, node)["vectors for scalars"]


@pytest.mark.parametrize("to_parent", [False, True])
def test_a_grid_transform_without_directions(scene, to_parent):
    """A plain vtkGridTransform (discourse.slicer.org/t/23768), over an oblique volume."""
    import slicer
    import vtk

    pair = cases.case("vxm coarse")
    image, numbers = displacement_grid(pair.forward)
    image.GetPointData().SetScalars(numbers)
    transform = vtk.vtkGridTransform()
    transform.SetDisplacementGridData(image)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "scripted")
    if to_parent:
        node.SetAndObserveTransformToParent(transform)
    else:
        node.SetAndObserveTransformFromParent(transform)
    found = examined_and_repaired(pair, node)
    assert "Slicer cannot save" in found["not oriented"]
    assert "turned by up to" in found["geometry"]
    assert to_parent == ("direction" in found)


@pytest.mark.parametrize("field_first", [True, False])
def test_a_chain_is_examined_as_one_field(scene, field_first):
    """ANTs' linear transform and warp in one node, as Slicer loads them; right as it is, and joined if wanted."""
    import slicer
    import vtk

    pair = cases.case("vxm coarse")
    shift = np.array([6.0, -4.0, 5.0])
    before = DisplacementField(pair.forward.vectors - shift.astype(np.float32), pair.forward.grid)
    if not field_first:
        before = DisplacementField(pair.forward.vectors, pair.forward.grid.moved_by(_translation(shift)))
        before = DisplacementField(before.vectors - shift.astype(np.float32), before.grid)
    holder = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "part")
    write_grid_transform(before, holder)
    linear = vtk.vtkTransform()
    linear.Translate(shift)
    chain = vtk.vtkGeneralTransform()
    chain.PostMultiply()
    for part in (holder.GetTransformFromParent(), linear)[:: 1 if field_first else -1]:
        chain.Concatenate(part)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "chain")
    node.SetAndObserveTransformFromParent(chain)
    examined = field_running.diagnose_transform(node, *nodes(pair))
    assert examined.is_right, examined.findings
    assert "is a chain of 2 (OrientedGridTransform, Transform)" in " ".join(examined.findings) or not field_first
    examined.repair()
    assert pair.error(read_grid_transform(node)[0], pair.forward) < RIGHT


def _translation(shift: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    return matrix


def test_a_field_and_its_linear_part_survive_cloning(scene):
    """What we write apart is cloned node by node, so that no order can be swapped (discourse.slicer.org/t/44654)."""
    import slicer
    from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import map_points

    pair = cases.case("bert coarse")
    fixed, moving = nodes(pair)
    imported = field_running.import_displacement_field(
        cases.stored(pair, "VoxelMorph TF")[0], fixed, moving, repair=("split affine",)
    )
    clones = []
    for node in (imported.node, imported.affine_node):
        clones.append(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "clone"))
        clones[-1].CopyContent(node)
    points = pair.fixed.grid.to_ras(np.argwhere(pair.fixed.array > 10)[::500])
    truth = pair.forward.map_points(points)
    for field_node, affine_node in ((imported.node, imported.affine_node), clones):
        there = map_points(affine_node, map_points(field_node, points))
        assert np.linalg.norm(there - truth, axis=1).max() < 0.1
