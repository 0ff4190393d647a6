"""A MRML scene with its module logics, on slicer-core alone: no Qt, no Slicer application.

Slicer's application creates the scene, `slicer.mrmlScene`, `slicer.modules` and the module logics;
slicer-core, the PyPI package of Slicer's own MRML and logic libraries, leaves that to its user. After
`start_headless()` the functions of `slicer.util` that need no widget work as they do in Slicer:
`addVolumeFromArray`, `arrayFromGridTransform`, `arrayFromSegmentBinaryLabelmap` and so on. Reading and
writing files goes through `read_node_file` and `write_node_file`, which call the logics and storage nodes
that Slicer's own readers and writers call.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import sys
import tempfile
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

# Off-screen rendering without an X server; VTK reads it when the first window is made.
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import slicer
import slicer.util
import vtk

# The names under which Slicer's modules register their logics: others look them up by these exact names.
MODULE_LOGICS = {
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
}


@dataclass
class CoreModule:
    """What `slicer.modules.<name>` is used for here: a name, a path and a logic."""

    name: str
    module_logic: Any = None
    path: str = ""
    dependencies: list[str] = field(default_factory=list)

    def logic(self) -> Any:
        return self.module_logic


@dataclass
class Environment:
    """The scene that `slicer.mrmlScene` currently is, and what belongs to it."""

    scene: Any
    application_logic: Any
    modules: dict[str, CoreModule]


_current: Environment | None = None


def start_headless() -> Environment:
    """The current environment, made on the first call."""
    return _current if _current is not None else new_scene()


def current() -> Environment:
    """The environment made by the latest `new_scene()`."""
    if _current is None:
        raise RuntimeError("There is no scene yet: call host.scene.start_headless() first.")
    return _current


def new_scene() -> Environment:
    """Replaces `slicer.mrmlScene` and all module logics by fresh ones (about 15 ms)."""
    global _current  # noqa: PLW0603  # slicer.mrmlScene is a global too
    if _current is not None:
        close_scene()
    scene = slicer.vtkMRMLScene()
    application_logic = slicer.vtkSlicerApplicationLogic()
    application_logic.SetMRMLScene(scene)
    application_logic.SetSliceLogics(vtk.vtkCollection())
    application_logic.SetViewLogics(vtk.vtkCollection())
    application_logic.SetTemporaryPath(str(temporary_folder()))
    application_logic.GetColorLogic().SetMRMLScene(scene)
    application_logic.GetColorLogic().AddDefaultColorNodes()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance().SetMRMLApplicationLogic(application_logic)
    _let_scene_read_bundles(scene)

    modules = {"Colors": CoreModule("Colors", application_logic.GetColorLogic())}
    for name, class_name in MODULE_LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(application_logic)
        with (
            _quiet_vtk() if name == "Terminologies" else contextlib.nullcontext()
        ):  # its .json files are not in the wheel
            logic.SetMRMLScene(scene)
        modules[name] = CoreModule(name, logic)
    for name, module in modules.items():
        application_logic.SetModuleLogic(name, module.module_logic)

    _current = Environment(scene, application_logic, modules)
    slicer.mrmlScene = scene
    _publish(modules)
    return _current


def close_scene() -> None:
    """Empties the current scene, singletons included, so that its observers hear about it."""
    current().application_logic.GetSliceLogics().RemoveAllItems()
    current().scene.Clear(True)


@cache
def temporary_folder() -> Path:
    """A folder of this process, removed when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="voxelmorph-host-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _publish(modules: dict[str, CoreModule]) -> None:
    """Makes `slicer.modules.volumes` and its like, keeping scripted modules that were loaded before."""
    if not hasattr(slicer, "modules"):
        slicer.modules = sys.modules["slicer.modules"] = types.ModuleType("slicer.modules")
        slicer.moduleNames = sys.modules["slicer.moduleNames"] = types.ModuleType("slicer.moduleNames")
    for name, module in modules.items():
        setattr(slicer.modules, name.lower(), module)
        setattr(slicer.moduleNames, name, name)


def _let_scene_read_bundles(scene: Any) -> None:
    """`ReadFromMRB` refuses to work without a data manager that knows a cache folder."""
    cache_manager = slicer.vtkCacheManager()
    cache_manager.SetRemoteCacheDirectory(str(temporary_folder()))
    cache_manager.SetMRMLScene(scene)
    manager = slicer.vtkDataIOManager()
    manager.SetCacheManager(cache_manager)
    scene.SetCacheManager(cache_manager)
    scene.SetDataIOManager(manager)


@contextlib.contextmanager
def _quiet_vtk() -> Iterator[None]:
    before = vtk.vtkLogger.GetCurrentVerbosityCutoff()
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    try:
        yield
    finally:
        vtk.vtkLogger.SetStderrVerbosity(before)


# ---- files ----


def read_node_file(path: Path | str, node_class: str = "vtkMRMLScalarVolumeNode", name: str | None = None) -> Any:
    """Adds the file to the current scene as Slicer's own reader of that kind of node does, and returns the
    node.

    Raises `OSError` if the file cannot be read; the scene is then as it was.
    """
    path, environment = Path(path), current()
    node_name = name or path.name.split(".")[0]
    prototype = environment.scene.CreateNodeByClass(node_class)
    prototype.UnRegister(None)
    before = set(_node_ids(environment.scene))
    node = None
    if path.exists():
        if prototype.IsA("vtkMRMLVolumeNode"):
            is_label_map = 1 if prototype.IsA("vtkMRMLLabelMapVolumeNode") else 0
            logic = environment.modules["Volumes"].logic()
            node = logic.AddArchetypeVolume(str(path), node_name, is_label_map)
        elif prototype.IsA("vtkMRMLTransformNode"):
            node = environment.modules["Transforms"].logic().AddTransform(str(path), environment.scene)
        elif prototype.IsA("vtkMRMLSegmentationNode"):
            node = environment.modules["Segmentations"].logic().LoadSegmentationFromFile(str(path), True, node_name)
        else:
            node = _read_with_storage_node(environment.scene, path, node_class, node_name)
    if node is None:
        for node_id in set(_node_ids(environment.scene)) - before:
            environment.scene.RemoveNode(environment.scene.GetNodeByID(node_id))
        raise OSError(f"Cannot read {path} as {node_class}.")
    if name:
        node.SetName(name)
    return node


def write_node_file(node: Any, path: Path | str) -> Path:
    """Writes the node through its own storage node, as Slicer's Save dialog does.

    Raises `OSError` if the storage node refuses, for instance a to-parent grid transform in a NIfTI file.
    """
    storage = node.GetStorageNode()
    if storage is None:
        storage = node.CreateDefaultStorageNode()
        if storage is None:
            raise OSError(f"{node.GetName()} ({node.GetClassName()}) has no storage node and cannot be written.")
        current().scene.AddNode(storage)
        node.SetAndObserveStorageNodeID(storage.GetID())
        storage.UnRegister(None)
    storage.SetFileName(str(path))
    if not storage.WriteData(node) or not Path(path).exists():
        raise OSError(f"Cannot write {node.GetName()} ({node.GetClassName()}) to {path}.")
    return Path(path)


def save_scene(path: Path | str) -> Path:
    """Saves the scene and its data as a bundle (`.mrb`)."""
    if not current().scene.WriteToMRB(str(path), None):
        raise OSError(f"Cannot save the scene to {path}.")
    return Path(path)


def load_scene(path: Path | str) -> None:
    """Replaces the scene's content by that of a bundle (`.mrb`)."""
    if not current().scene.ReadFromMRB(str(path), True):
        raise OSError(f"Cannot load the scene from {path}.")


def _read_with_storage_node(scene: Any, path: Path, node_class: str, name: str) -> Any:
    node = scene.AddNewNodeByClass(node_class, name)
    storage = node.CreateDefaultStorageNode()
    if storage is None:
        return None
    scene.AddNode(storage)
    storage.UnRegister(None)
    storage.SetFileName(str(path))
    node.SetAndObserveStorageNodeID(storage.GetID())
    if not storage.ReadData(node):
        return None
    node.CreateDefaultDisplayNodes()
    return node


def _node_ids(scene: Any) -> list[str]:
    nodes = scene.GetNodes()
    return [nodes.GetItemAsObject(index).GetID() for index in range(nodes.GetNumberOfItems())]
