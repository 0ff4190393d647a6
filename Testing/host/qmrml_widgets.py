"""Stand-ins for Slicer's `qMRMLWidget` and `qMRMLNodeComboBox` over a real MRML scene.

The node selector keeps a real QComboBox inside, as Slicer's does, fills it row by row, and follows the decisions
of qMRMLNodeComboBox.cxx: what is selected after a node is added, removed or renamed is then what Qt makes of it
there. Written from reading that file and its tests; not imitated: trees, sorting and lazy updates.

Only names that Slicer shows to Python are public here: Q_PROPERTYs, public slots, Q_INVOKABLEs and signals.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import shiboken6
import slicer
import vtk
from PySide6 import QtGui, QtWidgets
from PySide6.QtCore import Property, Qt, Signal

from host.ctk_widgets import ctkComboBox, lay_in_a_row, missing_widget, stored
from host.python_qt import custom_widget

NODE_ID = Qt.ItemDataRole.UserRole
ACTION = Qt.ItemDataRole.UserRole + 1


@custom_widget(slicer)
class qMRMLWidget(QtWidgets.QWidget):
    """A widget that hands its scene on to the widgets in it, through connections made in the .ui file."""

    mrmlSceneChanged = Signal(object)
    _cpp_signals: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


def observe(widget: Any, subject: Any, event: int, method: Callable[..., None]) -> int:
    """Observes a VTK object for as long as the widget lives; the widget is not kept alive by it.

    Qt may delete a widget while VTK still knows its observer: such a call is dropped, as C++ would never make it.
    """
    weak_method = weakref.WeakMethod(method)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def call(caller: Any, event_name: str, call_data: Any = None) -> None:
        alive = weak_method()
        if alive is not None and shiboken6.isValid(alive.__self__):
            alive(caller, call_data)

    return int(subject.AddObserver(event, call))


def option(kind: Any, name: str, default: Any) -> Property:
    """A Qt property of the selector that changes what its list shows."""

    def read(self: Any) -> Any:
        return self._options.get(name, default)

    def write(self: Any, value: Any) -> None:
        value = tuple(text for text in value if text) if kind == "QStringList" else value
        if value != self._options.get(name, default):
            self._options[name] = value
            self._synchronize_all()

    return Property(kind, read, write)


@custom_widget(slicer)
class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Selects a node of the scene: rows are [None], the nodes, a separator and the actions."""

    currentNodeChanged = Signal(object)
    _current_node_is_valid = Signal(bool)
    currentNodeIDChanged = Signal(str)
    currentNodeRenamed = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAddedByUserAction = Signal(object)
    nodeAboutToBeRemoved = Signal(object)
    nodeAboutToBeEdited = Signal(object)
    _cpp_signals: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "_current_node_is_valid",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeAddedByUserAction(vtkMRMLNode*)": "nodeAddedByUserAction",
        "nodeAboutToBeRemoved(vtkMRMLNode*)": "nodeAboutToBeRemoved",
        "nodeAboutToBeEdited(vtkMRMLNode*)": "nodeAboutToBeEdited",
    }

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._options: dict[str, Any] = {}
        self._scene: Any = None
        self._scene_tags: list[int] = []
        self._node_tags: dict[str, tuple[Any, int]] = {}
        self._attributes: dict[str, tuple[str, Any]] = {}
        self._type_labels: dict[str, str] = {}
        self._base_names: dict[str, str] = {}
        self._menu_actions: list[Any] = []
        self._leaving: Any = None
        self._switching_scene = False
        self._requested = ""

        self._model = QtGui.QStandardItemModel(self)
        self._combo = ctkComboBox(self)
        self._combo.setModel(self._model)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        lay_in_a_row(self, self._combo)
        self._combo.currentTextChanged.connect(self._emit_current_node_changed)
        self._combo.activated.connect(self._activated)
        self._combo.view().clicked.connect(lambda index: self._activate_action(index.data(ACTION)))
        self.setEnabled(False)

    # ---- what Slicer shows to Python ----

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        old_id, had_nodes = self._id_at(self._combo.currentIndex), self.nodeCount() > 0
        self._forget_scene()
        self._switching_scene = True
        self._model.clear()
        self._scene = scene
        if scene is not None:
            for event, method in (
                (scene.NodeAddedEvent, self._node_added),
                (scene.NodeAboutToBeRemovedEvent, self._node_about_to_be_removed),
                (scene.NodeRemovedEvent, self._node_removed),
            ):
                self._scene_tags.append(observe(self, scene, event, method))
            self._synchronize_nodes()
        self._switching_scene = False
        self._synchronize_none()
        self._synchronize_actions()
        self.setCurrentNodeID(old_id if had_nodes else self._requested or self._current_id())
        self._requested = ""
        self._update_default_text()
        self.setEnabled(scene is not None)

    def currentNode(self) -> Any:
        return self._node(self._current_id())

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node is not None else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        if self._scene is None:
            self._requested = node_id or ""
        row = self._row(node_id)
        self._combo.setCurrentIndex(row if row >= 0 else 0 if self.noneEnabled else -1)

    def setCurrentNodeIndex(self, index: int) -> None:
        index = -1 if index >= self.nodeCount() else index
        self._combo.setCurrentIndex(index + self._first_row())

    def currentNodeId(self) -> str:
        return self._current_id()

    def nodeCount(self) -> int:
        return len(self._shown_ids())

    def nodeFromIndex(self, index: int) -> Any:
        return self._node(self._id_at(index + self._first_row()))

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        self._attributes[node_type] = (name, value)
        self._synchronize_nodes()

    def removeAttribute(self, node_type: str, name: str) -> None:
        if self._attributes.get(node_type, ("",))[0] == name:
            del self._attributes[node_type]
            self._synchronize_nodes()

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._type_labels[node_type] = label
        self._update_default_text()
        self._synchronize_actions()

    def nodeTypeLabel(self, node_type: str) -> str:
        if self._type_labels.get(node_type):
            return self._type_labels[node_type]
        if self._scene is not None and node_type:
            return self._scene.GetTypeDisplayNameByClassName(node_type) or "node"
        return "node"

    def addNode(self, node_type: str | None = None) -> Any:
        node_type = node_type or next(iter(self.nodeTypes), None)
        if self._scene is None or node_type not in self.nodeTypes:
            return None
        node = self._scene.CreateNodeByClass(node_type)
        node.UnRegister(None)
        base_name = self._base_names.get(node_type) or node.GetName() or node.GetDefaultNodeNamePrefix()
        node.SetName(self._scene.GetUniqueNameByString(base_name))
        for attribute, value in self._attributes.values():
            node.SetAttribute(attribute, "" if value is None else str(value))
        self._scene.AddNode(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self._scene.RemoveNode(self.currentNode())

    def editCurrentNode(self) -> None:
        self.nodeAboutToBeEdited.emit(self.currentNode())

    def renameCurrentNode(self) -> None:
        node = self.currentNode()
        if node is None:
            return
        title = f"Rename {self.nodeTypeLabel(node.GetClassName())}"
        name = self._ask_name(title, node.GetName())
        if name:
            node.SetName(name)
            self.currentNodeRenamed.emit(name)

    def addMenuAction(self, action: Any) -> None:
        if action.text not in [known.text for known in self._menu_actions]:
            self._menu_actions.append(action)
            self._synchronize_actions()

    def _base_name(self) -> str:
        return self._base_names.get(next(iter(self.nodeTypes), ""), "")

    def _set_base_name(self, name: str) -> None:
        # In Slicer a base name set before the node types is lost, with a warning that nobody sees in a .ui file.
        if not self.nodeTypes:
            raise RuntimeError("Set the nodeTypes of a qMRMLNodeComboBox before its baseName.")
        self._base_names.update(dict.fromkeys(self.nodeTypes, name))

    def _current_id(self) -> str:
        return self._id_at(self._combo.currentIndex)

    nodeTypes = option("QStringList", "nodeTypes", ())
    hideChildNodeTypes = option("QStringList", "hideChildNodeTypes", ())
    showChildNodeTypes = option(bool, "showChildNodeTypes", True)
    showHidden = option(bool, "showHidden", False)
    noneEnabled = option(bool, "noneEnabled", False)
    noneDisplay = option(str, "noneDisplay", "None")
    addEnabled = option(bool, "addEnabled", True)
    removeEnabled = option(bool, "removeEnabled", True)
    editEnabled = option(bool, "editEnabled", False)
    renameEnabled = option(bool, "renameEnabled", False)
    selectNodeUponCreation = option(bool, "selectNodeUponCreation", True)
    baseName = Property(str, _base_name, _set_base_name)
    currentNodeID = Property(str, _current_id, setCurrentNodeID, notify=currentNodeIDChanged)
    interactionNodeSingletonTag = stored(str, "interactionNodeSingletonTag", "Singleton")
    sizeAdjustPolicy = stored(int, "sizeAdjustPolicy", 1)

    # ---- rows ----

    def _first_row(self) -> int:
        return 1 if self.noneEnabled else 0

    def _id_at(self, row: int) -> str:
        item = self._model.item(row) if row >= 0 else None
        return (item.data(NODE_ID) or "") if item is not None else ""

    def _node(self, node_id: str) -> Any:
        return self._scene.GetNodeByID(node_id) if self._scene is not None and node_id else None

    def _row(self, node_id: str) -> int:
        rows = range(self._model.rowCount())
        return next((row for row in rows if node_id and self._id_at(row) == node_id), -1)

    def _shown_ids(self) -> list[str]:
        return [node_id for row in range(self._model.rowCount()) if (node_id := self._id_at(row))]

    def _accepts(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        if not self.nodeTypes:
            return True
        for node_type in self.nodeTypes:
            if not node.IsA(node_type) or (not self.showChildNodeTypes and node.GetClassName() != node_type):
                continue
            if self.showChildNodeTypes and any(node.IsA(hidden) for hidden in self.hideChildNodeTypes):
                return False
            if node_type in self._attributes:
                attribute, wanted = self._attributes[node_type]
                found = node.GetAttribute(attribute)
                if found is None or (wanted is not None and found != str(wanted)):
                    return False
            return True
        return False

    def _scene_nodes(self) -> list[Any]:
        nodes = self._scene.GetNodes()
        return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]

    def _synchronize_nodes(self) -> None:
        """Removes the rows of nodes that no longer belong here, and inserts the missing ones in scene order."""
        if self._scene is None:
            return
        wanted = []
        for node in self._scene_nodes():
            if node is self._leaving or not node.GetID():
                continue
            if not self.nodeTypes or any(node.IsA(node_type) for node_type in self.nodeTypes):
                self._observe_node(node)
            if self._accepts(node):
                wanted.append(node)
        wanted_ids = {node.GetID() for node in wanted}
        for node_id in self._shown_ids():
            if node_id not in wanted_ids:
                row = self._row(node_id)
                if self._node(node_id) is not None:
                    self.nodeAboutToBeRemoved.emit(self._node(node_id))
                self._model.removeRow(row)
                if self.currentNode() is None:
                    self.setCurrentNode(None)
        for position, node in enumerate(wanted):
            row = self._row(node.GetID())
            if row < 0:
                item = QtGui.QStandardItem(node.GetName() or "")
                item.setData(node.GetID(), NODE_ID)
                self._model.insertRow(position + self._none_rows(), item)
                self.nodeAdded.emit(node)
            elif self._model.item(row).text() != (node.GetName() or ""):
                self._model.item(row).setText(node.GetName() or "")

    def _none_rows(self) -> int:
        first = self._model.item(0)
        return int(first is not None and first.data(ACTION) == "NONE")

    def _synchronize_none(self) -> None:
        if self._none_rows():
            if self.noneEnabled and self._scene is not None:
                self._model.item(0).setText(self.noneDisplay)
            else:
                self._model.removeRow(0)
        elif self.noneEnabled and self._scene is not None:
            item = QtGui.QStandardItem(self.noneDisplay)
            item.setData("NONE", ACTION)
            self._model.insertRow(0, item)

    def _synchronize_actions(self) -> None:
        """The rows below the nodes; the selection is kept, as inserting rows may move it."""
        index = self._combo.currentIndex
        last = self._none_rows() + len(self._shown_ids())
        self._model.removeRows(last, self._model.rowCount() - last)
        if self._scene is not None:
            for text, action in self._actions():
                item = QtGui.QStandardItem(text)
                item.setData(action, ACTION)
                if action == "SEPARATOR":
                    item.setData("separator", Qt.ItemDataRole.AccessibleDescriptionRole)
                    item.setFlags(Qt.ItemFlag.NoItemFlags)
                self._model.appendRow(item)
        self._combo.setCurrentIndex(index)

    def _actions(self) -> list[tuple[str, str]]:
        label = self.nodeTypeLabel(self.nodeTypes[0] if len(self.nodeTypes) == 1 else "")
        actions = []
        if self.renameEnabled:
            actions.append((f"Rename current {label}", "RENAME"))
        if self.editEnabled:
            actions.append((f"Edit current {label}", "EDIT"))
        if self.addEnabled:
            for node_type in self.nodeTypes:
                type_label = self.nodeTypeLabel(node_type)
                actions.append((f"Create new {type_label}", f"CREATE/{node_type}"))
                if self.renameEnabled:
                    actions.append((f"Create new {type_label} as...", f"CREATE_AS/{node_type}"))
        if self.removeEnabled:
            actions.append((f"Delete current {label}", "DELETE"))
        actions += [(action.text, f"USER/{action.text}") for action in self._menu_actions]
        return [("", "SEPARATOR"), *actions] if actions else []

    def _synchronize_all(self) -> None:
        self._synchronize_none()
        self._synchronize_nodes()
        self._synchronize_actions()
        self._update_default_text()

    def _update_default_text(self) -> None:
        self._combo.defaultText = f"Select a {self.nodeTypeLabel(next(iter(self.nodeTypes), ''))}"

    # ---- events ----

    def _observe_node(self, node: Any) -> None:
        if node.GetID() not in self._node_tags:
            tag = observe(self, node, vtk.vtkCommand.ModifiedEvent, self._node_modified)
            self._node_tags[node.GetID()] = (node, tag)

    def _forget_scene(self) -> None:
        for tag in self._scene_tags:
            self._scene.RemoveObserver(tag)
        for node, tag in self._node_tags.values():
            node.RemoveObserver(tag)
        self._scene_tags, self._node_tags = [], {}

    def _node_added(self, scene: Any, node: Any) -> None:
        self._synchronize_nodes()

    def _node_modified(self, node: Any, _: Any) -> None:
        self._synchronize_nodes()

    def _node_about_to_be_removed(self, scene: Any, node: Any) -> None:
        self._leaving = node
        try:
            self._synchronize_nodes()
        finally:
            self._leaving = None
        observed = self._node_tags.pop(node.GetID(), None) if node is not None else None
        if observed is not None:
            observed[0].RemoveObserver(observed[1])

    def _node_removed(self, scene: Any, node: Any) -> None:
        self._synchronize_nodes()

    def _emit_current_node_changed(self, _: str = "") -> None:
        if self._switching_scene:
            return
        index, node = self._combo.currentIndex, self.currentNode()
        if node is None and index != (0 if self.noneEnabled else -1):
            # The row that Qt chose after a removal is an action: take the last node instead, if there is one.
            last = self.nodeFromIndex(self.nodeCount() - 1) if self.nodeCount() else None
            if last is not None:
                self.setCurrentNode(last)
            return
        self.currentNodeChanged.emit(node)
        self._current_node_is_valid.emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def _activated(self, row: int) -> None:
        node = self._node(self._id_at(row))
        if node is not None or (self.noneEnabled and row == 0):
            self.nodeActivated.emit(node)

    def _activate_action(self, action: str | None) -> None:
        kind, _, argument = (action or "").partition("/")
        if kind in ("CREATE", "CREATE_AS"):
            name = self._ask_name(f"Create new {self.nodeTypeLabel(argument)}", "") if kind == "CREATE_AS" else None
            if kind == "CREATE_AS" and not name:
                return
            node = self.addNode(argument)
            if name:
                node.SetName(name)
            self.setCurrentNode(node)
            self.nodeAddedByUserAction.emit(node)
        elif kind == "DELETE":
            self.removeCurrentNode()
        elif kind == "EDIT":
            self.editCurrentNode()
        elif kind == "RENAME":
            self.renameCurrentNode()
        elif kind == "USER":
            next(known for known in self._menu_actions if known.text == argument).trigger()

    def _ask_name(self, title: str, default: str) -> str:
        mode = QtWidgets.QLineEdit.EchoMode.Normal
        return str(QtWidgets.QInputDialog.getText(self, title, "New name:", mode, default))


for _name in (
    "qMRMLRangeWidget",
    "qMRMLSliderWidget",
    "qMRMLSpinBox",
    "qMRMLSubjectHierarchyComboBox",
    "qMRMLSubjectHierarchyTreeView",
):
    setattr(slicer, _name, missing_widget(_name))

__all__ = ["observe", "qMRMLNodeComboBox", "qMRMLWidget"]
