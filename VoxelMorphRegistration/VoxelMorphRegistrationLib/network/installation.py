"""Installing the packages of an engine into a private folder, apart from those of the Python that will use them.

Slicer's Python is shared by all its modules: an engine installed there could exchange the NumPy under all of
them. So each engine has a folder of its own, one per Python version, used only by a child process, which looks
there after its own site-packages. Whatever the host Python has already, NumPy and SimpleITK first of all, is a
constraint for pip and is left out of the folder: pip plans against the host (``--dry-run``), and exactly what is
missing is installed into the folder (``--target``).

An installation is made in ``NAME.part`` beside its folder, and renamed when it is complete and was seen to load;
``manifest.json`` says what it holds. So a folder without manifest, or a ``.part``, is a half-finished one, and the
next installation begins by removing it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TypeVar

from VoxelMorphRegistrationLib.errors import CancelledError, EngineError, RegistrationError
from VoxelMorphRegistrationLib.network import packages as facts
from VoxelMorphRegistrationLib.network.file_lock import locked
from VoxelMorphRegistrationLib.network.packages import ENGINE_PACKAGES, PACKAGES_VARIABLE, EnginePackages, Requirement
from VoxelMorphRegistrationLib.network.pip_output import Meter
from VoxelMorphRegistrationLib.network.pip_process import Pip, Wheel
from VoxelMorphRegistrationLib.progress import Progress

WHEELS_VARIABLE = "VOXELMORPH_REGISTRATION_WHEELS"

_MANIFEST = "manifest.json"
_HEARTBEAT_SECONDS = 0.1
_T = TypeVar("_T")


class State(Enum):
    """What became of an engine's packages; the values are for people."""

    NOT_INSTALLED = "not installed"
    COMPLETE = "installed"
    PROVIDED = "part of this Python"
    HALF_FINISHED = "half-finished"
    OTHER_PYTHON = "installed for another Python"
    DAMAGED = "damaged"
    OUTDATED = "made for another version of this extension"


@dataclass(frozen=True)
class Status:
    """How things stand. ``detail`` is one sentence for the user; ``size_bytes`` is what lies on the disk.

    ``versions``: of the packages in the private folder; where the host provides the engine, of what is required.
    """

    state: State
    detail: str
    versions: dict[str, str]
    size_bytes: int

    @property
    def is_usable(self) -> bool:
        """Whether the engine can be used without installing anything."""
        return self.state in (State.COMPLETE, State.PROVIDED)


class DeclinedError(CancelledError):
    """The user was asked and did not want the packages; nothing was done."""


@dataclass(frozen=True)
class _Manifest:
    """What an installation holds, and which packages of the host it relies on."""

    python: str
    platform: str
    packages: dict[str, str]
    host: dict[str, str]
    size_bytes: int

    @classmethod
    def read(cls, folder: Path) -> _Manifest | None:
        """The manifest of a folder, None if there is none that can be read."""
        try:
            found = cls(**json.loads((folder / _MANIFEST).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        kinds = {"python": str, "platform": str, "packages": dict, "host": dict, "size_bytes": int}
        return found if all(isinstance(getattr(found, name), kind) for name, kind in kinds.items()) else None

    def write(self, folder: Path) -> None:
        (folder / _MANIFEST).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


class Installation:
    """The packages of one engine, for the running Python version, in the private folder."""

    def __init__(
        self,
        engine: str | EnginePackages,
        *,
        python: Path | None = None,
        root: Path | None = None,
        requirements: Path | None = None,
        host_path: Sequence[str] | None = None,
    ) -> None:
        """``engine``: its name, or what describes a new one.

        ``python`` runs pip, and later the engine (default: this one; in Slicer its PythonSlicer); it has to be of
        the running version, and ``host_path`` is where its own packages lie (default: sys.path). The installation
        is a folder in ``root`` (default: packages_folder()); ``requirements`` is the folder of the requirements
        files (default: requirements_folder()). Raises EngineError for an unknown name.
        """
        if isinstance(engine, str):
            if engine not in ENGINE_PACKAGES:
                raise EngineError(f'There is no engine "{engine}"; choose one of: {", ".join(ENGINE_PACKAGES)}.')
            engine = ENGINE_PACKAGES[engine]
        self.packages = engine
        self.python = python or Path(sys.executable)
        self.root = root or facts.packages_folder()
        self.folder = self.root / f"{engine.name}-{facts.python_tag()}"
        self._part, self._old = (self.folder.with_name(self.folder.name + end) for end in (".part", ".old"))
        self._requirements = requirements or facts.requirements_folder()
        self._host_path = host_path

    # -- what is wanted

    def requirements(self) -> list[str]:
        """The lines of the engine's requirements files that apply here."""
        return [requirement.line for requirement in self._required()]

    def download_size_hint(self) -> int:
        """About how many bytes an installation downloads."""
        return self.packages.download_mb * 1_000_000

    def question(self) -> str:
        """What the user is asked before anything is installed."""
        return (
            f"VoxelMorph registration needs the {self.packages.title} packages: up to {self.packages.download_mb} MB "
            f"to download, {self.packages.disk_mb} MB on the disk. They are for this extension alone, in "
            f"{self.folder}; the packages of Slicer and of other extensions stay as they are.\n\nInstall them now?"
        )

    def download_command(self) -> str:
        """What fetches the packages on another computer of the same kind, into the folder "wheels"."""
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        commands = []
        for file, dependencies in self._requirements_files():
            wanted = " ".join(f'"{required.line.split(";")[0].strip()}"' for required in facts.read_requirements(file))
            option = "" if dependencies else "--no-deps "
            commands.append(
                f"pip download {option}--only-binary :all: --python-version {version} --dest wheels {wanted}"
            )
        return " && ".join(commands)

    # -- what is there

    def status(self, *, thorough: bool = False) -> Status:
        """How things stand. Every file is checked by its size, and if ``thorough`` by its SHA-256 (seconds)."""
        manifest = _Manifest.read(self.folder)
        state, reason = self._absence() if manifest is None else self._condition(manifest, thorough)
        if state is State.PROVIDED:
            versions = self._host_versions(requirement.name for requirement in self._required())
        else:
            versions = facts.versions_in(self.folder)
        size = facts.size_on_disk(self.folder) if manifest is None else manifest.size_bytes
        size += sum(map(facts.size_on_disk, (self._part, self._old)))
        again = "" if state is State.NOT_INSTALLED else " again"
        way_out = "" if state in (State.COMPLETE, State.PROVIDED) else f"; Apply will ask to install it{again}"
        return Status(state, f"{reason}{way_out}.", versions, size)

    def paths(self) -> list[Path]:
        """The folders that the child process has to look into, after its own site-packages."""
        return [self.folder] if self.status().state is State.COMPLETE else []

    def _absence(self) -> tuple[State, str]:
        """Why there is no installation, and how it says so."""
        title = self.packages.title
        if not self._unmet({}):
            return State.PROVIDED, f"{title} is installed in this Python itself"
        if self.folder.exists() or self._part.exists():
            return State.HALF_FINISHED, f"The installation of {title} was broken off"
        if others := self._for_other_pythons():
            names = ", ".join(_python_name(folder.name) for folder in others)
            return State.OTHER_PYTHON, f"{title} is installed for {names} only"
        return State.NOT_INSTALLED, f"{title} is not installed"

    def _condition(self, manifest: _Manifest, thorough: bool) -> tuple[State, str]:
        """What an installation is worth, and how it says so."""
        title = self.packages.title
        if (manifest.python, manifest.platform) != (facts.python_tag(), sysconfig.get_platform()):
            return State.OTHER_PYTHON, f"{title} was installed for {manifest.python} on {manifest.platform}"
        if damage := facts.damage(self.folder, manifest.packages, thorough=thorough):
            return State.DAMAGED, f"The installation of {title} is damaged ({damage})"
        host = self._host_versions(manifest.host)
        if gone := [name for name in manifest.host if name not in host]:
            return State.DAMAGED, f"{title} needs {', '.join(gone)}, which this Python does not have any more"
        if unmet := self._unmet(manifest.packages):
            return State.OUTDATED, f"This version of the extension needs {', '.join(unmet)}"
        return State.COMPLETE, f"{title} is installed in {self.folder}"

    def _unmet(self, packages: dict[str, str]) -> list[str]:
        """The requirements that these packages do not meet; the host's own are found first, as by the child."""
        required = self._required()
        found = packages | self._host_versions(requirement.name for requirement in required)
        return [requirement.line for requirement in required if not requirement.is_met_by(found.get(requirement.name))]

    def _required(self) -> list[Requirement]:
        return [requirement for file, _ in self._requirements_files() for requirement in facts.read_requirements(file)]

    def _requirements_files(self) -> list[tuple[Path, bool]]:
        """The files, and whether what their packages depend on is wanted too."""
        name = f"requirements-{self.packages.name}"
        files = [(self._requirements / f"{name}.txt", True), (self._requirements / f"{name}-no-deps.txt", False)]
        return [(file, dependencies) for file, dependencies in files if file.is_file()]

    def _host_versions(self, names: Iterable[str]) -> dict[str, str]:
        paths = sys.path if self._host_path is None else self._host_path
        return facts.versions_of(names, [path for path in paths if not Path(path).is_relative_to(self.root)])

    def _for_other_pythons(self) -> list[Path]:
        if not self.root.is_dir():
            return []
        name = re.compile(rf"{re.escape(self.packages.name)}-cp\d+")
        folders = [path for path in self.root.iterdir() if name.fullmatch(path.name) and path != self.folder]
        return sorted(folder for folder in folders if _Manifest.read(folder) is not None)

    # -- changing it

    def install(
        self, confirm: Callable[[str], bool], progress: Progress | None = None, *, wheels: Path | None = None
    ) -> Status:
        """Install or repair the packages, after ``confirm`` has agreed to question(); the new status.

        Where they are usable already, nothing is asked or done. ``progress`` is reported to, and asked whether to
        stop, ten times a second, in the calling thread. ``wheels`` (default: the folder named by the environment
        variable VOXELMORPH_REGISTRATION_WHEELS) is a folder of wheel files to be used instead of the internet.

        Raises DeclinedError, CancelledError, or EngineError, which says why it failed and what can be done. In
        each case an installation that was there is as it was, and nothing else is left.
        """
        if (status := self.status()).is_usable:
            return status
        if not confirm(self.question()):
            raise DeclinedError(
                f"{self.packages.title} was not installed, as you chose; press Apply again to be asked again, or "
                "choose another engine."
            )
        progress = progress or Progress()
        if wheels is None and (chosen := os.environ.get(WHEELS_VARIABLE)):
            wheels = Path(chosen).expanduser()
        if wheels is not None and not wheels.is_dir():
            raise EngineError(f"The folder of wheel files {wheels} does not exist; set {WHEELS_VARIABLE} to one.")
        try:
            with self._locked(progress):
                if not (status := self.status()).is_usable:  # another process may have done it meanwhile
                    self._install(progress, wheels)
                    status = self.status()
        except CancelledError as error:
            raise CancelledError(f"{self.packages.title} was not installed, because you cancelled it.") from error
        return status

    def remove(self, progress: Progress | None = None, *, other_pythons: bool = False) -> int:
        """Delete the packages, and what a broken-off installation left; returns the bytes that became free.

        ``other_pythons``: those installed for other Python versions too. Raises EngineError where they are in use.
        """
        progress = progress or Progress()
        folders = [self.folder, self._part, self._old] + (self._for_other_pythons() if other_pythons else [])
        if not any(folder.exists() for folder in folders):
            return 0
        with self._locked(progress):
            freed = sum(map(facts.size_on_disk, folders))
            for folder in folders:
                self._delete(folder, progress, f"Removing {self.packages.title}")
        return freed

    def _install(self, progress: Progress, wheels: Path | None) -> None:
        """Make the installation in the ``.part`` folder, see that it loads, and put it in place."""
        for folder in (self._part, self._old):  # of one that was broken off
            self._delete(folder, progress, "Removing what a former installation left")
        self._check_space()
        title = self.packages.title
        meter = Meter(
            progress,
            f"Looking up the packages of {title}",
            download_mb=self.packages.download_mb,
            disk_mb=self.packages.disk_mb,
        )
        complete = self._part / "packages"
        try:
            complete.mkdir(parents=True)
            pip = Pip(
                self.python,
                self._part,
                tick=meter.tick,
                on_line=meter.on_line,
                by_hand=self.download_command(),
                wheels=wheels,
            )
            host = pip.host()
            if host.tag != facts.python_tag():
                raise EngineError(f"{self.python} is {host.tag}, but {facts.python_tag()} is needed; check its path.")
            chosen: dict[str, Wheel] = {}
            for file, dependencies in self._requirements_files():
                found = pip.resolve(file, host, dependencies=dependencies)
                chosen = {facts.normal_name(wheel.name): wheel for wheel in found} | chosen
            wanted = [wheel for name, wheel in chosen.items() if name not in self.packages.left_out]
            meter.begin(f"Downloading {len(wanted)} packages", 0.02)
            pip.install_into(complete, wanted, host)
            meter.begin(f"Checking that {title} can be loaded", 0.92)
            self._check_that_it_loads(pip, complete)
            packages = facts.versions_in(complete)
            if damage := _meanwhile(lambda: facts.damage(complete, packages), meter.tick):
                raise EngineError(f"{title} was not installed completely ({damage}); try again.")
            relied_on = {facts.normal_name(name) for name in meter.satisfied} & host.packages.keys()
            used = {name: host.packages[name] for name in sorted(relied_on)}
            size = _meanwhile(lambda: facts.size_on_disk(complete), meter.tick)
            _Manifest(host.tag, host.platform, packages, used, size).write(complete)
            meter.begin("Finishing", 0.98)
            self._put_in_place(complete)
        finally:
            for folder in (self._part, self._old):
                with suppress(EngineError):
                    self._delete(folder, progress, "Tidying up")

    def _check_that_it_loads(self, pip: Pip, folder: Path) -> None:
        """Load the packages in a child process that finds them as the worker does: after its own."""
        code = (
            f"import site, sys; sys.path.insert(0, {str(facts.LIBRARY_FOLDER)!r}); site.addsitedir({str(folder)!r})\n"
            f"{self.packages.check}"
        )
        exit_code, output = pip.run(["-c", code])
        if exit_code != 0:
            reason = next((line for line in reversed(output) if line.strip()), f"exit code {exit_code}")
            raise EngineError(
                f"{self.packages.title} was downloaded but cannot be loaded on this computer "
                f"({reason.strip().rstrip('.')}), so it was not installed; choose another engine."
            )

    def _put_in_place(self, complete: Path) -> None:
        replaces = self.folder.exists()
        if replaces:
            _rename(self.folder, self._old)
        try:
            _rename(complete, self.folder)
        except OSError:
            if replaces:
                os.replace(self._old, self.folder)
            raise

    def _delete(self, folder: Path, progress: Progress, stage: str) -> None:
        """Delete a folder, or, where something in it is in use, leave all of it and raise EngineError."""
        if not folder.exists():
            return
        doomed = folder
        if folder == self.folder:  # out of the way first: it must never be seen half deleted
            doomed = self._old
            shutil.rmtree(doomed, ignore_errors=True)
            try:
                os.replace(folder, doomed)  # Windows refuses it while a file in it is open
            except OSError as error:
                raise EngineError(
                    f"{self.packages.title} is in use and was not removed ({error.strerror}); restart Slicer and "
                    "remove it then."
                ) from error
        # Without asking whether to stop: it may be the tidying after a cancellation.
        _meanwhile(lambda: shutil.rmtree(doomed, ignore_errors=True), lambda: progress.report(stage, 1.0))

    def _check_space(self) -> None:
        needed = (self.packages.download_mb + self.packages.disk_mb) * 1_000_000
        free = shutil.disk_usage(self.root).free
        if free < needed:
            raise EngineError(
                f"{self.packages.title} needs {needed / 1e9:.1f} GB on the disk of {self.root}, which has "
                f"{free / 1e9:.1f} GB left; free some space, or set {PACKAGES_VARIABLE} to a folder on another disk."
            )

    @contextmanager
    def _locked(self, progress: Progress) -> Iterator[None]:
        """Keep other processes from changing this installation, or wait until they are done.

        Whatever the disk refuses meanwhile becomes an EngineError.
        """
        lock = self.folder.with_name(self.folder.name + ".lock")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with locked(lock, progress, f"Waiting for another program that installs {self.packages.title}"):
                yield
        except OSError as error:
            if isinstance(error, RegistrationError):
                raise
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = "its disk is full" if full else error.strerror or str(error)
            way_out = f"set {PACKAGES_VARIABLE} to another folder"
            raise EngineError(
                f"The folder {self.root} for the packages cannot be used ({reason}); "
                f"{'free some space, or ' if full else ''}{way_out}."
            ) from error


def _meanwhile(function: Callable[[], _T], heartbeat: Callable[[], None]) -> _T:
    """What a function returns that takes its time, in another thread; ``heartbeat`` is called in this one, often.

    If the heartbeat raises, the function still comes to its end first.
    """
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(function)
        while not wait([future], _HEARTBEAT_SECONDS).done:
            heartbeat()
        return future.result()


def _rename(source: Path, destination: Path) -> None:
    """Rename a folder; on Windows a virus scanner may hold a new file in it for a moment."""
    for _ in range(20):
        with suppress(PermissionError):
            os.replace(source, destination)
            return
        time.sleep(_HEARTBEAT_SECONDS)
    os.replace(source, destination)


def _python_name(folder_name: str) -> str:
    digits = folder_name.rpartition("-cp")[2]
    return f"Python {digits[:1]}.{digits[1:]}"
