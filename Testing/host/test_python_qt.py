"""The manners of PythonQt: what is an error in Slicer is an error here, and what is not is not."""

from __future__ import annotations

import pytest


@pytest.fixture
def button(host):
    import qt

    return qt.QPushButton("Apply")


def test_properties_are_attributes(button):
    assert button.text == "Apply"
    button.toolTip = "Runs"
    button.enabled = False
    assert button.toolTip == "Runs"
    assert not button.isEnabled()
    button.name = "applyButton"
    assert button.objectName == "applyButton"
    assert button.className() == "QPushButton"


def set_unknown(button):
    button.tooltip = "misspelt"


def set_slot(button):
    button.click = 3


def set_wrong_type(button):
    button.minimumWidth = "wide"


def read_unknown(button):
    return button.tooltip


def connect_unknown_signal(button):
    button.connect("clickd()", print)


def connect_wrong_arguments(button):
    button.connect("clicked(int)", print)


@pytest.mark.parametrize(
    "mistake",
    [set_unknown, set_slot, set_wrong_type, read_unknown, connect_unknown_signal, connect_wrong_arguments],
)
def test_mistakes_are_errors(button, mistake):
    with pytest.raises(AttributeError):
        mistake(button)


def test_a_property_is_not_a_method(button):
    with pytest.raises(TypeError, match="not callable"):
        button.text()


def test_a_python_subclass_may_have_attributes(host):
    import qt

    class Mine(qt.QWidget):
        def __init__(self):
            super().__init__()
            self.logic = 1

    mine = Mine()
    mine.toolTip = "x"
    assert (mine.logic, mine.toolTip) == (1, "x")


def test_connect_and_disconnect_by_signature(button):
    calls = []
    button.connect("clicked()", lambda: calls.append("none"))
    button.connect("clicked(bool)", calls.append)
    button.click()
    assert calls == ["none", False]
    button.disconnect("clicked(bool)", calls.append)
    button.click()
    assert calls == ["none", False, "none"]


def test_an_exception_in_a_slot_is_not_lost(button, swallowed):
    def fail():
        raise KeyError("lost in a slot")

    button.connect("clicked()", fail)
    with swallowed.expect(KeyError, "lost in a slot"):
        button.click()


def test_an_exception_in_a_timer_or_a_thread_is_not_lost(host, swallowed):
    import threading

    import qt

    def fail():
        raise ValueError("lost")

    with swallowed.expect(ValueError, "lost"):
        qt.QTimer.singleShot(0, fail)
        host.user.process_events(0.02)
    with swallowed.expect(ValueError, "lost"):
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()


CARELESS_TESTS = """
import sys

def test_swallows():
    sys.excepthook(ValueError, ValueError("gone"), None)

def test_surprised_by_a_dialog(host):
    try:
        host.slicer.util.infoDisplay("boo")
    except AssertionError:
        pass

def test_waits_for_a_dialog(host):
    host.dialogs.expect("never shown")
"""


def test_careless_tests_fail(tmp_path):
    import os
    import subprocess
    import sys
    from pathlib import Path

    (tmp_path / "test_inner.py").write_text(CARELESS_TESTS)
    testing = Path(__file__).resolve().parents[1]
    (tmp_path / "conftest.py").write_text((testing / "conftest.py").read_text())
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(testing)},
        cwd=tmp_path,
        check=False,
    )
    assert result.returncode == 1, result.stdout
    assert "3 errors" in result.stdout
    assert "1 exception(s) were swallowed" in result.stdout
    assert "unexpected ctkMessageBox" in result.stdout
    assert "no dialog with 'never shown' came up" in result.stdout


def test_ctk_widgets_show_what_ctk_shows(host):
    import ctk

    slider = ctk.ctkSliderWidget()
    values = []
    slider.connect("valueChanged(double)", values.append)
    slider.maximum = 10
    slider.value = 5
    assert values == [5.0]
    for hidden in ("setRange", "setMaximum", "spinBox"):
        assert not hasattr(slider, hidden), hidden
    section = ctk.ctkCollapsibleButton("Advanced")
    assert not hasattr(section, "setCollapsed")
    path = ctk.ctkPathLineEdit()
    path.filters = ctk.ctkPathLineEdit.Dirs
    path.currentPath = "/data"
    assert path.currentPath == "/data"
    with pytest.raises(NotImplementedError, match="ctkRangeWidget"):
        ctk.ctkRangeWidget()


def test_a_collapsed_section_hides_its_children_and_only_them(host):
    import ctk
    import qt

    section = ctk.ctkCollapsibleButton("Advanced")
    layout = qt.QVBoxLayout(section)
    shown, hidden = qt.QLabel("shown"), qt.QLabel("hidden")
    layout.addWidget(shown)
    layout.addWidget(hidden)
    hidden.hide()
    section.show()
    states = []
    section.connect("contentsCollapsed(bool)", states.append)
    section.collapsed = True
    assert not shown.visible
    section.collapsed = False
    assert shown.visible
    assert not hidden.visible
    assert states == [True, False]
    section.close()


def test_settings_are_private_and_start_empty(host):
    import qt

    assert qt.QSettings().fileName().startswith(str(host.app.temporaryPath).removesuffix("temp"))
    assert qt.QSettings().allKeys() == []
    qt.QSettings().setValue("VoxelMorph/Model", "brain")
    assert host.slicer.util.settingsValue("VoxelMorph/Model", "") == "brain"


def test_python_slicer_is_a_launcher_with_a_child(host):
    process = host.slicer.util.launchConsoleProcess(["PythonSlicer", "-c", "import os; print(os.getppid())"])
    output = process.communicate()[0]
    assert int(output) == process.pid  # the interpreter is the launcher's child, not the launcher


def test_a_background_process_reports_through_the_event_loop(host):
    lines, codes = [], []
    host.slicer.util.launchConsoleProcess(
        ["PythonSlicer", "-c", "print('one'); print('two'); raise SystemExit(3)"],
        blocking=False,
        logCallback=lines.append,
        completedCallback=codes.append,
    )
    host.user.wait_until(lambda: codes, 20, "the process to end")
    assert (lines, codes) == (["one", "two"], [3])
