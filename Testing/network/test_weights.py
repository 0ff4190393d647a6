"""Downloads from a real HTTP server on the loopback interface, well-behaved and otherwise."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from VoxelMorphRegistrationLib.errors import CancelledError, ModelError
from VoxelMorphRegistrationLib.network.weights import download, file_sha256, verify
from VoxelMorphRegistrationLib.progress import Progress

CONTENT = os.urandom(900_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Behaviour:
    """What the server does with the one file it has, and what it was asked."""

    content: bytes = CONTENT
    ranges: bool = True
    status: int = 200
    drop_after: list[int] = field(default_factory=list)  # one entry a request: bytes to send before hanging up
    chunk_pause: float = 0.0
    requested_ranges: list[str | None] = field(default_factory=list)


@dataclass
class Server:
    url: str
    behaviour: Behaviour


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    behaviour = Behaviour()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            behaviour.requested_ranges.append(wanted)
            if behaviour.status != 200:
                self.send_error(behaviour.status)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and behaviour.ranges else 0
            if start >= len(behaviour.content) and start:
                self.send_error(416)
                return
            body = behaviour.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if behaviour.drop_after:
                body = body[: behaviour.drop_after.pop(0)]
            try:
                for at in range(0, len(body), 100_000):
                    self.wfile.write(body[at : at + 100_000])
                    time.sleep(behaviour.chunk_pause)
            except ConnectionError:
                pass  # the client went away, as it may

        def log_message(self, *_):
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        yield Server(f"http://127.0.0.1:{http_server.server_port}/weights.h5", behaviour)
        http_server.shutdown()


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "weights.h5"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_download_with_progress(server, destination):
    reports = []
    download(server.url, destination, sha256=SHA256, progress=Progress(lambda *report: reports.append(report)))
    assert destination.read_bytes() == CONTENT
    assert names(destination.parent) == ["weights.h5"]
    fractions = [fraction for _, fraction in reports]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len(fractions) > 2
    assert reports[-1][0] == "Downloading the model (0.9 of 0.9 MB)"


def test_a_file_that_is_there_is_not_downloaded_again(server, destination):
    download(server.url, destination, sha256=SHA256)
    download(server.url, destination, sha256=SHA256)
    assert len(server.behaviour.requested_ranges) == 1


def test_a_wrong_file_that_is_there_is_replaced(server, destination):
    destination.parent.mkdir()
    destination.write_bytes(CONTENT[:-1])
    download(server.url, destination, sha256=SHA256)
    assert destination.read_bytes() == CONTENT


def test_a_connection_that_drops_is_continued_where_it_stopped(server, destination):
    server.behaviour.drop_after = [300_000, 200_000]
    download(server.url, destination, sha256=SHA256)
    assert destination.read_bytes() == CONTENT
    assert server.behaviour.requested_ranges == [None, "bytes=300000-", "bytes=500000-"]


def test_a_server_without_ranges_is_asked_again_from_the_start(server, destination):
    server.behaviour.ranges = False
    server.behaviour.drop_after = [300_000]
    download(server.url, destination, sha256=SHA256)
    assert destination.read_bytes() == CONTENT
    assert server.behaviour.requested_ranges == [None, "bytes=300000-"]


def test_a_download_that_keeps_stopping_fails_and_is_continued_by_the_next_one(server, destination):
    server.behaviour.drop_after = [300_000, 0, 0]
    with pytest.raises(ModelError, match=r"connection ended after 300000 of 900000 bytes; .*by hand") as raised:
        download(server.url, destination, sha256=SHA256)
    assert server.url in str(raised.value)
    assert str(destination.parent) in str(raised.value)
    assert names(destination.parent) == ["weights.h5.part"]
    server.behaviour.drop_after = []
    server.behaviour.requested_ranges.clear()
    download(server.url, destination, sha256=SHA256)
    assert destination.read_bytes() == CONTENT
    assert server.behaviour.requested_ranges == ["bytes=300000-"]
    assert names(destination.parent) == ["weights.h5"]


@pytest.mark.parametrize("old_part", [b"of another file", CONTENT + b"too long", os.urandom(len(CONTENT))])
def test_a_part_of_another_file_is_given_up(server, destination, old_part):
    destination.parent.mkdir()
    destination.with_name("weights.h5.part").write_bytes(old_part)
    download(server.url, destination, sha256=SHA256)
    assert destination.read_bytes() == CONTENT
    assert names(destination.parent) == ["weights.h5"]


def test_wrong_content_is_not_kept(server, destination):
    server.behaviour.content = b"<html>Please log in</html>"
    with pytest.raises(ModelError, match=r"wrong SHA-256.*by hand"):
        download(server.url, destination, sha256=SHA256)
    assert names(destination.parent) == []


def test_wrong_content_leaves_an_older_right_file_to_nobody_else(server, destination):
    """Another model's failing download does not touch a neighbour's file."""
    neighbour = destination.with_name("neighbour.h5")
    destination.parent.mkdir()
    neighbour.write_bytes(b"mine")
    server.behaviour.content = b"wrong"
    with pytest.raises(ModelError):
        download(server.url, destination, sha256=SHA256)
    assert names(destination.parent) == ["neighbour.h5"]
    assert neighbour.read_bytes() == b"mine"


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_server_that_refuses(server, destination, status):
    server.behaviour.status = status
    with pytest.raises(ModelError, match=f"the server answered {status} .*by hand"):
        download(server.url, destination, sha256=SHA256)
    assert names(destination.parent) == []


def test_nobody_listens(server, destination):
    with pytest.raises(ModelError, match=r"refuses the connection; try again, or download .* by hand"):
        download("http://127.0.0.1:9/weights.h5", destination, sha256=SHA256)
    assert names(destination.parent) == []


def test_offline(destination, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(ModelError, match=r"network or the server cannot be reached .*by hand"):
        download("http://no-such-host.invalid/weights.h5", destination, sha256=SHA256)


def test_cancelling_leaves_nothing(server, destination):
    done = []
    progress = Progress(lambda stage, fraction: done.append(fraction), lambda: bool(done) and done[-1] > 0.3)
    with pytest.raises(CancelledError):
        download(server.url, destination, sha256=SHA256, progress=progress)
    assert 0.3 < done[-1] < 1
    assert names(destination.parent) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk(server, destination):
    destination.parent.mkdir()
    destination.with_name("weights.h5.part").symlink_to("/dev/full")
    with pytest.raises(ModelError, match="is full; free some space"):
        download(server.url, destination, sha256=SHA256)
    assert names(destination.parent) == []


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs /sys, where nobody may make files")
def test_a_folder_that_cannot_be_written_to(server):
    with pytest.raises(ModelError, match="cannot be written to; set VOXELMORPH_REGISTRATION_CACHE"):
        download(server.url, Path("/sys/kernel/cache/weights.h5"), sha256=SHA256)


def test_a_folder_that_is_a_file(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"the folder .* cannot be used"):
        download(server.url, tmp_path / "file" / "weights.h5", sha256=SHA256)


def test_three_processes_that_share_a_cache_download_once(server, destination):
    server.behaviour.chunk_pause = 0.1
    code = (
        "import sys; from pathlib import Path; from VoxelMorphRegistrationLib.network.weights import download;"
        "download(sys.argv[1], Path(sys.argv[2]), sha256=sys.argv[3])"
    )
    library = Path(__file__).parents[2] / "VoxelMorphRegistration"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, server.url, str(destination), SHA256],
            env=os.environ | {"PYTHONPATH": str(library)},
        )
        for _ in range(3)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert destination.read_bytes() == CONTENT
    assert len(server.behaviour.requested_ranges) == 1
    assert names(destination.parent) == ["weights.h5"]


def test_verify_names_a_wrong_and_a_missing_file(tmp_path):
    path = tmp_path / "weights.h5"
    with pytest.raises(ModelError, match="cannot be read"):
        verify(path, SHA256)
    path.write_bytes(CONTENT)
    verify(path, SHA256)
    assert file_sha256(path) == SHA256
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ModelError, match="is not the one its model card describes"):
        verify(path, SHA256)
