"""The packages that each inference engine needs, and what is there of them; nothing is imported to find out.

The packages are declared in ``Resources/requirements-ENGINE.txt`` and, where one has to be installed without what
it depends on, in ``requirements-ENGINE-no-deps.txt``. Adding an engine: these files and its line below.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import os
import re
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGES_VARIABLE = "VOXELMORPH_REGISTRATION_PACKAGES"

LIBRARY_FOLDER = Path(__file__).resolve().parents[2]  # in which Python finds VoxelMorphRegistrationLib


@dataclass(frozen=True)
class EnginePackages:
    """What is to know of an engine's packages besides their names.

    The sizes, in MB, for the question to the user and the progress bar, are of the platform that needs most.
    ``check`` is Python code that fails if the packages cannot be loaded. ``left_out``: what others ask for but
    the engine runs without.
    """

    name: str
    title: str
    download_mb: int
    disk_mb: int
    check: str
    left_out: tuple[str, ...] = ()


_LIST = [
    EnginePackages(
        name="openvino",
        title="OpenVINO",
        download_mb=90,  # Windows; Linux 65, macOS 36
        disk_mb=280,  # Windows; Linux 200, macOS 160
        check="import h5py, nibabel, openvino; openvino.Core()",
        left_out=("openvino-telemetry",),  # sends usage statistics, and OpenVINO does without it where it is missing
    ),
    EnginePackages(
        name="tensorflow",
        title="TensorFlow",
        download_mb=450,  # Linux about 350; TensorFlow's wheel for Windows is larger by 80
        disk_mb=1800,  # Linux 1570
        check="from VoxelMorphRegistrationLib.network.engines.tensorflow_engine import import_voxelmorph\n"
        "import_voxelmorph(None)",
    ),
]
ENGINE_PACKAGES = {packages.name: packages for packages in _LIST}


def engine_title(name: str) -> str:
    """What people call an engine; the name itself of one that is not known here."""
    return ENGINE_PACKAGES[name].title if name in ENGINE_PACKAGES else name


def packages_folder() -> Path:
    """Where the engines are installed: the environment variable's folder, or the platform's place for user data."""
    if chosen := os.environ.get(PACKAGES_VARIABLE):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Application Support"
    else:
        root = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return root / "voxelmorph-registration" / "packages"


def requirements_folder() -> Path:
    """``Resources``: beside the package in Slicer and in a checkout, inside it in a wheel."""
    beside = LIBRARY_FOLDER / "Resources"
    return beside if beside.is_dir() else LIBRARY_FOLDER / "VoxelMorphRegistrationLib" / "resources"


def python_tag() -> str:
    """The running Python's, such as "cp312"."""
    return f"cp{sys.version_info[0]}{sys.version_info[1]}"


@dataclass(frozen=True)
class Requirement:
    """A line of a requirements file that applies here; ``name`` as PEP 503 normalises it."""

    line: str
    name: str
    specifier: Any

    def is_met_by(self, version: str | None) -> bool:
        """Whether this version of the package, None for none, is what the line asks for."""
        return version is not None and bool(self.specifier.contains(version, prereleases=True))


def read_requirements(file: Path) -> list[Requirement]:
    """The requirements in a file that apply to this Python and platform. Raises OSError, ValueError."""
    lines = (line.split(" #")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    parsed = [(line, _parse(line)) for line in lines if line and not line.startswith(("#", "-"))]
    return [
        Requirement(line, normal_name(requirement.name), requirement.specifier)
        for line, requirement in parsed
        if requirement.marker is None or requirement.marker.evaluate()
    ]


def _parse(line: str) -> Any:
    """A requirement, as the library "packaging" reads it: a copy of it comes with Slicer, and one with pip."""
    try:
        from packaging.requirements import Requirement as Parsed
    except ImportError:
        from pip._vendor.packaging.requirements import Requirement as Parsed  # type: ignore[assignment]
    return Parsed(line)


def normal_name(name: str) -> str:
    """A package's name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def versions_of(names: Iterable[str], paths: Sequence[str]) -> dict[str, str]:
    """The versions of those of these packages that Python would find in ``paths``."""
    found: dict[str, str] = {}
    for name in names:
        for distribution in importlib.metadata.distributions(name=name, path=list(paths)):
            with suppress(KeyError, TypeError, AttributeError):  # damaged: without readable metadata
                found.setdefault(name, distribution.version)
    return found


def versions_in(folder: Path) -> dict[str, str]:
    """The packages that pip installed into a folder, by their normalised names, with their versions."""
    return {name: version for name, (version, _) in _installed(folder).items()}


def damage(folder: Path, packages: dict[str, str], *, thorough: bool = False) -> str | None:
    """What is wrong with these packages in a folder, in a few words; None if they are as pip installed them.

    Every file in their RECORDs is looked at: its size, and where ``thorough`` its SHA-256.
    """
    found = _installed(folder)
    for name, version in packages.items():
        if name not in found or found[name][0] != version:
            return f"the package {name} is missing"
        try:
            record = _record(found[name][1])
        except (OSError, ValueError):
            return f"the list of files of {name} cannot be read"
        for relative, digest, size in record:
            path = f"{folder}{os.sep}{relative}"
            try:
                is_right = os.stat(path).st_size == size and (not thorough or _digest(path) == digest)
            except OSError:
                is_right = False
            if not is_right:
                return f"the file {relative} is not as it was"
    return None


def size_on_disk(folder: Path) -> int:
    """The bytes of all files in a folder; 0 where there is none."""
    total, folders = 0, [str(folder)]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def _installed(folder: Path) -> dict[str, tuple[str, Path]]:
    """Version and ``.dist-info`` of each package in a folder, from the name of the latter alone (PEP 427)."""
    found = {}
    for information in folder.glob("*.dist-info"):
        name, _, version = information.name.removesuffix(".dist-info").rpartition("-")
        found[normal_name(name)] = version, information
    return found


def _record(information: Path) -> list[tuple[str, str, int]]:
    """The files of a package: path, SHA-256 as RECORD has it, size. Scripts, which pip puts elsewhere, are left out."""
    with (information / "RECORD").open(encoding="utf-8", newline="") as file:
        return [
            (path, digest, int(size))
            for path, digest, size in csv.reader(file)
            if size and digest.startswith("sha256=") and not path.startswith(("..", "/"))
        ]


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return "sha256=" + urlsafe_b64encode(digest).rstrip(b"=").decode()
