"""Fields read in a process of their own, where the reader is native code that a damaged file may bring down.

Of some thousand files with a few changed bytes SciPy's reader of .mat crashed on a handful, and HDF5 went on for ever
with one (``Testing/files/test_damaged_fields.py`` has them). Neither must end a Slicer with unsaved work, so the file
is read by ``python -m VoxelMorphRegistrationLib.files.fields.apart``, which hands over plain numbers; it costs half a
second.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import site
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.errors import FileError, InputError, RegistrationError
from VoxelMorphRegistrationLib.files.fields.raw import Hint, RawField
from VoxelMorphRegistrationLib.processes import NO_WINDOW, kill_with_children
from VoxelMorphRegistrationLib.spatial import Grid

_log = logging.getLogger(__name__)
_LIBRARY = Path(__file__).resolve().parents[3]  # the folder in which Python finds VoxelMorphRegistrationLib
_BEGUN, _ANSWER, _ARRAY = "begun", "answer.json", "field.npy"
_ERRORS: dict[str, type[RegistrationError]] = {"FileError": FileError, "InputError": InputError}

PATIENCE_SECONDS = 60.0
"""How long a file of no size may take; one second more for every megabyte."""


def read_apart(path: Path, key: str | None = None) -> RawField | None:
    """The field in a file as `reader.read_here` reads it, or None where no process can be started.

    Raises what the reader raised there, and FileError where the process crashed or did not come to an end.
    """
    python = _python()
    if python is None:
        return None
    with tempfile.TemporaryDirectory(prefix="voxelmorph-field-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        patience = PATIENCE_SECONDS + path.stat().st_size / 1e6
        order = {"path": str(path.absolute()), "key": key, "packages": sys.path, "seconds": patience}
        if not _run(python, [json.dumps(order), name], patience):
            raise FileError(
                f"{path} cannot be read: it is damaged, and reading it comes to no end; copy or export it again."
            )
        if not (folder / _BEGUN).exists():
            return None
        try:
            answer: dict[str, Any] = json.loads((folder / _ANSWER).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FileError(
                f"{path} cannot be read: it is damaged, and crashes the library that reads it; copy or export it again."
            ) from error
        if "error" in answer:
            raise _ERRORS.get(answer["error"], FileError)(answer["message"])
        return _field(answer, np.load(folder / _ARRAY, allow_pickle=False))


def _python() -> str | None:
    """This Python; in Slicer, whose executable is no Python, the one that it brings."""
    if Path(sys.executable or "").name.lower().startswith("python"):
        return sys.executable
    return shutil.which("PythonSlicer")


def _run(python: str, arguments: list[str], patience: float) -> bool:
    """Run the child to its end, however it ends; False where it had to be ended."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    try:
        child = subprocess.Popen(
            [python, "-m", __name__, *arguments],
            cwd=_LIBRARY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Slicer's Python is a launcher, and is ended with what it launched
            creationflags=NO_WINDOW,
        )
    except OSError as error:
        _log.warning("%s cannot be started (%s); a file is read without its protection.", python, error)
        return True
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        return False
    finally:
        if child.poll() is None:
            kill_with_children(child)
            child.wait()
    return True


def _field(answer: dict[str, Any], array: Any) -> RawField:
    placed = answer["grid"]
    grid = None if placed is None else Grid(tuple(placed["shape"]), placed["ijk_to_ras"])
    hints = tuple(Hint(**hint) for hint in answer["hints"])
    return RawField(array, answer["name"], grid, hints, tuple(answer["notes"]), answer["log_variance"])


# ---- in the other process ----------------------------------------------------------------------------------------


def main(order: dict[str, Any], folder: Path) -> None:
    """Read, and leave the numbers and all that came with them, or the error, in the folder."""
    for package_folder in order["packages"]:
        if package_folder and package_folder not in sys.path:
            site.addsitedir(package_folder)
    _limit(order["seconds"])
    from VoxelMorphRegistrationLib.files.fields.reader import read_here

    (folder / _BEGUN).touch()
    answer: dict[str, Any]
    try:
        raw = read_here(Path(order["path"]), order["key"])
    except RegistrationError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    else:
        np.save(folder / _ARRAY, raw.array, allow_pickle=False)
        answer = {
            "name": raw.name,
            "grid": raw.grid
            and {"shape": list(raw.grid.shape), "ijk_to_ras": np.asarray(raw.grid.ijk_to_ras).tolist()},
            "hints": [asdict(hint) for hint in raw.hints],
            "notes": list(raw.notes),
            "log_variance": raw.log_variance,
        }
    (folder / _ANSWER).write_text(json.dumps(answer), encoding="utf-8")


def _limit(seconds: float) -> None:
    """End with this much processor time, even if nobody waits any more."""
    if sys.platform != "win32":
        import resource

        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]))
