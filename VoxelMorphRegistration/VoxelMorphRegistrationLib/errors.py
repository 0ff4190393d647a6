"""The errors a user may meet. Each message is one sentence that names the problem and the way out."""

from __future__ import annotations


def shortened(foreign: object, longest: int = 80) -> str:
    """What a user or a file gave, for a sentence: on one line, and not too long."""
    text = " ".join(str(foreign).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


class RegistrationError(Exception):
    """Anything that keeps a registration from being done; its text is shown to the user as it is."""


class InputError(RegistrationError, ValueError):
    """A volume, mask, tensor or setting that cannot be used as it was given."""


class FileError(RegistrationError, OSError):
    """A file that cannot be found, read or written."""


class OutputError(FileError):
    """A file that cannot be written, or not in this format."""


class ModelError(RegistrationError):
    """A model that is unknown, damaged, of the wrong kind, or cannot be downloaded."""


class EngineError(RegistrationError):
    """An inference engine that is not installed or that failed while running."""


class BatchError(RegistrationError):
    """A batch that ended with cases that have no result; the others are kept."""


class SequenceError(BatchError):
    """A sequence that ended with frames that have no result; the others are kept."""


class TransformError(RegistrationError):
    """A transform that does not do what the library computed, or that cannot be inverted."""


class CancelledError(RegistrationError):
    """The user asked to stop; nothing was written."""

    def __init__(self, message: str = "The registration was cancelled; nothing was changed.") -> None:
        super().__init__(message)
