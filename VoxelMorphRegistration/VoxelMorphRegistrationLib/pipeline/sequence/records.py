"""What is known of one finished frame, as it stands in its file."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.spatial.grid import can_be_inverted

Status = Literal["reference", "registered", "interpolated", "failed"]


@dataclass(frozen=True)
class StructureMotion:
    """One label in one frame. Positions in RAS mm; displacements between the frame and the reference."""

    label: int
    volume_ml: float
    centroid_ras: tuple[float, float, float]
    mean_displacement_mm: float
    max_displacement_mm: float


@dataclass(frozen=True)
class FrameRecord:
    """One frame. Numbers are NaN where ``status`` is "failed"; ``error`` says why, in one sentence."""

    frame: int
    name: str
    status: Status
    error: str = ""
    stamp: str = ""
    content: str = ""
    """Hash of the frame's voxels and geometry."""
    built_on: tuple[int, ...] = ()
    """The frames from whose results this one was made: its neighbour, or the key frames around it."""
    affine: tuple[tuple[float, ...], ...] = ()
    """4x4 RAS, fixed to moving: the part of the map that the field's file holds besides the field itself."""
    similarity_before: float = float("nan")
    """Correlation of fixed and moving inside the fixed one's content, as they lie."""
    similarity_after: float = float("nan")
    folded_percent: float = float("nan")
    mean_displacement_mm: float = float("nan")
    max_displacement_mm: float = float("nan")
    largest_rounding_mm: float = 0.0
    """By how much the stored field may differ from the one that was found (kept as int16)."""
    structures: tuple[StructureMotion, ...] = ()
    files: tuple[tuple[str, int], ...] = ()
    """What was written for it: paths in the folder, and their sizes in bytes."""
    seconds: float = 0.0
    """Since the frame before was finished: the network works on the next frame while this one is written."""
    warnings: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether the frame has its results."""
        return self.status != "failed"

    def to_json(self) -> str:
        """As text; NaN as null."""
        return json.dumps(_without_nan(asdict(self)), indent=1)

    @classmethod
    def from_json(cls, text: str) -> FrameRecord:
        """Raises ValueError, KeyError, TypeError, AttributeError or OverflowError for what is no record."""
        values: dict[str, Any] = json.loads(text, object_hook=_with_nan)
        values["structures"] = tuple(
            StructureMotion(**{**each, "centroid_ras": tuple(map(_number, each["centroid_ras"]))})
            for each in values["structures"]
        )
        values["files"] = tuple((str(path), int(size)) for path, size in values["files"])
        values["built_on"] = tuple(values["built_on"])
        values["affine"] = tuple(tuple(map(float, row)) for row in values["affine"])
        if [len(row) for row in values["affine"]] not in ([], [4, 4, 4, 4]):
            raise ValueError("an affine that is no 4x4 matrix")
        if values["affine"] and not _is_affine(np.array(values["affine"])):
            raise ValueError("an affine that cannot be inverted")
        values["warnings"] = tuple(values["warnings"])
        return cls(**values)


def _is_affine(matrix: npt.NDArray[np.float64]) -> bool:
    return bool(np.isfinite(matrix).all()) and matrix[3].tolist() == [0, 0, 0, 1] and can_be_inverted(matrix)


def _with_nan(values: dict[str, Any]) -> dict[str, Any]:
    """Numbers that were null are NaN; no other member of a record is null."""
    return {key: _number(value) for key, value in values.items()}


def _number(value: Any) -> Any:
    return float("nan") if value is None else value


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(each) for each in value]
    return value
