"""The options of ``models``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from VoxelMorphRegistrationLib.commands import exit_codes


def add_commands(commands: Any) -> None:
    """Add the command to the program's subparsers."""
    parser = commands.add_parser("models", help="list, download, add or remove models", epilog=exit_codes.EPILOG)
    actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="what there is, what it is for, and whether it is here")
    listing.add_argument("--json", action="store_true", help="print one JSON object")
    listing.set_defaults(run=_list)
    _add_add(actions)
    for name, run, what in (
        ("download", _download, "download a model's weights and check them"),
        ("remove", _remove, "delete a model's downloaded weights"),
    ):
        action = actions.add_parser(name, help=what)
        action.add_argument("model", metavar="NAME", help="the model's name")
        action.set_defaults(run=run)


def _add_add(actions: Any) -> None:
    adding = actions.add_parser(
        "add",
        help="add a model file of your own",
        description="Add a network of VoxelMorph to the models: VxmDense or SynthMorph (.h5), a Keras graph of 2018 "
        "(.h5), or VoxelMorph's PyTorch backend (.pt, .pth). It is converted, compared with the original, and tried on "
        "known warps to find out what it expects; what is said here goes before what was found.",
        epilog=exit_codes.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    adding.add_argument("file", metavar="FILE", help="the model file")
    adding.add_argument("--name", metavar="TITLE", help="what to call it (default: the file's name)")
    adding.add_argument("--modality", default="", help="what it was trained on, such as T1 or CT")
    adding.add_argument(
        "--orientation",
        default="LIA",
        metavar="AXES",
        help="where the axes of the network's input point, as letters of R L A P S I (default: LIA, as FreeSurfer's)",
    )
    adding.add_argument(
        "--spacing",
        type=float,
        nargs="+",
        metavar="MM",
        help="the voxel size it was trained on: one number, or one for each axis (default: 1)",
    )
    adding.add_argument(
        "--any-spacing", action="store_true", help="it was trained on voxels of all sizes: the volume's own are taken"
    )
    adding.add_argument("--skull-stripped", action="store_true", help="it was trained on brains without skull")
    adding.add_argument(
        "--scaling",
        choices=("none", "unit_range", "percentile", "white_matter_peak", "equalised"),
        help="how intensities are scaled (default: what the trial finds, else unit_range)",
    )
    adding.add_argument(
        "--level",
        type=float,
        metavar="VALUE",
        help="to what the percentile, the white matter or the equalised values are scaled",
    )
    adding.add_argument(
        "--match",
        choices=("none", "fixed_to_moving", "contrast"),
        default="none",
        help="fixed_to_moving: match the fixed volume's histogram to the moving one's, for a network of one contrast; "
        "contrast: carry one volume over to the other's contrast, for any two (default: none)",
    )
    adding.add_argument("--no-probe", action="store_true", help="do not try it on known warps")
    adding.add_argument("--json", action="store_true", help="print one JSON object")
    adding.set_defaults(run=_add, check=lambda arguments: _check_add(adding, arguments))


def _check_add(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.spacing is not None and len(arguments.spacing) not in (1, 3):
        parser.error("--spacing takes one number, or three")
    if arguments.spacing is not None and arguments.any_spacing:
        parser.error("--spacing is of a network of one voxel size, --any-spacing of all; give one of them")
    if arguments.level is not None and arguments.scaling not in ("percentile", "white_matter_peak", "equalised"):
        parser.error("--level needs --scaling percentile, white_matter_peak or equalised")


def _add(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.commands import models_add_command

    models_add_command.run(arguments, sys.stdout, sys.stderr)


def _list(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.commands import models_command

    models_command.run_list(arguments, sys.stdout)


def _download(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.commands import models_command

    models_command.run_download(arguments, sys.stdout, sys.stderr)


def _remove(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.commands import models_command

    models_command.run_remove(arguments, sys.stdout)
