"""Frames handed to another process through a folder, one at a time."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from pipeline.small_pair import small_volume
from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.pipeline import exchange
from VoxelMorphRegistrationLib.pipeline.frame_handover import FrameHandover


@pytest.fixture
def handover(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    images = [small_volume(f"frame {n}", n) for n in range(3)]
    handed = FrameHandover([*images, "frame 3 is empty."], "frames", "handover-")
    yield handed
    handed.close()
    assert list(tmp_path.iterdir()) == []
    assert not any(thread.name == "VoxelMorph frames" for thread in threading.enumerate())


def test_frames_arrive_as_they_are_and_leave_no_files(handover):
    for n in (2, 0, 1, 2):
        image = handover.frames.read(n)
        assert np.array_equal(image.array, small_volume("", n).array)
        assert image.array.dtype == small_volume("", n).array.dtype
        assert image.grid.is_same(small_volume("", n).grid, 1e-9)
        assert image.name == handover.frames.frame_name(n) == f"frame {n}"
        assert not list(handover.folder.glob("*.npy"))


def test_a_bad_frame_is_a_sentence(handover):
    with pytest.raises(InputError, match=r"^frame 3 is empty\.$"):
        handover.frames.read(3)


def test_a_full_disk_is_a_sentence_for_that_frame(handover, monkeypatch):
    def full(array, path, check):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(exchange, "save_array", full)
        with pytest.raises(FileError, match=r"Frame 1 could not be handed .*No space left.*TMPDIR"):
            handover.frames.read(1)
    assert handover.frames.read(1).array.any()


def test_a_parent_that_dies_leaves_no_frames(tmp_path):
    """Killed while its frames are registered: the process removes what was handed over, and ends."""
    program = f"""
import sys, time; sys.path[:0] = {sys.path!r}
import numpy as np
from pathlib import Path
from pipeline.small_pair import small_volume
from VoxelMorphRegistrationLib.pipeline.background import Worker
from VoxelMorphRegistrationLib.pipeline.frame_handover import FrameHandover
from VoxelMorphRegistrationLib.pipeline.sequence_job import SequenceJob
handover = FrameHandover([small_volume(str(n), n) for n in range(3)], "frames", "voxelmorph-registration-")
handover._answer = lambda n: print("asked", flush=True)  # and never answered
Worker().start(SequenceJob(handover.frames, handover.folder / "results"))
time.sleep(60)
"""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "asked\n"
    assert list(tmp_path.glob("voxelmorph-registration-*"))
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while list(tmp_path.glob("voxelmorph-registration-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.glob("voxelmorph-registration-*")) == []
