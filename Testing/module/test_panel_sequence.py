"""The panel's section for sequences: what it offers, a run in the real background process, cluster files and back."""

from __future__ import annotations

import csv
import time

import numpy as np
import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")
from host import scene as scenes
from host import user
from module.support import SMALL_MODEL
from slicer_bridge import sequence_scene as s
from slicer_bridge.support import distance, scene_content


@pytest.fixture
def section(panel):
    """The section, opened, with a sequence in the scene."""
    panel.browser, panel.sequence = s.add_sequence()
    panel.segmentation = s.add_segmentation()
    panel.section = panel.panel.sequences
    panel.section._ui.sequenceCollapsibleButton.collapsed = False
    return panel


def ui(panel):
    return panel.section._ui


def choose_sequence(panel):
    user.choose(ui(panel).sequenceSelector, panel.browser)
    ui(panel).sequenceReferenceSpinBox.value = s.REFERENCE
    user.process_events(0.05)


def status(panel):
    return str(ui(panel).sequenceStatusLabel.text)


def test_buttons_say_what_is_missing(section):
    run, suggest = ui(section).sequenceRunButton, ui(section).sequenceSuggestButton
    assert (run.enabled, run.toolTip) == (False, "Select a sequence of volumes.")
    assert (suggest.enabled, suggest.toolTip) == (False, "Select a sequence of volumes.")
    choose_sequence(section)
    assert run.enabled
    assert suggest.enabled
    assert ui(section).sequenceReferenceSpinBox.maximum == 5
    assert "6 frames: the transforms will take about" in ui(section).sequenceSizeLabel.text
    user.choose_text(ui(section).sequenceStorageComboBox, "Only what is carried, no transforms")
    assert (run.enabled, run.toolTip) == (False, "Select what is to be carried, or keep the transforms.")
    user.choose(ui(section).sequenceCarriedSelector, section.segmentation)
    assert run.enabled
    cluster = ui(section).sequenceClusterButton
    assert cluster.enabled
    user.choose_text(ui(section).sequenceStorageComboBox, "Transforms as they are")
    user.choose(ui(section).sequenceCarriedSelector, s.add_point())
    assert run.enabled
    assert not cluster.enabled
    assert "only segmentations and labelmaps" in cluster.toolTip


def test_key_frames_are_asked_for_only_where_there_are_some(section):
    choose_sequence(section)
    assert not ui(section).sequenceKeyFramesSpinBox.isVisible()
    user.choose_text(ui(section).sequenceModeComboBox, "Key frames, those between interpolated")
    assert ui(section).sequenceKeyFramesSpinBox.isVisible()


def test_a_run_adds_what_plays_and_never_blocks_for_long(section, host):
    choose_sequence(section)
    user.choose(ui(section).sequenceCarriedSelector, section.segmentation)
    slowest, last = [0.0], [time.perf_counter()]
    user.click(ui(section).sequenceRunButton)
    assert ui(section).sequenceRunButton.text == "Cancel"
    stages = set()
    while section.panel.control.busy:
        host.app.processEvents()
        now = time.perf_counter()
        slowest[0], last[0] = max(slowest[0], now - last[0]), now
        stages.add(status(section))
        time.sleep(0.005)
    assert any(stage.startswith("Frame ") for stage in stages)
    assert "6 of 6 frames; look at the least similar: " in status(section)
    assert "Whatever is put under CT motion transform moves" in status(section)
    assert not ui(section).sequenceProgressBar.isVisible()
    assert section.browser.GetSelectedItemNumber() == 3
    assert host.slicer.util.getNode("organs moving").GetSegmentation().GetNumberOfSegments() == 2
    assert host.slicer.util.getNode("CT motion").GetNumberOfDataNodes() == 6
    assert slowest[0] < 1.0  # 0.2 s on a machine of its own; this one is shared


def test_cancelling_leaves_nothing(section, host):
    choose_sequence(section)
    before = scene_content(host.scene)
    user.click(ui(section).sequenceRunButton)
    user.wait_until(lambda: status(section).startswith("Frame"), 60, "the first frame")
    user.click(ui(section).sequenceRunButton)
    section.wait()
    assert "cancelled" in status(section)
    assert scene_content(host.scene) == before
    assert ui(section).sequenceRunButton.text == "Register the sequence"
    assert ui(section).sequenceRunButton.enabled


def test_the_reference_is_suggested(section):
    choose_sequence(section)
    user.click(ui(section).sequenceSuggestButton)
    section.wait()
    frame = ui(section).sequenceReferenceSpinBox.value
    assert s.SHIFTS[frame] == 4.0
    assert status(section) == f"Frame {frame} lies nearest the middle of the motion."


def test_a_cluster_gets_files_and_its_results_come_back(section, host, tmp_path):
    from VoxelMorphRegistrationLib.pipeline.batch import read_cases
    from VoxelMorphRegistrationLib.pipeline.batch.work import run_case

    choose_sequence(section)
    user.choose(ui(section).sequenceCarriedSelector, section.segmentation)
    shared = tmp_path / "shared"
    shared.mkdir()
    host.dialogs.expect("Folder that the cluster", str(shared))
    user.click(ui(section).sequenceClusterButton)
    section.wait()
    assert f"voxelmorph-registration batch {shared}/cases.csv --output {shared}/results" in status(section)
    with (shared / "cases.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["name"], row["sequence"], row["labels"]) == ("CT", "CT/frames", "CT/labels.nrrd")
    assert (row["reference"], row["model"], row["pre_align"]) == (str(s.REFERENCE), SMALL_MODEL, "none")
    assert len(list((shared / "CT" / "frames").iterdir())) == 6
    for case in read_cases(shared / "cases.csv"):  # what a worker does
        record = run_case(case, str(shared / "results"), 1)
        assert record.is_finished, record.error
    host.dialogs.expect("Output folder", str(shared / "results"))
    user.click(ui(section).sequenceLoadButton)
    section.wait()
    assert status(section) == "0 pairs and 1 sequences were loaded."
    carried = host.slicer.util.getNode("CT labels moving")
    assert section.browser.GetSequenceNode(carried).GetNumberOfDataNodes() == 6
    section.browser.SetSelectedItemNumber(s.REFERENCE)
    names = [carried.GetSegmentation().GetNthSegment(n).GetName() for n in range(2)]
    assert names == ["liver", "spleen"]
    assert distance(s.centre_of_label(carried, 1), s.centre_of_label(section.segmentation, 1)) < 0.01


def test_loading_says_what_is_wrong_with_the_folder(section, host, tmp_path):
    before = scene_content(host.scene)
    host.dialogs.expect("Output folder", str(tmp_path))
    host.dialogs.expect("holds no finished case", True)
    user.click(ui(section).sequenceLoadButton)
    section.wait()
    assert "holds no finished case of a batch" in status(section)
    assert scene_content(host.scene) == before


def test_a_scene_restores_every_choice(section, host, tmp_path):
    choose_sequence(section)
    shown = ui(section)
    user.choose(shown.sequenceCarriedSelector, section.segmentation)
    user.choose_text(shown.sequenceDirectionComboBox, "Hold every frame still on the reference")
    user.choose_text(shown.sequenceModeComboBox, "Key frames, those between interpolated")
    shown.sequenceKeyFramesSpinBox.value = 3
    user.click(shown.sequenceSurfaceCheckBox)
    user.click(shown.sequencePreAlignCheckBox)
    user.choose_text(shown.sequenceStorageComboBox, "Transforms, rounded to half the size on disk")

    def choices():
        names = [name for name in type(section.parameters).__annotations__ if name.startswith("sequence")]
        values = [getattr(section.parameters, name) for name in names]
        return {n: v.GetName() if hasattr(v, "GetName") else v for n, v in zip(names, values, strict=True)}

    before = choices()
    defaults = type(section.parameters)(host.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    assert [name for name, value in before.items() if getattr(defaults, name) == value] == []
    scenes.save_scene(tmp_path / "scene.mrb")
    host.scene.Clear(False)
    assert shown.sequenceModeComboBox.currentText == "Every frame with the reference"
    scenes.load_scene(tmp_path / "scene.mrb")
    assert choices() == before
    assert shown.sequenceSelector.currentNode().GetName() == "CT browser"
    assert np.isclose(shown.sequenceKeyFramesSpinBox.value, 3)
