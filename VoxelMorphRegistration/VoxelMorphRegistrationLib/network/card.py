"""Model cards: what a registration needs to know about a network and where its weights come from."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from VoxelMorphRegistrationLib.errors import ModelError, shortened

ANY_MODALITY = "any"
"""The modality of a model that was trained on all contrasts."""


@dataclass(frozen=True)
class IntensityPreparation:
    """How a volume's values are brought to those the network was trained on.

    ``scaling``: "none"; "unit_range" (minimum to 0, maximum to 1); "percentile" (a high percentile to
    ``level``); "white_matter_peak" (the brightest large tissue, white matter in T1, to ``level``); "equalised" (as
    many voxels at each value up to ``level``, within limits: a CT's soft tissues get the contrast that its bones had).
    ``match``: what is done to the pair afterwards. "fixed_to_moving" matches the fixed image's histogram to the
    moving one's (for one contrast); "contrast" carries one image over to the other's contrast (for any two).
    """

    scaling: Literal["none", "unit_range", "percentile", "white_matter_peak", "equalised"]
    level: float
    match: Literal["none", "fixed_to_moving", "contrast"]


@dataclass(frozen=True)
class ModelCard:
    """A network's input, output, origin and terms.

    ``orientation``: where the network's array axes i, j, k point, as letters of R L A P S I (like
    nibabel.aff2axcodes). ``spacing_mm``: its voxel size along them; for a network that knows voxels of any size
    (``any_spacing``) the finest it takes. ``shape_multiple``: every axis of its
    input is a multiple of this. ``field_kind``: whether it predicts a stationary velocity or a displacement.
    ``coarse_first``: at full resolution it does better where a pass at half resolution goes before.
    ``sha256`` and ``size_bytes`` describe the weights file ``file_name``; both may be empty (0) for a file of
    the user's own that needs no check.
    """

    name: str
    title: str
    description: str
    suitable_for: str
    orientation: str
    spacing_mm: tuple[float, float, float]
    smallest_extent_mm: tuple[float, float, float]
    largest_extent_mm: tuple[float, float, float]
    shape_multiple: int
    intensity: IntensityPreparation
    modality: str
    skull_stripped: bool
    field_kind: Literal["velocity", "displacement"]
    file_name: str
    sha256: str
    size_bytes: int
    source_url: str
    licence: str
    citation: str
    any_spacing: bool = False
    coarse_first: bool = False

    @classmethod
    def from_json(cls, path: Path) -> ModelCard:
        """Read and check a card; raises ModelError that names the field at fault."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise ModelError(f"The model card {path} was not found.") from error
        except (OSError, ValueError) as error:
            raise ModelError(f"The model card {path} cannot be read as JSON ({shortened(error)}).") from error
        return cls.from_text(text, path.name)

    @classmethod
    def from_text(cls, text: str, name: str) -> ModelCard:
        """A card from its JSON text, checked; ``name`` is what messages call it. Raises ModelError."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"The model card {name} cannot be read as JSON ({shortened(error)}).") from error
        try:
            card: ModelCard = _build(cls, values, "")
            _check(card)
        except (ValueError, OverflowError) as error:
            raise ModelError(f"The model card {name} cannot be used: {error}.") from error
        return card

    def to_json(self) -> str:
        """The card as JSON text that from_json reads back."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"


def _build(kind: Any, values: Any, where: str) -> Any:
    """A value of the annotated type from its JSON form; raises ValueError that says where it does not fit."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(values, dict):
            raise ValueError(f'"{where or "card"}" has to be an object')
        hints, prefix = get_type_hints(kind), f"{where}." if where else ""
        required = {field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING}
        for problem, names in (
            ("lacks", required - values.keys()),
            ("has the unknown", values.keys() - hints.keys()),
        ):
            if names:
                raise ValueError(f'it {problem} "{prefix}{min(names)}"')
        return kind(
            **{name: _build(hint, values[name], prefix + name) for name, hint in hints.items() if name in values}
        )  # type: ignore[operator]
    if get_origin(kind) is Literal:
        if values not in get_args(kind):
            raise ValueError(f'"{where}" is {values!r} and has to be one of {", ".join(get_args(kind))}')
        return values
    if get_origin(kind) is tuple:
        if not isinstance(values, list) or len(values) != len(get_args(kind)):
            raise ValueError(f'"{where}" has to be a list of {len(get_args(kind))} numbers')
        return tuple(_build(part, value, where) for part, value in zip(get_args(kind), values, strict=True))
    accepted = (int, float) if kind is float else kind
    if not isinstance(values, accepted) or (isinstance(values, bool) and kind is not bool):
        words = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
        raise ValueError(f'"{where}" has to be {words[kind]}')
    return kind(values)


def _check(card: ModelCard) -> None:
    """What types alone do not say; raises ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", card.name):
        raise ValueError(f'"name" is {card.name!r} and may hold letters, digits, dots and dashes only')
    if len(card.orientation) != 3 or any(
        sum(letter in axis for letter in card.orientation) != 1 for axis in ("RL", "AP", "SI")
    ):
        raise ValueError(f'"orientation" is {card.orientation!r} and has to name three axes, like LIA')
    if not all(0 < spacing < math.inf for spacing in card.spacing_mm):
        raise ValueError('"spacing_mm" has to be positive')
    if not all(0 <= a < b < math.inf for a, b in zip(card.smallest_extent_mm, card.largest_extent_mm, strict=True)):
        raise ValueError('"smallest_extent_mm" has to be smaller than "largest_extent_mm" on every axis')
    if card.shape_multiple < 1:
        raise ValueError('"shape_multiple" has to be at least 1')
    if not 0 < card.intensity.level < math.inf:
        raise ValueError('"intensity.level" has to be positive')
    if Path(card.file_name).name != card.file_name or not card.file_name:
        raise ValueError('"file_name" has to be the name of a file without folders')
    if card.sha256 and not re.fullmatch(r"[0-9a-f]{64}", card.sha256):
        raise ValueError('"sha256" has to be 64 hexadecimal digits in lower case')
    if card.source_url and not card.sha256:
        raise ValueError('a card with a "source_url" needs the "sha256" of what is downloaded')
    if card.source_url and not re.match(r"https?://", card.source_url):
        raise ValueError('"source_url" has to begin with https:// or http://')
    if card.size_bytes < 0:
        raise ValueError('"size_bytes" cannot be negative')
