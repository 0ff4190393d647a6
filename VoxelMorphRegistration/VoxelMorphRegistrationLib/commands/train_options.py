"""The options of ``train``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.commands import exit_codes

_EXAMPLE = """\
examples:
  a general model from synthetic pairs, going on where the folder's last run stopped:
    voxelmorph-registration train --folder run --from voxelmorph-brain-t1 --labels label_maps/ --steps 20000
  from nothing:
    voxelmorph-registration train --folder run --from nothing --learning-rate 1e-3 --steps 20000

  adapting the embedded model to the frames of a sequence, in ten minutes; "models list" then lists it:
    voxelmorph-registration train --from default --volumes frames/ --minutes 10 --title "Liver of Ms B"

The folder holds checkpoint.npz, model.h5 (VoxelMorph's own format, of the running average of the weights),
curve.csv and curve.png, all renewed every few minutes, and at the end the model's card, model.json.

"""


def add_commands(commands: Any) -> None:
    """Add the command to the program's subparsers."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "train",
        help="train a network, or adapt one to the volumes of a patient",
        description="Train a VxmDense network with VoxelMorph's own code (the TensorFlow engine): on synthetic pairs, "
        "or, with --volumes, further on the volumes of one study or sequence.",
        epilog=_EXAMPLE + exit_codes.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, help="where checkpoint, model and loss curve are kept")
    parser.add_argument(
        "--volumes",
        type=Path,
        metavar="FOLDER",
        help="adapt the model to these: a folder of volumes that lie on one another, or a 4-D file",
    )
    parser.add_argument("--title", default="Adapted model", help="what the adapted model is called")
    parser.add_argument(
        "--from",
        dest="start",
        default="nothing",
        metavar="MODEL",
        help='the weights to begin with: a model\'s name, a VxmDense .h5 file, "default" for the embedded model, or '
        '"nothing" (default)',
    )
    parser.add_argument(
        "--mean-with",
        metavar="MODEL",
        help="write the mean of the trained weights and those of this model, which keeps what that one could do",
    )
    parser.add_argument("--labels", type=Path, metavar="FOLDER", help="label maps of one anatomy, to be painted")
    parser.add_argument(
        "--validation-labels", type=Path, metavar="FOLDER", help="label maps of which the held-out pairs are made"
    )
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="volumes, to be recoloured")
    parser.add_argument("--steps", type=int, default=20_000, help="train until so many are done (default 20000)")
    parser.add_argument(
        "--minutes",
        type=float,
        help="stop after so many, not counting the compilation of the network (with --volumes: 10 by default)",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=2e-4, help="default 2e-4; 1e-3 from nothing")
    parser.add_argument("--smoothness", type=float, default=0.4, help="weight of VoxelMorph's Grad loss (default 0.4)")
    parser.add_argument("--float32", action="store_true", help="convolutions in float32, not bfloat16")
    parser.add_argument("--threads", type=int, default=1, help="cores to use (default 1)")
    parser.add_argument("--name", default="voxelmorph-own", help="the model's name on its card, model.json")
    parser.add_argument("--licence", default="not stated", help="the model's licence on its card")
    parser.set_defaults(run=_run, check=_check)


def _check(arguments: argparse.Namespace) -> None:
    problem = ""
    if arguments.volumes is None and arguments.folder is None:
        problem = "give --folder to train on synthetic pairs, or --volumes to adapt a model to volumes"
    elif arguments.volumes is not None and arguments.start == "nothing":
        problem = "--volumes needs a model to adapt: --from default, or another one"
    if problem:
        print(f"voxelmorph-registration train: {problem}", file=sys.stderr)
        raise SystemExit(exit_codes.BAD_INPUT)


def _run(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.commands import train_command

    train_command.run(arguments, sys.stdout, sys.stderr)
