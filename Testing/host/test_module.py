"""A real scripted module runs in the host: panel, bindings, scene close, reload, self test, errors."""

from __future__ import annotations

import numpy as np
import pytest

from host.example_module import MODULE, USER_INTERFACE, write_example


def volume(host, name="a volume", value=3.0):
    return host.slicer.util.addVolumeFromArray(np.full((2, 3, 4), value, np.float32), name=name)


@pytest.fixture
def module(host, tmp_path):
    return host.load_module(write_example(tmp_path))


def test_the_module_object_is_filled(host, module):
    assert module.title == "Example"
    assert module.categories == ("Registration",)
    assert host.slicer.modules.example is module
    assert host.slicer.util.modulePath("Example").endswith("Example.py")
    host.app.startupCompleted.emit()
    assert host.slicer.modules.ExampleInstance.started
    with pytest.raises(AttributeError):
        module.titel = "misspelt"


def test_apply_runs_on_the_chosen_node(host, module):
    widget = host.show(module)
    assert not widget.ui.applyButton.enabled
    assert widget.ui.applyButton.toolTip == "Select a fixed volume."
    with pytest.raises(AssertionError, match="disabled"):
        host.user.click(widget.ui.applyButton)
    host.user.choose(widget.ui.fixedVolumeSelector, volume(host))
    host.user.click(widget.ui.applyButton)
    assert widget.ui.statusLabel.text == "mean 3.0"


def test_the_shortcut_runs_it_too(host, module):
    widget = host.show(module)
    host.user.choose(widget.ui.fixedVolumeSelector, volume(host))
    host.user.press(widget.ui.noteLineEdit, "Ctrl+Return")
    assert widget.ui.statusLabel.text == "mean 3.0"


def test_every_binding_goes_both_ways(host, module):
    widget = host.show(module)
    ui, node = widget.ui, widget._parameterNode
    resolution = type(node.resolution)
    fixed = volume(host)
    host.user.choose(ui.fixedVolumeSelector, fixed)
    ui.smoothCheckBox.checked = False
    ui.iterationsSpinBox.value = 20
    ui.weightSlider.value = 1.25
    host.user.choose_text(ui.engineComboBox, "openvino")
    host.user.choose_text(ui.resolutionComboBox, "FULL")
    ui.noteLineEdit.text = "hello"
    ui.folderPathLineEdit.currentPath = "/data"
    assert node.fixedVolume is fixed
    assert (node.smooth, node.iterations, node.weight) == (False, 20, 1.25)
    assert (node.engine, node.resolution, node.note) == ("openvino", resolution.FULL, "hello")
    assert str(node.folder) == "/data"

    node.fixedVolume = None
    node.smooth, node.iterations, node.weight = True, 5, 0.75
    node.engine, node.resolution, node.note = "auto", resolution.HALF, "bye"
    node.folder = type(node.folder)("/elsewhere")
    assert ui.fixedVolumeSelector.currentNode() is None
    assert (ui.smoothCheckBox.checked, ui.iterationsSpinBox.value, ui.weightSlider.value) == (True, 5, 0.75)
    assert (ui.engineComboBox.currentText, ui.resolutionComboBox.currentText) == ("auto", "HALF")
    assert (ui.noteLineEdit.text, ui.folderPathLineEdit.currentPath) == ("bye", "/elsewhere")


def test_limits_come_from_the_annotations(host, module):
    widget = host.show(module)
    assert (widget.ui.iterationsSpinBox.minimum, widget.ui.iterationsSpinBox.maximum) == (0, 50)
    assert (widget.ui.weightSlider.minimum, widget.ui.weightSlider.maximum) == (0.0, 2.0)
    for name, value in {"iterations": 51, "weight": -0.1, "engine": "tensorflow"}.items():
        with pytest.raises(ValueError, match="Value"):
            setattr(widget._parameterNode, name, value)
    with pytest.raises(TypeError):
        widget._parameterNode.smooth = "yes"
    with pytest.raises(TypeError):
        widget._parameterNode.fixedVolume = host.scene.AddNewNodeByClass("vtkMRMLTransformNode")


def test_the_texts_in_the_node_are_those_of_slicer(host, module):
    node = host.show(module)._parameterNode.parameterNode
    texts = {name: node.GetParameter(name) for name in node.GetParameterNames()}
    assert texts == {
        "fixedVolume": "",
        "outputTransform": "",
        "smooth": "True",
        "iterations": "10",
        "weight": "0.5",
        "engine": "auto",
        "resolution": "HALF",
        "note": "",
        "folder": "/tmp",
    }


@pytest.mark.parametrize("volume_first", [True, False])
def test_a_saved_scene_restores_the_panel(host, module, tmp_path, volume_first):
    if volume_first:
        fixed, widget = volume(host), host.show(module)
    else:  # then the file names the parameter node before the volume it refers to
        widget, fixed = host.show(module), volume(host)
    host.user.choose(widget.ui.fixedVolumeSelector, fixed)
    widget.ui.iterationsSpinBox.value = 33
    assert host.slicer.util.saveScene(str(tmp_path / "s.mrb"))
    host.scene.Clear(False)
    assert widget.ui.fixedVolumeSelector.currentNode() is None
    assert widget.ui.iterationsSpinBox.value == 10
    host.slicer.util.loadScene(str(tmp_path / "s.mrb"))
    assert widget.ui.iterationsSpinBox.value == 33
    assert widget.ui.fixedVolumeSelector.currentNode().GetName() == "a volume"
    assert widget._parameterNode.fixedVolume.GetName() == "a volume"


def test_loading_a_scene_needs_end_import(host, tmp_path):
    """The trap that `onSceneEndImport` of the example avoids, in Slicer's own wrapper as in the stand-in."""
    forgetful = MODULE.replace("slicer.mrmlScene.EndImportEvent, self.onSceneEndImport", "-1, self.onSceneEndClose")
    module = host.load_module(write_example(tmp_path, forgetful))
    widget = host.show(module)
    host.user.choose(widget.ui.fixedVolumeSelector, volume(host))
    host.slicer.util.saveScene(str(tmp_path / "s.mrb"))
    host.slicer.util.loadScene(str(tmp_path / "s.mrb"))
    assert widget._parameterNode.fixedVolume is None
    assert widget._parameterNode.parameterNode.GetNodeReference("fixedVolume").GetName() == "a volume"


def test_an_error_is_shown_and_raised(host, module, swallowed):
    widget = host.show(module)
    host.user.choose(widget.ui.fixedVolumeSelector, volume(host, "broken"))
    host.dialogs.expect("the volume is broken")
    with swallowed.expect(ValueError, "the volume is broken"):
        host.user.click(widget.ui.applyButton)
    assert host.dialogs.shown[0].text.startswith("Failed to compute results.")
    assert host.app.overrideCursor() is None


def test_closing_the_scene_leaves_a_working_panel(host, module):
    widget = host.show(module)
    host.user.choose(widget.ui.fixedVolumeSelector, volume(host))
    host.scene.Clear(False)
    assert not widget.ui.applyButton.enabled
    host.user.choose(widget.ui.fixedVolumeSelector, volume(host, "another"))
    assert widget.ui.applyButton.enabled


def test_leaving_and_entering(host, module):
    widget = host.show(module)
    assert widget.events == ["enter"]
    assert widget.parent.isEntered
    host.slicer.util.selectModule("Volumes")
    assert widget.events == ["enter", "exit"]
    assert host.slicer.util.selectedModule() == "Volumes"
    host.show(module)
    assert widget.events == ["enter", "exit", "enter"]


def test_reload_takes_the_changed_file_and_cleans_up(host, module, tmp_path):
    old = host.show(module)
    (tmp_path / "Example.py").write_text(MODULE.replace('f"mean ', 'f"MEAN '))
    new = host.reload(module)
    assert new is not old
    assert "cleanup" in old.events
    host.user.choose(new.ui.fixedVolumeSelector, volume(host))
    host.user.click(new.ui.applyButton)
    assert new.ui.statusLabel.text == "MEAN 3.0"
    assert host.slicer.modules.ExampleWidget is new


def test_closing_the_application_cleans_up(host, module):
    widget, heard = host.show(module), []
    host.app.connect("aboutToQuit()", lambda: heard.append("aboutToQuit"))
    host.quit()
    assert heard == ["aboutToQuit"]
    assert widget.events[-1] == "cleanup"
    assert not hasattr(host.slicer.modules, "example")


def test_sample_data_is_registered_with_slicers_signature(host):
    import SampleData

    register = SampleData.SampleDataLogic.registerCustomSampleDataSource
    register(category="Registration", sampleName="Pair", uris=["u", "v"], fileNames=["a.nrrd", "b.nrrd"])
    assert host.slicer.modules.sampleDataSources["Registration"][0].fileNames == ["a.nrrd", "b.nrrd"]
    with pytest.raises(TypeError):
        register(sampleName="Pair", checksum="SHA256:0")
    with pytest.raises(ValueError, match="as many uris"):
        register(sampleName="Pair", uris=["u"], fileNames=[])


def test_the_self_test_runs(host, module):
    host.show(module)
    host.slicer.selfTests["Example"]()
    import Example

    assert Example.ExampleTest.ran == ["test_logic"]


def test_a_type_the_stand_in_does_not_know_is_refused(host, tmp_path):
    with pytest.raises(Exception, match="Unable to create serializer"):
        host.load_module(write_example(tmp_path, MODULE.replace('note: str = ""', "note: complex = 0j")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("nodeTypes", "nodetypes"), "has no property nodetypes"),
        (('class="ctkSliderWidget"', 'class="ctkSlidrWidget"'), "ctkSlidrWidget"),
        (("mrmlSceneChanged(", "mrmlSceneChangd("), "has no signal mrmlSceneChangd"),
        (("setMRMLScene(vtk", "setMrmlScene(vtk"), "setMrmlScene"),
    ],
)
def test_mistakes_in_a_ui_file_are_errors(host, tmp_path, change, message):
    module = host.load_module(write_example(tmp_path, user_interface=USER_INTERFACE.replace(*change)))
    with pytest.raises((RuntimeError, AttributeError), match=message):
        host.show(module)


def test_a_picture_of_the_panel(host, module, tmp_path):
    import qt

    widget = host.show(module)
    image = qt.QImage(str(host.user.grab(widget.parent, tmp_path / "panel.png")))
    colors = {image.pixel(x, y) for x in range(0, image.width(), 3) for y in range(0, image.height(), 3)}
    assert len(colors) > 20


def test_slicers_own_python_is_used_where_it_is_given(host):
    import inspect
    import os

    sources = os.environ.get("SLICER_PYTHON_SOURCES")
    files = {
        inspect.getsourcefile(host.slicer.parameterNodeWrapper.parameterNodeWrapper),
        inspect.getsourcefile(host.slicer.ScriptedLoadableModule.ScriptedLoadableModuleWidget),
    }
    assert all(file.startswith(sources) if sources else "/Testing/host/" in file for file in files)


def test_a_union_of_nodes_takes_no_node_only_where_it_says_so(host):
    """Slicer's own wrapper refuses it when the parameter node is made, so that the panel never opens."""
    from typing import Union

    wrapper, classes = host.slicer.parameterNodeWrapper.parameterNodeWrapper, host.slicer

    class Strict:
        __annotations__ = {"node": Union[classes.vtkMRMLTransformNode, classes.vtkMRMLModelNode]}  # noqa: UP007

    class Lenient:
        __annotations__ = {
            "node": Union[classes.vtkMRMLTransformNode, classes.vtkMRMLModelNode, None]  # noqa: UP007
        }

    node = host.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    with pytest.raises(TypeError, match="Unable to write value 'None'"):
        wrapper(Strict)(node)
    assert wrapper(Lenient)(host.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")).node is None
