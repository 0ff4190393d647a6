"""What the program's exit code says."""

from __future__ import annotations

from VoxelMorphRegistrationLib.errors import (
    BatchError,
    CancelledError,
    EngineError,
    ModelError,
    OutputError,
    RegistrationError,
)

OK, BAD_INPUT, NO_MODEL, CANCELLED, NO_OUTPUT, SOME_FAILED = 0, 2, 3, 4, 5, 6

EPILOG = """\
exit codes:
  0  done
  1  a fault of the program itself, with its traceback
  2  an option or an input volume cannot be used
  3  the model or the inference engine cannot be used
  4  cancelled (Ctrl-C)
  5  an output cannot be written
  6  some of a batch's cases, or of a sequence's frames, failed
Unless it is 0, nothing was written; but finished cases of a batch, and frames of a sequence, are kept with 4, 5 and 6.
"""


def exit_code(error: RegistrationError) -> int:
    """The code for what ended a command."""
    if isinstance(error, CancelledError):
        return CANCELLED
    if isinstance(error, (ModelError, EngineError)):
        return NO_MODEL
    if isinstance(error, BatchError):
        return SOME_FAILED
    return NO_OUTPUT if isinstance(error, OutputError) else BAD_INPUT
