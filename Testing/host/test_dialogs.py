"""Dialogs are answered and recorded by the test."""

from __future__ import annotations

import pytest

from host.dialogs import UnexpectedDialogError


def test_yes_and_no_mean_the_buttons_that_are_there(host):
    util = host.slicer.util
    for ask in (util.confirmOkCancelDisplay, util.confirmYesNoDisplay, util.confirmRetryCloseDisplay):
        for answer in (True, False):
            host.dialogs.expect("Install 3 packages?", answer)
            assert ask("Install 3 packages?") is answer
    assert len(host.dialogs.shown) == 6


def test_displays_are_recorded_with_their_details(host):
    host.dialogs.expect("Sorry")
    host.slicer.util.errorDisplay("Sorry", detailedText="Traceback ...", windowTitle="Broken")
    assert "Broken" in host.dialogs.shown[0].title
    assert "Traceback" in host.dialogs.shown[0].text


def test_an_unannounced_dialog_stops_the_code_that_shows_it(host):
    with pytest.raises(UnexpectedDialogError, match="surprise"):
        host.slicer.util.warningDisplay("surprise")
    assert [shown.text for shown in host.dialogs.unexpected] == ["surprise"]
    host.dialogs.unexpected.clear()


def test_message_boxes_of_qt(host):
    import qt

    host.dialogs.expect("Remove?", True)
    assert qt.QMessageBox.question(None, "Models", "Remove?") == qt.QMessageBox.Yes
    box = qt.QMessageBox()
    box.text = "Which?"
    box.addButton("Keep", qt.QMessageBox.RejectRole)
    box.addButton("&Replace", qt.QMessageBox.AcceptRole)
    host.dialogs.expect("Which?", "Replace")
    box.exec_()
    assert box.clickedButton().text == "&Replace"


def test_inputs_and_files_return_one_value(host, tmp_path):
    import qt

    host.dialogs.expect("Name", "brain")
    assert qt.QInputDialog.getText(None, "Name", "New name:", qt.QLineEdit.Normal, "old") == "brain"
    host.dialogs.expect("Name", True)
    assert qt.QInputDialog.getText(None, "Name", "New name:", qt.QLineEdit.Normal, "old") == "old"
    host.dialogs.expect("Name", False)
    assert qt.QInputDialog.getText(None, "Name", "New name:", qt.QLineEdit.Normal, "old") == ""
    host.dialogs.expect("Add model", tmp_path / "m.h5")
    name = qt.QFileDialog.getOpenFileName(None, "Add model file", "", "Models (*.h5)")
    assert name == str(tmp_path / "m.h5")
    host.dialogs.expect("Add model", False)
    assert qt.QFileDialog.getOpenFileName(None, "Add model file", "") == ""
    host.dialogs.expect("Folder", tmp_path)
    assert qt.QFileDialog.getExistingDirectory(None, "Folder") == str(tmp_path)


def test_a_form_is_filled_by_the_test(host):
    import qt

    dialog = qt.QDialog()
    dialog.windowTitle = "Model card"
    layout = qt.QFormLayout(dialog)
    spacing = qt.QDoubleSpinBox()
    layout.addRow("Spacing (mm):", spacing)

    def fill(shown):
        shown.findChild(qt.QDoubleSpinBox).value = 1.5
        shown.accept()

    host.dialogs.expect("Spacing", fill)
    assert dialog.exec_() == 1
    assert spacing.value == 1.5
    host.dialogs.expect("Model card", False)
    assert dialog.exec_() == 0


def test_testing_mode_answers_unseen_as_in_slicer(host):
    host.app._is_testing = True
    host.slicer.util.errorDisplay("bad")
    assert host.dialogs.shown == []


def test_the_path_editor_asks_through_the_same_dialogs(host, tmp_path):
    import ctk

    editor = ctk.ctkPathLineEdit()
    editor.label = "Model file"
    host.dialogs.expect("Model file", tmp_path / "m.h5")
    editor.browse()
    assert editor.currentPath == str(tmp_path / "m.h5")


def test_packages_are_never_installed_into_this_python(host):
    with pytest.raises((AssertionError, RuntimeError)):
        host.slicer.util.pip_uninstall("a-package-that-does-not-exist-and-is-not-installed")
