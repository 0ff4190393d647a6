"""Asking Slicer's user before an engine is installed, in the test host.

pip is real, on two engines of one tiny package each; installing itself is tested in `network`.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from network.private_python import make_wheel
from VoxelMorphRegistrationLib.errors import EngineError
from VoxelMorphRegistrationLib.network import packages
from VoxelMorphRegistrationLib.network.installation import DeclinedError, Installation, State
from VoxelMorphRegistrationLib.network.packages import EnginePackages
from VoxelMorphRegistrationLib.slicer_bridge import installation as bridge


@pytest.fixture
def engines(tmp_path, monkeypatch) -> Path:
    """Two engines in place of the real ones, "quick" and "slow", of one small package each; the packages folder."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "VOXELMORPH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("VOXELMORPH_REGISTRATION_WHEELS", str(tmp_path / "wheels"))
    monkeypatch.setenv("VOXELMORPH_REGISTRATION_PACKAGES", str(tmp_path / "packages"))
    both = [
        EnginePackages(n, n.title(), download_mb=1, disk_mb=1, check=f"import {n}_engine") for n in ("quick", "slow")
    ]
    for engine in both:
        make_wheel(tmp_path / "wheels", f"{engine.name}-engine")
        (tmp_path / f"requirements-{engine.name}.txt").write_text(f"{engine.name}-engine>=1.0\n")
    monkeypatch.setattr(packages, "requirements_folder", lambda: tmp_path)
    for name in list(packages.ENGINE_PACKAGES):
        monkeypatch.delitem(packages.ENGINE_PACKAGES, name)
    for engine in both:
        monkeypatch.setitem(packages.ENGINE_PACKAGES, engine.name, engine)
    return tmp_path / "packages"


def test_pythonslicer_runs_the_child_processes(host):
    assert bridge.python_executable() == Path(shutil.which("PythonSlicer") or "")
    assert {i.python for i in bridge.installations().values()} == {bridge.python_executable()}


def test_a_slicer_without_pythonslicer_is_told(host, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineError, match="PythonSlicer is not on Slicer's PATH"):
        bridge.python_executable()


def test_the_user_is_asked_and_the_engine_installed_by_pythonslicer(host, engines):
    host.dialogs.expect("needs the Quick packages: up to 1 MB to download", True)
    stages = []

    paths = bridge.ensure_installed("quick", progress=_listening(stages))

    assert paths == [engines / f"quick-{packages.python_tag()}"]
    assert (paths[0] / "quick_engine" / "__init__.py").is_file()
    assert "Installing 1 packages" in stages
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("quick-engine")  # not in Slicer's own Python

    assert bridge.ensure_installed("quick") == paths  # and is not asked again
    assert bridge.ensure_installed("auto") == paths
    assert bridge.installations()["quick"].remove() > 0


def test_declining_changes_nothing(host, engines):
    host.dialogs.expect("Install them now?", False)
    with pytest.raises(DeclinedError, match="Quick was not installed, as you chose"):
        bridge.ensure_installed("auto")
    assert not engines.exists()


def test_auto_takes_what_is_there_before_it_asks(host, engines):
    Installation("slow").install(lambda question: True)
    assert bridge.ensure_installed("auto") == [engines / f"slow-{packages.python_tag()}"]


def test_nothing_is_installed_unasked_in_testing_mode(host, engines):
    """There Slicer itself would answer its dialog with OK."""
    host.app._is_testing = True
    with pytest.raises(EngineError, match=r"Quick is not installed, and there is nobody to ask; run .*confirm="):
        bridge.ensure_installed("quick")
    assert not engines.exists()


def test_nothing_is_installed_unasked_without_a_main_window(host, engines, monkeypatch):
    monkeypatch.setattr(host.slicer.util, "mainWindow", lambda: None)
    with pytest.raises(EngineError, match="nobody to ask"):
        bridge.ensure_installed("auto")


def test_a_script_can_agree_for_its_user(host, engines):
    host.app._is_testing = True
    asked = []
    assert bridge.ensure_installed("slow", confirm=lambda question: not asked.append(question))
    assert len(asked) == 1
    assert bridge.installations()["slow"].status().state is State.COMPLETE


def test_an_unknown_engine(host, engines):
    with pytest.raises(EngineError, match='no engine "torch"; choose one of: auto, quick, slow'):
        bridge.ensure_installed("torch")


def test_outside_slicer_this_python_is_used_and_nothing_heavy_imported():
    code = (
        "import sys\n"
        "from VoxelMorphRegistrationLib.slicer_bridge import installation\n"
        "assert str(installation.python_executable()) == sys.executable\n"
        "installation.installations()['openvino'].status()\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    environment = os.environ | {"PYTHONPATH": str(packages.LIBRARY_FOLDER)}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert not {"slicer", "vtk", "openvino", "tensorflow", "h5py", "pip"} & set(printed.stdout.split())


def _listening(stages: list[str]):
    from VoxelMorphRegistrationLib.progress import Progress

    return Progress(lambda stage, fraction: stages.append(stage))
