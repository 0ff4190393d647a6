"""The options of ``import-field`` and ``diagnose``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from VoxelMorphRegistrationLib.commands import exit_codes

CHOICES = {
    "units": ("voxel", "full voxel", "mm", "normalised"),
    "content": ("displacement", "positions", "velocity"),
    "direction": ("resampling", "modeling"),
    "layout": ("first", "last"),
    "placement": ("own", "fixed", "moving"),
}
_EXIT = (
    "0 only where a convention was accepted, or given by options (--components and --units, or --take); otherwise 2,\n"
    "and the evidence is printed all the same.\n\n" + exit_codes.EPILOG
)


def add_commands(commands: Any) -> None:
    """Add both commands to the program's subparsers."""
    importing = commands.add_parser(
        "import-field",
        help="turn any displacement field into a transform that Slicer, ITK and ANTs read",
        description="Find out what a displacement field of any program means, and write it as a correct transform.",
        epilog=_EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_inputs(importing)
    out = importing.add_argument_group("outputs")
    out.add_argument(
        "--transform",
        required=True,
        metavar="FILE",
        help="the field, fixed to moving: .h5, .nrrd, .mha, .nii.gz, .nii or .npz",
    )
    out.add_argument(
        "--voxelmorph",
        metavar="FILE",
        help="the field as VoxelMorph's PyTorch scripts write it, (3, I, J, K) in voxels: .npz, .npy, .nii.gz or .nii",
    )
    out.add_argument("--moved", metavar="FILE", help="the moving volume on the fixed one's grid; needs --moving")
    out.add_argument(
        "--grid",
        choices=("fixed", "own"),
        default="fixed",
        help="the fixed volume's voxels (default), or those on which the field is stored",
    )
    out.add_argument(
        "--model",
        default="",
        metavar="NAME",
        help="the model that computed the field, to be noted beside it (default: what the field's own sidecar says)",
    )
    mend = importing.add_argument_group("repairs")
    mend.add_argument(
        "--affine",
        metavar="FILE",
        help="a linear transform that follows the field (ANTs' 0GenericAffine.mat): both are joined",
    )
    mend.add_argument("--split-affine", metavar="FILE", help="write the field's linear part apart, into this file")
    mend.add_argument("--unfold", action="store_true", help="smooth the field until nothing folds")
    mend.add_argument("--taper", type=float, metavar="MM", help="fade the field to zero over so many mm around it")
    mend.add_argument("--fill", action="store_true", help="replace NaN and infinite vectors from their neighbours")
    importing.set_defaults(run=_import)

    diagnosing = commands.add_parser(
        "diagnose",
        help="say what is wrong with a displacement field or transform file",
        description="Find out what a displacement field means, what was done wrong with it, and how to mend it.",
        epilog=_EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_inputs(diagnosing)
    diagnosing.set_defaults(run=_diagnose)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("field", metavar="FIELD", help="npy, npz, pt, mat, h5, tfm, nii, mgz, nrrd or mha")
    parser.add_argument("--fixed", required=True, metavar="VOLUME", help="the volume that stayed")
    parser.add_argument("--moving", metavar="VOLUME", help="the volume that was moved; with it conventions are tried")
    parser.add_argument("--key", metavar="NAME", help="which array, in files that hold several")
    parser.add_argument("--json", action="store_true", help="print the evidence as one JSON object")
    said = parser.add_argument_group("what you know of the field (the rest is found out)")
    said.add_argument("--components", metavar="AXES", help="axis of each component: ijk, kji, -ij-k, RAS, LPS ...")
    said.add_argument("--axes", metavar="AXES", help="grid axis of each axis of the array: ijk, kji ...")
    for name, choices in CHOICES.items():
        said.add_argument(f"--{name}", choices=choices)
    said.add_argument("--take", type=int, metavar="N", help="take the N-th of the listed candidates")


def _import(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.commands import import_field_command

    import_field_command.run_import(arguments, sys.stdout)


def _diagnose(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.commands import import_field_command

    import_field_command.run_diagnose(arguments, sys.stdout)
