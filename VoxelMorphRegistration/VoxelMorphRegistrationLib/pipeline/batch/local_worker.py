"""What Dask loads into each worker process of this machine (a "preload" module)."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Any


def dask_setup(worker: Any) -> None:
    """A Ctrl-C in the terminal goes to the workers too; the command itself ends them, in order."""
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
