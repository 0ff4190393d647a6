"""Stand-ins for `slicer.app` and what hangs on it: layout manager, module manager, I/O manager, main window.

`start()` makes them once per process. `slicer.app.testingEnabled()` is False unless a test says otherwise: in
Slicer's testing mode message boxes are answered unseen, here they come up and the test answers them.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import platform
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import slicer
import slicer.util
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, QObject, Signal

from host import dialogs, parameter_node, sample_data, scripted_module
from host import scene as scenes
from host.ctk_widgets import stored
from host.python_qt import custom_widget, qt
from host.slice_views import slice_logic

SLICER_VERSION = (5, 12, 0)
SLICE_VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


@custom_widget(slicer)
class qSlicerApplication(QtWidgets.QApplication):
    """`slicer.app`; its paths lie in a temporary folder of the process."""

    startupCompleted = Signal()
    mrmlSceneChanged = Signal(object)
    usageEventLogged = Signal(str, str)
    _cpp_signals: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def __init__(self) -> None:
        super().__init__(["Slicer"])
        self._folder = scenes.temporary_folder() / "slicer"
        self._is_testing = False
        self._module_manager = qSlicerModuleManager()
        self._layout_manager = qSlicerLayoutManager()
        self._io_manager = CoreIOManager()
        for name in ("home/bin", "temp", "cache", "extensions", "settings"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        self.temporaryPath = str(self._folder / "temp")
        self.cachePath = str(self._folder / "cache")
        self.extensionsInstallPath = str(self._folder / "extensions")
        self.setApplicationName("Slicer")
        self.setOrganizationName("NA-MIC")
        self.setApplicationVersion(".".join(map(str, SLICER_VERSION)))
        settings = QtCore.QSettings
        settings.setDefaultFormat(settings.Format.IniFormat)
        settings.setPath(settings.Format.IniFormat, settings.Scope.UserScope, str(self._folder / "settings"))

    # ---- scene ----

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def applicationLogic(self) -> Any:
        return scenes.current().application_logic

    def moduleLogic(self, name: str) -> Any:
        return self.applicationLogic().GetModuleLogic(name)

    # ---- managers ----

    def moduleManager(self) -> Any:
        return self._module_manager

    def layoutManager(self) -> Any:
        return self._layout_manager

    def coreIOManager(self) -> Any:
        return self._io_manager

    def ioManager(self) -> Any:
        return self._io_manager

    def settings(self) -> Any:
        return QtCore.QSettings()

    def userSettings(self) -> Any:
        return QtCore.QSettings()

    def revisionUserSettings(self) -> Any:
        return QtCore.QSettings()

    # ---- process ----

    def testingEnabled(self) -> bool:
        return self._is_testing

    def startupEnvironment(self) -> Any:
        return QtCore.QProcessEnvironment.systemEnvironment()

    def environment(self) -> Any:
        return QtCore.QProcessEnvironment.systemEnvironment()

    def pauseRender(self) -> None:
        return None

    def resumeRender(self) -> None:
        return None

    def restart(self) -> None:
        raise AssertionError("The module restarted Slicer.")

    def confirmRestart(self, reason: str = "") -> None:
        if dialogs.dialogs.ask("confirmRestart", "Restart", reason):
            self.restart()

    def logUsageEvent(self, component: str, event: str) -> None:
        self.usageEventLogged.emit(component, event)

    def openUrl(self, url: str) -> None:
        dialogs.dialogs.ask("openUrl", "", url)

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}{name}"

    temporaryPath = stored(str, "temporaryPath", "")
    cachePath = stored(str, "cachePath", "")
    extensionsInstallPath = stored(str, "extensionsInstallPath", "")
    defaultScenePath = stored(str, "defaultScenePath", "")
    slicerHome = Property(str, lambda self: str(self._folder / "home"))
    launcherExecutableFilePath = Property(str, lambda self: str(self._folder / "home" / "Slicer"))
    startupWorkingPath = Property(str, lambda self: os.getcwd())
    documentationBaseUrl = Property(str, lambda self: "https://slicer.readthedocs.io/en/latest/")
    majorVersion = Property(int, lambda self: SLICER_VERSION[0])
    minorVersion = Property(int, lambda self: SLICER_VERSION[1])
    mainApplicationName = Property(str, lambda self: "Slicer")
    mainApplicationMajorVersion = Property(int, lambda self: SLICER_VERSION[0])
    mainApplicationMinorVersion = Property(int, lambda self: SLICER_VERSION[1])
    revision = Property(str, lambda self: "0")
    platform = Property(str, lambda self: f"{sys.platform}-{platform.machine()}")
    os = Property(str, lambda self: sys.platform)
    isInstalled = Property(bool, lambda self: True)
    applicationLocaleName = Property(str, lambda self: "en-US")


class _ModuleFactory:
    def loadedModuleNames(self) -> tuple[str, ...]:
        return tuple(name for name in vars(slicer.moduleNames) if not name.startswith("_"))


@custom_widget(slicer)
class qSlicerModuleManager(QObject):
    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)

    def module(self, name: str) -> Any:
        return getattr(slicer.modules, name.lower(), None)

    def modulesNames(self) -> tuple[str, ...]:
        return _ModuleFactory().loadedModuleNames()

    def factoryManager(self) -> Any:
        return _ModuleFactory()


class SliceWidget:
    """The logic and nodes of one slice view; nothing is drawn, see `slice_views.SliceView` for that."""

    def __init__(self, name: str) -> None:
        self._name = name

    def sliceLogic(self) -> Any:
        return slice_logic(self._name)

    def mrmlSliceNode(self) -> Any:
        return self.sliceLogic().GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self.sliceLogic().GetSliceCompositeNode()


@custom_widget(slicer)
class qSlicerLayoutManager(QObject):
    """Three slice views without pixels: `slicer.util.setSliceViewerLayers` sets their real composite nodes."""

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(SLICE_VIEWS)

    def sliceWidget(self, name: str) -> SliceWidget | None:
        return SliceWidget(name) if name in SLICE_VIEWS else None

    def mrmlSliceLogics(self) -> Any:
        return scenes.current().application_logic.GetSliceLogics()

    def resetSliceViews(self) -> None:
        for name in SLICE_VIEWS:
            slice_logic(name).FitSliceToBackground()

    def resetThreeDViews(self) -> None:
        return None

    def setLayout(self, layout: int) -> None:
        self.layout = layout

    layout = stored(int, "layout", 1)


class CoreIOManager:
    """Reads and writes through `host.scene`, so that `slicer.util.loadVolume` and its like work."""

    NODE_CLASSES: ClassVar = {
        "VolumeFile": "vtkMRMLScalarVolumeNode",
        "TransformFile": "vtkMRMLTransformNode",
        "SegmentationFile": "vtkMRMLSegmentationNode",
        "ModelFile": "vtkMRMLModelNode",
        "MarkupsFile": "vtkMRMLMarkupsFiducialNode",
        "SequenceFile": "vtkMRMLSequenceNode",
        "TableFile": "vtkMRMLTableNode",
        "TextFile": "vtkMRMLTextNode",
    }

    def fileType(self, path: str) -> str:
        return "SceneFile" if str(path).endswith((".mrb", ".mrml")) else "VolumeFile"

    def fileWriterFileType(self, node: Any) -> str:
        for file_type, node_class in self.NODE_CLASSES.items():
            if node.IsA(node_class.replace("Scalar", "")):
                return file_type
        return "NodeFile"

    def loadNodes(self, file_type: str, properties: dict[str, Any], loaded: Any = None, messages: Any = None) -> bool:
        try:
            if file_type == "SceneFile":
                scenes.load_scene(properties["fileName"])
                return True
            node_class = self.NODE_CLASSES[file_type]
            if properties.get("labelmap"):
                node_class = "vtkMRMLLabelMapVolumeNode"
            node = scenes.read_node_file(properties["fileName"], node_class, properties.get("name"))
        except OSError as error:
            if messages is not None:
                messages.AddMessage(vtk.vtkCommand.ErrorEvent, str(error))
            return False
        if loaded is not None:
            loaded.AddItem(node)
        return True

    def saveNodes(self, file_type: str, properties: dict[str, Any], messages: Any = None) -> bool:
        try:
            if file_type == "SceneFile":
                scenes.save_scene(properties["fileName"])
            else:
                scenes.write_node_file(slicer.mrmlScene.GetNodeByID(properties["nodeID"]), properties["fileName"])
        except OSError:
            return False
        return True


class _ModuleSelector(QObject):
    """What `slicer.util.selectModule` talks to: shows one module at a time in the main window."""

    moduleSelected = Signal(str)

    def __init__(self, window: Any) -> None:
        super().__init__(window)
        self._window, self._selected = window, ""

    def selectModule(self, name: str) -> None:
        if name == self._selected:
            return
        previous = slicer.app.moduleManager().module(self._selected) if self._selected else None
        self._selected = name
        if previous is not None and getattr(previous, "_representation", None) is not None:
            previous.widgetRepresentation().hide()
            previous.widgetRepresentation().exit()
        module = slicer.app.moduleManager().module(name)
        if isinstance(module, slicer.qSlicerScriptedLoadableModule):
            widget = module.widgetRepresentation()
            self._window._panel.addWidget(widget)
            widget.show()
            self._window.show()
            slicer.app.processEvents()
            widget.enter()
        self.moduleSelected.emit(name)

    selectedModule = Property(str, lambda self: self._selected)


class _MainWindow(QtWidgets.QMainWindow):
    """The main window with the module panel and the status bar; no views, no toolbars."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        central = QtWidgets.QWidget()
        self._panel = QtWidgets.QVBoxLayout(central)
        self._panel.setContentsMargins(0, 0, 0, 0)
        self.setCentralWidget(central)
        self.resize(480, 800)
        self._selector = _ModuleSelector(self)

    def moduleSelector(self) -> Any:
        return self._selector


# ---- the Python packages that Slicer brings along ----


def _namespace(name: str, members: dict[str, Any]) -> types.ModuleType:
    module = sys.modules[name] = types.ModuleType(name)
    vars(module).update(members)
    setattr(slicer, name.rpartition(".")[2], module)
    return module


def _install_python_packages() -> None:
    sources = os.environ.get("SLICER_PYTHON_SOURCES")
    if sources:
        _use_slicers_own(Path(sources))
        return
    bases = {cls.__name__: cls for cls in scripted_module.BASE_CLASSES}
    _namespace("slicer.ScriptedLoadableModule", {"__all__": list(bases), **bases})
    _namespace("slicer.i18n", {"tr": lambda text: text, "translate": lambda context, text: text})
    names = {name: getattr(parameter_node, name) for name in parameter_node.PUBLIC_NAMES}
    _namespace("slicer.parameterNodeWrapper", {"__all__": list(names), **names})
    _namespace("slicer.packaging", {})
    _refuse_pip()


def _refuse_pip() -> None:
    """`slicer.packaging` installs into Slicer's own Python: nothing that a test should do, so each call fails."""

    def refuse(name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> None:
            raise AssertionError(f"slicer.packaging.{name}{arguments} would change Slicer's own packages.")

        return call

    for name in ("pip_install", "pip_uninstall", "pip_ensure"):
        setattr(slicer.packaging, name, refuse(name))


def _use_slicers_own(sources: Path) -> None:
    """Runs on Slicer's own util, base classes, translation, packaging and parameter node wrapper."""
    package = sources / "slicer"
    if not (package / "parameterNodeWrapper").is_dir():
        raise RuntimeError(f"SLICER_PYTHON_SOURCES={sources} is not Slicer's Base/Python folder.")
    slicer.__path__.append(str(package))
    for name in ("util", "i18n", "packaging", "ScriptedLoadableModule", "parameterNodeWrapper"):
        path = package / name / "__init__.py" if (package / name).is_dir() else package / f"{name}.py"
        if not path.exists():  # slicer.packaging came with 5.11
            continue
        spec = importlib.util.spec_from_file_location(f"slicer.{name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        setattr(slicer, name, module)
    if not hasattr(slicer, "packaging"):
        _namespace("slicer.packaging", {})
    _refuse_pip()


def _install_python_slicer(application: Any) -> None:
    """`PythonSlicer` on the PATH: as in Slicer a launcher, whose child is the interpreter that does the work."""
    folder = Path(application.slicerHome) / "bin"
    launcher = folder / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    launcher.chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


# ---- start ----


def start() -> Any:
    """Makes `slicer.app` and all that belongs to it; on later calls returns what there is."""
    if getattr(slicer, "app", None) is not None:
        return slicer.app
    scenes.start_headless()
    dialogs.install()
    slicer.app = qSlicerApplication()
    slicer.app.setFont(QtGui.QFont(slicer.app.font().family(), 10))
    slicer.app._main_window = _MainWindow()
    qt.qApp = slicer.app
    _install_python_packages()
    _install_python_slicer(slicer.app)
    gc.collect()
    gc.freeze()  # what is here stays: the collections between tests look at the rest only
    return slicer.app


def new_scene() -> Any:
    """A fresh scene for the running application, with its three slice views."""
    environment = scenes.new_scene()
    sample_data.install()
    for name, orientation in SLICE_VIEWS.items():
        slice_logic(name).GetSliceNode().SetOrientation(orientation)
    slicer.app.mrmlSceneChanged.emit(environment.scene)
    return environment.scene


def quit_application() -> None:
    """What happens when the user closes Slicer, short of ending the process."""
    slicer.app.aboutToQuit.emit()
    close_modules()


def close_modules() -> None:
    """Ends all scripted modules and forgets which one was shown."""
    slicer.app._main_window._selector._selected = ""
    slicer.app._main_window.hide()
    for module in list(vars(slicer.modules).values()):
        if isinstance(module, slicer.qSlicerScriptedLoadableModule):
            scripted_module.unload(module)
