"""What a user does to a panel: click, choose, press keys, wait. Refuses what a user could not do."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

POLL_SECONDS = 0.005


def click(button: Any) -> None:
    """Presses a button that is visible and enabled."""
    _must_be_usable(button)
    button.click()
    slicer.app.processEvents()


def choose(selector: Any, node: Any) -> None:
    """Chooses a node, or None, in a node selector; it must be in the list."""
    _must_be_usable(selector)
    row = selector._row(node.GetID()) if node is not None else (0 if selector.noneEnabled else -1)
    if row < 0:
        name = node.GetName() if node is not None else "None"
        raise AssertionError(f"{name} is not in the list of {selector.objectName}: {menu(selector)}")
    selector._combo.setCurrentIndex(row)
    selector._combo.activated.emit(row)
    slicer.app.processEvents()


def choose_action(selector: Any, text: str) -> None:
    """Chooses the row below the nodes that starts with `text`, such as "Create new" or "Rename current"."""
    _must_be_usable(selector)
    for row in range(selector._model.rowCount()):
        index = selector._model.index(row, 0)
        if str(index.data()).startswith(text) and not selector._id_at(row):
            selector._combo.view().clicked.emit(index)
            slicer.app.processEvents()
            return
    raise AssertionError(f"{selector.objectName} does not offer '{text}': {menu(selector)}")


def menu(selector: Any) -> list[str]:
    """All rows of a node selector, as shown."""
    return [selector._model.item(row).text() for row in range(selector._model.rowCount())]


def choose_text(combo_box: Any, text: str) -> None:
    """Chooses the entry of a combo box by its text."""
    _must_be_usable(combo_box)
    index = combo_box.findText(text)
    if index < 0:
        entries = [combo_box.itemText(i) for i in range(combo_box.count)]
        raise AssertionError(f"{combo_box.objectName} does not offer '{text}': {entries}")
    combo_box.setCurrentIndex(index)
    combo_box.activated.emit(index)
    slicer.app.processEvents()


def press(widget: Any, keys: str) -> None:
    """Presses a key or a combination such as "Ctrl+Return" while the widget has the focus."""
    combination = QtGui.QKeySequence(keys)[0]
    window = widget.window()
    window.show()
    window.activateWindow()
    widget.setFocus()
    slicer.app.processEvents()
    modifiers, key = combination.keyboardModifiers(), combination.key()
    shortcuts = [s for s in window.findChildren(QtGui.QShortcut) if s.key == QtGui.QKeySequence(keys)]
    for shortcut in shortcuts:  # the offscreen platform delivers key events, but no shortcuts
        if shortcut.enabled and _reaches(shortcut, widget):
            shortcut.activated.emit()
            slicer.app.processEvents()
            return
    for kind in (QtCore.QEvent.Type.KeyPress, QtCore.QEvent.Type.KeyRelease):
        QtCore.QCoreApplication.sendEvent(widget, QtGui.QKeyEvent(kind, key, modifiers))
    slicer.app.processEvents()


def wait_until(condition: Callable[[], Any], seconds: float = 30.0, what: str = "the condition") -> None:
    """Lets Qt work until the condition holds; fails the test after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"Waited {seconds} s in vain for {what}.")
        slicer.app.processEvents()
        time.sleep(POLL_SECONDS)


def process_events(seconds: float = 0.0) -> None:
    """Lets Qt work for a while."""
    end = time.monotonic() + seconds
    slicer.app.processEvents()
    while time.monotonic() < end:
        time.sleep(POLL_SECONDS)
        slicer.app.processEvents()


def grab(widget: Any, png: Path | str) -> Path:
    """Writes what a widget shows to a PNG file."""
    slicer.app.processEvents()
    pixmap = widget.grab()
    if pixmap.isNull() or not pixmap.save(str(png), "PNG"):
        raise OSError(f"Cannot write a picture of {widget.objectName or type(widget).__name__} to {png}.")
    return Path(png)


def _reaches(shortcut: Any, widget: Any) -> bool:
    context = shortcut.context
    owner = shortcut.parent()
    if context == QtCore.Qt.ShortcutContext.WidgetShortcut:
        return owner is widget
    if context == QtCore.Qt.ShortcutContext.WidgetWithChildrenShortcut:
        return owner is widget or owner.isAncestorOf(widget)
    return True


def _must_be_usable(widget: Any) -> None:
    if not widget.isEnabled():
        reason = f" (its tooltip says: {widget.toolTip})" if isinstance(widget, QtWidgets.QAbstractButton) else ""
        raise AssertionError(f"{widget.objectName} is disabled, a user could not use it{reason}.")
    if not widget.isVisible():
        raise AssertionError(f"{widget.objectName} is not visible, a user could not use it.")
