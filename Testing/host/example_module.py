"""A small but real scripted module, written into a folder by the host's own tests."""

from __future__ import annotations

from pathlib import Path

MODULE = """
import enum
import pathlib
from typing import Annotated

import ctk
import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLTransformNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, Minimum, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin


class Example(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Example")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        self.parent.dependencies = []
        self.parent.contributors = ["Nobody"]
        self.parent.helpText = _("Helps.")
        self.parent.acknowledgementText = _("Thanks.")
        slicer.app.connect("startupCompleted()", self.onStartup)
        self.started = False

    def onStartup(self):
        self.started = True


class Resolution(enum.Enum):
    FULL = "full"
    HALF = "half"


@parameterNodeWrapper
class ExampleParameterNode:
    fixedVolume: vtkMRMLScalarVolumeNode
    outputTransform: vtkMRMLTransformNode
    smooth: bool = True
    iterations: Annotated[int, WithinRange(0, 50)] = 10
    weight: Annotated[float, WithinRange(0.0, 2.0)] = 0.5
    engine: Annotated[str, Choice(["auto", "openvino"])] = "auto"
    resolution: Resolution = Resolution.HALF
    note: str = ""
    folder: pathlib.Path = pathlib.Path("/tmp")


class ExampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._tag = None
        self.events = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/Example.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = ExampleLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.shortcut = qt.QShortcut(qt.QKeySequence("Ctrl+Return"), uiWidget)
        self.shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        self.shortcut.connect("activated()", self.onApply)
        self.initializeParameterNode()

    def cleanup(self):
        self.events.append("cleanup")
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.events.append("enter")
        self.initializeParameterNode()

    def exit(self):
        self.events.append("exit")
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller, event):
        # The parameter node may come before the nodes it refers to: only now are they all there.
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode):
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._tag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateApply)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._tag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateApply)
            self.updateApply()

    def updateApply(self, caller=None, event=None):
        ready = self._parameterNode.fixedVolume is not None
        self.ui.applyButton.enabled = ready
        self.ui.applyButton.toolTip = _("Run") if ready else _("Select a fixed volume.")

    def onApply(self):
        with slicer.util.tryWithErrorDisplay(_("Failed to compute results."), waitCursor=True):
            self.ui.statusLabel.text = self.logic.process(self._parameterNode.fixedVolume)


class ExampleLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return ExampleParameterNode(super().getParameterNode())

    def process(self, volume):
        if volume.GetName() == "broken":
            raise ValueError("the volume is broken")
        return f"mean {slicer.util.arrayFromVolume(volume).mean():.1f}"


class ExampleTest(ScriptedLoadableModuleTest):
    ran = []

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_logic()

    def test_logic(self):
        self.delayDisplay("Starting")
        import numpy as np

        volume = slicer.util.addVolumeFromArray(np.full((2, 3, 4), 7.0, np.float32))
        self.assertEqual(ExampleLogic().process(volume), "mean 7.0")
        ExampleTest.ran.append("test_logic")
"""


def _widget(cls: str, name: str, properties: str = "") -> str:
    return f'<item><widget class="{cls}" name="{name}">{properties}</widget></item>'


def _parameter(name: str) -> str:
    return f'<property name="SlicerParameterName" stdset="0"><string>{name}</string></property>'


def _node_types(node_class: str) -> str:
    return f'<property name="nodeTypes"><stringlist><string>{node_class}</string></stringlist></property>'


def _bool(name: str, value: str) -> str:
    return f'<property name="{name}"><bool>{value}</bool></property>'


def _connect(receiver: str) -> str:
    return (
        "<connection><sender>Example</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>"
        f"<receiver>{receiver}</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection>"
    )


USER_INTERFACE = f"""<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0"><class>Example</class>
<widget class="qMRMLWidget" name="Example"><layout class="QVBoxLayout" name="verticalLayout">
<item><widget class="ctkCollapsibleButton" name="inputsCollapsibleButton">
<property name="text"><string>Inputs</string></property>
<layout class="QVBoxLayout" name="inputsLayout">
{
    _widget(
        "qMRMLNodeComboBox",
        "fixedVolumeSelector",
        _parameter("fixedVolume")
        + _node_types("vtkMRMLScalarVolumeNode")
        + _bool("addEnabled", "false")
        + _bool("removeEnabled", "false")
        + _bool("noneEnabled", "true"),
    )
}
{
    _widget(
        "qMRMLNodeComboBox",
        "outputTransformSelector",
        _parameter("outputTransform")
        + _node_types("vtkMRMLTransformNode")
        + _bool("noneEnabled", "true")
        + _bool("renameEnabled", "true"),
    )
}
</layout></widget></item>
{_widget("QCheckBox", "smoothCheckBox", _parameter("smooth"))}
{_widget("QSpinBox", "iterationsSpinBox", _parameter("iterations"))}
{_widget("ctkSliderWidget", "weightSlider", _parameter("weight"))}
{_widget("ctkComboBox", "engineComboBox", _parameter("engine"))}
{_widget("QComboBox", "resolutionComboBox", _parameter("resolution"))}
{_widget("QLineEdit", "noteLineEdit", _parameter("note"))}
{
    _widget(
        "ctkPathLineEdit",
        "folderPathLineEdit",
        _parameter("folder")
        + '<property name="filters"><set>ctkPathLineEdit::Dirs|ctkPathLineEdit::Readable</set></property>',
    )
}
{_widget("QPushButton", "applyButton", '<property name="text"><string>Apply</string></property>')}
{_widget("QLabel", "statusLabel")}
</layout></widget>
<connections>{_connect("fixedVolumeSelector")}{_connect("outputTransformSelector")}</connections>
</ui>
"""


def write_example(folder: Path, module: str = MODULE, user_interface: str = USER_INTERFACE) -> Path:
    """Writes the module into the folder and returns the path of its Python file."""
    (folder / "Resources" / "UI").mkdir(parents=True)
    (folder / "Resources" / "UI" / "Example.ui").write_text(user_interface)
    path = folder / "Example.py"
    path.write_text(module)
    return path
