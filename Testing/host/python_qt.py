"""The module `qt` on PySide6, with the manners of PythonQt, Slicer's own bridge to Qt.

What differs between the two, and is imitated here so that code that runs here also runs in Slicer:

- Qt properties are attributes (`button.text`, `button.text = "Go"`), not methods.
- A name that a C++ object does not have cannot be set on it: `button.tooltip = "..."` is an error, not a new
  Python attribute. Slots and signals cannot be overwritten either.
- `connect("clicked(bool)", f)` takes a C++ signature. A signal that does not exist is an error.
- `QDialog.exec_`, `objectName` under the name `name`, `className()`.
- Dialogs that return a tuple in PySide6 return a single value: see `dialogs.py`.

Not imitated: enumerations are Python enums here and integers in PythonQt; `sizeHint`, `minimumSizeHint` and
`spacing` stay methods, because Qt itself calls them by name; Qt is version 6 here and 5.15 in Slicer 5.10 and
5.12; ownership and garbage collection follow PySide6.
"""

from __future__ import annotations

import ctypes
import os
import sys
import types
from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any
from xml.etree import ElementTree

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from PySide6.QtCore import QObject

if sys.version_info < (3, 12):
    # PySide6 6.12 returns None, True and False without taking a reference, which only Python 3.12 and later, where
    # they are immortal, forgives: after some ten thousand calls an older Python aborts. So they get references enough.
    for _constant in (None, True, False):
        ctypes.c_ssize_t.from_address(id(_constant)).value += 1 << 40

VIRTUAL_METHODS = {"sizeHint", "minimumSizeHint", "spacing"}
"""Properties that Qt also calls as virtual methods; making them attributes would recurse without end."""

qt = sys.modules["qt"] = types.ModuleType("qt")
custom_widgets: dict[str, type] = {}
"""The stand-ins for C++ widgets that PySide6 does not know, by the class name that .ui files use."""


def custom_widget(namespace: types.ModuleType) -> Callable[[type], type]:
    """Decorates a stand-in: puts it into `ctk` or `slicer`, and lets .ui files use it."""

    def register(widget_class: type) -> type:
        custom_widgets[widget_class.__name__] = widget_class
        setattr(namespace, widget_class.__name__, widget_class)
        _make_properties_of(widget_class)
        widget_class.__setattr__ = _strict_setattr
        return widget_class

    return register


def is_cpp_class(cls: type) -> bool:
    """Whether this class is C++ in Slicer, so that Python code cannot add attributes to its objects."""
    return cls.__module__.startswith("PySide6.") or custom_widgets.get(cls.__name__) is cls


# ---- properties, signals, attributes ----


class _QtProperty(property):
    """On an object the Qt property; on the class what was there, such as the static `QTimer.singleShot`."""

    hidden: Any = None

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None and self.hidden is not None:
            return self.hidden
        return super().__get__(instance, owner)


def property_of(name: str) -> _QtProperty:
    """A Python property over the Qt property of this name."""

    def read(self: QObject) -> Any:
        value = QObject.property(self, name)
        return tuple(value) if isinstance(value, list) else value  # PythonQt gives string lists as tuples

    def write(self: QObject, value: Any) -> None:
        value = list(value) if isinstance(value, tuple) else value  # PySide6 knows lists only
        if not QObject.setProperty(self, name, value):
            raise AttributeError(
                f"Property '{name}' of {type(self).__name__} does not accept "
                f"an object of type {type(value).__name__} ({value!r})"
            )

    return _QtProperty(read, write)


def _make_properties_of(cls: type) -> None:
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        # A stand-in declares its own properties; it may keep them as they are.
        if name not in VIRTUAL_METHODS and cls.__module__.startswith("PySide6."):
            attribute = property_of(name)
            attribute.hidden = getattr(cls, name, None)
            setattr(cls, name, attribute)


def _signal(self: QObject, signature: str) -> Any:
    """The signal of a C++ signature such as `currentNodeChanged(vtkMRMLNode*)`."""
    normalized = bytes(QtCore.QMetaObject.normalizedSignature(signature).data()).decode()
    name, _, arguments = normalized.partition("(")
    arguments = arguments.removesuffix(")")
    mro_signals = [vars(cls).get("_cpp_signals", {}) for cls in type(self).__mro__]
    for signals in mro_signals:
        if normalized in signals:
            return _original_getattribute(self, signals[normalized])
    if self.metaObject().indexOfSignal(normalized) < 0:
        raise AttributeError(f"{type(self).__name__} has no signal {signature}")
    signal = _original_getattribute(self, name)
    try:
        return signal[arguments] if arguments else signal
    except (KeyError, IndexError):
        return signal


_original_getattribute = QObject.__getattribute__


def _is_signature(arguments: tuple[Any, ...]) -> bool:
    """Whether these are PythonQt's arguments of `connect`; PySide6 itself calls it with others."""
    return len(arguments) in (1, 2) and isinstance(arguments[0], str) and arguments[0][:1].isalpha()


def _getattribute(self: QObject, name: str) -> Any:
    """PySide6 answers `connect` and `disconnect` itself, below any class attribute."""
    original = _original_getattribute(self, name)
    if name not in ("connect", "disconnect"):
        return original

    def call(*arguments: Any) -> Any:
        if not _is_signature(arguments):
            return original(*arguments)
        signal, slots = _signal(self, arguments[0]), arguments[1:]
        getattr(signal, name)(*slots)
        return True

    return call


def _strict_setattr(self: QObject, name: str, value: Any) -> None:
    if isinstance(value, QtCore.SignalInstance):  # PySide6 keeps a signal on its object after the first look
        self.__dict__[name] = value
        return
    for cls in type(self).__mro__:
        if name in vars(cls):
            found = vars(cls)[name]
            if isinstance(found, QtCore.Property):  # no Python descriptor, though it looks like one
                found = property_of(name)
            if hasattr(type(found), "__set__"):
                found.__set__(self, value)
                return
            if is_cpp_class(cls) and not name.startswith("_"):
                raise AttributeError(f"Slot or signal '{name}' can not be overwritten on {type(self).__name__} object")
            break
    if name in _dynamic_names(self):
        QObject.setProperty(self, name, value)
    elif UiLoader.is_loading and not name.startswith("_"):
        pass  # PySide6 hangs the children on the root widget; PythonQt does not
    elif is_cpp_class(type(self)) and not name.startswith("_"):
        raise AttributeError(
            f"'{name}' does not exist on {type(self).__name__} "
            "and creating new attributes on C++ objects is not allowed"
        )
    else:
        self.__dict__[name] = value


# ---- .ui files ----


class UiLoader(QtUiTools.QUiLoader):
    """`qt.QUiLoader`: knows the stand-ins, and makes the connections that only Slicer's moc could make.

    Stricter than Slicer where Slicer is silent: an unknown widget class, a property that the widget does not
    have and a connection that cannot be made are errors.
    """

    is_loading = False

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:  # Qt calls it by name
        if class_name in custom_widgets:
            widget = custom_widgets[class_name](parent)
            widget.setObjectName(name)
            return widget
        return super().createWidget(class_name, parent, name)

    def load(self, device: Any, parent: Any = None) -> Any:
        root = ElementTree.fromstring(bytes(device.readAll().data()))
        self._check_classes(root)
        connections = _take_connections(root)
        flags = _take_flags(root)
        dynamic = _dynamic_properties(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        UiLoader.is_loading = True
        try:
            widget = super().load(buffer, parent)
        finally:
            UiLoader.is_loading = False
        if widget is None:
            raise RuntimeError(self.errorString())
        # PySide6 frees the Python half of a stand-in that nobody holds, and with it the stand-in's state.
        widget._children_of_ui = widget.findChildren(QObject)
        by_name = {child.objectName: child for child in [widget, *widget._children_of_ui] if child.objectName}
        for name, child in by_name.items():
            unknown = _dynamic_names(child) - dynamic.get(name, set())
            unknown = {key for key in unknown if not key.startswith("_")}
            if unknown:
                listed = ", ".join(sorted(unknown))
                raise RuntimeError(f"{type(child).__name__} '{name}' has no property {listed}.")
        for name, property_name, value in flags:
            setattr(by_name[name], property_name, value)
        for sender, signal, receiver, slot in connections:
            _signal(by_name[sender], signal).connect(getattr(by_name[receiver], slot.partition("(")[0]))
        return widget

    def _check_classes(self, root: ElementTree.Element) -> None:
        known = {*custom_widgets, *self.availableWidgets()}
        unknown = {widget.get("class", "") for widget in root.iter("widget")} - known
        if unknown:
            listed = ", ".join(sorted(unknown))
            raise RuntimeError(f"The .ui file uses {listed}, which the host does not have.")


def _dynamic_names(widget: QObject) -> set[str]:
    return {bytes(name.data()).decode() for name in widget.dynamicPropertyNames()}


def _take_connections(root: ElementTree.Element) -> list[tuple[str, str, str, str]]:
    element = root.find("connections")
    if element is None:
        return []
    found = []
    for connection in list(element):
        element.remove(connection)
        found.append(tuple(connection.findtext(key, "") for key in ("sender", "signal", "receiver", "slot")))
    return found


def _take_flags(root: ElementTree.Element) -> list[tuple[str, str, Any]]:
    """Properties such as `<set>ctkPathLineEdit::Files</set>`, whose values only the stand-in knows."""
    found = []
    for widget in root.iter("widget"):
        for element in list(widget.findall("property")):
            text = element.findtext("set") or element.findtext("enum") or ""
            names = [part.strip().split("::") for part in text.split("|") if "::" in part]
            if names and all(owner[0] in custom_widgets for owner in names):
                value = reduce(or_, [getattr(custom_widgets[owner[0]], owner[-1]) for owner in names])
                found.append((widget.get("name", ""), element.get("name", ""), value))
                widget.remove(element)
    return found


def _dynamic_properties(root: ElementTree.Element) -> dict[str, set[str]]:
    """Per widget, the properties that the file itself says are dynamic (`stdset="0"`)."""
    return {
        widget.get("name", ""): {
            element.get("name", "") for element in widget.findall("property") if element.get("stdset") == "0"
        }
        for widget in root.iter("widget")
    }


# ---- the module itself ----


def _fill() -> None:
    for module in (QtCore, QtGui, QtWidgets, QtUiTools):
        for name in dir(module):
            if not name.startswith("_"):
                vars(qt).setdefault(name, getattr(module, name))
    object_classes = [c for c in vars(qt).values() if isinstance(c, type) and issubclass(c, QObject)]
    for cls in object_classes:
        _make_properties_of(cls)
    QObject.name = property_of("objectName")
    QObject.className = lambda self: self.metaObject().className()
    QObject.__getattribute__ = _getattribute
    for cls in object_classes:  # each PySide6 class has a slot of its own
        cls.__setattr__ = _strict_setattr
    QtWidgets.QDialog.exec_ = lambda self: self.exec()
    qt.QUiLoader = UiLoader


_fill()
