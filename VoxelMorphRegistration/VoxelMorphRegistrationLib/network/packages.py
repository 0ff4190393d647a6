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

    The sizes, in MB, are for the question to the user and for the progress bar. ``check`` is Python code that
    fails if the packages cannot be loaded. ``left_out``: what others ask for but the engine runs without.
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
        disk_mb=220,
        check="import h5py, openvino; openvino.Core()",
        left_out=("openvino-telemetry",),  # sends usage statistics, and OpenVINO does without it where it is missing
    ),
    EnginePackages(
        name="tensorflow",
        title="TensorFlow",
        download_mb=500,
        disk_mb=1800,
        check="from VoxelMorphRegistrationLib.network.engines.tensorflow_engine import import_voxelmorph\n"
        "import_voxelmorph(None)",
    ),
]
ENGINE_PACKAGES = {packages.name: packages for packages in _LIST}


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
            if version := _version(distribution):
                found.setdefault(name, version)
    return found


def versions_in(folder: Path) -> dict[str, str]:
    """All packages in a folder, by their normalised names, with their versions."""
    return {name: distribution.version for name, distribution in _distributions(folder).items()}


def damage(folder: Path, packages: dict[str, str], *, thorough: bool = False) -> str | None:
    """What is wrong with these packages in a folder, in a few words; None if they are as pip installed them.

    Every file in their RECORDs is looked at: its size, and where ``thorough`` its SHA-256.
    """
    found = _distributions(folder)
    for name, version in packages.items():
        if name not in found or _version(found[name]) != version:
            return f"the package {name} is missing"
        for relative, digest, size in _record(found[name]):
            path = folder / relative
            try:
                is_right = path.stat().st_size == size and (not thorough or _digest(path) == digest)
            except OSError:
                is_right = False
            if not is_right:
                return f"the file {relative} is not as it was"
    return None


def size_on_disk(folder: Path) -> int:
    """The bytes of all files in a folder; 0 where there is none."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def _distributions(folder: Path) -> dict[str, importlib.metadata.Distribution]:
    found = importlib.metadata.distributions(path=[str(folder)])
    return {
        normal_name(distribution.metadata["Name"]): distribution for distribution in found if _version(distribution)
    }


def _version(distribution: importlib.metadata.Distribution) -> str | None:
    """None for a package whose metadata is missing or damaged."""
    try:
        return distribution.version if distribution.metadata["Name"] else None
    except (KeyError, TypeError, AttributeError):
        return None


def _record(distribution: importlib.metadata.Distribution) -> list[tuple[str, str, int]]:
    """The files of a package: path, SHA-256 as RECORD has it, size. Scripts, which pip puts elsewhere, are left out."""
    rows = csv.reader((distribution.read_text("RECORD") or "").splitlines())
    return [
        (path, digest, int(size))
        for path, digest, size in rows
        if digest.startswith("sha256=") and size and not path.startswith(("..", "/"))
    ]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return "sha256=" + urlsafe_b64encode(digest).rstrip(b"=").decode()
