"""The panel's section "Check", with the real widgets and the real background process."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from host import user
from module.support import scene_content, shown
from pipeline.small_pair import small_volume
from spatial.maps import bump_field
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import write_grid_transform, write_linear_transform
from VoxelMorphRegistrationLib.slicer_bridge.map_display import shown_style

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def check(panel, host) -> Any:
    """The panel with both volumes chosen, the section open, and a transform from fixed to moving in the scene."""
    panel.choose_inputs()
    ui = panel.panel.check._ui
    ui.checkCollapsibleButton.collapsed = False
    matrix = np.eye(4)
    matrix[0, 3] = 6.0
    transform = host.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    write_linear_transform(matrix, transform)
    return SimpleNamespace(panel=panel, ui=ui, transform=transform)


def test_the_verdict_and_a_table_with_two_clicks(check, host):
    ui = check.ui
    assert not ui.checkButton.enabled
    assert ui.checkButton.toolTip == "Select a transform."
    user.choose(ui.checkTransformSelector, check.transform)
    user.click(ui.checkButton)
    assert ui.checkButton.text == "Cancel"
    check.panel.wait()
    said = ui.checkStatusLabel.text
    assert said.startswith("Nothing that was measured speaks against this registration")
    assert "• Nothing folds" in said
    assert "Not measured: overlap of structures" in said
    (table,) = host.slicer.util.getNodesByClass("vtkMRMLTableNode")
    assert table.GetTable().GetNumberOfRows() > 10
    assert "Jacobian determinant" in check.panel.log
    user.click(ui.checkButton)
    check.panel.wait()
    assert len(host.slicer.util.getNodesByClass("vtkMRMLTableNode")) == 1  # the same one again
    user.choose(check.panel.ui.movingVolumeSelector, None)
    assert ui.checkStatusLabel.text == ""


def test_nothing_is_chosen_but_by_the_user(host, cache, temporary, library):
    """Nodes that are in the scene before the panel is opened are not taken for an inverse or an output."""
    from module.support import MODULE

    host.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "some transform")
    host.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "some volume")
    widget = host.show(host.load_module(MODULE))
    ui = widget.panel.check._ui
    for name in ("Transform", "Inverse", "FixedSegmentation", "FixedPoints", "Jacobian", "Magnitude"):
        assert getattr(ui, f"check{name}Selector").currentNode() is None
    widget.cleanup()


def test_maps_grid_and_arrows(check, host):
    ui = check.ui
    grid = host.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "push")
    write_grid_transform(bump_field(small_volume("fixed").grid, 8.0, 25.0), grid)
    assert not ui.checkGridButton.enabled
    user.choose(ui.checkTransformSelector, grid)
    for button, style in ((ui.checkGridButton, "grid"), (ui.checkArrowsButton, "arrows")):
        user.click(button)
        assert shown_style(grid) == style
        assert button.checked
    assert not ui.checkGridButton.checked
    user.click(ui.checkArrowsButton)
    assert shown_style(grid) is None

    assert not ui.checkMapButton.enabled
    for name in ("Jacobian", "Magnitude"):
        getattr(ui, f"check{name}Selector").addNode()
    volumes = [getattr(ui, f"check{name}Selector").currentNode() for name in ("Jacobian", "Magnitude")]
    user.click(ui.checkButton)
    check.panel.wait()
    determinants = host.slicer.util.arrayFromVolume(volumes[0])
    assert determinants.min() < 0.9
    assert determinants.max() > 1.1
    fixed = check.panel.fixed.GetID()
    for volume in (*volumes, volumes[0]):
        user.click(ui.checkMapButton)
        assert shown(host) == (fixed, volume.GetID(), 0.6)


def test_a_report_is_written_and_opened(check, tmp_path, monkeypatch):
    ui, path, opened = check.ui, tmp_path / "check é.html", []
    desktop = SimpleNamespace(openUrl=lambda url: opened.append(url.toLocalFile()))
    monkeypatch.setattr(sys.modules["qt"], "QDesktopServices", desktop)  # a browser would open
    user.choose(ui.checkTransformSelector, check.transform)
    ui.checkReportPathLineEdit.setCurrentPath(str(tmp_path / "nowhere" / "check.html"))
    assert not ui.checkReportButton.enabled
    user.click(ui.checkButton)
    assert "nowhere" in ui.checkStatusLabel.text
    assert not ui.checkReportButton.enabled
    ui.checkReportPathLineEdit.setCurrentPath(str(path))
    user.click(ui.checkButton)
    check.panel.wait()
    page = path.read_text(encoding="utf-8")
    assert "checkRegistration(" in page
    assert ui.checkStatusLabel.text.splitlines()[0] in page
    user.click(ui.checkReportButton)
    assert opened == [str(path)]


def test_what_is_missing_or_wrong_is_said_on_the_button(check, host):
    ui = check.ui
    user.choose(ui.checkTransformSelector, check.transform)
    points = host.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    user.choose(ui.checkFixedPointsSelector, points)
    assert ui.checkButton.toolTip == "Select landmarks on both sides, or on none."
    user.choose(ui.checkMovingPointsSelector, points)
    assert ui.checkButton.enabled
    before = scene_content(host.slicer.mrmlScene)
    user.click(ui.checkButton)
    assert ui.checkStatusLabel.text == "The fixed landmarks 'points' have no points; place some."
    assert scene_content(host.slicer.mrmlScene) == before
    user.choose(ui.checkFixedPointsSelector, None)
    user.choose(ui.checkMovingPointsSelector, None)
    user.choose(ui.checkJacobianSelector, check.panel.fixed)
    assert "would replace" in ui.checkButton.toolTip
    user.choose(ui.checkJacobianSelector, None)
    user.choose(check.panel.ui.movingVolumeSelector, check.panel.fixed)
    assert "are the same" in ui.checkButton.toolTip


def test_a_check_is_cancelled_and_leaves_nothing(check, host):
    user.choose(check.ui.checkTransformSelector, check.transform)
    before = scene_content(host.slicer.mrmlScene)
    user.click(check.ui.checkButton)
    user.click(check.ui.checkButton)
    check.panel.wait()
    assert scene_content(host.slicer.mrmlScene) == before
    assert check.ui.checkButton.text == "Check"
    assert check.ui.checkButton.enabled
