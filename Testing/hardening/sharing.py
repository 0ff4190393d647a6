"""Several processes that need the same download, or the same installation, at the same time.

    python Testing/hardening/sharing.py [--processes 4] [--rounds 3] [--write]

A slow HTTP server on this machine has the weights. So many processes ask for the same model in one cache folder; in
every round one of them is killed while it downloads. Then as many install the same packages (small wheels made for the
purpose) into one folder. All have to end with the right files, downloaded or installed no more often than needed, with
no partial file or lock left. ``--write`` puts the figures into Docs/reliability.md.
"""

from __future__ import annotations

# ruff: noqa: E402, this is a script: it sets sys.path first
import argparse
import hashlib
import os
import random
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

from benchmarks.documents import put_between
from network.private_python import TinyEngine, make_private_python

_CHUNK = 50_000
_WEIGHTS = 1_000_000
_PATHS = f"import sys; sys.path[:0] = [{str(ROOT / 'VoxelMorphRegistration')!r}, {str(ROOT / 'Testing')!r}]\n"
_DOWNLOAD = _PATHS + (
    "from pathlib import Path\n"
    "from VoxelMorphRegistrationLib.network.weights import download\n"
    "download(sys.argv[1], Path(sys.argv[2]), sha256=sys.argv[3])\n"
)
_INSTALL = _PATHS + (
    "from pathlib import Path\n"
    "from network.private_python import PrivatePython, TinyEngine\n"
    "from VoxelMorphRegistrationLib.progress import Progress\n"
    "stages = {}\n"
    "engine = TinyEngine(Path(sys.argv[1]), PrivatePython(Path(sys.argv[2]), Path(sys.argv[3])))\n"
    "status = engine.installation().install(lambda question: True, Progress(lambda s, f: stages.setdefault(s)))\n"
    "print(status.state.name, *stages, sep='|')\n"
)


@dataclass
class Server:
    """One file, sent slowly; what was asked for and how much of it was sent."""

    content: bytes
    pause: float = 0.1
    requests: list[str] = field(default_factory=list)
    sent: int = 0
    url: str = ""

    @contextmanager
    def running(self) -> Iterator[Server]:
        """On the loopback interface."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = self.headers.get("Range", "")
                outer.requests.append(wanted)
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(outer.content) - start))
                self.end_headers()
                try:
                    for at in range(start, len(outer.content), _CHUNK):
                        outer.sent += self.wfile.write(outer.content[at : at + _CHUNK])
                        time.sleep(outer.pause)
                except ConnectionError:
                    pass  # the one that was killed

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
            self.url = f"http://127.0.0.1:{http.server_port}/weights.h5"
            threading.Thread(target=http.serve_forever, daemon=True).start()
            yield self
            http.shutdown()


def share_a_download(folder: Path, processes: int, seed: int) -> tuple[list[str], str]:
    """What is wrong, and how often the server was asked. One process is killed while it downloads."""
    server = Server(random.Random(seed).randbytes(_WEIGHTS))
    sha256, destination = hashlib.sha256(server.content).hexdigest(), folder / "cache" / "weights.h5"
    environment = os.environ | {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    with server.running():
        command = [sys.executable, "-c", _DOWNLOAD, server.url, str(destination), sha256]
        first = subprocess.Popen(command, env=environment)
        others = []
        try:
            while server.sent < 12 * _CHUNK and first.poll() is None:
                time.sleep(0.01)
            others = [subprocess.Popen(command, env=environment) for _ in range(processes - 1)]
            first.kill()
            codes = [other.wait(600) for other in others]
        finally:
            for process in (first, *others):
                process.kill()
                process.wait()
    wrong = [f"exit codes {codes}"] if any(codes) else []
    if not destination.is_file() or hashlib.sha256(destination.read_bytes()).hexdigest() != sha256:
        wrong.append("the file is not the right one")
    left = sorted(path.name for path in destination.parent.iterdir() if path != destination)
    continued = [wanted for wanted in server.requests if wanted]
    if len(server.requests) != 2 or not continued:
        wrong.append(f"the server was asked {len(server.requests)} times ({server.requests})")
    return wrong + [f"left: {name}" for name in left], f"{len(server.requests)} requests, one of them to go on"


def share_an_installation(folder: Path, processes: int) -> tuple[list[str], str]:
    """What is wrong, and how many installed anything."""
    python = make_private_python(folder / "python")
    engine = TinyEngine(folder / "engine", python)
    engine.wheels.mkdir(parents=True)
    engine.require("tiny>=1.0")
    engine.wheel(payload=os.urandom(100_000))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"VOXELMORPH_REGISTRATION_WHEELS": str(engine.wheels), "PIP_CONFIG_FILE": os.devnull}
    command = [sys.executable, "-c", _INSTALL, str(engine.folder), str(python.executable), str(python.site_packages)]
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    said = [process.communicate(timeout=600)[0].strip() for process in started]
    wrong = [f"said {line!r}" for line in said if not line.startswith("COMPLETE|")]
    installed = sum("Installing 1 packages" in line for line in said)
    if installed != 1:
        wrong.append(f"{installed} installed it")
    left = [name for name in engine.left_behind() if name != engine.installation().folder.name]
    return wrong + [f"left: {name}" for name in left], f"{installed} installed, {processes - installed} waited"


def main() -> int:
    """Run it; 0 if all is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the figures into Docs/reliability.md")
    arguments = parser.parse_args()
    rows, faults = [], 0
    for number in range(arguments.rounds):
        for what, share in (
            (f"one model cache, {arguments.processes} processes, one killed while downloading", share_a_download),
            (f"one package folder, {arguments.processes} processes", share_an_installation),
        ):
            with tempfile.TemporaryDirectory() as name:
                more = (number,) if share is share_a_download else ()
                wrong, how = share(Path(name), arguments.processes, *more)  # type: ignore[operator]
            faults += bool(wrong)
            rows.append(f"| {what} | {how} | {'; '.join(wrong) or 'nothing'} |")
            print(rows[-1], file=sys.stderr, flush=True)
    counted = [f"{row[:-1]}| {rows.count(row)} |" for row in dict.fromkeys(rows)]
    text = "\n".join(["| shared | | wrong or left behind | times |", "| --- | --- | --- | ---: |", *counted])
    print(text)
    if arguments.write:
        command = shlex.join(["python", "Testing/hardening/sharing.py", *sys.argv[1:]])
        put_between(ROOT / "Docs/reliability.md", "sharing", f"`{command}`:\n\n{text}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
