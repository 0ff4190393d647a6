"""What the library logs as a warning during a job, for the job's own report."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def logged_warnings() -> Iterator[list[str]]:
    """The messages, in order, so far; they go where they went before as well."""
    noticed: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            noticed.append(record.getMessage())

    logger, collector = logging.getLogger("VoxelMorphRegistrationLib"), Collector(logging.WARNING)
    logger.addHandler(collector)
    try:
        yield noticed
    finally:
        logger.removeHandler(collector)
