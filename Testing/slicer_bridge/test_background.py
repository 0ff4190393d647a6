"""Slicer's background process: found, shared, and ended although a launcher stands before it."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from child_processes import children
from pipeline.small_pair import small_volume, write_small_model
from VoxelMorphRegistrationLib.errors import CancelledError, EngineError
from VoxelMorphRegistrationLib.pipeline.background import RunningJob, StageReached
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions
from VoxelMorphRegistrationLib.pipeline.registration_job import RegistrationJob
from VoxelMorphRegistrationLib.slicer_bridge.background import close_shared_worker, shared_worker

pytest.importorskip("openvino", reason="the OpenVINO engine is not installed")
pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform == "win32", reason="the launcher's stand-in is a shell script"),
]


@pytest.fixture
def python_slicer(tmp_path, monkeypatch) -> Path:
    """A stand-in of Slicer's launcher: it starts Python as its child, and makes 1 of how that ended by a signal."""
    folder = tmp_path / "Slicer 5.12" / "bin"
    folder.mkdir(parents=True)
    launcher = folder / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\ncode=$?\n[ $code -lt 128 ] || exit 1\nexit $code\n')
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return launcher


@pytest.fixture(autouse=True)
def nothing_left(tmp_path, monkeypatch) -> Iterator[None]:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("VOXELMORPH_REGISTRATION_CACHE", str(tmp_path / "cache"))
    yield
    close_shared_worker()
    assert children() == []
    assert list(temporary.iterdir()) == []


@pytest.fixture
def running(tmp_path, python_slicer) -> RunningJob:
    """A registration that has come to its network."""
    model = str(write_small_model(tmp_path / "model.h5"))
    job = shared_worker().start(
        RegistrationJob(small_volume("fixed"), small_volume("moving", 6.0), RegistrationOptions(model))
    )
    while not any(isinstance(event, StageReached) and event.stage.startswith("Network") for event in job.poll()):
        assert not job.finished
        time.sleep(0.002)
    return job


def test_it_runs_behind_the_launcher_and_is_shared(running, python_slicer):
    worker = shared_worker()
    assert worker.python_executable == str(python_slicer)
    launcher, _ = children()
    assert launcher.name() == "PythonSlicer"
    assert running.wait(60)
    assert running.result().engine == "openvino"
    assert shared_worker() is worker


def test_cancelling_ends_what_the_launcher_started(running):
    running.cancel()
    assert running.wait(2.0)
    with pytest.raises(CancelledError):
        running.result()
    assert children() == []


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [("SIGKILL", "most likely because memory ran out"), ("SIGSEGV", "Fatal Python error: Segmentation fault")],
)
def test_a_crash_is_told_although_the_launcher_hides_it(running, sent, sentence):
    _, python = children()
    os.kill(python.pid, getattr(signal, sent))
    assert running.wait(10)
    with pytest.raises(EngineError, match=sentence):
        running.result()


def test_other_packages_take_another_process(running, tmp_path):
    former = shared_worker()
    worker = shared_worker([tmp_path])
    assert worker is not former
    assert worker.extra_paths == (tmp_path,)
    assert running.wait(2.0)
    assert children() == []
    assert shared_worker([tmp_path]) is worker


def test_without_slicer_it_is_this_python(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert shared_worker().python_executable == sys.executable
    assert children() == []  # nothing is started before there is something to do
