"""The options of ``register``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from VoxelMorphRegistrationLib.commands import exit_codes, shared_options

_EXAMPLE = """\
example:
  voxelmorph-registration register --fixed fixed.nii.gz --moving moving.nii.gz \\
      --transform fixed-to-moving.h5 --moved moved.nii.gz

The transform says where each point of the fixed volume lies in the moving one (a resampling, or "from
parent", transform), as ITK's and Slicer's transform files do: in Slicer, load it and put it over the moving
volume, its segmentations, models and markups; in Python, give SimpleITK.ReadTransform(...) to
SimpleITK.Resample.

"""

_VOLUMES = "NIfTI, NRRD, MetaImage, MGH, NPZ, or a DICOM folder"


def add_commands(commands: Any) -> None:
    """Add the command to the program's subparsers."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "register",
        help="register a moving volume to a fixed one",
        description="Register a moving volume to a fixed one: rigidly or affinely first, then with the network.",
        epilog=_EXAMPLE + exit_codes.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inputs = parser.add_argument_group("inputs")
    inputs.add_argument("--fixed", required=True, metavar="VOLUME", help=f"the volume that stays ({_VOLUMES})")
    inputs.add_argument("--moving", required=True, metavar="VOLUME", help="the volume that is moved onto it")
    inputs.add_argument(
        "--fixed-mask",
        metavar="LABELMAP",
        help="what counts of the fixed volume: non-zero inside, for example the brain without its skull",
    )
    inputs.add_argument("--moving-mask", metavar="LABELMAP", help="what counts of the moving volume")
    inputs.add_argument("--labels", metavar="LABELMAP", help="a segmentation of the moving volume, to be moved with it")

    outputs = parser.add_argument_group("outputs (at least one)")
    outputs.add_argument(
        "--transform",
        metavar="FILE",
        help="displacement field for resampling the moving volume: .h5 (fastest), .nrrd, .mha, .nii.gz or .nii",
    )
    outputs.add_argument(
        "--affine",
        metavar="FILE",
        help="write the pre-alignment apart (.h5, .tfm, .txt, .mat); --transform is then the deformable part alone, "
        "to be applied to fixed points before it",
    )
    outputs.add_argument(
        "--inverse",
        metavar="FILE",
        help="the inverse displacement field, pre-alignment included, on the moving volume's grid: takes moving "
        "points to fixed ones, and resamples the fixed volume",
    )
    outputs.add_argument(
        "--moved", metavar="FILE", help="the moving volume on the fixed one's grid: .nii.gz, .nii, .nrrd, .mha or .mgz"
    )
    outputs.add_argument("--moved-labels", metavar="FILE", help="the labels on the fixed volume's grid; needs --labels")
    outputs.add_argument(
        "--report",
        metavar="FILE",
        help="one .html file with pictures, measures and how it was made, to be opened in a browser",
    )
    outputs.add_argument(
        "--grid",
        choices=("full", "network"),
        default="full",
        help="where the fields are given: on the volumes' own grids, or on the network's coarser one, which is about "
        "8 times smaller and says the same of --transform, but for --inverse is an approximation; after --refine it is "
        "the refinement's grid, the voxels of the fixed volume (default: full)",
    )

    how = parser.add_argument_group("registration")
    shared_options.add_registration(
        how,
        pre_align=("affine", "how the volumes are brought together before the network"),
        resolution=(
            "full",
            "voxel size on which the network works; half is several times faster and a little less exact",
        ),
        refine="how long to improve the network's field on this very pair, voxel by voxel: 5 to 30 are useful; the "
        "result is never less alike than without, and it ends early where nothing more is gained",
    )
    shared_options.add_messages(parser)
    parser.set_defaults(run=_run, check=lambda arguments: _check(parser, arguments))


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    outputs = ("transform", "affine", "inverse", "moved", "moved_labels", "report")
    if not any(getattr(arguments, name) for name in outputs):
        parser.error(
            "nothing to write: give at least one of --transform, --inverse, --moved, --moved-labels, --affine, --report"
        )
    if bool(arguments.labels) != bool(arguments.moved_labels):
        parser.error("--labels and --moved-labels need each other: the labels to move, and where to write them")


def _run(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.commands import register_command

    register_command.run(arguments, sys.stdout, sys.stderr)
