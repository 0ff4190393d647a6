"""The options of ``check``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from VoxelMorphRegistrationLib.commands import exit_codes

_DESCRIPTION = """\
Measure a registration, whoever made it: how alike the volumes are before and after, how far points move, whether the
transform folds, and, with labels, landmarks or an inverse, what only these can tell.

  voxelmorph-registration check --fixed F.nii.gz --moving M.nii.gz --transform T.h5
  voxelmorph-registration check --fixed F.nii.gz --moving M.nii.gz --transform 1Warp.nii.gz 0GenericAffine.mat \\
      --fixed-labels FL.nii.gz --moving-labels ML.nii.gz --jacobian jacobian.nii.gz
"""
_EPILOG = "The exit code does not depend on the verdict, which is in the JSON object as level: good, look or bad.\n\n"


def add_commands(commands: Any) -> None:
    """Add the command to the program's subparsers."""
    parser = commands.add_parser(
        "check",
        help="measure how good a registration is: any transform, two volumes",
        description=_DESCRIPTION,
        epilog=_EPILOG + exit_codes.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inputs = parser.add_argument_group("the registration")
    inputs.add_argument("--fixed", required=True, metavar="VOLUME", help="the volume that stayed")
    inputs.add_argument("--moving", required=True, metavar="VOLUME", help="the volume that was moved")
    inputs.add_argument(
        "--transform",
        required=True,
        nargs="+",
        metavar="FILE",
        help="what takes fixed points to moving ones, and so moves the moving volume onto the fixed one: .h5, .tfm, "
        ".txt, .mat, .nii.gz, .nrrd, .mha; several in the order in which fixed points go through them, as in ANTs",
    )
    more = parser.add_argument_group("what there is to compare")
    more.add_argument("--fixed-mask", metavar="VOLUME", help="the part of the fixed volume that counts")
    more.add_argument("--fixed-labels", metavar="LABELMAP", help="structures drawn in the fixed volume")
    more.add_argument("--moving-labels", metavar="LABELMAP", help="the same structures, with the same numbers")
    more.add_argument(
        "--label-names",
        metavar="TABLE",
        help="their names: a number and a name in each line (FreeSurfer, Slicer .ctbl)",
    )
    more.add_argument("--fixed-points", metavar="FILE", help="landmarks: .mrk.json, .fcsv, .csv, .txt or .pts")
    more.add_argument("--moving-points", metavar="FILE", help="the same landmarks, by name or in the same order")
    more.add_argument(
        "--point-coordinates",
        choices=("LPS", "RAS"),
        help="what the numbers mean in a file of landmarks that does not say so (default: LPS, as ITK and ANTs)",
    )
    more.add_argument("--inverse", nargs="+", metavar="FILE", help="what takes moving points to fixed ones")
    parser.add_argument_group("report").add_argument(
        "--report",
        metavar="FILE",
        help="one .html file with pictures, measures and what was compared, to be opened in a browser",
    )
    maps = parser.add_argument_group("maps on the fixed volume's voxels")
    maps.add_argument("--jacobian", metavar="FILE", help="the Jacobian determinant: 1 keeps volume, 0 or less folds")
    maps.add_argument("--magnitude", metavar="FILE", help="the length of the displacement, in mm")
    maps.add_argument(
        "--inverse-error", metavar="FILE", help="how far points come back from themselves; needs --inverse"
    )
    talk = parser.add_argument_group("messages")
    talk.add_argument("--json", action="store_true", help="print the result as one JSON object, and nothing else")
    talk.add_argument("--quiet", action="store_true", help="print no progress")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.commands import check_command

    check_command.run(arguments, sys.stdout, sys.stderr)
