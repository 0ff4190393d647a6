"""What processes are left of a test."""

from __future__ import annotations

from contextlib import suppress

import psutil


def children() -> list[psutil.Process]:
    """This process's children, and theirs, that have not ended.

    But not the one that Python's multiprocessing, which a test's Dask cluster may have used, keeps to its own end.
    """
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            tracker = "multiprocessing.resource_tracker" in " ".join(child.cmdline())
            if child.status() != psutil.STATUS_ZOMBIE and not tracker:
                found.append(child)
    return found
