"""The panel's sections "Import displacement field" and "What is wrong with my transform?", with real fields of a real
pair, the real widgets and the real background process.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from child_processes import children
from host import scene as scenes
from host import user
from module.support import has_field, scene_content, shown
from pipeline.conventions import cases
from pipeline.conventions.matrix import RIGHT
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import (
    map_points,
    read_grid_transform,
    write_grid_transform,
)
from VoxelMorphRegistrationLib.slicer_bridge.volumes import volume_node_from_image
from VoxelMorphRegistrationLib.spatial import DisplacementField

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def pair() -> cases.Case:
    pytest.importorskip("openvino", reason="the fields are made with the OpenVINO engine, which is not installed")
    return cases.case("vxm 2mm")


@pytest.fixture
def fields(panel, pair) -> Any:
    """The panel with a real pair chosen, both sections open, and what is in them."""
    fixed = volume_node_from_image(pair.fixed, name="head")
    moving = volume_node_from_image(pair.moving, name="head a year later")
    user.choose(panel.ui.fixedVolumeSelector, fixed)
    user.choose(panel.ui.movingVolumeSelector, moving)
    importing, transforms = panel.panel.fields._ui, panel.panel.transforms._ui
    importing.importCollapsibleButton.collapsed = False
    transforms.diagnoseCollapsibleButton.collapsed = False
    return SimpleNamespace(panel=panel, fixed=fixed, moving=moving, importing=importing, transforms=transforms)


def choose_file(fields: Any, path: Any) -> None:
    fields.importing.importPathLineEdit.currentPath = str(path)


def examine(fields: Any, path: Any) -> None:
    choose_file(fields, path)
    user.click(fields.importing.importExamineButton)
    fields.panel.wait()


def visible_candidates(fields: Any) -> list[str]:
    rows = [getattr(fields.importing, f"importCandidate{n}Frame") for n in (1, 2, 3)]
    texts = [getattr(fields.importing, f"importCandidate{n}Label").text for n in (1, 2, 3)]
    return [text for row, text in zip(rows, texts, strict=True) if row.isVisible()]


def transforms_of(host: Any) -> list[Any]:
    return list(host.slicer.util.getNodesByClass("vtkMRMLGridTransformNode"))


def fill_as_in_the_seed(host: Any, pair: cases.Case) -> Any:
    """discourse.slicer.org/t/23705: the tensor assigned into the node that another registration made."""
    node = host.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Elastix result")
    write_grid_transform(DisplacementField.zero(pair.fixed.grid), node)
    tensor = cases.stored(pair, "VoxelMorph torch")[0][None]
    b = host.slicer.util.arrayFromGridTransform(node)
    b[:] = tensor.reshape(b.shape)
    host.slicer.util.arrayFromGridTransformModified(node)
    return node


def test_a_network_s_output_is_imported_with_two_clicks(fields, host, pair, tmp_path):
    ui = fields.importing
    np.savez(tmp_path / "flow of my network.npz", cases.stored(pair, "VoxelMorph torch")[0][None])
    before = scene_content(host.slicer.mrmlScene)
    examine(fields, tmp_path / "flow of my network.npz")
    assert ui.importStatusLabel.text.startswith("It is clear how this field has to be read")
    assert "in voxels, along the volume's axes i j k" in ui.importCandidate1Label.text
    assert "Similarity 0.8" in ui.importCandidate1EvidenceLabel.text
    assert scene_content(host.slicer.mrmlScene) == before  # nothing yet

    assert len(visible_candidates(fields)) == 1
    user.click(ui.importOthersCheckBox)
    assert len(visible_candidates(fields)) == 3
    assert "Clearly worse than number 1." in ui.importCandidate3EvidenceLabel.text
    for label in (ui.importBeforePicture, ui.importCandidate1Picture, ui.importCandidate3Picture):
        assert label.isVisible()
        assert label.pixmap.width() > 300

    user.click(ui.importCandidate1Button)
    fields.panel.wait()
    (node,) = transforms_of(host)
    assert node.GetName() == "flow of my network"
    assert ui.importStatusLabel.text.startswith("Imported as the transform flow of my network.")
    field, direction = read_grid_transform(node)
    assert direction == "resampling"
    assert pair.error(field, pair.forward) < RIGHT
    assert fields.moving.GetParentTransformNode() is node
    assert shown(host) == (fields.fixed.GetID(), fields.moving.GetID(), 0.5)


def test_without_the_moving_volume_the_user_decides(fields, host, pair, tmp_path):
    """The second of the candidates is taken, and nothing is put under it."""
    np.save(tmp_path / "flow.npy", cases.stored(pair, "VoxelMorph TF")[0])
    user.choose(fields.panel.ui.movingVolumeSelector, None)
    examine(fields, tmp_path / "flow.npy")
    ui = fields.importing
    assert ui.importStatusLabel.text.startswith("It is not clear how this field has to be read")
    assert "What would settle it: the moving volume." in ui.importStatusLabel.text
    assert len(visible_candidates(fields)) == 3
    assert not ui.importCandidate1Picture.isVisible()
    assert not ui.importUnderCheckBox.isVisible()
    second = visible_candidates(fields)[1]
    user.click(ui.importCandidate2Button)
    fields.panel.wait()
    (node,) = transforms_of(host)
    assert has_field(node)
    assert second != visible_candidates(fields)[0]
    assert fields.moving.GetParentTransformNode() is None


def test_what_is_missing_is_said_on_the_buttons(fields, host, tmp_path):
    importing, transforms, ui = fields.importing, fields.transforms, fields.panel.ui
    assert not importing.importExamineButton.enabled
    assert importing.importExamineButton.toolTip == "Choose the file that holds the field."
    choose_file(fields, tmp_path / "a.npy")
    assert importing.importExamineButton.enabled
    assert transforms.diagnoseButton.toolTip == "Select a transform."
    assert transforms.repairButton.toolTip == "First find out what is wrong."
    assert transforms.undoRepairButton.toolTip == "Nothing was repaired."
    node = host.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "empty")
    user.choose(transforms.diagnoseTransformSelector, node)
    user.choose(ui.movingVolumeSelector, None)
    assert transforms.diagnoseButton.toolTip.startswith("Select the moving volume above")
    assert importing.importExamineButton.enabled
    user.choose(ui.movingVolumeSelector, fields.fixed)
    for button in (transforms.diagnoseButton, importing.importExamineButton):
        assert not button.enabled
        assert "are the same" in button.toolTip
    user.choose(ui.fixedVolumeSelector, None)
    assert importing.importExamineButton.toolTip.startswith("Select the fixed volume above")
    user.choose(ui.fixedVolumeSelector, fields.fixed)
    user.choose(ui.movingVolumeSelector, fields.moving)
    user.click(transforms.diagnoseButton)  # a new transform
    assert transforms.diagnoseStatusLabel.text.startswith("The transform 'empty' holds no displacement field")


def test_the_seed_is_explained_repaired_and_the_repair_undone(fields, host, pair):
    ui, node = fields.transforms, fill_as_in_the_seed(host, pair)
    fields.moving.SetAndObserveTransformNodeID(node.GetID())
    wrong = read_grid_transform(node)[0]
    assert pair.error(wrong, pair.forward) > 0.9
    user.choose(ui.diagnoseTransformSelector, node)
    user.click(ui.diagnoseButton)
    assert ui.diagnoseButton.text == "Cancel"
    assert ui.diagnoseProgressBar.isVisible()
    fields.panel.wait()
    said = ui.diagnoseStatusLabel.text
    assert said.startswith("This transform is wrong, and can be repaired:")
    assert "numpy.reshape" in said
    assert "in voxels and were used as mm" in said
    assert ui.diagnoseBeforePicture.isVisible()
    assert ui.diagnoseAfterPicture.isVisible()
    assert np.array_equal(read_grid_transform(node)[0].vectors, wrong.vectors)

    user.click(ui.repairButton)
    fields.panel.wait()
    assert ui.diagnoseStatusLabel.text.startswith("Repaired: Elastix result holds the field as it is meant.")
    assert pair.error(read_grid_transform(node)[0], pair.forward) < RIGHT
    assert fields.moving.GetParentTransformNode() is node
    assert not ui.repairButton.enabled

    user.click(ui.undoRepairButton)
    assert np.array_equal(read_grid_transform(node)[0].vectors, wrong.vectors)
    assert ui.diagnoseStatusLabel.text == said
    user.click(ui.repairButton)
    fields.panel.wait()
    user.choose(ui.diagnoseTransformSelector, None)
    assert not ui.diagnoseStatusLabel.isVisible()
    user.choose(ui.diagnoseTransformSelector, node)
    user.click(ui.diagnoseButton)
    fields.panel.wait()
    assert ui.diagnoseStatusLabel.text.startswith("Nothing is wrong with this transform")
    assert ui.repairButton.toolTip == "There is nothing to repair."


@pytest.mark.parametrize("stage", ["Starting", "Comparing"])
def test_cancelling_leaves_nothing(fields, host, pair, tmp_path, stage):
    np.save(tmp_path / "flow.npy", cases.stored(pair, "VoxelMorph TF")[0])
    before = scene_content(host.slicer.mrmlScene)
    choose_file(fields, tmp_path / "flow.npy")
    button = fields.importing.importExamineButton
    user.click(button)
    user.wait_until(lambda: fields.importing.importStatusLabel.text.startswith(stage), 30, stage)
    assert button.text == "Cancel"
    assert not fields.transforms.diagnoseButton.enabled  # one thing at a time
    user.click(button)
    user.wait_until(lambda: not fields.panel.panel.control.busy, 3, "the end")
    assert button.text == "Find out what it means"
    assert "cancelled" in fields.importing.importStatusLabel.text
    assert not fields.importing.importProgressBar.isVisible()
    user.wait_until(lambda: not children(), 3, "the end of the process")
    assert scene_content(host.slicer.mrmlScene) == before
    assert visible_candidates(fields) == []


def test_the_scene_is_closed_while_it_runs(fields, host, pair):
    node = fill_as_in_the_seed(host, pair)
    user.choose(fields.transforms.diagnoseTransformSelector, node)
    user.click(fields.transforms.diagnoseButton)
    stage = fields.transforms.diagnoseStatusLabel
    user.wait_until(lambda: stage.text.startswith("Comparing"), 30, "the comparison")
    scenes.close_scene()
    user.wait_until(lambda: not children(), 5, "the end of the process")
    assert not fields.panel.panel.control.busy
    assert not fields.transforms.diagnoseStatusLabel.isVisible()
    assert transforms_of(host) == []


def test_a_transform_that_is_deleted_while_it_is_repaired(fields, host, pair):
    node = fill_as_in_the_seed(host, pair)
    user.choose(fields.transforms.diagnoseTransformSelector, node)
    user.click(fields.transforms.diagnoseButton)
    fields.panel.wait()
    user.click(fields.transforms.repairButton)
    host.slicer.mrmlScene.RemoveNode(node)
    fields.panel.wait()
    assert transforms_of(host) == []
    assert fields.panel.panel.control.busy is False


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "does not exist"),
        (b"\x93NUMPY\x01\x00 rubbish", "cannot be read: it is damaged"),
        (np.zeros((3, 9, 9, 9), np.float32), "belongs to no voxels of the fixed volume"),
        (np.zeros((9, 9), np.float32), "has 2 axes"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_sentence(fields, host, tmp_path, content, sentence):
    path = tmp_path / "bad.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    before = scene_content(host.slicer.mrmlScene)
    choose_file(fields, path)
    host.dialogs.expect(sentence)
    user.click(fields.importing.importExamineButton)
    fields.panel.wait()
    assert sentence in fields.importing.importStatusLabel.text
    assert scene_content(host.slicer.mrmlScene) == before
    assert fields.importing.importExamineButton.enabled


def test_a_linear_part_is_split_off_where_the_user_wants_it(fields, host, pair, tmp_path):
    """The same pair with the moving head turned by 10 degrees and shifted: the field holds that, too."""
    import vtk
    from VoxelMorphRegistrationLib.spatial import Deformation

    turn = vtk.vtkTransform()
    turn.RotateZ(10)
    turn.Translate(8, 0, 5)
    head = host.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turned")
    head.SetMatrixTransformToParent(turn.GetMatrix())
    fields.moving.SetAndObserveTransformNodeID(head.GetID())
    turned = host.slicer.util.arrayFromVTKMatrix(turn.GetMatrix())
    total = Deformation(turned, pair.forward).resampling_field(pair.fixed.grid)
    np.save(tmp_path / "total.npy", total.vectors)
    examine(fields, tmp_path / "total.npy")
    ui = fields.importing
    assert "holds a linear alignment of its own" in ui.importStatusLabel.text
    assert not ui.importUnfoldCheckBox.isVisible()
    user.click(ui.importSplitCheckBox)
    user.click(ui.importCandidate1Button)
    fields.panel.wait()
    assert "The linear part was split off." in ui.importStatusLabel.text
    (node,) = transforms_of(host)
    linear = host.slicer.util.getNode("total linear part")
    assert linear.GetParentTransformNode() is node
    assert head.GetParentTransformNode() is linear
    assert fields.moving.GetParentTransformNode() is head
    points = pair.fixed.grid.to_ras(np.random.default_rng(0).integers(8, np.array(pair.fixed.grid.shape) - 8, (200, 3)))
    through = map_points(linear, map_points(node, points))
    np.testing.assert_allclose(through, total.map_points(points), atol=0.2)
