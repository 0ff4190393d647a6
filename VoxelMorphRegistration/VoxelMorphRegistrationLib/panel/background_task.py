"""A function that takes long, in a thread, with its progress shown in the main thread."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import qt

from VoxelMorphRegistrationLib.errors import CancelledError, RegistrationError
from VoxelMorphRegistrationLib.progress import Progress

_POLL_MILLISECONDS = 20
_PATIENCE_SECONDS = 1.0  # with work that was asked to stop: it may wait for a server that does not answer


class BackgroundTask:
    """Runs ``work(progress)`` in a thread of its own, which may touch neither Qt nor MRML.

    In the main thread ``on_progress(stage, fraction)`` is called while it runs and at last, once, ``on_end(error)``
    with what ended it: a RegistrationError, or None, and then ``result`` is what ``work`` returned.
    """

    def __init__(
        self,
        work: Callable[[Progress], Any],
        on_progress: Callable[[str, float], None],
        on_end: Callable[[RegistrationError | None], None],
    ) -> None:
        self.result: Any = None
        self._work, self._on_progress, self._on_end = work, on_progress, on_end
        self._latest: tuple[str, float] | None = None
        self._error: RegistrationError | None = None
        self._cancelled = threading.Event()
        self._patience_ends = math.inf
        self._thread = threading.Thread(target=self._run, name="VoxelMorph task", daemon=True)
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._poll)
        self._thread.start()
        self._timer.start()

    def cancel(self) -> None:
        """Ask it to stop; ``on_end`` hears of it within a second, even if the thread takes longer to tidy up."""
        self._cancelled.set()
        self._patience_ends = time.monotonic() + _PATIENCE_SECONDS

    def abandon(self, seconds: float = 5.0) -> None:
        """Stop it and call nobody any more: the panel is going away. Gives it so long to tidy up."""
        self._timer.stop()
        self._cancelled.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self.result = self._work(Progress(self._report, self._cancelled.is_set))
        except RegistrationError as error:
            self._error = error
        except Exception as error:
            logging.getLogger(__name__).exception("Unexpected error in the background")
            self._error = RegistrationError(f"Something failed unexpectedly ({type(error).__name__}: {error}).")

    def _report(self, stage: str, fraction: float) -> None:
        self._latest = stage, fraction
        if self._cancelled.is_set():
            raise CancelledError

    def _poll(self) -> None:
        latest, self._latest = self._latest, None
        if latest is not None:
            self._on_progress(*latest)
        if not self._thread.is_alive():
            self._timer.stop()
            self._on_end(self._error)
        elif time.monotonic() > self._patience_ends:
            self._timer.stop()
            self._on_end(CancelledError())
