"""Answers every modal dialog from the test, and fails the test on one that it did not announce.

A test says before the action what it expects, in order:

    dialogs.expect("Install 3 packages", True)          # OK, Yes, Retry, Save, Open
    dialogs.expect("Rename", "new name")                 # the text of an input dialog, the path of a file dialog
    dialogs.expect("Card of the model", fill_the_form)   # any other QDialog: called with it, must accept or reject

`False` is Cancel, No or Close. The message boxes are Qt's own, so that what `slicer.util.errorDisplay` and its
like put into them is what Slicer would show; only their event loop is replaced. Custom `QDialog` subclasses are
caught through `exec` and `exec_`; a dialog shown with `open()` or `show()` is not modal and not caught.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6 import QtWidgets

from host.python_qt import qt

ACCEPTING = ("Ok", "Yes", "Save", "Open", "Retry", "Apply")
REJECTING = ("Cancel", "No", "Close", "Abort", "Discard")


class UnexpectedDialogError(AssertionError):
    """A modal dialog came up that no `dialogs.expect` announced."""


@dataclass
class Shown:
    """A dialog that came up: its class in Slicer, its title, all its text, and what the test answered."""

    kind: str
    title: str
    text: str
    answer: Any = None


class Dialogs:
    """The one recorder, `host.dialogs.dialogs`; `reset()` between tests."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.shown: list[Shown] = []
        self.unexpected: list[Shown] = []
        self._expected: list[tuple[str, Any]] = []

    def expect(self, text: str, answer: Any = True) -> None:
        """The next dialog that was not announced yet has `text` in its title or text, and gets `answer`."""
        self._expected.append((text, answer))

    def problems(self) -> list[str]:
        """What a test has to be failed for, in words."""
        return [f"unexpected {d.kind} '{d.title}': {d.text}" for d in self.unexpected] + [
            f"no dialog with {text!r} came up" for text, _ in self._expected
        ]

    def ask(self, kind: str, title: str, text: str) -> Any:
        """Records a dialog and returns the announced answer; called by the stand-ins only."""
        shown = Shown(kind, title, text)
        self.shown.append(shown)
        if not self._expected or self._expected[0][0] not in f"{title}\n{text}":
            self.unexpected.append(shown)
            waiting = f"; expected was one with {self._expected[0][0]!r}" if self._expected else ""
            raise UnexpectedDialogError(f"Unexpected {kind} '{title}': {text}{waiting}")
        shown.answer = self._expected.pop(0)[1]
        return shown.answer


dialogs = Dialogs()


def _button(box: Any, answer: Any) -> Any:
    """The standard button that a yes or no means for this message box."""
    if not isinstance(answer, bool):
        return answer
    offered = box.standardButtons
    for name in ACCEPTING if answer else REJECTING:
        button = getattr(QtWidgets.QMessageBox.StandardButton, name, None)
        if button is not None and button & offered:
            return button
    if not answer:  # a box with nothing but OK is closed with OK
        return QtWidgets.QMessageBox.StandardButton.Ok
    raise AssertionError(f"The message box '{box.text}' has no button that means yes.")


def _exec_message_box(self: Any) -> Any:
    text = "\n".join(filter(None, [self.text, self.informativeText, self.detailedText]))
    answer = dialogs.ask(type(self).__name__, self.windowTitle, text)
    if isinstance(answer, str):  # the text of a button added with addButton
        for button in self.buttons():
            if button.text.replace("&", "") == answer:
                button.click()
                return self.buttonRole(button)
        raise AssertionError(f"The message box '{self.text}' has no button '{answer}'.")
    return _button(self, answer)


def _exec_dialog(self: Any) -> Any:
    labels = [label.text for label in self.findChildren(QtWidgets.QLabel)]
    answer = dialogs.ask(type(self).__name__, self.windowTitle, "\n".join(labels))
    if callable(answer):
        self.show()
        answer(self)
        if self.isVisible():
            self.hide()
            raise AssertionError(f"The test neither accepted nor rejected the dialog '{self.windowTitle}'.")
        return self.result()
    code = QtWidgets.QDialog.DialogCode
    self.done(int(code.Accepted.value if answer else code.Rejected.value))
    return self.result()


def _static_message_box(kind: str) -> Any:
    def show(parent: Any, title: str, text: str, buttons: Any = None, default: Any = None) -> Any:
        box = qt.QMessageBox(parent)
        box.windowTitle, box.text = title, text
        fallback = qt.QMessageBox.Yes | qt.QMessageBox.No if kind == "question" else qt.QMessageBox.Ok
        box.setStandardButtons(fallback if buttons is None else buttons)
        return _exec_message_box(box)

    return staticmethod(show)


def _text_input(default_position: int) -> Any:
    """PythonQt's `getText` and its like return the value alone; Cancel gives an empty one."""

    def show(parent: Any, title: str, label: str, *arguments: Any) -> Any:
        answer = dialogs.ask("QInputDialog", title, label)
        default = arguments[default_position] if len(arguments) > default_position else ""
        return default if answer is True else "" if answer is False else answer

    return staticmethod(show)


def _file_dialog(several: bool) -> Any:
    def show(parent: Any = None, title: str = "", folder: str = "", *arguments: Any) -> Any:
        answer = dialogs.ask("QFileDialog", title, "\n".join([folder, *map(str, arguments[:1])]))
        if several:
            return [str(path) for path in answer] if answer else []
        return str(answer) if answer else ""

    return staticmethod(show)


def install() -> None:
    """Replaces the event loops of all modal dialogs."""
    QtWidgets.QDialog.exec = QtWidgets.QDialog.exec_ = _exec_dialog
    box = QtWidgets.QMessageBox
    box.exec = box.exec_ = _exec_message_box
    for kind in ("question", "information", "warning", "critical"):
        setattr(box, kind, _static_message_box(kind))
    for name, position in {"getText": 1, "getMultiLineText": 0, "getInt": 0, "getDouble": 0}.items():
        setattr(QtWidgets.QInputDialog, name, _text_input(position))
    QtWidgets.QInputDialog.getItem = _text_input(9)
    for name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
        setattr(QtWidgets.QFileDialog, name, _file_dialog(several=False))
    QtWidgets.QFileDialog.getOpenFileNames = _file_dialog(several=True)
