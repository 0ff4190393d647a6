"""Collects the exceptions that Qt and VTK swallow.

An exception in a Qt slot, a VTK observer, a thread or a `__del__` is printed and forgotten, in Slicer as well
as here: the program goes on with half of its work undone and a test that only looks at the end result stays
green.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class SwallowedExceptions:
    """Takes the place of Python's three last-resort hooks between `install` and `uninstall`."""

    def __init__(self) -> None:
        self.caught: list[BaseException] = []
        self._previous: tuple[Any, Any, Any] | None = None

    def install(self) -> None:
        self._previous = (sys.excepthook, sys.unraisablehook, threading.excepthook)
        sys.excepthook = lambda kind, value, trace: self._collect(value, kind)
        sys.unraisablehook = lambda event: self._collect(event.exc_value, event.exc_type)
        threading.excepthook = lambda event: self._collect(event.exc_value, event.exc_type)

    def uninstall(self) -> None:
        if self._previous is not None:
            sys.excepthook, sys.unraisablehook, threading.excepthook = self._previous
            self._previous = None

    def _collect(self, value: BaseException | None, kind: type[BaseException]) -> None:
        self.caught.append(value if value is not None else kind())

    @contextmanager
    def expect(self, kind: type[BaseException], match: str = "") -> Iterator[None]:
        """Announces that the block swallows one exception of this kind, with `match` in its text."""
        before, self.caught = self.caught, []
        try:
            yield
        finally:
            during, self.caught = self.caught, before
        if len(during) != 1 or not isinstance(during[0], kind) or match not in str(during[0]):
            self.caught = before + during
            raise AssertionError(f"expected one swallowed {kind.__name__} with {match!r}, found: {during!r}")

    def report(self) -> str:
        """The tracebacks of what was caught, empty if nothing was."""
        return "\n".join("".join(traceback.format_exception(error)) for error in self.caught)
