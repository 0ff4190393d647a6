"""`logic.importDisplacementField` and `logic.diagnoseTransform`: a real pair and its field, a real MRML scene, the real
background process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np
import pytest
from child_processes import children
from pipeline.conventions import cases
from pipeline.conventions.matrix import RIGHT
from slicer_bridge.support import scene_content
from VoxelMorphRegistrationLib.errors import CancelledError, FileError, InputError, TransformError
from VoxelMorphRegistrationLib.slicer_bridge import field_import
from VoxelMorphRegistrationLib.slicer_bridge.background import close_shared_worker
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import (
    map_points,
    read_grid_transform,
    write_grid_transform,
)
from VoxelMorphRegistrationLib.slicer_bridge.volumes import volume_node_from_image
from VoxelMorphRegistrationLib.spatial import DisplacementField

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def pair() -> cases.Case:
    pytest.importorskip("openvino", reason="the fields are made with the OpenVINO engine, which is not installed")
    return cases.case("vxm 2mm")


@pytest.fixture(autouse=True)
def nothing_left(tmp_path, monkeypatch) -> Iterator[None]:
    """No process and no file is left; the process itself is one for all tests."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield
    assert [path.name for path in temporary.iterdir() if not path.name.startswith("voxelmorph-host-")] == []


@pytest.fixture(scope="module", autouse=True)
def _one_process() -> Iterator[None]:
    yield
    close_shared_worker()
    assert children() == []


@pytest.fixture
def nodes(scene, pair) -> tuple:
    return volume_node_from_image(pair.fixed, name="fixed"), volume_node_from_image(pair.moving, name="moving")


class TorchLikeTensor:
    """A test double: PyTorch is no dependency of the project, and this is all that is asked of its tensors."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def detach(self) -> TorchLikeTensor:
        return self

    def cpu(self) -> TorchLikeTensor:
        return self

    def float(self) -> TorchLikeTensor:
        return self

    def is_floating_point(self) -> bool:
        return True

    def numpy(self) -> np.ndarray:
        return self._array


def error(pair: cases.Case, node) -> float:
    return pair.error(read_grid_transform(node)[0], pair.forward)


def seed_node(slicer, pair: cases.Case):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Elastix result")
    write_grid_transform(DisplacementField.zero(pair.fixed.grid), node)
    b = slicer.util.arrayFromGridTransform(node)
    b[:] = cases.stored(pair, "VoxelMorph torch")[0][None].reshape(b.shape)
    slicer.util.arrayFromGridTransformModified(node)
    return node


def test_a_tensor_of_pytorch(logic, nodes, pair):
    said = []
    tensor = TorchLikeTensor(cases.stored(pair, "VoxelMorph torch")[0][None])
    imported = logic.importDisplacementField(tensor, *nodes, progressCallback=lambda *step: said.append(step))
    assert imported.diagnosis.accepted
    assert error(pair, imported.node) < RIGHT
    assert imported.node.GetName() == "Imported field"
    stages = [stage for stage, _ in said]
    for stage in ("Reading the field", "Comparing what the field may mean", "Converting the field", "Done"):
        assert stage in stages
    assert [f for _, f in said] == sorted(f for _, f in said)


def test_a_file_into_a_transform_that_the_moving_volume_is_under(logic, nodes, pair, tmp_path):
    import slicer

    fixed, moving = nodes
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "mine")
    write_grid_transform(DisplacementField(pair.forward.vectors * 0.5, pair.fixed.grid), node)
    moving.SetAndObserveTransformNodeID(node.GetID())
    np.save(tmp_path / "itk.npy", cases.stored(pair, "LPS mm (ITK)")[0])
    imported = logic.importDisplacementField(tmp_path / "itk.npy", fixed, moving, node)
    assert imported.node is node
    assert error(pair, node) < RIGHT
    assert moving.GetParentTransformNode() is node


def test_known_facts_need_no_moving_volume(logic, nodes, pair):
    array = cases.stored(pair, "VoxelMorph TF")[0]
    imported = logic.importDisplacementField(array, nodes[0], components="ijk", units="voxel")
    assert error(pair, imported.node) < RIGHT


def test_what_is_unclear_is_raised_with_the_evidence_and_can_be_chosen(logic, nodes, pair, scene):
    array, before = cases.stored(pair, "VoxelMorph TF")[0], scene_content(scene)
    with pytest.raises(InputError) as raised:
        logic.importDisplacementField(array, nodes[0])
    message = str(raised.value)
    assert "What would settle it: the moving volume." in message
    assert "Or choose a candidate: 1 = " in message
    assert scene_content(scene) == before
    imported = logic.importDisplacementField(array, nodes[0], candidate=2)
    assert imported.diagnosis.candidates[1].convention.as_text()
    with pytest.raises(InputError, match="There is no candidate 99"):
        logic.importDisplacementField(array, nodes[0], candidate=99)


def test_the_linear_part_apart(logic, nodes, pair):
    """The field and the linear transform, one under the other, are the whole again."""
    array = cases.stored(pair, "RAS mm")[0]
    imported = logic.importDisplacementField(array, nodes[0], components="RAS", units="mm", repair=("split affine",))
    assert imported.affine_node.GetParentTransformNode() is imported.node
    points = pair.fixed.grid.to_ras(np.random.default_rng(0).integers(5, np.array(pair.fixed.grid.shape) - 5, (200, 3)))
    through = map_points(imported.affine_node, map_points(imported.node, points))
    np.testing.assert_allclose(through, pair.forward.map_points(points), atol=0.1)


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        ({"pathOrArray": "/nowhere/a.npy"}, FileError, "does not exist"),
        ({"pathOrArray": np.zeros((4, 4, 4))}, InputError, "3 axes"),
        ({"pathOrArray": "tensor"}, FileError, "does not exist"),
        ({"units": "miles"}, InputError, "Unknown units 'miles'"),
        ({"components": "xyz"}, InputError, "'xyz' names no three axes"),
        ({"repair": ("paint",)}, InputError, "There is no repair 'paint'"),
        ({"fixedVolume": None}, InputError, "fixed volume"),
    ],
)
def test_bad_input_leaves_the_scene_as_it_was(logic, nodes, pair, scene, arguments, kind, sentence):
    before = scene_content(scene)
    usual = {"pathOrArray": cases.stored(pair, "VoxelMorph TF")[0], "fixedVolume": nodes[0], "components": "ijk"}
    with pytest.raises(kind, match=sentence):
        logic.importDisplacementField(**(usual | {"units": "voxel"} | arguments))
    assert scene_content(scene) == before


def test_cancelling(logic, nodes, pair, scene):
    before, said = scene_content(scene), []
    with pytest.raises(CancelledError):
        logic.importDisplacementField(
            cases.stored(pair, "VoxelMorph TF")[0],
            *nodes,
            progressCallback=lambda stage, _: said.append(stage),
            isCancelled=lambda: any(stage.startswith("Comparing") for stage in said),
        )
    assert scene_content(scene) == before


def test_the_seed_diagnosed_repaired_and_undone(logic, nodes, pair, scene):
    import slicer

    node = seed_node(slicer, pair)
    nodes[1].SetAndObserveTransformNodeID(node.GetID())
    wrong = read_grid_transform(node)[0].vectors
    before = scene_content(scene)
    examined = logic.diagnoseTransform(node, *nodes)
    assert scene_content(scene) == before
    assert not examined.is_right
    assert any("numpy.reshape" in sentence for sentence in examined.findings)
    assert any("in voxels and were used as mm" in sentence for sentence in examined.findings)
    assert not any("half or quarter" in sentence for sentence in examined.findings)
    examined.repair()
    assert error(pair, node) < RIGHT
    assert nodes[1].GetParentTransformNode() is node
    examined.undo()
    np.testing.assert_array_equal(read_grid_transform(node)[0].vectors, wrong)
    examined.undo()  # nothing more to undo


def test_a_repair_that_fails_leaves_the_transform(logic, nodes, pair, monkeypatch):
    """Slicer refuses in the middle of writing: the node, its parent and its references are as they were."""
    import slicer

    node, parent = seed_node(slicer, pair), slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "parent")
    node.AddNodeReferenceID(node.GetMovingNodeReferenceRole(), nodes[1].GetID())
    examined = logic.diagnoseTransform(node, *nodes)
    node.SetAndObserveTransformNodeID(parent.GetID())
    wrong = read_grid_transform(node)[0].vectors

    def fail(*arguments, **keywords):
        set_grid_transform(*arguments, **keywords)
        raise TransformError("No.")

    set_grid_transform = field_import.set_grid_transform
    monkeypatch.setattr(field_import, "set_grid_transform", fail)
    with pytest.raises(TransformError, match=r"No\."):
        examined.repair()
    np.testing.assert_array_equal(read_grid_transform(node)[0].vectors, wrong)
    assert node.GetParentTransformNode() is parent
    assert node.GetNodeReferenceID(node.GetMovingNodeReferenceRole()) == nodes[1].GetID()
    assert node.GetNodeReferenceID(node.GetFixedNodeReferenceRole()) is None
    count = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(TransformError):
        logic.importDisplacementField(cases.stored(pair, "RAS mm")[0], nodes[0], components="RAS", units="mm")
    assert slicer.mrmlScene.GetNumberOfNodes() == count


def test_transforms_that_hold_no_field(logic, nodes):
    import slicer

    for kind in ("vtkMRMLLinearTransformNode", "vtkMRMLGridTransformNode", "vtkMRMLTransformNode"):
        node = slicer.mrmlScene.AddNewNodeByClass(kind, "empty")
        with pytest.raises(InputError, match="The transform 'empty' holds no displacement field"):
            logic.diagnoseTransform(node, *nodes)
    with pytest.raises(InputError, match="are the same"):
        logic.importDisplacementField(np.zeros((3, 4, 4, 4)), nodes[0], nodes[0])
