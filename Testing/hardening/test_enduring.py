"""The hardening commands, with small numbers: what they look at has to be right, and they have to run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

if sys.platform == "win32":
    pytest.skip("counts open files as POSIX does", allow_module_level=True)
pytest.importorskip("openvino", reason="the OpenVINO engine is not installed")

from hardening.agreement import Run, compared
from hardening.leftovers import State, slope
from hardening.places import COMMANDS, ODD_NAMES, odd_folder, table, trials
from hardening.sharing import share_a_download

HERE = Path(__file__).parent
pytestmark = pytest.mark.timeout(1200)


def run(script: str, *arguments: str) -> str:
    """What one of the commands prints, which has to end well."""
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments], capture_output=True, text=True, check=False, timeout=1000
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


def test_a_few_registrations_leave_nothing_behind():
    pytest.importorskip("slicer", reason="needs slicer-core (pip install slicer-core)")
    said = run("soak.py", "--registrations", "4")
    assert "| registrations | 4, one after the other, in 1 background process |" in said
    assert "nodes left | none |" in said


def test_a_few_cancelled_ones_leave_nothing_behind():
    pytest.importorskip("slicer", reason="needs slicer-core (pip install slicer-core)")
    said = run("cancel_storm.py", "--library", "3", "--slicer", "2")
    assert said.count("| nothing |") == 2


def test_a_killed_download_is_gone_on_with_by_another_process(tmp_path):
    wrong, how = share_a_download(tmp_path, 3, seed=0)
    assert wrong == []
    assert "2 requests" in how


def test_commands_in_hard_places(tmp_path):
    found = list(trials(tmp_path / "t", ["import-field", "sequence"]))
    assert {place for place, _, _ in found} >= set(ODD_NAMES)
    assert [each for each in found if each[2]] == [], table(found)


def test_the_longest_path_is_as_long_as_it_says(tmp_path):
    length = len(str(odd_folder(tmp_path, "250 characters") / "in" / "small model.h5"))
    assert length >= 250
    assert set(COMMANDS) >= {"register", "sequence", "batch", "import-field"}


def test_leftovers_are_seen(tmp_path):
    before = State.now(nodes=1)
    with (tmp_path / "open").open("w"):
        found = State.now(nodes=3).more_than(before)
    assert any(what.endswith("more open files") for what in found)
    assert "2 more nodes" in found


def test_the_slope_of_a_leak_in_noise():
    noise = np.random.default_rng(0).normal(0, 50, 400)
    assert abs(slope(list(1e5 + noise))) < 1
    assert slope(list(1e5 + 7 * np.arange(400) + noise)) == pytest.approx(7, abs=1)


def test_runs_are_compared_with_the_right_one():
    points = np.zeros((4, 3))
    given = {
        Run("openvino", 1, 0): points,
        Run("openvino", 1, 1): points + 1,
        Run("openvino", 2, 0): points + 2,
        Run("tensorflow", 1, 0): points + 3,
        Run("tensorflow", 1, 1): points + 3,
    }
    assert [(what, round(distance, 3)) for _, what, distance in compared(given)] == [
        ("repeat", 1.732),
        ("threads", 3.464),
        ("engine", 5.196),
        ("repeat", 0.0),
    ]
