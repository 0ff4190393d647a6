"""Engines in the panel: installed by real runs of pip, declined, cancelled, failing, repaired, removed."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from host import user
from module.support import has_field, scene_content
from network.private_python import HOST_PACKAGES, TinyEngine, installed_files, make_wheel, processes_of

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def tiny(panel, tmp_path, monkeypatch) -> TinyEngine:
    """A stand-in of an engine's packages, which come from a folder of wheels; the real engine runs without them."""
    from VoxelMorphRegistrationLib.panel import engine_first, setup_section

    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    engine = TinyEngine(tmp_path, None)
    engine.require("tiny>=1.0")
    make_wheel(engine.wheels, payload=b"0123456789" * 100_000)
    monkeypatch.setenv("VOXELMORPH_REGISTRATION_WHEELS", str(engine.wheels))

    def installation(*_):
        return engine.installation(python=Path(sys.executable), host_path=[], disk_mb=2)

    monkeypatch.setattr(engine_first, "chosen_installation", installation)
    both = {"openvino": installation(), "tensorflow": installation()}
    monkeypatch.setattr(setup_section, "installations", lambda: both)
    return engine


def left(tiny) -> list[str]:
    """What lies in the packages folder, and the processes that work there."""
    found = [path.name for path in tiny.root.iterdir()] if tiny.root.is_dir() else []
    return sorted(name for name in found if not name.endswith(".lock")) + processes_of(tiny.root)


def stamps() -> dict[Path, tuple[int, int]]:
    """Size and time of every file of NumPy, SimpleITK and VTK of the running Python."""
    files = [file for package in HOST_PACKAGES for file in installed_files(package)]
    return {file: (file.stat().st_size, file.stat().st_mtime_ns) for file in files}


def test_the_first_apply_installs_after_asking(panel, host, tiny):
    """And the second one does not ask again. Nothing of the main environment is touched."""
    before = stamps()
    transform = panel.choose_all()
    host.dialogs.expect("VoxelMorph registration needs the Tiny packages: up to 1 MB to download, 2 MB on the disk.")
    panel.run()
    assert str(tiny.root) in host.dialogs.shown[-1].text
    assert "stay as they are" in host.dialogs.shown[-1].text
    assert panel.status.startswith("Similarity")
    assert has_field(transform)
    assert "Installing Tiny" in panel.log
    assert "Checking that Tiny can be loaded" in panel.log
    (folder,) = [name for name in left(tiny) if "worker" not in name]  # the background process that uses it
    assert (tiny.root / folder / "tiny" / "payload.bin").stat().st_size == 1_000_000
    assert stamps() == before
    panel.run()
    assert panel.status.startswith("Similarity")
    assert len(host.dialogs.shown) == 1


def test_declining_installs_and_registers_nothing(panel, host, tiny):
    panel.choose_all()
    before = scene_content(host.scene)
    host.dialogs.expect("Install them now?", False)
    panel.run()
    assert panel.status == "Tiny was not installed, so nothing was done."
    assert left(tiny) == []
    assert scene_content(host.scene) == before
    assert panel.is_ready()


def test_a_failed_installation_says_why(panel, host, tiny):
    shutil.rmtree(tiny.wheels)
    tiny.wheels.mkdir()
    panel.choose_all()
    before = scene_content(host.scene)
    host.dialogs.expect("Install them now?")
    host.dialogs.expect("tiny")
    panel.run()
    assert "tiny" in panel.status
    assert "\n" not in panel.status.strip()
    assert left(tiny) == []
    assert scene_content(host.scene) == before
    assert panel.is_ready()


@pytest.mark.parametrize("stage", ["Looking up the packages", "Checking that Tiny can be loaded"])
def test_cancelling_an_installation_leaves_nothing(panel, host, tiny, stage):
    panel.choose_all()
    before = scene_content(host.scene)
    host.dialogs.expect("Install them now?")
    panel.at_stage(stage, panel.cancel)
    panel.run()
    assert "cancelled" in panel.status
    assert left(tiny) == []
    assert scene_content(host.scene) == before
    assert panel.is_ready()


def test_closing_slicer_while_it_installs_leaves_nothing(panel, host, tiny):
    panel.choose_all()
    host.dialogs.expect("Install them now?")
    panel.apply()
    panel.wait_for_stage("Looking up the packages")
    panel.widget.cleanup()
    assert left(tiny) == []


# ---- the Setup section ----


@pytest.fixture
def setup(panel, tiny):
    panel.ui.setupCollapsibleButton.collapsed = False
    user.process_events()
    return panel.ui


def test_setup_installs_shows_and_removes(panel, host, tiny, setup):
    assert setup.setupStatusLabel.text == "Tiny is not installed; Apply will ask to install it."
    assert (setup.installButton.enabled, setup.removeEngineButton.enabled) == (True, False)
    assert setup.setupVersionsLabel.text == "none"
    host.dialogs.expect("Install them now?", False)
    user.click(setup.installButton)
    assert left(tiny) == []

    host.dialogs.expect("Install them now?")
    user.click(setup.installButton)
    assert not setup.installButton.enabled
    panel.wait()
    assert panel.status == "Done."
    (folder,) = left(tiny)
    assert setup.setupStatusLabel.text == f"Tiny is installed in {tiny.root / folder}. (1 MB)"
    assert setup.setupVersionsLabel.text == "tiny 1.0"
    assert setup.setupFolderLabel.text == str(tiny.root / folder)
    assert (setup.installButton.enabled, setup.removeEngineButton.enabled) == (False, True)

    host.dialogs.expect(f"Delete the packages of Tiny from {tiny.root / folder}?", False)
    user.click(setup.removeEngineButton)
    host.dialogs.expect("Delete the packages of Tiny")
    user.click(setup.removeEngineButton)
    panel.wait()
    assert left(tiny) == []
    assert setup.setupStatusLabel.text.startswith("Tiny is not installed")


def test_a_half_finished_installation_is_repaired(panel, host, tiny, setup):
    """As one that was broken off by switching the computer off."""
    part = tiny.installation(python=Path(sys.executable), host_path=[]).folder
    part = part.with_name(part.name + ".part")
    (part / "packages" / "tiny").mkdir(parents=True)
    (part / "packages" / "tiny" / "half.py").write_text("import")
    setup.setupCollapsibleButton.collapsed = True
    setup.setupCollapsibleButton.collapsed = False
    assert setup.setupStatusLabel.text.startswith("The installation of Tiny was broken off; Apply will ask")
    assert setup.removeEngineButton.enabled
    host.dialogs.expect("Install them now?")
    user.click(setup.installButton)
    panel.wait()
    (folder,) = left(tiny)
    assert not folder.endswith(".part")
    assert "is installed in" in setup.setupStatusLabel.text


def test_setup_of_a_slicer_that_has_the_engine(panel):
    """Nothing to install, nothing to remove."""
    ui = panel.ui
    ui.setupCollapsibleButton.collapsed = False
    engines = [ui.setupEngineComboBox.itemText(n) for n in range(ui.setupEngineComboBox.count)]
    assert engines == ["OpenVINO", "TensorFlow"]
    assert ui.setupStatusLabel.text == "OpenVINO is installed in this Python itself."
    assert "openvino 20" in ui.setupVersionsLabel.text
    assert (ui.installButton.enabled, ui.removeEngineButton.enabled) == (False, False)
