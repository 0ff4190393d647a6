"""The module's file as Slicer meets it: what it loads, what it says of itself, and its own self test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "VoxelMorphRegistration" / "VoxelMorphRegistration.py"

HEAVY = ("openvino", "tensorflow", "voxelmorph", "neurite", "keras", "h5py", "nibabel", "scipy", "torch", "SimpleITK")


def test_the_file_stays_short_enough_to_read():
    assert MODULE.read_text().count("\n") < 400


def test_loading_the_module_imports_nothing_heavy():
    pytest.importorskip("slicer")
    script = (
        "import sys; sys.path[:0] = ['Testing', 'VoxelMorphRegistration']\n"
        "from host.headless import load_logic; load_logic('VoxelMorphRegistration')\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=MODULE.parents[1], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("[]")


def test_the_module_introduces_itself(host):
    module = host.load_module(MODULE)
    assert module.title == "VoxelMorph Registration"
    assert list(module.categories) == ["Registration"]
    assert module.contributors
    assert "grid transform" in module.helpText
    assert "Balakrishnan" in module.acknowledgementText


def test_its_own_self_test_passes(host, tmp_path, monkeypatch, caplog):
    pytest.importorskip("openvino", reason="needs an engine (pip install openvino)")
    monkeypatch.setenv("VOXELMORPH_REGISTRATION_CACHE", str(tmp_path))
    host.load_module(MODULE)
    caplog.set_level("INFO")
    host.slicer.selfTests["VoxelMorphRegistration"]()
    assert "not tested" not in caplog.text
