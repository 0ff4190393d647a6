"""The options of ``sequence``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from VoxelMorphRegistrationLib.commands import exit_codes, shared_options

_EXAMPLE = """\
examples:
  One segmentation, made on frame 4, for every frame of a 4-D file:
    voxelmorph-registration sequence heart.nii.gz --reference 4 --labels frame4-seg.nrrd --output heart-results
  Every frame of a folder, held still on the frame nearest the middle of the motion:
    voxelmorph-registration sequence frames/ --direction hold --output still

Stopped, by Ctrl-C or otherwise, the same command goes on where it was. The folder then holds:
  labels/, labels.seq.nrrd   the segmentation of each frame, and all of them for Slicer's sequence browser
  fields/                    the field of each frame, for resampling: in Slicer, put it over the moving volume
  moved/                     the moved volumes (--direction hold, or --moved)
  frames.csv, motion.csv     similarity, folding and displacement of each frame; volume and path of each label
  report.html                the same as plots, with pictures of the worst frames

"""


def add_commands(commands: Any) -> None:
    """Add the command to the program's subparsers."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "sequence",
        help="register every frame of a 4-D data set, and carry one segmentation to all of them",
        description="Register every frame of a sequence with one of them. Frames are counted from 0, as in Slicer's "
        "sequence browser.",
        epilog=_EXAMPLE + exit_codes.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inputs = parser.add_argument_group("inputs")
    inputs.add_argument(
        "input",
        metavar="INPUT",
        help="a 4-D file (.nii, .nii.gz, .nrrd, .seq.nrrd, .mha), a folder with one volume or DICOM folder a frame, or "
        "the folder of a DICOM series",
    )
    inputs.add_argument(
        "--reference",
        type=int,
        metavar="N",
        help="the frame that the others are registered with (default: the one nearest the middle of the motion)",
    )
    inputs.add_argument("--labels", metavar="LABELMAP", help="a segmentation of the reference frame; needs --reference")

    outputs = parser.add_argument_group("outputs")
    outputs.add_argument("--output", required=True, metavar="DIR", help="folder for the results")
    outputs.add_argument(
        "--keep",
        choices=("float32", "int16", "results"),
        default="float32",
        help="fields as they are, rounded to 16 bits with the largest error in each frame's record, or none "
        "(default: float32)",
    )
    outputs.add_argument(
        "--moved",
        action=argparse.BooleanOptionalAction,
        help="write the moved volumes too (default: only with --direction hold)",
    )

    outputs.add_argument(
        "--report",
        metavar="FILE",
        help="where the report goes: one .html file with plots and pictures of the worst frames (default: report.html "
        "in the folder)",
    )

    how = parser.add_argument_group("registration")
    how.add_argument(
        "--direction",
        choices=("carry", "hold"),
        default="carry",
        help="carry the reference's segmentation to every frame, or hold every frame still on the reference "
        "(default: carry)",
    )
    how.add_argument(
        "--mode",
        choices=("reference", "warm", "chain", "keyframes"),
        default="reference",
        help="reference: every frame to the reference; warm: the same, starting from the neighbour's field where that "
        "helps; chain: frame to frame, composed; keyframes: some frames, those between interpolated "
        "(default: reference)",
    )
    how.add_argument("--key-every", type=int, default=4, metavar="N", help="one key frame in N (default: 4)")
    how.add_argument(
        "--key-choice",
        choices=("regular", "content"),
        default="regular",
        help="key frames at regular distances, or as many where the motion turns (default: regular)",
    )
    how.add_argument(
        "--bias",
        choices=("reference", "swapped", "none"),
        default="reference",
        help="take off the field that the network answers for two images that are the same: once for the sequence, by "
        "registering each pair both ways (twice the time), or not (default: reference)",
    )
    shared_options.add_registration(
        how,
        pre_align=(
            "none",
            "how each frame is brought to the reference before the network; frames of one patient in one scanner lie "
            "together already",
        ),
        resolution=("half", "voxel size on which the network works"),
        refine="refine each frame's field for so long; fields are then as large as the frames",
    )
    how.add_argument("--threads", type=int, metavar="N", help="processor cores for the network (default: all)")

    shared_options.add_messages(parser)
    parser.set_defaults(run=_run, check=lambda arguments: _check(parser, arguments))


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.labels and arguments.reference is None:
        parser.error("--labels need --reference N: the frame, counted from 0, of which they are the segmentation")
    if arguments.threads is not None and arguments.threads < 1:
        parser.error("--threads has to be 1 or more")


def _run(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.commands import sequence_command

    sequence_command.run(arguments, sys.stdout, sys.stderr)
