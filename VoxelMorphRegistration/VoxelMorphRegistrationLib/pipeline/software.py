"""What a result was computed with: the versions of the library and of what it stands on, and the machine."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path

from VoxelMorphRegistrationLib import __version__


def versions() -> dict[str, str]:
    """Of the library and what it computes with, here."""
    from importlib.metadata import version

    from VoxelMorphRegistrationLib.network.engines import available_engines

    packages = {"numpy": version("numpy"), "SimpleITK": version("SimpleITK")}
    return {
        "voxelmorph-registration": __version__,
        "Python": platform.python_version(),
        **packages,
        **available_engines(),
    }


def machine() -> dict[str, str]:
    """This machine, in words; not its name, nor whose it is."""
    cores = os.cpu_count()
    return {
        "system": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "processor": _processor(),
        "cores": str(cores) if cores else "unknown",
    }


def _processor() -> str:
    with suppress(OSError):  # Linux; platform.processor() is empty or "x86_64" there
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
