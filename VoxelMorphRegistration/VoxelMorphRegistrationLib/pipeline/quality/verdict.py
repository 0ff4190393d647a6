"""The numbers of a check as sentences, and one sentence on all of them.

No number proves a registration right: the best that is ever said is that nothing measured speaks against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from VoxelMorphRegistrationLib.pipeline.quality import thresholds as limits
from VoxelMorphRegistrationLib.pipeline.quality.results import (
    BeforeAfter,
    Distances,
    JacobianSummary,
    LandmarkErrors,
    Level,
    Remark,
    Similarity,
    Structure,
)
from VoxelMorphRegistrationLib.spatial import Grid

_ORDER: tuple[Level, ...] = ("bad", "look", "good")
_MOST_NAMED = 5


def worst_first(remarks: Sequence[Remark]) -> tuple[Remark, ...]:
    """The bad ones, then those that ask to look, then the good; each in the order given."""
    return tuple(sorted(remarks, key=lambda remark: _ORDER.index(remark.level)))


def verdict(remarks: Sequence[Remark]) -> tuple[Level, str]:
    """The level of the worst remark, and the sentence to read first."""
    level = worst_first(remarks)[0].level if remarks else "good"
    reasons = [remark.message for remark in remarks if remark.level == level]
    if level == "good":
        return level, "Nothing that was measured speaks against this registration; look at it all the same."
    more = f" ({len(reasons) - 1} more below)" if len(reasons) > 1 else ""
    if level == "bad":
        return level, f"Do not use this registration before you know why: {reasons[0]}{more}"
    return level, f"Look closely before you use this registration: {reasons[0]}{more}"


def of_similarity(found: Similarity) -> Iterator[Remark]:
    """Mutual information decides, since it holds for any two kinds of image; local correlation has the second vote."""
    votes = [_vote(found.mutual_information), _vote(found.local_correlation)]
    numbers = (
        f"correlation {_change(found.correlation)}, mutual information {_change(found.mutual_information)}, "
        f"local correlation {_change(found.local_correlation)}"
    )
    if all(vote < 0 for vote in votes):
        yield Remark(
            "bad",
            f"The volumes are less alike than before ({numbers}); the transform may mean something else than it is "
            "taken for: see 'What is wrong with my transform?', or voxelmorph-registration diagnose.",
        )
    elif any(vote < 0 for vote in votes):
        yield Remark("look", f"By one measure the volumes are less alike than before ({numbers}).")
    elif not any(votes):
        yield Remark("look", f"The volumes are hardly more alike than before ({numbers}).")
    else:
        yield Remark("good", f"The volumes are more alike than before ({numbers}).")


def of_displacement(found: Distances, fixed: Grid) -> Iterator[Remark]:
    """A transform that does nothing, or that throws things out of the picture."""
    if found.max_mm < limits.STILL_MM:
        yield Remark("look", "The transform moves nothing.")
    elif found.max_mm > limits.FAR_SHARE * float(fixed.extent_mm.max()):
        yield Remark(
            "look",
            f"The transform moves points by up to {found.max_mm:.0f} mm, more than half the volume's size: its units "
            "or its convention may be others, or the volumes lay far apart.",
        )


def of_jacobian(found: JacobianSummary) -> Iterator[Remark]:
    """Folding."""
    percent = f"{found.folded_percent:.2g} % of the volume"
    if found.folded_percent >= limits.MUCH_FOLDED_PERCENT:
        yield Remark(
            "bad", f"The transform folds {percent} onto itself; register with more smoothing, or repair the transform."
        )
    elif found.folded_percent > 0:
        yield Remark(
            "look", f"The transform folds {percent}; do not carry points, contours or dose through these places."
        )
    else:
        yield Remark("good", "Nothing folds: every point of the volume has its own place in the other one.")


def of_inverse(found: Distances | None, tolerance_mm: float) -> Iterator[Remark]:
    """Whether the inverse leads back; None where no point arrived in it."""
    if found is None:
        yield Remark("bad", "No point comes to lie inside the inverse transform: it belongs to other volumes.")
        return
    said = (
        f"There and back through the inverse, points come to lie {found.mean_mm:.2g} mm from where they were "
        f"(95 %: {found.p95_mm:.2g} mm, largest {found.max_mm:.2g} mm)"
    )
    if found.p95_mm > limits.LARGE_ERROR * tolerance_mm:
        yield Remark("bad", f"{said}: this is not the inverse of the transform.")
    elif found.p95_mm > tolerance_mm:
        yield Remark("look", f"{said}.")
    else:
        yield Remark("good", f"{said}.")


def of_landmarks(found: LandmarkErrors, tolerance_mm: float) -> Iterator[Remark]:
    """Target registration error."""
    before, after = found.mean_mm.before or 0.0, found.mean_mm.after or 0.0
    worst = max(found.points, key=lambda point: point.error_mm.after or 0.0)
    said = (
        f"The landmarks are {after:.1f} mm apart in the mean, {before:.1f} mm before (largest {found.max_mm.after:.1f} "
        f"mm, at {worst.name})"
    )
    if after > before + limits.STILL_MM and after > tolerance_mm:
        yield Remark("bad", f"{said}: farther than before.")
    elif after > tolerance_mm or (found.max_mm.after or 0.0) > limits.LARGE_ERROR * tolerance_mm:
        yield Remark("look", f"{said}.")
    else:
        yield Remark("good", f"{said}.")


def of_structures(structures: Sequence[Structure]) -> Iterator[Remark]:
    """Overlaps, volume changes and folding within what somebody has drawn."""
    drawn = [s for s in structures if s.overlap is not None]
    dice = [(s.overlap.dice.before or 0.0, s.overlap.dice.after or 0.0) for s in drawn if s.overlap is not None]
    if dice:
        before, after = (sum(each) / len(dice) for each in zip(*dice, strict=True))
        said = f"The structures overlap with a mean Dice of {after:.3f}, {before:.3f} before"
        if after < before - limits.SAME_DICE:
            yield Remark("bad", f"{said}: less than before.")
        else:
            yield Remark("good" if after >= limits.GOOD_DICE else "look", f"{said}.")
        lost = [s for s, (b, a) in zip(drawn, dice, strict=True) if a < b - limits.LOST_DICE]
        if lost:
            yield Remark("look", f"These structures overlap less than before: {_named(lost)}.")
    low, high = limits.UNUSUAL_VOLUME_PERCENT
    changed = [s for s in structures if not low <= s.volume_change_percent <= high]
    if changed:
        amounts = [f"{s.name} {s.volume_change_percent:+.0f} %" for s in changed]
        yield Remark("look", f"The transform changes some volumes much: {_listed(amounts)}; did you expect that?")
    folded = [s for s in structures if s.folded_percent > 0]
    if folded:
        yield Remark("look", f"The transform folds within {_named(folded)}.")


def of_unmatched(names: Sequence[str], side: str) -> Iterator[Remark]:
    """Labels that are on one side only."""
    if names:
        yield Remark("look", f"Only drawn on the {side} side, so not compared: {_listed(names)}.")


def of_points_outside(names: Sequence[str]) -> Iterator[Remark]:
    """Landmarks that lie nowhere in the fixed volume: often RAS taken for LPS."""
    if names:
        yield Remark(
            "look", f"These landmarks lie outside the fixed volume: {_listed(names)}; are they RAS where LPS was read?"
        )


def _vote(change: BeforeAfter) -> int:
    before, after = change.before or 0.0, change.after or 0.0
    margin = limits.SAME_SIMILARITY * max(abs(before), limits.SAME_SIMILARITY)
    return int(after > before + margin) - int(after < before - margin)


def _change(change: BeforeAfter) -> str:
    return f"{change.before:.3f} → {change.after:.3f}"


def _named(structures: Sequence[Structure]) -> str:
    return _listed([structure.name for structure in structures])


def _listed(texts: Sequence[str]) -> str:
    shown = list(texts[:_MOST_NAMED])
    if len(texts) > _MOST_NAMED:
        shown.append(f"and {len(texts) - _MOST_NAMED} more")
    return ", ".join(shown)
