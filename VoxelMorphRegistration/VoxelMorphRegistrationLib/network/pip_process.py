"""pip, run in a child process: its progress, its cancellation, and its failures in one sentence.

pip has no Python interface, and in the application's own process it could not be stopped. Nothing here installs
into an environment: `resolve` only plans, and `install_into` writes into the folder that it is given.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from VoxelMorphRegistrationLib.errors import EngineError
from VoxelMorphRegistrationLib.network.pip_output import failure
from VoxelMorphRegistrationLib.processes import NO_WINDOW, kill_with_children

_TICK_SECONDS = 0.1
_LINES_KEPT = 400

# The user's settings of pip that would send the packages elsewhere. Those of indexes, proxies and certificates stay.
_UNWANTED_SETTINGS = ("TARGET", "PREFIX", "ROOT", "USER", "REQUIRE_VIRTUALENV", "DRY_RUN", "REPORT", "CONSTRAINT")


@dataclass(frozen=True)
class Wheel:
    """A package that pip has chosen: its name, version and the SHA-256 of its file, where pip knows it."""

    name: str
    version: str
    sha256: str | None

    def pin(self) -> str:
        """The line of a requirements file that asks for exactly this file."""
        return f"{self.name}=={self.version}" + (f" --hash=sha256:{self.sha256}" if self.sha256 else "")


@dataclass(frozen=True)
class Host:
    """A Python as it is: its tag ("cp312"), platform, pip's version and its packages with their versions."""

    tag: str
    platform: str
    pip: tuple[int, ...]
    packages: Mapping[str, str]


class Pip:
    """pip of one Python, working in one folder, which gets all its temporary and downloaded files.

    ``tick`` is called ten times a second while it works, and may raise, which ends pip and its children.
    ``on_line`` gets what it prints.
    """

    def __init__(
        self,
        python: Path,
        work_folder: Path,
        *,
        tick: Callable[[], None],
        on_line: Callable[[str], None],
        by_hand: str,
        wheels: Path | None = None,
    ) -> None:
        """``by_hand``: the command that fetches the packages on another machine, for the user who is offline.

        ``wheels``: a folder of wheel files to install from, instead of the internet.
        """
        self._python = python
        self._folder = work_folder
        self._tick = tick
        self._on_line = on_line
        self._by_hand = by_hand
        self._wheels = wheels

    def host(self) -> Host:
        """What this Python has. Raises EngineError if it does not run or has no pip."""
        code, output = self.run(["-c", _HOST_PROBE])
        line = next((line for line in reversed(output) if line.startswith("{")), None)
        if code != 0 or line is None:
            reason = output[-1] if output else f"exit code {code}"
            raise EngineError(f"{self._python} cannot install packages ({reason}); check this Python.")
        found = json.loads(line)
        if not found["pip"]:
            raise EngineError(
                f"{self._python} has no pip to install packages with; run {self._python} -m ensurepip first."
            )
        return Host(found["tag"], found["platform"], tuple(found["pip"]), found["packages"])

    def resolve(self, requirements: Path, host: Host, *, dependencies: bool = True) -> list[Wheel]:
        """What has to be added to the host for these requirements, the host's own packages staying as they are.

        Raises EngineError with the reason in one sentence.
        """
        constraints = self._folder / "host.txt"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in host.packages.items()))
        report = self._folder / "report.json"
        report.unlink(missing_ok=True)
        self._pip(
            ["--dry-run", "--report", str(report), "--constraint", str(constraints)]
            + ([] if dependencies else ["--no-deps"])
            + ["--requirement", str(requirements)],
            host,
        )
        return [_wheel(entry) for entry in json.loads(report.read_text(encoding="utf-8"))["install"]]

    def install_into(self, folder: Path, wheels: Sequence[Wheel], host: Host) -> None:
        """Install exactly these files into a folder, without looking at what they depend on."""
        pins = self._folder / "plan.txt"
        all_hashed = all(wheel.sha256 for wheel in wheels)  # pip wants all hashes or none
        pins.write_text(
            "".join(f"{wheel.pin() if all_hashed else f'{wheel.name}=={wheel.version}'}\n" for wheel in wheels)
        )
        self._pip(["--no-deps", "--no-compile", "--target", str(folder), "--requirement", str(pins)], host)

    def run(self, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None) -> tuple[int, list[str]]:
        """Run this Python with arguments; its exit code and the last lines it printed."""
        output: list[str] = []

        def take(line: str) -> None:
            output.append(line)
            del output[:-_LINES_KEPT]
            self._on_line(line)

        try:
            code = run([str(self._python), *arguments], environment or self._environment(), take, self._tick)
        except OSError as error:
            raise EngineError(f"{self._python} cannot be started ({error.strerror}); check this Python.") from error
        return code, output

    def _pip(self, arguments: Sequence[str], host: Host) -> None:
        command = ["-m", "pip", "install", "--no-input", "--only-binary", ":all:", "--retries", "2"]
        # What is downloaded for the plan is not downloaded again, and goes when the work folder goes.
        command += ["--cache-dir", str(self._folder / "cache")]
        command += ["--progress-bar", "raw" if host.pip >= (24, 1) else "off"]
        if self._wheels is not None:
            command += ["--no-index", "--find-links", str(self._wheels)]
        code, output = self.run([*command, *arguments])
        if code != 0:
            python = f"Python {host.tag[2:3]}.{host.tag[3:]} on {host.platform}"
            source = f"The folder {self._wheels}" if self._wheels else "PyPI"
            raise EngineError(failure(output, python=python, source=source, by_hand=self._by_hand))

    def _environment(self) -> dict[str, str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {f"PIP_{setting}" for setting in _UNWANTED_SETTINGS}
        }
        temporary = self._folder / "tmp"  # pip unpacks there, and leaves it behind if it is killed
        temporary.mkdir(exist_ok=True)
        return environment | {
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_USER": "0",  # against a pip.conf that says otherwise
            "PIP_REQUIRE_VIRTUALENV": "0",
            "PIP_NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONSAFEPATH": "1",  # nothing is imported from the folder that the application was started in
            "PYTHONIOENCODING": "utf-8",
        }


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    tick: Callable[[], None],
) -> int:
    """Run a command to its end, handing on the lines it prints; its exit code.

    Whatever ``tick`` or ``on_line`` raises ends the command and its children at once. Raises OSError if it cannot
    be started.
    """
    process = subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a group of its own, to be ended together
        creationflags=NO_WINDOW,
    )
    assert process.stdout is not None
    stream = process.stdout
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        with stream:
            for line in stream:
                lines.put(line.decode(errors="replace").rstrip())
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        for line in _until_end(lines, tick):
            on_line(line)
        return process.wait()
    except BaseException:
        kill_with_children(process)
        process.wait()
        reader.join(1.0)
        raise


def _until_end(lines: queue.SimpleQueue[str | None], tick: Callable[[], None]) -> Iterator[str]:
    while True:
        tick()
        with suppress(queue.Empty):
            line = lines.get(timeout=_TICK_SECONDS)
            if line is None:
                return
            yield line


def _wheel(entry: Mapping[str, object]) -> Wheel:
    metadata, download = entry["metadata"], entry["download_info"]
    assert isinstance(metadata, dict)
    assert isinstance(download, dict)
    hashes = download.get("archive_info", {}).get("hashes", {})
    return Wheel(metadata["name"], metadata["version"], hashes.get("sha256"))


# Runs in the Python that will use the packages, whose own versions these are.
_HOST_PROBE = """
import importlib.metadata, json, sys, sysconfig
packages, pip = {}, None
try:
    import pip as pip_package
    pip = [int(part) for part in pip_package.__version__.split(".")[:2]]
    from pip._vendor.packaging.version import Version
except ImportError:
    Version = str
for distribution in importlib.metadata.distributions():
    try:
        name, version = distribution.metadata["Name"], distribution.version
        Version(version)
        packages.setdefault(name.lower().replace("_", "-").replace(".", "-"), version)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass  # a damaged package of the host's, which pip could not read either
print(json.dumps({"tag": f"cp{sys.version_info[0]}{sys.version_info[1]}", "platform": sysconfig.get_platform(),
                  "pip": pip, "packages": packages}))
"""
