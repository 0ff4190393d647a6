"""Stand-ins for the CTK widgets that a registration panel uses.

Each shows Python what PythonQt shows of the real one, and no more: its Q_PROPERTYs, public slots and signals,
as declared in CTK's headers. In particular `ctkSliderWidget` has no `setRange` and `ctkCollapsibleButton` no
`setCollapsed`: those are C++ methods that are neither slots nor invokable. Looks are approximate.
"""

from __future__ import annotations

import sys
import types
from typing import Any, ClassVar

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Qt, Signal

from host.python_qt import custom_widget

ctk = sys.modules["ctk"] = types.ModuleType("ctk")
HEADER_HEIGHT = 24
UNLIMITED = 16777215  # QWIDGETSIZE_MAX


def lay_in_a_row(widget: QtWidgets.QWidget, *inner: QtWidgets.QWidget) -> None:
    """Make ``widget`` a row, one line high, of the widgets it consists of."""
    layout = QtWidgets.QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    widget.setSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Fixed)
    for each in inner:
        layout.addWidget(each)


def stored(kind: Any, name: str, default: Any) -> Property:
    """A Qt property that only remembers its value: it changes looks that the host does not imitate."""
    key = f"_stored_{name}"

    def read(self: Any) -> Any:
        return self.__dict__.get(key, default)

    def write(self: Any, value: Any) -> None:
        self.__dict__[key] = tuple(value) if kind == "QStringList" else value

    return Property(kind, read, write)


def forwarded(kind: Any, name: str, inner: str) -> Property:
    """A Qt property that is one of the inner widget `self.<inner>`."""

    def read(self: Any) -> Any:
        return getattr(self.__dict__[inner], name)

    def write(self: Any, value: Any) -> None:
        setattr(self.__dict__[inner], name, value)

    return Property(kind, read, write)


@custom_widget(ctk)
class ctkCheckBox(QtWidgets.QCheckBox):
    """A QCheckBox with an icon, which is not drawn here."""

    indicatorIcon = stored(QtGui.QIcon, "indicatorIcon", None)
    indicatorIconSize = stored(QtCore.QSize, "indicatorIconSize", None)


@custom_widget(ctk)
class ctkComboBox(QtWidgets.QComboBox):
    """A QComboBox; shows `defaultText` while nothing is selected."""

    NeverScroll, AlwaysScroll, ScrollWithFocus, ScrollWithNoVScrollBar = range(4)
    returnRelease = Signal()

    def _default_text(self) -> str:
        return self.__dict__.get("_default", "")

    def _set_default_text(self, text: str) -> None:
        self.__dict__["_default"] = text
        self.update()

    def paintEvent(self, event: Any) -> None:
        painter, option = QtWidgets.QStylePainter(self), QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        if self.currentIndex == -1:
            option.currentText = self._default_text()
        painter.drawComplexControl(QtWidgets.QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()

    def _user_data(self) -> str:
        return str(self.currentData() or "")

    def setCurrentUserDataAsString(self, text: str) -> None:
        self.setCurrentIndex(self.findData(text))

    defaultText = Property(str, _default_text, _set_default_text)
    forceDefault = stored(bool, "forceDefault", False)
    scrollWheelEffect = stored(int, "scrollWheelEffect", AlwaysScroll)
    currentUserDataAsString = Property(str, _user_data, setCurrentUserDataAsString)


@custom_widget(ctk)
class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A titled section; a click on its header hides and shows the children."""

    contentsCollapsed = Signal(bool)

    def __init__(self, text: Any = None, parent: Any = None) -> None:
        super().__init__(parent if isinstance(text, str) else text)
        if isinstance(text, str):
            self.setText(text)
        self._is_collapsed = False
        self._hidden_by_us: list[Any] = []
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Minimum, QtWidgets.QSizePolicy.Policy.Preferred)
        self.setContentsMargins(0, HEADER_HEIGHT, 0, 0)
        self.toggled.connect(lambda on: self._collapse(not on))

    def _collapse(self, collapsed: bool) -> None:
        collapsed = bool(collapsed)
        if collapsed == self._is_collapsed:
            return
        self._is_collapsed = collapsed
        self.setChecked(not collapsed)
        direct = Qt.FindChildOption.FindDirectChildrenOnly
        if collapsed:  # a child that was hidden before must stay hidden afterwards
            children = self.findChildren(QtWidgets.QWidget, options=direct)
            self._hidden_by_us = [child for child in children if not child.isHidden()]
        for child in self._hidden_by_us:
            child.setVisible(not collapsed)
        self.setMaximumHeight(HEADER_HEIGHT if collapsed else UNLIMITED)
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    def _collapsed(self) -> bool:
        return self._is_collapsed

    collapsed = Property(bool, _collapsed, _collapse, notify=contentsCollapsed)
    collapsedHeight = stored(int, "collapsedHeight", 10)
    flat = stored(bool, "flat", False)
    contentsFrameShape = stored(int, "contentsFrameShape", 0)
    contentsFrameShadow = stored(int, "contentsFrameShadow", 0)
    contentsLineWidth = stored(int, "contentsLineWidth", 1)
    contentsMidLineWidth = stored(int, "contentsMidLineWidth", 0)
    buttonTextAlignment = stored(int, "buttonTextAlignment", 0)
    indicatorAlignment = stored(int, "indicatorAlignment", 0)

    def hitButton(self, position: Any) -> bool:
        return bool(position.y() < HEADER_HEIGHT)

    def sizeHint(self) -> Any:
        hint = self.layout().totalSizeHint() if self.layout() and not self._is_collapsed else QtCore.QSize(0, 0)
        return hint.expandedTo(QtCore.QSize(120, HEADER_HEIGHT))

    def minimumSizeHint(self) -> Any:
        return self.sizeHint()

    def paintEvent(self, event: Any) -> None:
        painter, option = QtWidgets.QStylePainter(self), QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width, HEADER_HEIGHT)
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option)
        arrow = "▸" if self._is_collapsed else "▾"
        box = option.rect.adjusted(8, 0, 0, 0)
        alignment = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawItemText(box, int(alignment), self.palette, self.enabled, f"{arrow} {self.text}")
        painter.end()


@custom_widget(ctk)
class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    """A QGroupBox whose check mark hides and shows its children."""

    def __init__(self, title: Any = None, parent: Any = None) -> None:
        super().__init__(parent if isinstance(title, str) else title)
        if isinstance(title, str):
            self.setTitle(title)
        self._hidden_by_us: list[Any] = []
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(self._expand)

    def _expand(self, expand: bool) -> None:
        direct = Qt.FindChildOption.FindDirectChildrenOnly
        if not expand:
            children = self.findChildren(QtWidgets.QWidget, options=direct)
            self._hidden_by_us = [child for child in children if not child.isHidden()]
        for child in self._hidden_by_us:
            child.setVisible(expand)

    def _collapsed(self) -> bool:
        return not self.checked

    def _collapse(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, _collapsed, _collapse)
    collapsedHeight = stored(int, "collapsedHeight", 14)


@custom_widget(ctk)
class ctkDoubleSpinBox(QtWidgets.QWidget):
    """A QDoubleSpinBox inside a plain widget, as in CTK."""

    SetAlways, SetIfDifferent = range(2)
    FixedDecimals, DecimalsByShortcuts, DecimalsByKey, DecimalsByValue = 0, 1, 2, 4
    InsertDecimals, ReplaceDecimals, DecimalsAsMax, DecimalsAsMin = 8, 16, 32, 64
    valueChanged = Signal(float)
    editingFinished = Signal()
    decimalsChanged = Signal(int)
    _cpp_signals: ClassVar = {"valueChanged(double)": "valueChanged"}

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._spin = QtWidgets.QDoubleSpinBox()
        lay_in_a_row(self, self._spin)
        self._spin.valueChanged.connect(self.valueChanged)
        self._spin.editingFinished.connect(self.editingFinished)

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)

    def setDecimals(self, decimals: int) -> None:
        self._spin.setDecimals(decimals)
        self.decimalsChanged.emit(decimals)

    def setReadOnly(self, read_only: bool) -> None:
        self._spin.setReadOnly(read_only)

    def stepUp(self) -> None:
        self._spin.stepUp()

    def stepDown(self) -> None:
        self._spin.stepDown()

    value = forwarded(float, "value", "_spin")
    minimum = forwarded(float, "minimum", "_spin")
    maximum = forwarded(float, "maximum", "_spin")
    singleStep = forwarded(float, "singleStep", "_spin")
    decimals = forwarded(int, "decimals", "_spin")
    prefix = forwarded(str, "prefix", "_spin")
    suffix = forwarded(str, "suffix", "_spin")
    readOnly = forwarded(bool, "readOnly", "_spin")
    frame = forwarded(bool, "frame", "_spin")
    cleanText = forwarded(str, "cleanText", "_spin")
    decimalsOption = stored(int, "decimalsOption", DecimalsByShortcuts)
    setMode = stored(int, "setMode", SetIfDifferent)


@custom_widget(ctk)
class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box that show the same number."""

    STEPS = 1000
    NoSynchronize, SynchronizeWidth, SynchronizeDecimals = 0, 1, 2
    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)
    _cpp_signals: ClassVar = {
        "valueChanged(double)": "valueChanged",
        "valueIsChanging(double)": "valueIsChanging",
    }

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(Qt.Orientation.Horizontal)
        self._slider.setRange(0, self.STEPS)
        self._spin = QtWidgets.QDoubleSpinBox()
        lay_in_a_row(self, self._slider, self._spin)
        self._spin.valueChanged.connect(self._number_changed)
        self._slider.sliderMoved.connect(self._slider_moved)

    def _number_changed(self, value: float) -> None:
        extent = self._spin.maximum - self._spin.minimum
        self._slider.setValue(round((value - self._spin.minimum) / extent * self.STEPS) if extent else 0)
        self.valueChanged.emit(value)

    def _slider_moved(self, step: int) -> None:
        extent = self._spin.maximum - self._spin.minimum
        self._spin.setValue(self._spin.minimum + extent * step / self.STEPS)

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)

    def setDecimals(self, decimals: int) -> None:
        self._spin.setDecimals(decimals)
        self.decimalsChanged.emit(decimals)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._spin.setVisible(visible)

    def reset(self) -> None:
        self.setValue(0)

    def _spin_box_visible(self) -> bool:
        return not self._spin.isHidden()

    value = forwarded(float, "value", "_spin")
    minimum = forwarded(float, "minimum", "_spin")
    maximum = forwarded(float, "maximum", "_spin")
    singleStep = forwarded(float, "singleStep", "_spin")
    decimals = forwarded(int, "decimals", "_spin")
    prefix = forwarded(str, "prefix", "_spin")
    suffix = forwarded(str, "suffix", "_spin")
    tracking = forwarded(bool, "tracking", "_slider")
    tickInterval = stored(float, "tickInterval", 0.0)
    tickPosition = stored(int, "tickPosition", 0)
    pageStep = stored(float, "pageStep", 10.0)
    popupSlider = stored(bool, "popupSlider", False)
    invertedAppearance = forwarded(bool, "invertedAppearance", "_slider")
    invertedControls = forwarded(bool, "invertedControls", "_slider")
    synchronizeSiblings = stored(int, "synchronizeSiblings", NoSynchronize)
    spinBoxAlignment = stored(int, "spinBoxAlignment", 0)
    spinBoxVisible = Property(bool, _spin_box_visible, setSpinBoxVisible)


@custom_widget(ctk)
class ctkPathLineEdit(QtWidgets.QWidget):
    """A line for a path, with a button that asks for it; the history of paths is not kept here."""

    Dirs, Files, Drives, NoSymLinks, Readable, Writable, Executable = 1, 2, 4, 8, 16, 32, 64
    Modified, Hidden, System, AllDirs, CaseSensitive = 128, 256, 512, 0x400, 0x800
    NoDotAndDotDot, NoDot, NoDotDot, NoFilter = 0x1000, 0x2000, 0x4000, -1
    AllEntries = Dirs | Files | Drives
    ShowDirsOnly, DontResolveSymlinks, DontConfirmOverwrite, DontUseSheet = 1, 2, 4, 8
    DontUseNativeDialog, ReadOnly, HideNameFilterDetails = 16, 32, 64
    AdjustToContents, AdjustToContentsOnFirstShow, AdjustToMinimumContentsLength = range(3)
    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)

    def __init__(self, *arguments: Any) -> None:
        label, name_filters, filters, parent = (None, (), self.AllEntries, None)
        if arguments and isinstance(arguments[0], str):
            label, name_filters, filters, parent = (*arguments, *[(), self.AllEntries, None][len(arguments) - 1 :])
        elif arguments:
            parent = arguments[0]
        super().__init__(parent)
        self._combo = QtWidgets.QComboBox()
        self._combo.setEditable(True)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._browse = QtWidgets.QToolButton()
        self._browse.setText("...")
        lay_in_a_row(self, self._combo, self._browse)
        self._browse.clicked.connect(self.browse)
        self._combo.editTextChanged.connect(self.currentPathChanged)
        self.label, self.nameFilters, self.filters = label or "", name_filters, filters

    def setCurrentPath(self, path: str) -> None:
        self._combo.setEditText(path)

    def browse(self) -> None:
        if self.filters & self.Files and self.filters & self.Writable:
            path = QtWidgets.QFileDialog.getSaveFileName(self, self.label, self._path(), ";;".join(self.nameFilters))
        elif self.filters & self.Files:
            path = QtWidgets.QFileDialog.getOpenFileName(self, self.label, self._path(), ";;".join(self.nameFilters))
        else:
            path = QtWidgets.QFileDialog.getExistingDirectory(self, self.label, self._path())
        if path:
            self.setCurrentPath(path)

    def retrieveHistory(self) -> None:
        return None

    def addCurrentPathToHistory(self) -> None:
        return None

    def comboBox(self) -> Any:
        return self._combo

    def _path(self) -> str:
        return str(self._combo.currentText)

    def _show_browse(self) -> bool:
        return not self._browse.isHidden()

    def _set_show_browse(self, visible: bool) -> None:
        self._browse.setVisible(visible)

    currentPath = Property(str, _path, setCurrentPath)
    label = stored(str, "label", "")
    filters = stored(int, "filters", AllEntries)
    options = stored(int, "options", 0)
    settingKey = stored(str, "settingKey", "")
    showBrowseButton = Property(bool, _show_browse, _set_show_browse)
    showHistoryButton = stored(bool, "showHistoryButton", True)
    sizeAdjustPolicy = stored(int, "sizeAdjustPolicy", AdjustToContentsOnFirstShow)
    minimumContentsLength = stored(int, "minimumContentsLength", 0)
    nameFilters = stored("QStringList", "nameFilters", ())


@custom_widget(ctk)
class ctkFittedTextBrowser(QtWidgets.QTextBrowser):
    """A text browser as high as its text."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.__dict__["_full_text"] = ""

    def setCollapsibleText(self, text: str) -> None:
        self.__dict__["_full_text"] = text
        self.setText(text)

    def setCollapsibleHtml(self, text: str) -> None:
        self.__dict__["_full_text"] = text
        self.setHtml(text)

    def setCollapsiblePlainText(self, text: str) -> None:
        self.__dict__["_full_text"] = text
        self.setPlainText(text)

    def collapsibleText(self) -> str:
        return self.__dict__["_full_text"]

    collapsed = stored(bool, "collapsed", True)
    disableMouseScroll = stored(bool, "disableMouseScroll", False)
    showDetailsText = stored(str, "showDetailsText", "Show details...")
    hideDetailsText = stored(str, "hideDetailsText", "Hide details.")


@custom_widget(ctk)
class ctkMessageBox(QtWidgets.QMessageBox):
    """The message box of `slicer.util`; its "don't show again" box is not drawn."""

    dontShowAgain = stored(bool, "dontShowAgain", False)
    dontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)
    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")


def missing_widget(name: str) -> type:
    """A class that may be named, as Slicer's own binding code does, but not used."""

    def refuse(self: Any, *arguments: Any) -> None:
        raise NotImplementedError(f"The host has no stand-in for {name}: write one in host/ctk_widgets.py.")

    return type(name, (), {"__init__": refuse, "__doc__": f"No stand-in for {name} yet."})


for _name in (
    "ctkCheckablePushButton",
    "ctkColorPickerButton",
    "ctkDirectoryButton",
    "ctkDoubleRangeSlider",
    "ctkDoubleSlider",
    "ctkRangeWidget",
):
    setattr(ctk, _name, missing_widget(_name))
