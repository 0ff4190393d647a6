"""What can be chosen in the panel, why Apply cannot be pressed, and what a saved scene remembers."""

from __future__ import annotations

import ast
from xml.etree import ElementTree

import numpy as np
import pytest
from child_processes import children
from host import scene as scenes
from host import user
from module.support import MODULE, SMALL_MODEL, add_small_model
from slicer_bridge.support import add_transform
from VoxelMorphRegistrationLib.network.packages import ENGINE_PACKAGES
from VoxelMorphRegistrationLib.pipeline.model_grid import RESOLUTIONS
from VoxelMorphRegistrationLib.pipeline.sequence import DIRECTIONS as SEQUENCE_DIRECTIONS
from VoxelMorphRegistrationLib.pipeline.sequence import KEEPS, MODES
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import DIRECTIONS
from VoxelMorphRegistrationLib.spatial.pre_alignment import KINDS

UI = MODULE.parent / "Resources" / "UI" / "VoxelMorphRegistration.ui"
CONTROLS = ("Button", "ComboBox", "CheckBox", "SpinBox", "LineEdit", "TextEdit", "ProgressBar")


# ---- the controls ----


def test_every_control_has_a_tooltip(panel):
    """All children of the panel that can be used or read, as they are after opening it."""
    import qt

    for section in ("masks", "advanced", "log", "models", "setup"):
        getattr(panel.ui, f"{section}CollapsibleButton").collapsed = False
    panel.panel.sequences._ui.sequenceCollapsibleButton.collapsed = False
    named = [child for child in panel.widget.parent.findChildren(qt.QWidget) if child.objectName]
    named = [child for child in named if not child.objectName.startswith("qt_")]
    assert len(named) > 50
    without = [
        child.objectName
        for child in named
        if child.objectName.endswith((*CONTROLS, "Selector", "logText", "Label")) and not child.toolTip
    ]
    assert without == []


def test_every_form_field_of_the_card_has_a_tooltip():
    root = ElementTree.parse(UI.with_name("ModelCardForm.ui")).getroot()
    fields = [w for w in root.iter("widget") if w.get("name", "").endswith(CONTROLS)]
    assert len(fields) == 12
    for widget in fields:
        assert any(p.get("name") == "toolTip" and p.findtext("string") for p in widget.findall("property"))


def test_every_parameter_has_a_control_except_the_model(panel):
    """The model list is filled by hand, because it can show models that are not there any more."""
    bound = {
        widget.get("name"): widget.findtext("property[@name='SlicerParameterName']/string")
        for ui in UI.parent.glob("*.ui")
        for widget in ElementTree.parse(ui).getroot().iter("widget")
    }
    bound = {name: parameter for name, parameter in bound.items() if parameter}
    parameters = type(panel.parameters)
    annotated = set(parameters.__annotations__)
    assert sorted(bound.values()) == sorted(annotated - {"model"})
    import qt

    shown = {child.objectName for child in panel.widget.parent.findChildren(qt.QWidget)}
    assert set(bound) <= shown


def test_the_choices_are_those_of_the_library(panel):
    from VoxelMorphRegistrationLib.panel import parameters

    def values(choices):
        return sorted(choice.value for choice in choices)

    assert values(parameters.PreAlignment) == sorted(KINDS)
    assert values(parameters.Resolution) == sorted(RESOLUTIONS)
    assert values(parameters.EngineChoice) == sorted(["auto", *ENGINE_PACKAGES])
    assert values(parameters.StoredDirection) == sorted(DIRECTIONS)
    labels = parameters._labels()
    choices = [choice for kind in vars(parameters).values() if isinstance(kind, type)
               and issubclass(kind, parameters._Choice) for choice in kind]  # fmt: skip
    assert set(labels) == set(choices)
    assert len(choices) == 4 + 3 + 3 + 2 + 2 + 2 + len(MODES) + len(KEEPS) + len(SEQUENCE_DIRECTIONS)
    assert values(parameters.SequenceMode) == sorted(MODES)
    assert values(parameters.SequenceStorage) == sorted(KEEPS)
    assert values(parameters.SequenceDirection) == sorted(SEQUENCE_DIRECTIONS)


def test_node_selectors_offer_what_fits(panel):
    labelmap = scenes.current().scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    linear = add_transform("vtkMRMLLinearTransformNode", "a linear one")
    for section in ("masks", "advanced"):
        getattr(panel.ui, f"{section}CollapsibleButton").collapsed = False
    inputs = user.menu(panel.ui.fixedVolumeSelector)
    assert inputs[:3] == ["Select the fixed volume", "fixed", "moving"]
    assert labelmap.GetName() not in inputs
    assert "labels" in user.menu(panel.ui.fixedMaskSelector)
    assert "fixed" not in user.menu(panel.ui.fixedMaskSelector)
    assert linear.GetName() in user.menu(panel.ui.outputAffineTransformSelector)
    assert not any(row.startswith("Create") for row in inputs)
    assert "Create new Grid Transform" in user.menu(panel.ui.outputTransformSelector)


# ---- why Apply cannot be pressed ----


def test_apply_says_what_is_missing(panel):
    button, ui = panel.ui.applyButton, panel.ui
    assert (button.enabled, button.toolTip) == (False, "Select a fixed volume.")
    user.choose(ui.fixedVolumeSelector, panel.fixed)
    assert (button.enabled, button.toolTip) == (False, "Select a moving volume.")
    user.choose(ui.movingVolumeSelector, panel.fixed)
    assert not button.enabled
    assert button.toolTip == "The fixed and the moving volume are the same; select two volumes."
    user.choose(ui.movingVolumeSelector, panel.moving)
    assert not button.enabled
    assert button.toolTip.startswith("Select at least one output")
    node = panel.new_output("outputInverseTransform")
    assert button.enabled
    assert button.toolTip == "Register the moving volume to the fixed volume (Ctrl+Enter)."
    scenes.current().scene.RemoveNode(node)
    user.process_events()
    user.choose(ui.outputInverseTransformSelector, None)
    assert not button.enabled
    user.press(ui.fixedVolumeSelector, "Ctrl+Return")
    assert not panel.panel.control.busy
    assert children() == []


def test_a_file_that_vanished_is_told(panel, cache):
    """A model of the user's own cannot be downloaded again."""
    panel.choose_all()
    assert panel.ui.applyButton.enabled
    (cache / f"{SMALL_MODEL}.h5").unlink()
    user.click(panel.ui.applyButton)
    assert not panel.panel.control.busy
    assert not panel.ui.applyButton.enabled
    missing = "The file of the chosen model is missing; add it again or choose another model."
    assert panel.ui.applyButton.toolTip == missing
    assert panel.ui.modelStatusLabel.text == f"Its file {SMALL_MODEL}.h5 is missing."


# ---- does the input fit the model? ----


def test_what_does_not_fit_the_model_is_said_before_the_run(panel, host):
    """With a way out; and not said any more once it does fit."""
    import slicer
    from VoxelMorphRegistrationLib.slicer_bridge.volumes import volume_node_from_image
    from VoxelMorphRegistrationLib.spatial import Grid, Image

    panel.parameters.model = "voxelmorph-brain-t1"
    assert not panel.ui.fitLabel.visible
    grid = Grid((60, 60, 30), np.diag([5.0, 5.0, 9.0, 1.0]))
    ct = volume_node_from_image(
        Image(np.random.default_rng(0).integers(-1000, 900, grid.shape, np.int16), grid, "body")
    )
    user.choose(panel.ui.fixedVolumeSelector, panel.fixed)
    user.choose(panel.ui.movingVolumeSelector, ct)
    user.wait_until(lambda: panel.ui.fitLabel.visible, 5)
    text = panel.ui.fitLabel.text
    assert "The moving volume body has voxels of 5 x 9 x 5 mm, much coarser than the 1 x 1 x 1 mm" in text
    assert "as a CT has" in text
    assert "choose another model" in text
    assert "give a brain mask" in text
    assert "fixed volume" not in text or "coarser" in text
    mask = slicer.modules.volumes.logic().CreateAndAddLabelVolume(ct, "brain")
    array = np.zeros(grid.shape[::-1], np.uint8)
    array[8:24, 15:45, 15:45] = 1
    slicer.util.updateVolumeFromArray(mask, array)
    panel.ui.masksCollapsibleButton.collapsed = False
    user.choose(panel.ui.movingMaskSelector, mask)
    user.wait_until(lambda: "brain mask" not in panel.ui.fitLabel.text, 5)
    user.choose(panel.ui.movingVolumeSelector, panel.moving)
    user.choose(panel.ui.movingMaskSelector, None)
    panel.parameters.model = SMALL_MODEL
    user.wait_until(lambda: not panel.ui.fitLabel.visible, 5)
    assert children() == []


def test_slow_inputs_are_left_to_the_registration(panel, host):
    """Merging segments and hardening non-linear transforms would block the panel each time something is chosen."""
    from slicer_bridge.support import smooth_field
    from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import write_grid_transform
    from VoxelMorphRegistrationLib.slicer_bridge.volumes import grid_of_volume_node, is_quick_to_read

    assert is_quick_to_read(panel.fixed)
    warped = add_transform()
    write_grid_transform(smooth_field(grid_of_volume_node(panel.fixed)), warped)
    panel.fixed.SetAndObserveTransformNodeID(warped.GetID())
    assert not is_quick_to_read(panel.fixed)
    assert not is_quick_to_read(host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
    panel.choose_inputs()
    panel.parameters.model = "voxelmorph-brain-t1"
    user.process_events(0.6)
    assert not panel.ui.fitLabel.visible


# ---- the scene remembers ----


def test_a_scene_restores_every_choice(panel, host, cache, tmp_path):
    other = add_small_model(cache, "Another network")
    panel.panel.models.refresh()
    masks = [host.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "fixed mask")]
    masks.append(host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "moving mask"))
    for section in ("masks", "advanced"):
        getattr(panel.ui, f"{section}CollapsibleButton").collapsed = False
    ui = panel.ui
    panel.choose_inputs()
    for which in ("outputTransform", "outputInverseTransform", "outputVolume", "outputAffineTransform"):
        panel.new_output(which)
    user.choose(ui.fixedMaskSelector, masks[0])
    user.choose(ui.movingMaskSelector, masks[1])
    user.choose_text(ui.modelComboBox, "Another network")
    user.choose_text(ui.preAlignmentComboBox, "Centers only")
    user.choose_text(ui.resolutionComboBox, "Quarter")
    ui.refineSpinBox.value = 15
    panel.parameters.adaptMinutes = 3
    user.choose_text(ui.engineComboBox, "TensorFlow")
    user.choose_text(ui.intensityComboBox, "None: values as they are")
    user.choose_text(ui.outputGridComboBox, "Coarser voxels of the network")
    user.choose_text(ui.directionComboBox, "Modeling (exact for points and models)")
    user.click(ui.keepFilesCheckBox)

    def choices():
        found = {}
        for name in type(panel.parameters).__annotations__:
            if name.startswith("sequence"):
                continue  # test_panel_sequence.py
            value = getattr(panel.parameters, name)
            found[name] = value.GetName() if hasattr(value, "GetName") else value
        shown = {
            name: widget.currentText if hasattr(widget, "currentText") else widget.currentNode().GetName()
            for name, widget in vars(ui).items()
            if name.endswith(("Selector", "ComboBox")) and name != "setupEngineComboBox"
        }
        return found, shown, ui.refineSpinBox.value, ui.keepFilesCheckBox.checked

    before = choices()
    parameters = before[0]
    defaults = type(panel.parameters)(host.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    same = [name for name in parameters if getattr(defaults, name) == parameters[name]]
    assert same == []
    assert parameters["model"] == other
    scenes.save_scene(tmp_path / "scene.mrb")
    host.scene.Clear(False)
    assert panel.ui.preAlignmentComboBox.currentText == "Affine"
    assert panel.ui.modelComboBox.currentText == "VoxelMorph any anatomy"
    assert not panel.ui.keepFilesCheckBox.checked
    scenes.load_scene(tmp_path / "scene.mrb")
    user.process_events()
    assert choices() == before


def test_a_model_that_is_missing_in_a_restored_scene_is_named(panel, host, cache, tmp_path):
    panel.choose_all()
    scenes.save_scene(tmp_path / "scene.mrb")
    host.scene.Clear(False)
    for path in cache.glob(f"{SMALL_MODEL}.*"):
        path.unlink()
    panel.panel.models.refresh()
    scenes.load_scene(tmp_path / "scene.mrb")
    user.process_events()
    assert panel.ui.modelComboBox.currentText == f"{SMALL_MODEL} (not available)"
    assert (panel.ui.applyButton.enabled, panel.ui.applyButton.toolTip) == (
        False,
        "The chosen model is not available; choose another.",
    )
    assert panel.ui.modelStatusLabel.text.startswith("This model is not in the list of models")
    user.choose_text(panel.ui.modelComboBox, "VoxelMorph brain T1")
    assert panel.parameters.model == "voxelmorph-brain-t1"
    assert panel.ui.applyButton.enabled


def test_the_panel_of_a_scene_with_another_scenes_choices(panel, host):
    """Parameters set by a script show in the panel."""
    parameters = panel.parameters
    parameters.fixedVolume, parameters.movingVolume = panel.fixed, panel.moving
    parameters.preAlignment = type(parameters.preAlignment).RIGID
    assert panel.ui.fixedVolumeSelector.currentNode() is panel.fixed
    assert panel.ui.preAlignmentComboBox.currentText == "Rigid"


@pytest.mark.parametrize("name", ["VoxelMorphRegistration.ui", "ModelCardForm.ui"])
def test_widget_names_are_unique_and_sentences_end(name):
    root = ElementTree.parse(UI.with_name(name)).getroot()
    names = [widget.get("name") for widget in root.iter("widget")]
    assert len(set(names)) == len(names)
    for label in root.iter("widget"):
        text = label.findtext("property[@name='text']/string") or ""
        if label.get("class") == "QLabel" and text:
            assert text.endswith(":"), text
        tip = label.findtext("property[@name='toolTip']/string") or "x."
        assert tip.endswith((".", ")")), tip


def test_texts_are_translated_as_literals():
    """``_()`` gets literals only, or the translators' tools do not find them."""
    for path in [MODULE, *sorted((MODULE.parent / "VoxelMorphRegistrationLib" / "panel").glob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
                (argument,) = node.args
                assert isinstance(argument, ast.Constant), f"{path.name}:{node.lineno}"
