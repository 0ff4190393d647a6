"""What a check of a registration says: plain numbers, each with its unit in its name.

Everything here travels to and from the background process (`pipeline.exchange`) and into JSON (`CheckResult.as_json`).
None stands for what was not measured, because what it needs was not given or is not there (a structure that is empty
on one side has no surface distance).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from VoxelMorphRegistrationLib.spatial import Image

Level = Literal["good", "look", "bad"]
"""What a remark, or the verdict, asks of the reader: nothing; to look there; not to use it."""


@dataclass(frozen=True)
class BeforeAfter:
    """A measure of the volumes as they lie, and with the moving one carried over by the transform."""

    before: float | None
    after: float | None


@dataclass(frozen=True)
class Distances:
    """Of many distances, in mm: mean, 95th percentile and largest."""

    mean_mm: float
    p95_mm: float
    max_mm: float


@dataclass(frozen=True)
class Similarity:
    """How alike the grey values are inside the fixed volume's content; more is better in all three.

    ``correlation`` is the normalised cross-correlation (-1 to 1; for the same kind of image), ``mutual_information``
    is in nats (for any two kinds), ``local_correlation`` the mean of the squared correlation in small windows (0 to 1;
    for images whose brightness drifts).
    """

    correlation: BeforeAfter
    mutual_information: BeforeAfter
    local_correlation: BeforeAfter


@dataclass(frozen=True)
class JacobianSummary:
    """Determinants of the transform's Jacobian: 1 keeps volume, 2 doubles it from fixed to moving, 0 or less folds."""

    min: float
    p1: float
    p99: float
    max: float
    folded_percent: float


@dataclass(frozen=True)
class Overlap:
    """A structure drawn on both sides: Dice (0 to 1), the 95 % Hausdorff distance and the average symmetric surface
    distance, both in mm. A distance is None where the structure is missing on one side.
    """

    dice: BeforeAfter
    hausdorff95_mm: BeforeAfter
    surface_distance_mm: BeforeAfter


@dataclass(frozen=True)
class Structure:
    """One label of the fixed labelmap.

    ``volume_change_percent`` is how much larger the structure is in the moving volume according to the transform
    (the mean determinant within it, minus 1). ``overlap`` needs the moving labels as well.
    """

    label: int
    name: str
    volume_ml: float
    displacement: Distances
    volume_change_percent: float
    folded_percent: float
    overlap: Overlap | None = None


@dataclass(frozen=True)
class Landmark:
    """Corresponding points: how far the transform's image of the fixed one lies from the moving one."""

    name: str
    fixed_ras: tuple[float, float, float]
    moving_ras: tuple[float, float, float]
    error_mm: BeforeAfter


@dataclass(frozen=True)
class LandmarkErrors:
    """Target registration error, point by point and in all."""

    points: tuple[Landmark, ...]
    mean_mm: BeforeAfter
    median_mm: BeforeAfter
    max_mm: BeforeAfter


@dataclass(frozen=True)
class Remark:
    """A sentence in plain language on one of the measures, and what it asks of the reader."""

    level: Level
    message: str


@dataclass(frozen=True, eq=False)
class CheckMaps:
    """What was measured at every voxel, float32 on the fixed volume's grid.

    ``jacobian`` is the determinant, ``magnitude_mm`` the length of the displacement (the linear part included),
    ``inverse_error_mm`` how far from itself a point comes back through transform and inverse; -1 where the point leaves
    the inverse's grid on its way.
    """

    jacobian: Image | None = None
    magnitude_mm: Image | None = None
    inverse_error_mm: Image | None = None


@dataclass(frozen=True, eq=False)
class CheckResult:
    """All that a check says of one registration.

    ``level`` goes with ``verdict``, the sentence to read first; ``remarks`` give its reasons, the worst first.
    ``displacement`` and ``jacobian`` are over the fixed volume's content (or the fixed mask).
    """

    fixed: str
    moving: str
    transform: str
    level: Level
    verdict: str
    remarks: tuple[Remark, ...]
    similarity: Similarity
    displacement: Distances
    jacobian: JacobianSummary
    inverse_consistency: Distances | None = None
    structures: tuple[Structure, ...] = ()
    landmarks: LandmarkErrors | None = None
    maps: CheckMaps = field(default_factory=CheckMaps)

    @property
    def mean_dice(self) -> BeforeAfter | None:
        """Over the structures that were drawn on both sides; None where there are none."""
        overlaps = [structure.overlap.dice for structure in self.structures if structure.overlap is not None]
        if not overlaps:
            return None
        return BeforeAfter(_mean([dice.before for dice in overlaps]), _mean([dice.after for dice in overlaps]))

    @property
    def further_remarks(self) -> tuple[Remark, ...]:
        """The remarks that the verdict does not quote already."""
        return tuple(remark for remark in self.remarks if remark.message not in self.verdict)

    def as_json(self) -> dict[str, Any]:
        """Everything but the maps, as JSON knows it; what is not finite becomes null."""
        plain: dict[str, Any] = {
            each.name: _plain(getattr(self, each.name)) for each in dataclasses.fields(self) if each.name != "maps"
        }
        plain["mean_dice"] = _plain(self.mean_dice)
        return plain


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
