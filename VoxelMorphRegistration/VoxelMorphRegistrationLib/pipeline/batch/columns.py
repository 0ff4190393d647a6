"""The columns of a cases file: what they mean and what may stand in them."""

from __future__ import annotations

from dataclasses import dataclass

from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL
from VoxelMorphRegistrationLib.network.packages import ENGINE_PACKAGES
from VoxelMorphRegistrationLib.pipeline.batch.case import Kind
from VoxelMorphRegistrationLib.pipeline.model_grid import RESOLUTIONS
from VoxelMorphRegistrationLib.pipeline.sequence import DIRECTIONS, KEEPS, KEY_CHOICES, MODES
from VoxelMorphRegistrationLib.spatial.pre_alignment import KINDS

BOTH: tuple[Kind, ...] = ("pair", "sequence")
PAIR: tuple[Kind, ...] = ("pair",)
SEQUENCE: tuple[Kind, ...] = ("sequence",)


@dataclass(frozen=True)
class Column:
    """A column; ``choices`` where only these values may stand in it."""

    name: str
    meaning: str
    kinds: tuple[Kind, ...] = BOTH
    is_input: bool = False
    """A file or folder that must exist; a relative path is relative to the cases file."""
    choices: tuple[str, ...] = ()
    smallest: int | None = None
    """For a whole number: it may not be below this."""
    default: str = ""
    """What an empty cell means, where that is a value."""


COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        Column("name", "unlike all others; the case's results lie in a folder of this name"),
        Column("fixed", "the volume that stays", PAIR, is_input=True),
        Column("moving", "the volume that is moved onto it", PAIR, is_input=True),
        Column("fixed_mask", "labelmap: what counts of the fixed volume, non-zero inside", PAIR, is_input=True),
        Column("moving_mask", "labelmap: what counts of the moving volume", PAIR, is_input=True),
        Column(
            "labels",
            "labelmap: a segmentation of the moving volume, or of a sequence's reference frame, to be moved with it",
            is_input=True,
        ),
        Column(
            "outputs",
            "file names with spaces between: transform, inverse, affine, moved, moved_labels, report, each with "
            "an ending",
            PAIR,
            default="transform.h5 moved.nii.gz, and moved_labels.nii.gz where there are labels",
        ),
        Column("sequence", "a 4-D file, a folder of volumes, or a DICOM folder", SEQUENCE, is_input=True),
        Column(
            "reference",
            "number of the frame that the others are registered with, from 0",
            SEQUENCE,
            smallest=0,
            default="the one nearest the middle of the motion",
        ),
        Column(
            "direction",
            "; ".join(f"{name}: {meaning}" for name, meaning in DIRECTIONS.items()),
            SEQUENCE,
            choices=tuple(DIRECTIONS),
            default="carry",
        ),
        Column(
            "mode",
            "; ".join(f"{name}: {meaning}" for name, meaning in MODES.items()),
            SEQUENCE,
            choices=tuple(MODES),
            default="reference",
        ),
        Column("key_every", "mode keyframes: one key frame in so many", SEQUENCE, smallest=2, default="4"),
        Column(
            "key_choice",
            "; ".join(f"{name}: {meaning}" for name, meaning in KEY_CHOICES.items()),
            SEQUENCE,
            choices=tuple(KEY_CHOICES),
            default="regular",
        ),
        Column(
            "keep",
            "; ".join(f"{name}: {meaning}" for name, meaning in KEEPS.items()),
            SEQUENCE,
            choices=tuple(KEEPS),
            default="float32",
        ),
        Column("moved", "also write each pair's moved volume", SEQUENCE, choices=("yes", "no"), default="no"),
        Column("grid", "where the fields are given", PAIR, choices=("full", "network"), default="full"),
        Column("model", "a model's name, or the path of a model file", default=DEFAULT_MODEL),
        Column("engine", "what runs the network", choices=("auto", *ENGINE_PACKAGES), default="auto"),
        Column(
            "pre_align",
            "what comes before the network",
            choices=tuple(KINDS),
            default="affine for pairs, none for sequences",
        ),
        Column("resolution", "voxel size on which the network works", choices=tuple(RESOLUTIONS), default="full"),
        Column(
            "intensity",
            "card: grey values are prepared as the model's card says; none: they are prepared already",
            choices=("card", "none"),
            default="card",
        ),
        Column(
            "refine_seconds",
            "for how many seconds the network's field is refined on this very pair, or on each frame",
            smallest=0,
            default="0",
        ),
    )
}


def as_table() -> str:
    """The columns as a Markdown table, for the documentation."""
    head = ["column", "for", "meaning", "empty means"]
    rows = [[f"`{column.name}`", _for(column), _said(column), column.default or _needed(column)] for column in _all()]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def as_comments() -> list[str]:
    """The columns as lines for people, for a template."""
    return [f"{column.name} ({_for(column)}): {_said(column)}; empty: {_empty(column)}" for column in _all()]


def _all() -> list[Column]:
    return list(COLUMNS.values())


def _for(column: Column) -> str:
    return "both" if column.kinds == BOTH else f"{column.kinds[0]}s"


def _said(column: Column) -> str:
    told = all(f"{choice}:" in column.meaning for choice in column.choices)
    return column.meaning if told else f"{column.meaning} ({', '.join(column.choices)})"


def _empty(column: Column) -> str:
    return column.default or _needed(column)


REQUIRED: dict[Kind, tuple[str, ...]] = {"pair": ("name", "fixed", "moving"), "sequence": ("name", "sequence")}


def _needed(column: Column) -> str:
    return "must be given" if any(column.name in names for names in REQUIRED.values()) else "none"
