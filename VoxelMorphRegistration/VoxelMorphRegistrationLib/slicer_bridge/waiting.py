"""Something that goes on in the background and writes nodes at its end, and waiting for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from VoxelMorphRegistrationLib.errors import CancelledError
from VoxelMorphRegistrationLib.pipeline.background import Event, Finished, StageReached
from VoxelMorphRegistrationLib.progress import Progress

_POLL_SECONDS = 0.002

Result_co = TypeVar("Result_co", covariant=True)


class Run(Protocol[Result_co]):
    """For the main thread: a timer, or `waited_for`, polls it."""

    def poll(self) -> list[Event]:
        """What happened since the last call; `Finished` says that `finish` can be called."""

    def cancel(self) -> None:
        """Stop; returns at once."""

    def finish(self) -> Result_co:
        """Write the nodes. Raises what ended it."""


def waited_for(run: Run[Result_co], progress: Progress, process_events: Callable[[], Any] | None = None) -> Result_co:
    """What the run gives at its end; ``process_events`` is called meanwhile, often. Raises what ended it."""
    try:
        while True:
            for event in run.poll():
                if isinstance(event, StageReached):
                    progress(event.stage, event.fraction)
                elif isinstance(event, Finished):
                    return run.finish()
            if progress.is_cancelled():
                raise CancelledError
            if process_events is not None:
                process_events()
            time.sleep(_POLL_SECONDS)
    except CancelledError:
        run.cancel()
        return run.finish()  # which raises it, in its own words
    except BaseException:
        run.cancel()
        raise
