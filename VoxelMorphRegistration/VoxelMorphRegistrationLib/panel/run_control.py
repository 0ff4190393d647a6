"""The Apply button: starts a registration in the background, shows how it goes on, cancels it, ends it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from VoxelMorphRegistrationLib.errors import CancelledError, RegistrationError
from VoxelMorphRegistrationLib.panel.background_task import BackgroundTask
from VoxelMorphRegistrationLib.panel.views import show_result
from VoxelMorphRegistrationLib.pipeline.background import Finished, LogLine, StageReached
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationResult
from VoxelMorphRegistrationLib.slicer_bridge.registration import RegistrationNodes
from VoxelMorphRegistrationLib.slicer_bridge.running import RegistrationRun
from VoxelMorphRegistrationLib.slicer_bridge.waiting import Run

_POLL_MILLISECONDS = 20


class RunControl:
    """One registration, or one preparation of it, at a time.

    ``ui`` holds applyButton, progressBar, statusLabel and logText. ``changed()`` is called whenever something
    begins or ends, for the rest of the panel to adapt.
    """

    def __init__(self, ui: Any, changed: Callable[[], None]) -> None:
        self._ui, self._changed = ui, changed
        self._place = ui  # whose progressBar and statusLabel show what runs
        self._run: Run[Any] | None = None
        self._then: Callable[[Any], None] = lambda _finished: None
        self._task: BackgroundTask | None = None
        self._cancelling = False
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._poll)
        ui.progressBar.hide()
        self.say("")

    @property
    def busy(self) -> bool:
        """Whether anything runs that Cancel would end."""
        return self._run is not None or self._task is not None

    def busy_in(self, place: Any) -> bool:
        """Whether what runs is shown in this place."""
        return self.busy and self._place is place

    @property
    def cancelling(self) -> bool:
        """Whether it was asked to end, and has not yet."""
        return self._cancelling

    def register(self, start: Callable[[], RegistrationRun]) -> None:
        """Start a registration. What ``start`` raises is shown."""
        self.run(start, _("Reading the volumes"), lambda finished: self._show_registration(*finished))

    def run(self, start: Callable[[], Run[Any]], stage: str, then: Callable[[Any], None], place: Any = None) -> None:
        """Start what needs the main thread again and again; ``then`` gets what its `finish` returned.

        What ``start`` raises is shown. ``place`` as in `do`.
        """
        self._place = place or self._ui
        # A segmentation as a mask, or a volume under a non-linear transform, takes a while to read.
        slicer.app.setOverrideCursor(qt.QCursor(qt.Qt.WaitCursor))
        try:
            self._run = start()
        except RegistrationError as error:
            self._end(error)
            return
        finally:
            slicer.app.restoreOverrideCursor()
        self._then = then
        self._begin(stage)
        self._timer.start()
        self._changed()

    def do(
        self, work: Callable[..., Any], stage: str, then: Callable[[Any], None] | None = None, place: Any = None
    ) -> None:
        """Run ``work(progress)``, such as a download, in a thread; if it succeeds, ``then`` gets what it returned.

        Without ``then`` the status line says that it is done. ``place``, with a progressBar and a statusLabel of its
        own, is where a section shows it; default is below Apply.
        """
        self._place = place or self._ui
        self._begin(stage)

        def ended(error: RegistrationError | None) -> None:
            task, self._task = self._task, None
            if error is None and then is not None and self._cancelling:
                error = CancelledError()  # it came to its end before it heard of it: what follows must not begin
            self._end(error)
            if error is None and then is not None and task is not None:
                then(task.result)
            elif error is None:
                self.say(_("Done."))

        self._task = BackgroundTask(work, self._show, ended)
        self._changed()

    def cancel(self) -> None:
        """End what runs; nothing of it is kept."""
        self._cancelling = True
        if self._run is not None:
            self._run.cancel()
        if self._task is not None:
            self._task.cancel()
        self._changed()

    def abandon(self) -> None:
        """End what runs without a word: the scene or the panel is going away."""
        self._timer.stop()
        if self._run is not None:
            self._run.cancel()
        if self._task is not None:
            self._task.abandon()
        if self.busy:
            self._run = self._task = None
            self._end(CancelledError())

    def say(self, text: str, place: Any = None) -> None:
        """Show this in the status line, which takes no room while there is nothing to say. ``place`` as in `do`."""
        label = (place or self._place).statusLabel
        label.text = text
        label.setVisible(bool(text))

    def log(self, text: str) -> None:
        """A line for the log, with the time."""
        self._ui.logText.appendPlainText(f"{time.strftime('%H:%M:%S')}  {text}")

    def _poll(self) -> None:
        for event in self._run.poll() if self._run is not None else []:
            if isinstance(event, StageReached):
                self._show(event.stage, event.fraction)
            elif isinstance(event, LogLine):
                self._ui.logText.appendPlainText(event.text)
            elif isinstance(event, Finished):
                self._timer.stop()
                self._finish()

    def _finish(self) -> None:
        run, self._run = self._run, None
        assert run is not None
        try:
            finished = run.finish()
        except RegistrationError as error:
            self._end(error)
            return
        self._end(None)
        self._then(finished)

    def _show_registration(self, nodes: RegistrationNodes, result: RegistrationResult) -> None:
        warnings = [text for text in (*result.warnings, show_result(nodes)) if text]
        for text in (
            *(_("Warning: {text}").format(text=warning) for warning in warnings),
            result.plan,
            ", ".join(f"{step} {seconds:.2f} s" for step, seconds in result.seconds.items()),
            result.summary(),
        ):
            self.log(text)
        self.say("\n".join([result.summary(), *warnings]))
        logging.info(result.summary())

    def _begin(self, stage: str) -> None:
        self._cancelling = False
        self._place.progressBar.value = 0
        self._place.progressBar.show()
        self.say(stage)
        self.log(stage)

    def _show(self, stage: str, fraction: float) -> None:
        self._place.progressBar.value = round(1000 * fraction)
        if stage != self._place.statusLabel.text:
            self.say(stage)
            self.log(stage)

    def _end(self, error: RegistrationError | None) -> None:
        self._cancelling = False
        self._place.progressBar.hide()
        self.say("" if error is None else str(error))
        self._place = self._ui
        if error is not None:
            self.log(str(error))
        self._changed()
        if error is not None and not isinstance(error, CancelledError):
            slicer.util.errorDisplay(str(error), windowTitle=_("VoxelMorph Registration"))
