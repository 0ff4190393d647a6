"""One cell of the matrix: a field of a pair, stored in a convention in a container, identified."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.conventions import cases, containers
from VoxelMorphRegistrationLib.errors import RegistrationError
from VoxelMorphRegistrationLib.files.fields import RawField, read_raw_field
from VoxelMorphRegistrationLib.pipeline.conventions.diagnosis import Diagnosis, identify
from VoxelMorphRegistrationLib.spatial import DisplacementField

RIGHT = 0.12
"""A field found is right where its rms error is below this share of the true rms displacement: half of that is what a
modeling field loses by its inversion.
"""


@dataclass(frozen=True)
class Outcome:
    pair: str
    convention: str
    container: str
    error: float
    accepted: bool
    named: bool
    """Where it was not accepted: whether it was said what is ambiguous and what would settle it."""
    seconds: float
    found: str
    verdict: str

    @property
    def right(self) -> bool:
        return self.error <= RIGHT

    @property
    def kind(self) -> str:
        if self.accepted:
            return "accepted, right" if self.right else "ACCEPTED, WRONG"
        return "asked, right first" if self.right else "asked, wrong first"


def array_cell(pair: str, convention: str, container: str = "npy", moving: bool = True) -> Outcome:
    """A silent container with the array of a convention."""
    case = cases.case(pair)
    array, truth = cases.stored(case, convention)
    if container == "npy":
        return _outcome(pair, convention, container, RawField(array, convention), truth)
    suffix, write = containers.SILENT[container]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"warp{suffix}"
        write(array, case.fixed.grid, path)
        return _outcome(pair, convention, container, read_raw_field(path), truth)


def file_cell(pair: str, container: str) -> Outcome:
    """A container that speaks, with the forward field."""
    case = cases.case(pair)
    suffix, write = containers.SPEAKING[container]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"warp{suffix}"
        write(case.forward, case.moving.grid, path)
        return _outcome(pair, "as the format says", container, read_raw_field(path), case.forward)


def _outcome(pair: str, convention: str, container: str, raw: RawField, truth: DisplacementField) -> Outcome:
    case = cases.case(pair)
    diagnosis = identify(raw, case.fixed, case.moving)
    try:
        error = case.error(diagnosis.field(), truth)
    except RegistrationError:
        error = float("inf")
    return Outcome(
        pair,
        convention,
        container,
        error,
        diagnosis.accepted,
        _named(diagnosis),
        diagnosis.seconds,
        diagnosis.best.convention.describe(),
        diagnosis.verdict,
    )


def _named(diagnosis: Diagnosis) -> bool:
    return bool(diagnosis.ambiguous) and bool(diagnosis.settled_by)
