"""The command line: ``voxelmorph-registration``, or ``python -m VoxelMorphRegistrationLib``.

Nothing heavy is imported before a subcommand runs, so that help comes at once.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from VoxelMorphRegistrationLib import __version__
from VoxelMorphRegistrationLib.errors import CancelledError, EngineError, ModelError, RegistrationError
from VoxelMorphRegistrationLib.pipeline import import_field_options

OK, BAD_INPUT, NO_MODEL, CANCELLED, NO_OUTPUT = 0, 2, 3, 4, 5

_EXIT_CODES = """\
exit codes:
  0  done
  1  a fault of the program itself, with its traceback
  2  an option or an input volume cannot be used
  3  the model or the inference engine cannot be used
  4  cancelled (Ctrl-C)
  5  an output cannot be written
Unless it is 0, nothing was written.
"""

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Results go to standard output, everything else to standard
    error.
    """
    arguments = _parser().parse_args(argv)
    if check := getattr(arguments, "check", None):
        check(arguments)
    try:
        with _stopped_by_signals():
            arguments.run(arguments)
    except KeyboardInterrupt:
        return _failed(arguments, CancelledError("Cancelled; nothing was written."), CANCELLED)
    except MemoryError:
        sentence = "There is not enough memory for this; try --resolution half, or close other programs."
        return _failed(arguments, EngineError(sentence), NO_MODEL)
    except RegistrationError as error:
        return _failed(arguments, error, _exit_code(error))
    return OK


def _exit_code(error: RegistrationError) -> int:
    from VoxelMorphRegistrationLib.files.output import OutputError

    if isinstance(error, CancelledError):
        return CANCELLED
    if isinstance(error, (ModelError, EngineError)):
        return NO_MODEL
    return NO_OUTPUT if isinstance(error, OutputError) else BAD_INPUT


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


# ---- register ----------------------------------------------------------------------------------------------


def _register(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.pipeline import register_command

    register_command.run(arguments, sys.stdout, sys.stderr)


def _add_register(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser(
        "register",
        help="register a moving volume to a fixed one",
        description="Register a moving volume to a fixed one: rigidly or affinely first, then with the network.",
        epilog=_EXAMPLE + _EXIT_CODES,
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
        "--grid",
        choices=("full", "network"),
        default="full",
        help="where the fields are given: on the volumes' own grids, or on the network's coarser one, which is about "
        "8 times smaller and says the same of --transform, but for --inverse is an approximation (default: full)",
    )

    how = parser.add_argument_group("registration")
    how.add_argument(
        "--model",
        default="voxelmorph-brain-t1",
        metavar="NAME",
        help="a model's name (see: voxelmorph-registration models list) or the path of a VoxelMorph .h5 file "
        "(default: %(default)s)",
    )
    how.add_argument(
        "--engine",
        choices=("auto", "openvino", "tensorflow"),
        default="auto",
        help="what runs the network; auto takes the fastest that is installed (default: auto)",
    )
    how.add_argument(
        "--pre-align",
        choices=("none", "centre", "rigid", "affine"),
        default="affine",
        help="how the volumes are brought together before the network (default: affine)",
    )
    how.add_argument(
        "--resolution",
        choices=("full", "half", "quarter"),
        default="full",
        help="voxel size on which the network works; half is several times faster and a little less exact "
        "(default: full)",
    )
    how.add_argument(
        "--intensity",
        choices=("card", "none"),
        default="card",
        help="card: prepare the grey values as the model's card says; none: they are prepared already (default: card)",
    )

    talk = parser.add_argument_group("messages")
    talk.add_argument("--json", action="store_true", help="print the result as one JSON object, and nothing else")
    talk.add_argument("--quiet", action="store_true", help="print warnings and errors only")
    parser.set_defaults(run=_register, check=lambda arguments: _check_register(parser, arguments))


def _check_register(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if not any((arguments.transform, arguments.affine, arguments.inverse, arguments.moved, arguments.moved_labels)):
        parser.error("nothing to write: give at least one of --transform, --inverse, --moved, --moved-labels, --affine")
    if bool(arguments.labels) != bool(arguments.moved_labels):
        parser.error("--labels and --moved-labels need each other: the labels to move, and where to write them")


# ---- models ------------------------------------------------------------------------------------------------


def _add_models(commands: Any) -> None:
    parser = commands.add_parser("models", help="list, download or remove models", epilog=_EXIT_CODES)
    actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="what there is, what it is for, and whether it is here")
    listing.add_argument("--json", action="store_true", help="print one JSON object")
    listing.set_defaults(run=_list_models)
    for name, run, what in (
        ("download", _download_model, "download a model's weights and check them"),
        ("remove", _remove_model, "delete a model's downloaded weights"),
    ):
        action = actions.add_parser(name, help=what)
        action.add_argument("model", metavar="NAME", help="the model's name")
        action.set_defaults(run=run)


def _list_models(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL, Catalogue

    catalogue = Catalogue()
    cards = [(card, catalogue.is_available(card)) for card in catalogue.cards()]
    if arguments.json:
        rows = [
            {
                "name": card.name,
                "title": card.title,
                "suitable_for": card.suitable_for,
                "licence": card.licence,
                "size_bytes": card.size_bytes,
                "here": here,
                "default": card.name == DEFAULT_MODEL,
            }
            for card, here in cards
        ]
        print(json.dumps({"models": rows, "folder": str(catalogue.cache_folder)}, indent=2))
        return
    for card, here in cards:
        place = "here" if here else f"to be downloaded, {card.size_bytes / 1e6:.1f} MB"
        print(f"{card.name}{' (default)' if card.name == DEFAULT_MODEL else ''}: {card.title} - {place}")
        print(f"    {card.suitable_for}")
        print(f"    Licence: {card.licence}")
    print(f"\nDownloads are kept in {catalogue.cache_folder}.")


def _download_model(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.network.catalogue import Catalogue
    from VoxelMorphRegistrationLib.pipeline.terminal import ProgressDisplay

    display = ProgressDisplay(sys.stderr)
    try:
        path = Catalogue().weights_path(arguments.model, display.progress())
    finally:
        display.close()
    print(f"{arguments.model} is here and checked: {path}")


def _remove_model(arguments: argparse.Namespace) -> None:
    from VoxelMorphRegistrationLib.network.catalogue import Catalogue

    removed = Catalogue().remove(arguments.model)
    print(f"{arguments.model} was removed." if removed else f"{arguments.model} was not downloaded; nothing to remove.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="voxelmorph-registration",
        description="Deformable registration of two 3-D volumes with VoxelMorph networks.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"voxelmorph-registration {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    _add_register(commands)
    _add_models(commands)
    import_field_options.add_commands(commands)
    return parser
