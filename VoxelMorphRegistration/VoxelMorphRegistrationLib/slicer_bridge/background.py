"""Slicer's own background process: one for the application, whoever asks."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.pipeline.background import Worker
from VoxelMorphRegistrationLib.slicer_bridge.installation import installations

_worker: Worker | None = None


def shared_worker(extra_paths: Sequence[Path] = ()) -> Worker:
    """The worker that every registration in this application uses, so that its engine is loaded once.

    It runs Slicer's ``PythonSlicer``, or this Python where there is none. ``extra_paths``, the folders of the
    installed engines that its process may use: where they change, the former worker and what it runs are ended.
    """
    global _worker  # noqa: PLW0603
    wanted = (shutil.which("PythonSlicer") or sys.executable, tuple(extra_paths))
    if _worker is None or (_worker.python_executable, _worker.extra_paths) != wanted:
        close_shared_worker()
        _worker = Worker(*wanted)
    return _worker


def reading_worker() -> Worker:
    """The shared worker as it is, or else one with the packages of whichever engine is installed: to read files.

    Without any its process reads what SimpleITK and NumPy read.
    """
    if _worker is not None:
        return _worker
    usable = next((found for found in installations().values() if found.status().is_usable), None)
    return shared_worker(() if usable is None else usable.paths())


def close_shared_worker() -> None:
    """End it and what it runs: before engines are installed or removed, and before the module is reloaded."""
    global _worker  # noqa: PLW0603
    if _worker is not None:
        _worker.close()
    _worker = None


def events_without_input() -> Callable[[], Any] | None:
    """Slicer's event loop, without mouse and keys: a script does not expect the scene to be changed meanwhile."""
    import slicer

    application = getattr(slicer, "app", None)
    if application is None:
        return None
    import qt

    return lambda: application.processEvents(qt.QEventLoop.ExcludeUserInputEvents)
