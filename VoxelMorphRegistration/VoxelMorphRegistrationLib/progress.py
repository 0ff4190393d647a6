"""Progress and cancellation of a long job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from VoxelMorphRegistrationLib.errors import CancelledError


def _say_nothing(stage: str, fraction: float) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Progress:
    """What a job calls between its steps.

    ``report(stage, fraction)`` gets a short text for the user and the part done, 0 to 1;
    ``is_cancelled()`` is asked at each call.
    """

    report: Callable[[str, float], None] = _say_nothing
    is_cancelled: Callable[[], bool] = _never

    def __call__(self, stage: str, fraction: float) -> None:
        """Report a step. Raises CancelledError if the user asked to stop."""
        if self.is_cancelled():
            raise CancelledError
        self.report(stage, min(max(fraction, 0.0), 1.0))

    def without_end(self) -> Progress:
        """For a sub-job whose "Done" is not the whole's: what it says at its very end is not passed on."""
        return Progress(
            lambda stage, fraction: self.report(stage, fraction) if fraction < 1 else None, self.is_cancelled
        )

    def part(self, start: float, stop: float) -> Progress:
        """The progress of a sub-job, whose 0..1 is this one's ``start``..``stop``."""
        return Progress(
            lambda stage, fraction: self.report(stage, start + (stop - start) * fraction), self.is_cancelled
        )
