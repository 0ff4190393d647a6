"""The command line: ``voxelmorph-registration``, or ``python -m VoxelMorphRegistrationLib``.

Nothing heavy is imported before a subcommand runs, so that help comes at once.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from VoxelMorphRegistrationLib import __version__
from VoxelMorphRegistrationLib.commands import (
    batch_options,
    check_options,
    exit_codes,
    import_field_options,
    models_options,
    register_options,
    sequence_options,
    train_options,
)
from VoxelMorphRegistrationLib.errors import CancelledError, EngineError, RegistrationError

_COMMANDS = (
    register_options,
    check_options,
    sequence_options,
    batch_options,
    models_options,
    import_field_options,
    train_options,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Results go to standard output, everything else to standard
    error.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(words)
    arguments.command_line = shlex.join(["voxelmorph-registration", *words])
    if check := getattr(arguments, "check", None):
        check(arguments)
    try:
        with _stopped_by_signals():
            arguments.run(arguments)
    except KeyboardInterrupt:
        return _failed(arguments, CancelledError("Cancelled; nothing was written."), exit_codes.CANCELLED)
    except MemoryError:
        sentence = "There is not enough memory for this; try --resolution half, or close other programs."
        return _failed(arguments, EngineError(sentence), exit_codes.NO_MODEL)
    except RegistrationError as error:
        return _failed(arguments, error, exit_codes.exit_code(error))
    return exit_codes.OK


def _failed(arguments: argparse.Namespace, error: RegistrationError, code: int) -> int:
    if getattr(arguments, "json", False):
        print(json.dumps({"ok": False, "exit_code": code, "error": str(error)}, indent=2))
    print(f"voxelmorph-registration: {error}", file=sys.stderr)
    return code


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Ctrl-C and a polite kill both end the run where it is, once: a second one must not disturb the clearing
    up.
    """

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for each in stopping:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    stopping = (signal.SIGINT, signal.SIGTERM)
    before: dict[signal.Signals, Any] = {}
    with suppress(ValueError):  # not in the main thread: whoever called decides
        before = {each: signal.signal(each, stop) for each in stopping}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="voxelmorph-registration",
        description="Deformable registration of two 3-D volumes with VoxelMorph networks.",
        epilog=exit_codes.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"voxelmorph-registration {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for options in _COMMANDS:
        options.add_commands(commands)
    return parser
