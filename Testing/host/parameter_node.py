"""A stand-in for `slicer.parameterNodeWrapper`: typed properties over a scripted module node, bound to widgets.

Same contract as Slicer's own for the types a registration panel needs: bool, int, float, str, Path, Enum (stored
by name), nodes and unions of nodes, `X | None` of nodes, with `WithinRange`, `Minimum`, `Maximum`, `Choice` and
`Default`; the same text in the same place of the node, so that scenes saved by one are read by the other.
Not here: parameter packs, lists, dictionaries, FloatRange, QColor, custom serializers; they are refused with an
error when the class is made. Set `SLICER_PYTHON_SOURCES` to run on Slicer's own wrapper instead.
"""

from __future__ import annotations

import enum
import pathlib
import types
import typing
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Annotated, Any

import slicer
import vtk

import host.qmrml_widgets  # noqa: F401  # the binding below names its classes
from host.ctk_widgets import ctk
from host.python_qt import qt

SlicerParameterNamePropertyName = "SlicerParameterName"


# ---- annotations ----


class Validator:
    """Base of what `Annotated` may say about the values of a parameter."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError


class WithinRange(Validator):
    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


class Minimum(Validator):
    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


class Maximum(Validator):
    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


class Choice(Validator):
    def __init__(self, choices: list[Any]) -> None:
        self.choices = choices

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be in one of the following: {self.choices}")


class Default:
    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator is not None else self._value


@dataclass
class Decimals:
    value: int


@dataclass
class SingleStep:
    value: float


def _split(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    arguments = typing.get_args(Annotated[hint, "stub"])
    return arguments[0], arguments[1:-1]


def _annotation(annotations: tuple[Any, ...], kind: type) -> Any:
    return next((annotation for annotation in annotations if isinstance(annotation, kind)), None)


# ---- one parameter ----


def _node_classes(kind: Any) -> list[type]:
    """The node classes of a node type or a union of such, else nothing."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(kind) if member is not type(None)]
        classes = [name for member in members for name in _node_classes(_split(member)[0])]
        return classes if len(classes) == len(members) else []
    return [kind] if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode) else []


class Parameter:
    """How one field is written to a scripted module node and read back."""

    def __init__(self, owner: type, name: str, hint: Any) -> None:
        self.name, self.hint = name, hint
        self.kind, self.annotations = _split(hint)
        self.node_classes = _node_classes(self.kind)
        simple = isinstance(self.kind, type) and (
            self.kind in (bool, int, float, str) or issubclass(self.kind, enum.Enum | pathlib.PurePath)
        )
        if not self.node_classes and not simple:
            raise TypeError(
                f"Unable to create serializer for {owner} member {name}: the host's stand-in knows bool, int, "
                f"float, str, Path, Enum and nodes, not {hint}."
            )
        self.validators = [annotation for annotation in self.annotations if isinstance(annotation, Validator)]
        given = _annotation(self.annotations, Default)
        if name in vars(owner):
            self.default = Default(vars(owner)[name])
        elif given is not None:
            self.default = given
        elif self.node_classes:
            self.default = Default(None)
        elif issubclass(self.kind, enum.Enum):
            self.default = Default(next(iter(self.kind)))
        else:
            self.default = Default(self.kind())

    def is_in(self, node: Any) -> bool:
        return bool(node.HasParameter(self.name))

    def read(self, node: Any) -> Any:
        if not self.is_in(node):
            self.write(node, self.default.value)
        if self.node_classes:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.kind is bool:
            return text == "True"
        if issubclass(self.kind, enum.Enum):
            if text not in self.kind.__members__:
                raise ValueError(f"Found {text!r} in parameter node but it is not a name in {self.kind!r}")
            return self.kind[text]
        return self.kind(text)

    def write(self, node: Any, value: Any) -> None:
        self._check(value)
        if self.node_classes:
            # The empty text says that the reference is set on purpose, to nothing perhaps.
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        elif self.kind is bool:
            node.SetParameter(self.name, "True" if value else "False")
        else:
            node.SetParameter(self.name, value.name if issubclass(self.kind, enum.Enum) else str(value))

    def _check(self, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)
        if self.node_classes:
            if value is None and len(self.node_classes) > 1 and type(None) not in typing.get_args(self.kind):
                raise TypeError(
                    f"Unable to write value 'None' of type '{type(None)}': {self.name} needs Union[..., None]"
                )
            if value is not None and not isinstance(value, tuple(self.node_classes)):
                raise TypeError(f"{self.name} must be a {self.hint}, is {type(value)}")
        elif value is None:
            raise ValueError(f"{self.name} must not be None")
        elif not isinstance(value, (int, float) if self.kind is float else self.kind):
            raise TypeError(f"{self.name} must be of type {self.kind}, is {type(value)} ({value!r})")


# ---- binding to widgets: Slicer matches the exact type of the widget, and so does this ----


@dataclass
class Binding:
    """One parameter on one widget."""

    signal: Any
    read: Callable[[], Any]
    write: Callable[[Any], None]


def _bind(widget: Any, parameter: Parameter) -> Binding:  # noqa: PLR0911  # one return a widget
    kind, annotations = parameter.kind, parameter.annotations
    if parameter.node_classes and type(widget) is slicer.qMRMLNodeComboBox:
        widget.nodeTypes = [cls.__name__ for cls in parameter.node_classes]
        return Binding(widget.currentNodeChanged, widget.currentNode, widget.setCurrentNode)
    if kind is bool and type(widget) in (qt.QCheckBox, ctk.ctkCheckBox):
        return Binding(widget.stateChanged, lambda: widget.checked, widget.setChecked)
    if kind is bool and type(widget) is qt.QPushButton:
        widget.checkable = True
        return Binding(widget.toggled, lambda: widget.checked, widget.setChecked)
    if type(widget) in (qt.QComboBox, ctk.ctkComboBox):
        return _bind_combo_box(widget, parameter)
    if kind is int and type(widget) in (qt.QSlider, qt.QSpinBox):
        _set_limits(widget, annotations, parameter, needed=type(widget) is qt.QSlider)
        return Binding(widget.valueChanged, lambda: widget.value, widget.setValue)
    if kind in (int, float) and type(widget) in (qt.QDoubleSpinBox, ctk.ctkSliderWidget, ctk.ctkDoubleSpinBox):
        if kind is int:
            widget.decimals = 0
        elif (decimals := _annotation(annotations, Decimals)) is not None:
            widget.decimals = decimals.value
        _set_limits(widget, annotations, parameter, needed=type(widget) is ctk.ctkSliderWidget)
        return Binding(widget.valueChanged, lambda: kind(widget.value), widget.setValue)
    if kind is str and type(widget) is qt.QLineEdit:
        return Binding(widget.textChanged, lambda: widget.text, lambda v: v != widget.text and widget.setText(v))
    if kind is str and type(widget) is qt.QTextEdit:
        return Binding(widget.textChanged, widget.toPlainText, widget.setPlainText)
    if isinstance(kind, type) and issubclass(kind, pathlib.PurePath) and type(widget) is ctk.ctkPathLineEdit:
        return Binding(
            widget.currentPathChanged, lambda: kind(widget.currentPath), lambda v: widget.setCurrentPath(str(v))
        )
    raise RuntimeError(f"Unable to create GUI connector from datatype '{parameter.hint}' to '{type(widget)}'.")


def _bind_combo_box(widget: Any, parameter: Parameter) -> Binding:
    if isinstance(parameter.kind, type) and issubclass(parameter.kind, enum.Enum):
        choices = list(parameter.kind)
        labels = [choice.label() if hasattr(choice, "label") else choice.name for choice in choices]
    else:
        choice = _annotation(parameter.annotations, Choice)
        if choice is None:
            raise RuntimeError(f"{parameter.name} needs the Choice annotation to be bound to a combo box.")
        choices, labels = choice.choices, [str(value) for value in choice.choices]
    widget.clear()
    widget.addItems(labels)
    return Binding(
        widget.currentIndexChanged,
        lambda: choices[widget.currentIndex],
        lambda value: widget.setCurrentIndex(choices.index(value)),
    )


def _set_limits(widget: Any, annotations: tuple[Any, ...], parameter: Parameter, needed: bool) -> None:
    within = _annotation(annotations, WithinRange)
    low = within or _annotation(annotations, Minimum)
    high = within or _annotation(annotations, Maximum)
    if needed and (low is None or high is None):
        raise RuntimeError(f"{parameter.name} needs WithinRange to be bound to a {type(widget).__name__}.")
    step = _annotation(annotations, SingleStep)
    if step is not None:
        widget.singleStep = step.value
    whole = isinstance(widget, qt.QSpinBox)
    widget.minimum = low.minimum if low is not None else -(2**31) if whole else float("-inf")
    widget.maximum = high.maximum if high is not None else 2**31 - 1 if whole else float("inf")


# ---- the decorator ----


class ParameterNodeWrapper:
    """What the decorator adds to a class; `allParameters` maps field names to `Parameter`."""

    allParameters: typing.ClassVar[dict[str, Parameter]]

    def __init__(self, parameterNode: Any) -> None:
        self.parameterNode = parameterNode
        self._bindings: dict[int, dict[str, tuple[Binding, Callable[..., None]]]] = {}
        self._tags: dict[int, int] = {}
        self._updating = False
        for parameter in self.allParameters.values():
            if not parameter.is_in(parameterNode):
                parameter.write(parameterNode, parameter.default.value)
        # Slicer's wrapper remembers each value until the node says it was modified. That shows: a node reference
        # that becomes valid later, as when a scene is loaded, stays None until then.
        self._cache: dict[str, Any] = {}
        self._read_all()
        weak_self = weakref.ref(self)

        def modified(caller: Any, event: str) -> None:
            wrapper = weak_self()
            if wrapper is not None:
                wrapper._read_all()

        cache_tag = parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, modified)
        weakref.finalize(self, parameterNode.RemoveObserver, cache_tag).atexit = False

    def _read_all(self) -> None:
        self._cache = {name: p.read(self.parameterNode) for name, p in self.allParameters.items()}

    @classmethod
    def _parameter(cls, name: str) -> Parameter:
        if name not in cls.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return cls.allParameters[name]

    def getValue(self, name: str) -> Any:
        self._parameter(name)
        return self._cache[name]

    def setValue(self, name: str, value: Any) -> None:
        with slicer.util.NodeModify(self.parameterNode):  # observers are called when the new value is in place
            self._parameter(name).write(self.parameterNode, value)
            self._cache[name] = self._parameter(name).read(self.parameterNode)

    def default(self, name: str) -> Default:
        return self._parameter(name).default

    def isCached(self, name: str) -> bool:
        self._parameter(name)
        return True

    @classmethod
    def dataType(cls, name: str) -> Any:
        return cls._parameter(name).hint

    def connectGui(self, gui: Any) -> int:
        children = gui.findChildren(qt.QWidget) if getattr(gui, "isWidgetType", bool)() else vars(gui).values()
        mapping = {}
        for widget in children:
            name = widget.property(SlicerParameterNamePropertyName)
            if name:
                mapping[name] = widget
        return self.connectParametersToGui(mapping)

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        parameters = {name: self._parameter(name) for name in mapping}
        tag = max(self._bindings, default=-1) + 1
        bindings = {name: _bind(widget, parameters[name]) for name, widget in mapping.items()}
        self._bindings[tag] = {}
        for name, binding in bindings.items():
            binding.write(self.getValue(name))
            slot = self._make_slot(name, binding)
            binding.signal.connect(slot)
            self._bindings[tag][name] = (binding, slot)
        self._tags[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update_gui())
        return tag

    def _make_slot(self, name: str, binding: Binding) -> Callable[..., None]:
        def changed(*_: Any) -> None:
            if not self._updating:
                self.setValue(name, binding.read())

        return changed

    def _update_gui(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for bindings in list(self._bindings.values()):
                for name, (binding, _) in bindings.items():
                    binding.write(self.getValue(name))
        finally:
            self._updating = False

    def disconnectGui(self, tag: int) -> None:
        for binding, slot in self._bindings.pop(tag, {}).values():
            binding.signal.disconnect(slot)
        if tag in self._tags:
            self.RemoveObserver(self._tags.pop(tag))

    def StartModify(self) -> Any:
        return self.parameterNode.StartModify()

    def EndModify(self, was_modified: Any) -> None:
        self.parameterNode.EndModify(was_modified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return int(self.parameterNode.AddObserver(event, callback, priority))

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def _property(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def parameterNodeWrapper(cls: type | None = None) -> Any:
    """Makes the annotated fields of a class properties over a parameter node."""
    if cls is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(cls, include_extras=True)
    cls.allParameters = {name: Parameter(cls, name, hint) for name, hint in hints.items()}
    for name, member in vars(ParameterNodeWrapper).items():
        if name == "__init__" or (not name.startswith("__") and isinstance(member, FunctionType | classmethod)):
            if name != "__init__" and (hasattr(cls, name) or name in hints):
                raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
            setattr(cls, name, member)
    for name in hints:
        setattr(cls, name, _property(name))
    cls._is_parameter_node_wrapper = True
    return cls


def isParameterNodeWrapper(class_or_object: Any) -> bool:
    return getattr(class_or_object, "_is_parameter_node_wrapper", False)


PUBLIC_NAMES = (
    "Choice",
    "Decimals",
    "Default",
    "Maximum",
    "Minimum",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
)
