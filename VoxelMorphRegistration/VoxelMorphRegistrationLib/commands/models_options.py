"""The options of ``models``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from VoxelMorphRegistrationLib.commands import exit_codes


def add_commands(commands: Any) -> None:
    """Add the command to the program's subparsers."""
    parser = commands.add_parser("models", help="list, download or remove models", epilog=exit_codes.EPILOG)
    actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="what there is, what it is for, and whether it is here")
    listing.add_argument("--json", action="store_true", help="print one JSON object")
    listing.set_defaults(run=_list)
    for name, run, what in (
        ("download", _download, "download a model's weights and check them"),
        ("remove", _remove, "delete a model's downloaded weights"),
    ):
        action = actions.add_parser(name, help=what)
        action.add_argument("model", metavar="NAME", help="the model's name")
        action.set_defaults(run=run)


def _list(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.commands import models_command

    models_command.run_list(arguments, sys.stdout)


def _download(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.commands import models_command

    models_command.run_download(arguments, sys.stdout, sys.stderr)


def _remove(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.commands import models_command

    models_command.run_remove(arguments, sys.stdout)
