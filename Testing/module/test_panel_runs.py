"""Registrations in the panel: results, cancelling, and everything that can happen to the scene meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from child_processes import children
from host import scene as scenes
from host import user
from host.example_module import write_example
from module.support import SMALL_MODEL, has_field, scene_content, shown, world_voxels
from slicer_bridge.support import add_transform

pytestmark = pytest.mark.timeout(1800)

STAGES = ["Looking for the engine", "Handing over", "Starting", "Checking", "Loading", "Pre-alignment"]
STAGES += ["Preparing the intensities", "Network", "Integrating", "Moving the volume", "Handing back"]
STAGES += ["Preparing the outputs"]


def warp_ijk(panel, volume, index):
    """Where a voxel of a volume is seen in the world, through the transforms that it lies under."""
    import slicer
    import vtk

    matrix, to_world = vtk.vtkMatrix4x4(), vtk.vtkGeneralTransform()
    volume.GetIJKToRASMatrix(matrix)
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(volume.GetParentTransformNode(), None, to_world)
    return np.array(to_world.TransformPoint(matrix.MultiplyPoint([*index, 1])[:3]))


# ---- results ----


def test_all_outputs_are_written_and_shown(panel, host):
    """Twice in a row: the second time the engine is warm and the moving volume lies where it lay."""
    panel.choose_inputs()
    nodes = {w: panel.new_output(w) for w in ("outputTransform", "outputInverseTransform", "outputVolume")}
    panel.moving.GetDisplayNode().AutoWindowLevelOff()
    panel.moving.GetDisplayNode().SetWindowLevel(321, 123)
    panel.apply()
    assert panel.ui.applyButton.text == "Cancel"
    assert panel.ui.progressBar.visible
    seen: list[int] = []
    user.wait_until(lambda: seen.append(panel.ui.progressBar.value) or not panel.panel.control.busy, 90)
    assert panel.is_ready()
    assert len(set(seen)) > 5
    assert seen == sorted(seen[:-1]) + seen[-1:]

    assert panel.status.startswith("Similarity ")
    assert "% folded" in panel.status
    for stage in STAGES:
        assert f"  {stage}" in panel.log, stage
    grid = nodes["outputTransform"].GetTransformFromParent()
    assert grid.GetClassName() == "vtkOrientedGridTransform"
    assert grid.GetDisplacementGrid().GetDimensions() == panel.fixed.GetImageData().GetDimensions()
    inverse = nodes["outputInverseTransform"].GetTransformFromParent()
    there = np.array(grid.TransformPoint(5, 10, -3))
    assert np.linalg.norm(there - (5, 10, -3)) > 1
    assert np.linalg.norm(np.array(inverse.TransformPoint(there)) - (5, 10, -3)) < 0.5

    assert shown(host) == (panel.fixed.GetID(), nodes["outputVolume"].GetID(), 0.5)
    display = nodes["outputVolume"].GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (321, 123)
    display.SetWindowLevel(400, 150)  # which the second run keeps
    assert panel.moving.GetParentTransformNode() is None
    before, after = (np.corrcoef(world_voxels(panel.fixed).ravel(), world_voxels(n).ravel())[0, 1]
                     for n in (panel.moving, nodes["outputVolume"]))  # fmt: skip
    assert after > before + 0.05

    (process,) = {child.pid for child in children() if child.name() != "PythonSlicer"}
    first = world_voxels(nodes["outputVolume"]).copy()
    panel.run()
    assert process in {child.pid for child in children()}
    assert np.array_equal(world_voxels(nodes["outputVolume"]), first)
    assert (display.GetWindow(), display.GetLevel()) == (400, 150)
    assert panel.log.count("Starting the background process") == 1


def test_only_a_transform_moves_the_moving_volume(panel, host):
    transform = panel.choose_all()
    panel.run()
    assert panel.moving.GetParentTransformNode() is transform
    assert shown(host) == (panel.fixed.GetID(), panel.moving.GetID(), 0.5)
    field = transform.GetTransformFromParent().GetDisplacementGrid().GetScalarRange()
    panel.run()  # the moving volume is taken from below the transform that will be replaced
    assert transform.GetTransformFromParent().GetDisplacementGrid().GetScalarRange() == field


def test_an_affine_apart_goes_between(panel):
    transform = panel.choose_all()
    panel.ui.advancedCollapsibleButton.collapsed = False
    user.choose_text(panel.ui.outputGridComboBox, "Coarser voxels of the network")
    affine = panel.new_output("outputAffineTransform")
    panel.run()
    assert panel.moving.GetParentTransformNode() is affine
    assert affine.GetParentTransformNode() is transform
    assert affine.IsLinear()
    assert transform.GetTransformFromParent().GetDisplacementGrid().GetDimensions() < (40, 44, 40)


def test_a_moving_volume_under_another_transform_keeps_it(panel, host):
    """Where that transform also moves the fixed volume, nothing is moved, and the panel says why."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, -3.0)
    own = add_transform("vtkMRMLLinearTransformNode", "scanner")
    own.SetMatrixTransformToParent(matrix)
    panel.moving.SetAndObserveTransformNodeID(own.GetID())
    transform = panel.choose_all()
    panel.run()
    assert panel.moving.GetParentTransformNode() is own
    assert own.GetParentTransformNode() is transform
    lump = warp_ijk(panel, panel.moving, (14, 26, 20))

    own.SetAndObserveTransformNodeID(None)
    for volume in (panel.fixed, panel.moving):
        volume.SetAndObserveTransformNodeID(own.GetID())
    panel.run()
    assert own.GetParentTransformNode() is None
    assert "moving was not put under Registration transform, because scanner also moves the fixed" in panel.status
    assert np.linalg.norm(lump - warp_ijk(panel, panel.fixed, (15, 26, 20))) < 12


def test_the_shortcut_applies(panel):
    panel.choose_all()
    user.press(panel.ui.fixedVolumeSelector, "Ctrl+Return")
    assert panel.panel.control.busy
    user.press(panel.ui.fixedVolumeSelector, "Ctrl+Return")  # does not cancel
    panel.wait()
    assert panel.status.startswith("Similarity")


def test_kept_files_are_said_in_the_log(panel, temporary):
    panel.choose_all()
    panel.ui.advancedCollapsibleButton.collapsed = False
    user.click(panel.ui.keepFilesCheckBox)
    panel.run()
    (folder,) = temporary.iterdir()
    assert f"The files of this registration were kept in {folder}" in panel.log
    assert {"job.fixed.array.npy", "result.moved.array.npy"} <= {path.name for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


# ---- cancelling ----


def test_cancel_in_every_stage_leaves_everything_as_it_was(panel, host, temporary):
    """Cancel is pressed at the moment when the stage shows; then processes, files and nodes are listed."""
    panel.choose_inputs()
    for which in ("outputTransform", "outputInverseTransform", "outputVolume"):
        panel.new_output(which)
    before, views = scene_content(host.scene), shown(host)
    slowest = 0.0
    for stage in STAGES:
        clicked: list[float] = []

        def cancel(clicked=clicked):
            clicked.append(time.perf_counter())
            panel.cancel()
            assert (panel.ui.applyButton.text, panel.ui.applyButton.enabled) == ("Cancelling...", False)

        if stage == "Looking for the engine":
            panel.apply()
            cancel()
        else:
            panel.at_stage(stage, cancel)
            panel.apply()
        panel.wait(20)
        assert clicked, f"the stage {stage} never showed"
        user.wait_until(lambda: not children(), 5, f"the end of the process cancelled at {stage}")
        slowest = max(slowest, time.perf_counter() - clicked[0])
        assert "cancelled" in panel.status, stage
        assert panel.is_ready(), stage
        assert list(temporary.iterdir()) == [], stage
        assert scene_content(host.scene) == before, stage
        assert shown(host) == views
    print(f"from Cancel to no process: {slowest:.2f} s at most")
    assert slowest < 5.0  # the promise is one second; the machine may be busy
    panel.run()
    assert panel.status.startswith("Similarity")


def test_cancel_while_the_outputs_are_made_does_not_wait_for_them(panel, host, monkeypatch):
    from VoxelMorphRegistrationLib.slicer_bridge import running

    go_on, real = threading.Event(), running.prepared_outputs

    def slow(*arguments):
        go_on.wait(30)
        return real(*arguments)

    monkeypatch.setattr(running, "prepared_outputs", slow)
    panel.choose_all()
    before = scene_content(host.scene)
    panel.apply()
    panel.wait_for_stage("Preparing the outputs")
    panel.cancel()
    panel.wait(2)
    assert "cancelled" in panel.status
    go_on.set()
    user.process_events(0.3)
    assert scene_content(host.scene) == before


# ---- what happens to the scene meanwhile ----


@pytest.mark.parametrize("when", ["Network", "Preparing the outputs"])
def test_closing_the_scene_ends_the_run(panel, host, when, temporary):
    panel.choose_all()
    panel.apply()
    panel.wait_for_stage(when) if when == "Network" else panel.at_stage(when, lambda: host.scene.Clear(False))
    if when == "Network":
        host.scene.Clear(False)
    user.wait_until(lambda: not panel.panel.control.busy, 60)
    user.wait_until(lambda: not list(temporary.iterdir()), 5)
    assert panel.ui.fixedVolumeSelector.currentNode() is None
    assert (panel.ui.applyButton.text, panel.ui.applyButton.enabled) == ("Apply", False)
    assert panel.ui.applyButton.toolTip == "Select a fixed volume."
    assert host.slicer.util.getNodesByClass("vtkMRMLGridTransformNode") == []
    assert not panel.ui.progressBar.visible


@pytest.mark.parametrize("which", ["outputTransform", "outputVolume"])
def test_a_deleted_output_is_named(panel, host, which):
    """Nothing is written into the other output then."""
    panel.choose_inputs()
    nodes = {name: panel.new_output(name) for name in ("outputTransform", "outputVolume")}
    panel.at_stage("Pre-alignment", lambda: host.scene.RemoveNode(nodes[which]))
    name = nodes[which].GetName()
    host.dialogs.expect(f"The output '{name}' is not in the scene; choose another.")
    panel.run()
    assert panel.status == f"The output '{name}' is not in the scene; choose another."
    assert not has_field(nodes["outputTransform"])
    assert nodes["outputVolume"].GetImageData() is None


@pytest.mark.parametrize("which", ["fixed", "moving"])
@pytest.mark.parametrize("output", ["outputTransform", "outputVolume"])
def test_a_deleted_input_does_no_harm(panel, host, which, output):
    """It was read already; the result is written, and refers to what is left."""
    panel.choose_inputs()
    node = panel.new_output(output)
    panel.at_stage("Pre-alignment", lambda: host.scene.RemoveNode(getattr(panel, which)))
    views = shown(host)
    panel.run()
    assert panel.status.startswith("Similarity")
    if output == "outputVolume":
        assert node.GetImageData() is not None
    else:
        assert has_field(node)
        roles = {"fixed": node.GetFixedNodeReferenceRole(), "moving": node.GetMovingNodeReferenceRole()}
        assert node.GetNodeReference(roles.pop(which)) is None
        (left,) = roles.values()
        assert node.GetNodeReference(left) is not None
    if which == "fixed":
        assert shown(host) == views


def test_opening_another_module_does_not_end_the_run(panel, host, tmp_path):
    example = host.load_module(write_example(tmp_path))
    transform = panel.choose_all()
    panel.apply()
    panel.wait_for_stage("Pre-alignment")
    host.show(example)
    panel.wait()
    assert has_field(transform)
    host.show(host.slicer.modules.voxelmorphregistration)
    assert panel.is_ready()
    assert panel.status.startswith("Similarity")


def test_reloading_the_module_ends_the_run(panel, host, temporary):
    transform = panel.choose_all()
    panel.apply()
    panel.wait_for_stage("Network")
    old = sys.modules["VoxelMorphRegistrationLib.panel.registration_panel"]
    panel.widget = host.reload(host.slicer.modules.voxelmorphregistration)
    assert sys.modules["VoxelMorphRegistrationLib.panel.registration_panel"] is not old
    user.wait_until(lambda: not children() and not list(temporary.iterdir()), 5)
    assert panel.ui.fixedVolumeSelector.currentNode() is panel.fixed
    assert panel.ui.outputTransformSelector.currentNode() is transform
    assert panel.is_ready()
    panel.run()
    assert has_field(transform)


# ---- what goes wrong ----


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize(
    ("sent", "sentence"), [("SIGKILL", "most likely because memory ran out"), ("SIGSEGV", "crashed at")]
)
def test_a_crash_is_one_sentence_with_the_log(panel, host, cache, sent, sentence):
    panel.choose_all()
    before = scene_content(host.scene)

    def crash():
        python = next(child for child in children() if child.name() != "PythonSlicer")
        os.kill(python.pid, getattr(signal, sent))

    panel.at_stage("Pre-alignment", crash)
    host.dialogs.expect(sentence)
    panel.run()
    assert sentence in panel.status
    assert panel.status in panel.log
    assert "\n" not in panel.status
    log = panel.status.partition("its log is ")[2].rstrip(".")
    assert (cache / "logs") in type(cache)(log).parents
    assert "VoxelMorphRegistration" in type(cache)(log).read_text()
    assert scene_content(host.scene) == before
    assert panel.is_ready()
    panel.run()
    assert panel.status.startswith("Similarity")


def test_inputs_that_cannot_be_registered_are_told_at_once(panel, host):
    """By the check of the inputs, before Apply, and by Apply."""
    import slicer

    slicer.util.updateVolumeFromArray(panel.moving, np.full((20, 20, 20), 7, np.int16))
    panel.choose_all()
    sentence = "holds one value only (7), so there is nothing to register in it."
    user.wait_until(lambda: sentence in panel.ui.fitLabel.text, 5)
    assert panel.ui.fitLabel.visible
    host.dialogs.expect(sentence)
    panel.run()
    assert sentence in panel.status
    assert panel.is_ready()


def test_an_output_that_is_an_input_is_told(panel, host):
    panel.choose_inputs()
    user.choose(panel.ui.outputVolumeSelector, panel.fixed)
    before = scene_content(host.scene)
    host.dialogs.expect("The output volume 'fixed' is one of the inputs; choose another")
    panel.run()
    assert "is one of the inputs" in panel.status
    assert scene_content(host.scene) == before


def test_the_console_uses_the_same_process(panel, host):
    """While the panel's run goes on, a script is told to wait; afterwards it finds the engine warm."""
    from VoxelMorphRegistrationLib.errors import EngineError

    panel.choose_all()
    panel.apply()
    panel.wait_for_stage("Pre-alignment")
    other = add_transform()
    with pytest.raises(EngineError, match="Another registration is still running"):
        panel.widget.logic.process(panel.fixed, panel.moving, other, model=SMALL_MODEL)
    panel.wait()
    process = {child.pid for child in children()}
    outcome = panel.widget.logic.process(panel.fixed, panel.moving, other, model=SMALL_MODEL)
    assert outcome.outputTransform is other
    assert {child.pid for child in children()} == process


def test_a_saved_scene_holds_the_result(panel, host, tmp_path):
    transform = panel.choose_all()
    panel.run()
    point = transform.GetTransformFromParent().TransformPoint(5, 10, -3)
    scenes.save_scene(tmp_path / "scene.mrb")
    host.scene.Clear(False)
    scenes.load_scene(tmp_path / "scene.mrb")
    user.process_events()
    again = panel.ui.outputTransformSelector.currentNode()
    assert panel.ui.movingVolumeSelector.currentNode().GetParentTransformNode() is again
    np.testing.assert_allclose(again.GetTransformFromParent().TransformPoint(5, 10, -3), point, atol=0.05)
    assert panel.is_ready()
