"""Options that several commands have."""

from __future__ import annotations

from typing import Any

from VoxelMorphRegistrationLib.network.packages import ENGINE_PACKAGES


def add_registration(group: Any, *, pre_align: tuple[str, str], resolution: tuple[str, str], refine: str) -> None:
    """How a pair is registered: `RegistrationOptions`, which this must not import; for a command's group of options.

    ``pre_align`` and ``resolution`` are what the command takes by default, and its help; ``refine`` is help.
    """
    group.add_argument(
        "--model",
        default="voxelmorph-default",
        metavar="NAME",
        help="a model's name (see: voxelmorph-registration models list) or the path of a VoxelMorph .h5 file "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--engine",
        choices=("auto", *ENGINE_PACKAGES),
        default="auto",
        help="what runs the network; auto takes the fastest that is installed (default: auto)",
    )
    group.add_argument(
        "--pre-align",
        choices=("none", "centre", "rigid", "affine"),
        default=pre_align[0],
        help=f"{pre_align[1]} (default: %(default)s)",
    )
    group.add_argument(
        "--resolution",
        choices=("full", "half", "quarter"),
        default=resolution[0],
        help=f"{resolution[1]} (default: %(default)s)",
    )
    group.add_argument(
        "--intensity",
        choices=("card", "none"),
        default="card",
        help="card: prepare the grey values as the model's card says; none: they are prepared already (default: card)",
    )
    group.add_argument(
        "--refine", type=float, default=0.0, metavar="SECONDS", help=f"{refine} (default: 0, not at all)"
    )


def add_messages(parser: Any) -> None:
    """What the command prints."""
    talk = parser.add_argument_group("messages")
    talk.add_argument("--json", action="store_true", help="print the result as one JSON object, and nothing else")
    talk.add_argument("--quiet", action="store_true", help="print warnings and errors only")
