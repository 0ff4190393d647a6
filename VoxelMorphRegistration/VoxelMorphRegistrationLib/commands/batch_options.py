"""The options of ``batch``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from VoxelMorphRegistrationLib.commands import exit_codes

_EXAMPLE = """\
example:
  voxelmorph-registration batch --template > cases.csv       (and fill it in)
  voxelmorph-registration batch cases.csv --check
  voxelmorph-registration batch cases.csv --output results

Each row of the cases file is a pair (fixed, moving) or a sequence, with its options; --template says what
the columns mean. Files are named relative to the cases file. Nothing runs before the whole file is right.

In the output folder, cases/NAME holds the results of a case, manifest.json what became of each, report.html,
report.txt and report.csv the worst first. The same command again keeps what is finished and goes on with the rest.

"""


def add_commands(commands: Any) -> None:
    """Add the command to the program's subparsers."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "batch",
        help="register many pairs or sequences, on this machine or on a cluster",
        description="Register many pairs or sequences that are listed in a CSV file, with Dask.",
        epilog=_EXAMPLE + exit_codes.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", nargs="?", metavar="CASES.CSV", help="the cases file")
    parser.add_argument("--output", metavar="FOLDER", help="where the results go; made if it is not there")
    parser.add_argument("--template", action="store_true", help="print a cases file to start from, and stop")
    parser.add_argument("--check", action="store_true", dest="check_cases", help="check the cases file, and stop")

    where = parser.add_argument_group("where to run")
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="a Dask scheduler, such as tcp://host:8786, whose workers have this program and see the same files "
        "(default: this machine)",
    )
    where.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes on this machine (default: as many as cores and free memory allow)",
    )
    where.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="processor cores for each worker (default: the cores divided among the workers; 1 with --scheduler)",
    )

    talk = parser.add_argument_group("messages")
    talk.add_argument("--json", action="store_true", help="print the result as one JSON object, and nothing else")
    talk.add_argument("--quiet", action="store_true", help="print errors only")
    parser.set_defaults(run=_run, check=lambda arguments: _check(parser, arguments))


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.template:
        return
    if not arguments.cases:
        parser.error("give the cases file; for one to start from, use --template")
    if not arguments.check_cases and not arguments.output:
        parser.error("--output is needed: the folder for the results")


def _run(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.commands import batch_command

    batch_command.run(arguments, sys.stdout, sys.stderr)
