"""What the tests of installations share: wheels that take no time, and a Python that has only what Slicer has."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from VoxelMorphRegistrationLib.network.installation import Installation
from VoxelMorphRegistrationLib.network.packages import EnginePackages

# What the host must keep, byte for byte; and pip, which does the work.
HOST_PACKAGES = ("numpy", "SimpleITK", "vtk")


@dataclass(frozen=True)
class PrivatePython:
    """A virtual environment with NumPy, SimpleITK, VTK and pip only."""

    executable: Path
    site_packages: Path

    def run(self, code: str) -> str:
        """What the code prints."""
        done = subprocess.run([self.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def files(self) -> dict[Path, tuple[int, int, int]]:
        """Every file of its packages with what changes if it is written to or replaced: inode, size, time."""
        stats = {path: path.stat() for path in self.site_packages.rglob("*") if "__pycache__" not in path.parts}
        return {path: (s.st_ino, s.st_size, s.st_mtime_ns) for path, s in stats.items() if not path.is_dir()}


def make_private_python(folder: Path) -> PrivatePython:
    """Its packages are hard links to, or copies of, those of the running Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    executable = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    find = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([executable, "-c", find], capture_output=True, text=True, check=True).stdout.strip())
    for package in (*HOST_PACKAGES, "pip"):
        for file in installed_files(package):
            target = site / file.relative_to(_site_of(package))
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, target)
            except OSError:  # on another disk
                shutil.copy2(file, target)
    return PrivatePython(executable, site)


def _site_of(package: str) -> Path:
    return Path(str(importlib.metadata.distribution(package).locate_file(""))).resolve()


def installed_files(package: str) -> list[Path]:
    """Every file in the RECORD of a package of the running Python that lies in its site-packages."""
    files = importlib.metadata.distribution(package).files or []
    paths = [Path(str(file.locate())).resolve() for file in files if ".." not in file.parts]
    return [path for path in paths if path.is_file() and path.suffix != ".pyc"]


def digests_of_the_main_python() -> dict[Path, str]:
    """SHA-256 of every file of NumPy, SimpleITK and VTK in the running Python."""
    digests = {}
    for file in (file for package in HOST_PACKAGES for file in installed_files(package)):
        with file.open("rb") as stream:
            digests[file] = hashlib.file_digest(stream, "sha256").hexdigest()
    return digests


def make_wheel(
    folder: Path,
    name: str = "tiny",
    version: str = "1.0",
    *,
    requires: Iterable[str] = (),
    code: str = "",
    payload: bytes = b"",
    tag: str = "py3-none-any",
) -> Path:
    """A wheel of one package whose ``__init__`` is ``code``, with ``payload`` as a data file."""
    module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    files: Mapping[str, bytes] = {
        f"{module}/__init__.py": f"__version__ = {version!r}\n{code}\n".encode(),
        f"{module}/payload.bin": payload,
        f"{info}/METADATA": ("\n".join(metadata) + "\n").encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    record = "".join(f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in files.items())
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return wheel


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


@dataclass
class TinyEngine:
    """An engine "tiny" whose packages are made by the test: its folders and its host."""

    folder: Path
    python: PrivatePython

    @property
    def root(self) -> Path:
        return self.folder / "packages"

    @property
    def wheels(self) -> Path:
        return self.folder / "wheels"

    def wheel(self, name: str = "tiny", version: str = "1.0", **content: object) -> Path:
        return make_wheel(self.wheels, name, version, **content)  # type: ignore[arg-type]

    def require(self, *lines: str, no_deps: Sequence[str] = ()) -> None:
        resources = self.folder / "resources"
        resources.mkdir(exist_ok=True)
        (resources / "requirements-tiny.txt").write_text("# what it needs\n" + "\n".join(lines) + "\n")
        if no_deps:
            (resources / "requirements-tiny-no-deps.txt").write_text("\n".join(no_deps) + "\n")

    def installation(
        self,
        check: str = "import tiny",
        *,
        left_out: tuple[str, ...] = (),
        disk_mb: int = 1,
        python: Path | None = None,
        host_path: Sequence[str] | None = None,
    ) -> Installation:
        packages = EnginePackages("tiny", "Tiny", download_mb=1, disk_mb=disk_mb, check=check, left_out=left_out)
        return Installation(
            packages,
            python=python or self.python.executable,
            root=self.root,
            requirements=self.folder / "resources",
            host_path=[str(self.python.site_packages)] if host_path is None else host_path,
        )

    def copy_of(self, installed: Path) -> Installation:
        """The installation, made by another test's pip, as if it had been made here."""
        installation = self.installation()
        shutil.copytree(installed, installation.folder)
        return installation

    def left_behind(self) -> list[str]:
        """Everything in the packages folder and every process that works there."""
        found = sorted(path.name for path in self.root.iterdir()) if self.root.is_dir() else []
        return found + processes_of(self.root)


def processes_of(folder: Path) -> list[str]:
    """The command lines of other processes that name a folder (Linux; elsewhere none are found)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command and entry.parent.name != str(os.getpid()):
            found.append(command)
    return found
