"""What a field means: metadata, shape, numbers and similarity together, as a ranked list with evidence.

`identify` is the one entry for the command line, the panel and the console.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.fields import RawField
from VoxelMorphRegistrationLib.pipeline.conventions import mistakes, thresholds, windows
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention, letters, read_layout
from VoxelMorphRegistrationLib.pipeline.conventions.findings import Finding
from VoxelMorphRegistrationLib.pipeline.conventions.hypotheses import KNOWN, fits
from VoxelMorphRegistrationLib.pipeline.conventions.ranking import MIDDLE, Ranked, Ranking, allowed, rank, trials
from VoxelMorphRegistrationLib.pipeline.conventions.sampling import ImageSampler, Values
from VoxelMorphRegistrationLib.pipeline.conventions.search import CoarseField, Level, Trial
from VoxelMorphRegistrationLib.pipeline.conventions.statistics import Statistics, layouts, statistics
from VoxelMorphRegistrationLib.spatial import DisplacementField, Image
from VoxelMorphRegistrationLib.spatial.grid import Floats

_STATED = -1.0  # the cost of what the container says: it names its group
_LISTED = 9


@dataclass(frozen=True, eq=False)
class Candidate:
    """One thing the field may mean.

    ``similarity`` is how well the moving volume, warped so, explains the fixed one (0 to 1, a correlation; None
    without a moving volume); ``behind`` by how many standard errors the best candidate is better. ``same`` are other
    conventions that come to the same here. ``stated``: the container says so.
    """

    convention: Convention
    known: bool
    stated: bool
    similarity: float | None
    behind: float | None
    same: tuple[Convention, ...]
    evidence: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "convention": self.convention.as_text(),
            "description": self.convention.describe(),
            "known": self.known,
            "stated": self.stated,
            "similarity": None if self.similarity is None else round(self.similarity, 4),
            "behind": None if self.behind is None else round(self.behind, 2),
            "same": [convention.as_text() for convention in self.same],
            "evidence": list(self.evidence),
        }


@dataclass(frozen=True, eq=False)
class Evidence:
    """The ranked candidates, whether the first was accepted, and why.

    ``verdict`` is one sentence. ``ambiguous`` says what could not be told apart, ``settled_by`` what more input would.
    ``findings`` are mistakes seen in the field, with their repairs; ``notes`` what the container made of it.
    """

    candidates: tuple[Candidate, ...]
    accepted: bool
    verdict: str
    ambiguous: tuple[str, ...]
    settled_by: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    similarity_before: float | None
    tried: int
    seconds: float

    @property
    def best(self) -> Candidate:
        """The first candidate."""
        return self.candidates[0]

    def table(self) -> str:
        """The evidence for a person at a terminal."""
        lines = [self.verdict, ""]
        if self.similarity_before is not None:
            lines.append(f"  similarity as the volumes lie: {self.similarity_before:.3f}")
        lines.append("   #  similarity  behind   convention")
        for number, c in enumerate(self.candidates[:_LISTED], 1):
            similarity = "    -     " if c.similarity is None else f"  {c.similarity:.3f}   "
            behind = "   -   " if c.behind is None else f"{c.behind:5.1f} se"
            said = " [stated]" if c.stated else "" if c.known else " [no known program]"
            lines.append(f"  {number:2d}  {similarity} {behind}   {c.convention.describe()}{said}")
        for title, entries in (
            ("Evidence for the first:", self.best.evidence if self.candidates else ()),
            ("Not told apart:", self.ambiguous),
            ("What would settle it:", self.settled_by),
            ("Findings:", [f.message for f in self.findings]),
            ("About the file:", self.notes),
        ):
            if entries:
                lines += ["", title, *(f"  - {entry}" for entry in entries)]
        return "\n".join([*lines, "", f"{self.tried} conventions in {self.seconds:.1f} s", ""])

    def as_json(self) -> dict[str, Any]:
        """For ``--json``; keys are only ever added."""
        return {
            "accepted": self.accepted,
            "verdict": self.verdict,
            "candidates": [c.as_json() for c in self.candidates],
            "ambiguous": list(self.ambiguous),
            "settled_by": list(self.settled_by),
            "findings": [f.as_json() for f in self.findings],
            "notes": list(self.notes),
            "similarity_before": self.similarity_before,
            "tried": self.tried,
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True, eq=False)
class Diagnosis(Evidence):
    """The evidence, with the field and the volumes that it is about."""

    raw: RawField
    fixed: Image
    moving: Image | None
    _fields: dict[Convention, DisplacementField] = field(default_factory=dict, repr=False)

    def field(self, convention: Convention | None = None) -> DisplacementField:
        """The field from fixed to moving space under a convention (default: the best's), RAS mm.

        On the lattice on which it is stored; one stored from moving to fixed is inverted onto the fixed grid.
        Raises InputError or TransformError where it cannot be applied.
        """
        chosen = convention or self.best.convention
        if chosen not in self._fields:
            moving = None if self.moving is None else self.moving.grid
            self._fields.clear()
            self._fields[chosen] = chosen.resampling(self.raw, self.fixed.grid, moving)
        return self._fields[chosen]

    def seen_at(self, points_ras: Floats, convention: Convention | None = None) -> tuple[Values, Values]:
        """The values of the fixed volume and of the moving one at (..., 3) positions of fixed space.

        The moving one as a convention warps it (None: as it lies); quick, for pictures. Raises InputError without a
        moving volume, and for a convention that does not fit the field.
        """
        if self.moving is None:
            raise InputError("A preview needs the moving volume; choose it.")
        points = points_ras.reshape(-1, 3)
        there = points
        if convention is not None:
            there = points + _trial(convention, 0.0, self.raw, self.fixed, self.moving).displacements(points)
        seen = ImageSampler(self.fixed.array, self.fixed.grid.ras_to_ijk).at_ras(points)
        moved = ImageSampler(self.moving.array, self.moving.grid.ras_to_ijk).at_ras(there)
        shape = points_ras.shape[:-1]
        return seen.reshape(shape), moved.reshape(shape)


def identify(
    raw: RawField,
    fixed: Image,
    moving: Image | None = None,
    *,
    used_as: Convention | None = None,
    given: Mapping[str, object] | None = None,
) -> Diagnosis:
    """Find out what a field's numbers mean.

    ``given`` are values of a `Convention` that the user is sure of, such as ``{"units": "voxel"}``; with components
    and units among them nothing is searched and the rest is VoxelMorph's (`Convention`'s defaults).
    ``used_as`` is what a program took them for, for example a transform node that exists already: where the images
    say otherwise, the findings name the mistake. Raises InputError for a field that cannot belong to these volumes.
    """
    started = time.perf_counter()
    found = [statistics(raw, *entry) for entry in layouts(raw)]
    raw, window_notes = windows.placed(raw, found[0], fixed, moving)
    given = dict(given or {})
    said = _given(raw, found[0], given, fixed, moving) or _stated(raw, fixed, moving)
    if said is not None and not allowed(said.convention, given):
        said = None
    if used_as is not None and used_as.layout in ("last", "first"):
        used_as = used_as.with_(layout="last" if raw.array.shape[3] == 3 else "first")
    extra = [said.convention] if said is not None else []
    extra += [used_as] if used_as is not None and used_as not in extra else []
    known = [
        _trial(c, _STATED if said is not None and c == said.convention else 0.5, raw, fixed, moving) for c in extra
    ]
    if moving is None:
        verdict = _without_images(raw, found, fixed, said, given)
    else:
        ranking = rank(raw, found, fixed, moving, known, given)
        if window_notes and ranking.ranked and ranking.ranked[0].convention.placement == "own":
            raw = windows.refined(raw, ranking.ranked[0].trial, Level(fixed, moving, *MIDDLE))
            ranking = rank(raw, found, fixed, moving, known, given)
        verdict = _with_images(ranking, said)
    if said is not None and said.everything and verdict.candidates:
        verdict.accepted, verdict.ambiguous, verdict.settled_by = True, [], []
        verdict.sentence = f"As you said: {said.convention.describe()}."
        verdict.candidates.sort(key=lambda c: said.convention not in (c.convention, *c.same))
    conventions = tuple(verdict.candidates)
    if not conventions:
        raise InputError(_does_not_fit(raw, found[0], fixed, moving))
    seen = mistakes.in_numbers(raw, found[0])
    taken = used_as or (said.convention if said is not None else None)
    seen += mistakes.in_use(taken, conventions[0].convention, raw, fixed.grid, decided=verdict.decided)
    seen += mistakes.in_place(raw, fixed.grid, found[0])
    if moving is not None:
        seen += mistakes.in_result(verdict.ranking, fixed, moving, raw, found, decided=verdict.decided)
    by_user = said is not None and said.everything
    blocked = next((f.message for f in seen if f.code in _BLOCKING), window_notes[0] if window_notes else "")
    accepted = verdict.accepted and (not blocked or by_user)
    sentence = f"Not accepted: {blocked}" if verdict.accepted and not accepted else verdict.sentence
    if window_notes and not by_user and raw.grid is not None:
        first = ", ".join(str(int(n)) for n in np.rint(fixed.grid.to_ijk(raw.grid.origin)))
        sentence = f"{window_notes[0]} (its first voxel on voxel {first} of the volume)."
    return Diagnosis(
        raw=raw,
        fixed=fixed,
        moving=moving,
        candidates=conventions,
        accepted=accepted,
        verdict=sentence,
        ambiguous=tuple(verdict.ambiguous),
        settled_by=(*verdict.settled_by, *window_notes[1:]),
        findings=tuple(seen),
        notes=raw.notes,
        similarity_before=verdict.before,
        tried=verdict.tried,
        seconds=time.perf_counter() - started,
    )


_BLOCKING = ("not finite", "noise", "swapped volumes", "moves nothing", "no gain")


@dataclass
class _Verdict:
    candidates: list[Candidate]
    accepted: bool
    sentence: str
    ambiguous: list[str]
    settled_by: list[str]
    before: float | None
    tried: int
    decided: bool
    """Whether the images themselves speak for the first candidate."""
    ranking: Ranking | None = None


@dataclass(frozen=True)
class _Stated:
    convention: Convention
    sure: bool
    because: str
    everything: bool = False
    """The user said it: nothing is to be judged."""


def _stated(raw: RawField, fixed: Image, moving: Image | None) -> _Stated | None:
    """The convention that the container states, where it states components and units."""
    components, units = raw.hint("components"), raw.hint("units")
    if components is None or units is None:
        return None
    content, direction, layout = raw.hint("content"), raw.hint("direction"), raw.hint("layout")
    plain = "last" if raw.array.shape[3] == 3 else "first"
    values: dict[str, Any] = {
        "components": letters(components.value),
        "units": units.value,
        "content": content.value if content else "displacement",
        "direction": direction.value if direction else "resampling",
        "layout": layout.value if layout else plain,
        "placement": "own" if raw.grid is not None else "fixed",
    }
    differ = moving is not None and not moving.grid.is_same(fixed.grid)
    if differ and units.value == "voxel" and "crs" in units.because:
        values["into"] = "moving"
    hints = [h for h in (components, units, content, direction) if h is not None]
    return _Stated(Convention(**values), all(h.sure for h in hints) and len(hints) == 4, components.because)


def _given(
    raw: RawField, stats: Statistics, given: dict[str, object], fixed: Image, moving: Image | None
) -> _Stated | None:
    """The convention that the user gave, where it is complete: with components and units."""
    if not {"components", "units"} <= set(given):
        return None
    values: dict[str, Any] = {"layout": stats.layout, **given}
    if "placement" not in values:
        fits_fixed = fits(stats.space, values.get("axes", ("i", "j", "k")), fixed.grid)
        values["placement"] = "fixed" if fits_fixed and not _elsewhere(raw, fixed) else "own"
        if values.get("direction") == "modeling" and moving is not None:
            values["placement"] = "moving" if raw.grid is None else "own"
    return _Stated(Convention(**values), True, "as you said", everything=True)


def _elsewhere(raw: RawField, fixed: Image) -> bool:
    return raw.grid is not None and not raw.grid.is_same(fixed.grid, 0.5)


def _trial(convention: Convention, cost: float, raw: RawField, fixed: Image, moving: Image | None) -> Trial:
    vectors = read_layout(raw.array, convention.layout)
    stats = statistics(raw, convention.layout, 0.0)
    linear = convention.map_on(stats.space, raw.grid, fixed.grid, None if moving is None else moving.grid)
    return Trial(convention, cost, linear, CoarseField(stats, vectors))


# ---- with images -----------------------------------------------------------------------------------------------


def _with_images(ranking: Ranking, said: _Stated | None) -> _Verdict:
    ranked = _in_order(ranking.ranked)
    before = _correlation(ranking.unwarped)
    if not ranked:
        return _Verdict([], False, "", [], [], before, ranking.tried, False, ranking)
    best = ranked[0]
    rivals = [r for r in ranked[1:] if _apart(best, r) > thresholds.CLOSE]
    margin = min((r.behind - best.behind for r in rivals), default=99.0)
    near = [r for r in rivals if r.behind - best.behind < thresholds.MARGIN]
    helps = ranking.gained >= thresholds.GAIN and best.similarity > ranking.unwarped
    ambiguous: list[str] = []
    settled: list[str] = []
    decided = helps and not near
    stated = said is not None and best.trial.cost == _STATED
    if not helps:
        ambiguous.append(
            "no convention makes the moving volume clearly more like the fixed one, so the volumes cannot say which "
            "one is right"
        )
        settled += [
            "the volumes that were really registered, as they were given to the network (fixed and moving not "
            "swapped, under the same pre-alignment)",
            "a pair with more motion",
        ]
    elif near:
        ambiguous += [_difference(best.convention, r.convention) for r in near[:4]]
        settled.append("how the field was written, as options, or a pair with more motion")
    accepted = decided
    sentence = f"Accepted: {best.convention.describe()}."
    if said is not None and not stated and said.sure:
        entry = next((r for r in ranked if r.trial.cost == _STATED), None)
        behind = (entry.behind - best.behind) if entry is not None else 99.0
        if entry is not None and behind < thresholds.CONTRADICTION:
            # the images do not really speak against it
            ranked = [entry, *(r for r in ranked if r is not entry)]
            best, accepted, decided = entry, helps and not near, False
            sentence = f"Accepted as its container states: {best.convention.describe()}."
        else:
            accepted = False
            ambiguous.insert(
                0, f"the file says '{said.convention.describe()}' ({said.because}), but the volumes speak against it"
            )
            settled.insert(0, "a decision for the file or for the volumes: look at the previews")
    elif stated and said is not None and said.sure and not decided:
        # what the format's own rules say needs no proof, as long as the volumes do not speak against it
        worse = ranking.unwarped > best.similarity and ranking.gained < -thresholds.GAIN
        accepted = not worse
        sentence = f"Accepted as its container states ({said.because}): {best.convention.describe()}."
        ambiguous = [] if accepted else ambiguous
        settled = [] if accepted else settled
    if not accepted:
        sentence = (
            "Not accepted: the volumes do not show which convention is right"
            if not decided
            else "Not accepted: the file and the volumes contradict each other"
        ) + f"; the likeliest is: {best.convention.describe()}."
    candidates = [_candidate(r, said) for r in ranked]
    first = candidates[0]
    evidence = [
        f"warped so, the moving volume correlates {_correlation(best.similarity):.3f} with the fixed one, "
        f"{before:.3f} as they lie ({ranking.gained:.1f} standard errors better)",
        f"the next different meaning is {margin:.1f} standard errors behind"
        if rivals
        else "no other meaning comes close",
    ]
    if stated and said is not None:
        evidence.append(f"the file says so: {said.because}")
    evidence += _unit_notes(best)
    candidates[0] = replace(first, evidence=tuple(evidence))
    return _Verdict(candidates, accepted, sentence, ambiguous, settled, before, ranking.tried, decided, ranking)


def _in_order(ranked: Sequence[Ranked]) -> list[Ranked]:
    """As ranked, but what is stated or written by some program before what is no worse than it and written by none."""
    if not ranked:
        return []
    tied = [r for r in ranked if r.behind < thresholds.TIE and _apart(ranked[0], r) <= thresholds.CLOSE]
    first = min(tied, key=lambda r: (not r.is_known, r.trial.cost > _STATED, r.behind))
    if ranked[0].is_known and first.trial.cost > _STATED:
        first = ranked[0]
    return [first, *(r for r in ranked if r is not first)]


def _apart(one: Ranked, other: Ranked) -> float:
    """rms difference of two meanings as a share of the first's displacements."""
    difference = ((one.displacements - other.displacements) ** 2).sum(axis=1).mean()
    return float(np.sqrt(difference / max(1e-12, (one.displacements**2).sum(axis=1).mean())))


def _candidate(ranked: Ranked, said: _Stated | None) -> Candidate:
    return Candidate(
        convention=ranked.convention,
        known=ranked.is_known,
        stated=said is not None and said.convention in (ranked.convention, *ranked.same),
        similarity=_correlation(ranked.similarity),
        behind=max(0.0, ranked.behind),
        same=ranked.same,
        evidence=(f"correlation {_correlation(ranked.similarity):.3f} with the fixed volume",),
    )


def _unit_notes(best: Ranked) -> list[str]:
    units = {best.convention.units} | {c.units for c in best.same}
    if {"voxel", "mm"} <= units:
        return [
            "on these voxels (1 mm, the same along all axes) voxels and mm are the same number: the data cannot tell "
            "them apart, and need not"
        ]
    return []


def _difference(one: Convention, other: Convention) -> str:
    a, b = one.as_text(), other.as_text()
    words = [f"{name}: {a[name]} or {b[name]}" for name in a if a[name] != b[name]]
    return "; ".join(words)


def _correlation(r_squared: float) -> float:
    return float(np.sqrt(max(0.0, r_squared)))


# ---- without a moving volume -----------------------------------------------------------------------------------


def _without_images(
    raw: RawField, found: Sequence[Statistics], fixed: Image, said: _Stated | None, given: Mapping[str, object]
) -> _Verdict:
    every = [t for t in trials(raw, found, fixed.grid, None, given) if t.cost <= KNOWN]
    every.sort(key=lambda t: t.cost)
    conventions = [t.convention for t in every]
    if said is not None:
        conventions = [said.convention, *(c for c in conventions if c != said.convention)]
    because = said.because if said is not None else ""
    candidates = [
        Candidate(c, True, said is not None and c == said.convention, None, None, (), (because,) if because else ())
        for c in conventions
    ]
    accepted = said is not None and said.sure
    if accepted and said is not None:
        sentence = f"Accepted as its container states ({because}), unproved by images: {said.convention.describe()}."
        return _Verdict(candidates, True, sentence, [], [], None, len(every), False)
    ambiguous = [_difference(conventions[0], c) for c in conventions[1:6]]
    sentence = (
        "Not accepted: the field does not say what its numbers mean, and without the moving volume it cannot be tried"
        + (f"; the likeliest is: {conventions[0].describe()}." if conventions else ".")
    )
    settled = ["the moving volume", "the convention, as options"]
    return _Verdict(candidates, False, sentence, ambiguous, settled, None, len(every), False)


def _does_not_fit(raw: RawField, stats: Statistics, fixed: Image, moving: Image | None) -> str:
    space = " x ".join(map(str, stats.space))
    grids = [("fixed", fixed.grid), *([("moving", moving.grid)] if moving is not None else [])]
    if any(fits(stats.space, ("i", "j", "k"), grid) for _, grid in grids):
        return f"{raw.name}: read as displacements its numbers would throw the volume far away or turn it inside out."
    shapes = ", ".join(f"the {name} volume {' x '.join(map(str, grid.shape))}" for name, grid in grids)
    return (
        f"{raw.name} ({space}) belongs to no voxels of {shapes}, in any order of axes and at no half or quarter "
        "resolution; choose the volume that was given to the network as the fixed one."
    )
