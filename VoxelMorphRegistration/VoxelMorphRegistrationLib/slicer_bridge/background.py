"""Slicer's own background process: one for the application, whoever asks."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from VoxelMorphRegistrationLib.pipeline.background import Worker

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


def close_shared_worker() -> None:
    """End it and what it runs: before engines are installed or removed, and before the module is reloaded."""
    global _worker  # noqa: PLW0603
    if _worker is not None:
        _worker.close()
    _worker = None
