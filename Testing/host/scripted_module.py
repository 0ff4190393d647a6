"""Stand-ins for scripted modules: the C++ module and widget objects, and the Python base classes.

`qSlicerScriptedLoadableModule` and `qSlicerScriptedLoadableModuleWidget` do in Python what Slicer does in C++
around a module's file: make the module object, make its widget when it is first shown, call `setup` before the
scene is set, `enter`, `exit`, `reload`. The four base classes keep the contract of
`slicer.ScriptedLoadableModule`; the developer section of the panel (Reload and Test) is not drawn.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import unittest
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtGui, QtWidgets
from PySide6.QtCore import Property, QObject

from host.ctk_widgets import stored
from host.python_qt import custom_widget
from host.qmrml_widgets import qMRMLWidget

# ---- C++ side ----


@custom_widget(slicer)
class qSlicerScriptedLoadableModule(QObject):
    """The object in `slicer.modules.<name>`, and `parent` in the module's own class."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__()
        self._name, self._path = name, path
        self._representation: Any = None
        self._instance: Any = None

    def logic(self) -> Any:
        return None

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def widgetRepresentation(self) -> Any:
        if self._representation is None:
            self._representation = qSlicerScriptedLoadableModuleWidget(None, self._name, self._path)
            self._representation.setup()
            self._representation.setMRMLScene(slicer.mrmlScene)
        return self._representation

    name = Property(str, lambda self: self._name)
    path = Property(str, lambda self: self._path)
    title = stored(str, "title", "")
    categories = stored("QStringList", "categories", ())
    contributors = stored("QStringList", "contributors", ())
    dependencies = stored("QStringList", "dependencies", ())
    associatedNodeTypes = stored("QStringList", "associatedNodeTypes", ())
    helpText = stored(str, "helpText", "")
    acknowledgementText = stored(str, "acknowledgementText", "")
    extensions = stored("QVariantMap", "extensions", {})
    icon = stored(QtGui.QIcon, "icon", None)
    hidden = stored(bool, "hidden", False)
    index = stored(int, "index", -1)
    widgetRepresentationCreationEnabled = stored(bool, "widgetRepresentationCreationEnabled", True)


@custom_widget(slicer)
class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The panel's outermost widget, and `parent` in the module's widget class."""

    def __init__(self, parent: Any = None, name: str = "", path: str = "") -> None:
        super().__init__(parent)
        QtWidgets.QVBoxLayout(self)
        self._name, self._path, self._is_entered = name, path, False
        self._python_widget: Any = None
        self._make_python_widget()

    def _make_python_widget(self) -> None:
        widget_class = getattr(sys.modules[self._name], f"{self._name}Widget")
        self._python_widget = widget_class(self)
        setattr(slicer.modules, f"{self._name}Widget", self._python_widget)

    def setup(self) -> None:
        self._python_widget.setup()

    def enter(self) -> None:
        self._is_entered = True
        if hasattr(self._python_widget, "enter"):
            self._python_widget.enter()

    def exit(self) -> None:
        self._is_entered = False
        if hasattr(self._python_widget, "exit"):
            self._python_widget.exit()

    def reload(self) -> None:
        self._make_python_widget()
        self.setup()

    def self(self) -> Any:
        return self._python_widget

    isEntered = Property(bool, lambda self: self._is_entered)


def load(path: Path | str) -> Any:
    """Loads a scripted module's file as Slicer does at startup, and returns its `slicer.modules` object."""
    path = Path(path).resolve()
    name = path.stem
    if str(path.parent) not in sys.path:  # Slicer puts the folder of scripted modules there too
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules[name] = code
    spec.loader.exec_module(code)
    module = qSlicerScriptedLoadableModule(name, str(path))
    module._instance = getattr(code, name)(module)
    setattr(slicer.modules, name.lower(), module)
    setattr(slicer.modules, f"{name}Instance", module._instance)
    setattr(slicer.moduleNames, name, name)
    slicer.app.moduleManager().moduleLoaded.emit(name)
    return module


def unload(module: Any) -> None:
    """Ends a module as Slicer does when it closes: `cleanup` is called, the panel is deleted."""
    name = module.name
    slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(name)
    if module._representation is not None:
        module._representation.close()
        module._representation.deleteLater()
        module._representation = None
        slicer.app.processEvents()
    for attribute in (name.lower(), f"{name}Instance", f"{name}Widget"):
        vars(slicer.modules).pop(attribute, None)
    vars(slicer.moduleNames).pop(name, None)
    if hasattr(slicer, "selfTests"):
        slicer.selfTests.pop(name, None)
    sys.modules.pop(name, None)


# ---- Python side: slicer.ScriptedLoadableModule ----


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        super().__init__()
        self.parent = parent
        self.moduleName = type(self).__name__
        icons = Path(self.resourcePath("Icons"))
        for icon in (icons / f"{self.moduleName}.svg", icons / f"{self.moduleName}.png"):
            if icon.is_file():
                parent.icon = QtGui.QIcon(str(icon))
                break
        if not hasattr(slicer, "selfTests"):
            slicer.selfTests = {}
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        base = slicer.app.documentationBaseUrl
        return f'<p>For more information, see the <a href="{base}{docPage or self.moduleName}">documentation</a>.</p>'

    def runTest(self, msec: int = 100, **kwargs: Any) -> None:
        test_class = getattr(sys.modules[type(self).__module__], f"{self.moduleName}Test", None)
        if test_class is None:
            raise AssertionError(f"Test case class not found: {self.moduleName}Test")
        test = test_class()
        test.messageDelay = msec
        test.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        if parent is None:
            parent = slicer.qMRMLWidget()
            QtWidgets.QVBoxLayout(parent)
            parent.setMRMLScene(slicer.mrmlScene)
        self.parent = parent
        self.layout = parent.layout()
        manager = slicer.app.moduleManager()
        manager.connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        folder = os.path.dirname(slicer.util.modulePath(self.moduleName))
        return os.path.join(folder, "Resources", filename)

    def setup(self) -> None:
        pass

    def cleanup(self) -> None:
        pass

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)

    def onTest(self, **kwargs: Any) -> None:
        with slicer.util.tryWithErrorDisplay("Test failed."):
            slicer.selfTests[self.moduleName](**kwargs)

    def onReloadAndTest(self, **kwargs: Any) -> None:
        with slicer.util.tryWithErrorDisplay("Reload and Test failed."):
            self.onReload()
            slicer.selfTests[self.moduleName](**kwargs)

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()
            manager = slicer.app.moduleManager()
            manager.disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node is not None:
                node.SetAttribute("ModuleName", self.moduleName)  # closing the scene may have taken it away
                return node
        else:
            known = self.getAllParameterNodes()
            if known:
                return known[0]
        return slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list[Any]:
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> Any:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    messageDelay = 50

    def __init__(self, *arguments: Any, **kwargs: Any) -> None:
        super().__init__(*arguments, **kwargs)
        super(unittest.TestCase, self).__init__()  # the mixins of a derived class, where TestCase stops
        names = [name for name in dir(self) if "test" in name and callable(getattr(self, name))]
        self.moduleTestNames = names

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        logging.info(message)
        slicer.app.processEvents()

    def runTest(self, **kwargs: Any) -> None:
        if not self.moduleTestNames:
            logging.warning(f"No test is defined in {type(self).__name__}")
        for name in self.moduleTestNames:
            self.setUp()
            getattr(self, name)()
            self.tearDown()


BASE_CLASSES = (
    ScriptedLoadableModule,
    ScriptedLoadableModuleWidget,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)
