"""The hypotheses about a field in order: coarse to fine, those that mean the same taken together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.files.fields import RawField
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention, read_layout
from VoxelMorphRegistrationLib.pipeline.conventions.hypotheses import KNOWN, component_cost, hypotheses
from VoxelMorphRegistrationLib.pipeline.conventions.search import CoarseField, Level, Trial, coarse_scores
from VoxelMorphRegistrationLib.pipeline.conventions.statistics import Statistics
from VoxelMorphRegistrationLib.spatial import Grid, Image
from VoxelMorphRegistrationLib.spatial.grid import Floats

_COARSE = (32, 1200)  # voxels along the longest side, points
MIDDLE = (56, 3000)
_FINE = (96, 12000)
_KEPT_COARSE, _KEPT_MIDDLE = 30, 9
_SAME = 0.04
"""Two hypotheses mean the same where their displacements differ by less than this share of the larger one (rms)."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """One meaning of the field: its likeliest convention, and the others that come to the same.

    ``similarity`` is R squared at the finest level, ``behind`` by how many standard errors the best one beats it (0 for
    the best itself).
    """

    trial: Trial
    same: tuple[Convention, ...]
    similarity: float
    behind: float
    displacements: Floats

    @property
    def convention(self) -> Convention:
        """The likeliest of those that mean the same."""
        return self.trial.convention

    @property
    def is_known(self) -> bool:
        """Whether some program writes fields this way."""
        return self.trial.cost <= KNOWN


@dataclass(frozen=True, eq=False)
class Ranking:
    """Meanings, best first.

    ``unwarped`` is R squared of the volumes as they lie, ``gained`` by how many standard errors the best one is better.
    """

    ranked: tuple[Ranked, ...]
    unwarped: float
    gained: float
    tried: int


def allowed(convention: Convention, given: Mapping[str, object]) -> bool:
    """Whether a convention agrees with what the user said of it."""
    return all(getattr(convention, name) == value for name, value in given.items())


def trials(
    raw: RawField,
    statistics: Sequence[Statistics],
    fixed: Grid,
    moving: Grid | None,
    given: Mapping[str, object] | None = None,
) -> list[Trial]:
    """Every hypothesis that agrees with ``given``, though of displacements and positions from fixed to moving only.

    The cost of a layout that had to be guessed is added.
    """
    said = {n: v for n, v in (given or {}).items() if n != "direction" and v != "velocity"}
    found: list[Trial] = []
    for stats in statistics:
        field = CoarseField(stats, read_layout(raw.array, stats.layout))
        extra = 0.0 if stats.layout in ("last", "first") else 0.2
        for convention, cost in hypotheses(raw, stats, fixed, moving):
            if not allowed(convention, said):
                continue
            linear = convention.map_on(stats.space, raw.grid, fixed, moving)
            found.append(Trial(convention, cost + extra, linear, field))
    return found


def rank(
    raw: RawField,
    statistics: Sequence[Statistics],
    fixed: Image,
    moving: Image,
    said: Sequence[Trial] = (),
    given: Mapping[str, object] | None = None,
) -> Ranking:
    """Rank every hypothesis about a field by how well it aligns the two volumes.

    ``said`` are the hypotheses that the container states; they stay in the ranking to its end. ``given`` are values
    of a `Convention` that the user is sure of.
    """
    grids = (fixed.grid, moving.grid)
    every = trials(raw, statistics, *grids, given)
    if not every and not said:
        return Ranking((), 0.0, 0.0, 0)
    coarse = Level(fixed, moving, *_COARSE)
    scores = coarse_scores(coarse, every)
    best = np.argsort(-scores)[:_KEPT_COARSE]
    pool = {every[n].convention: every[n] for n in best}
    usual = [trial for trial in every if trial.cost <= KNOWN]
    pool |= {trial.convention: trial for trial in usual}
    for trial in [*(every[n] for n in best), *usual]:
        for varied in _variants(trial, raw, *grids):
            known = pool.get(varied.convention)
            if known is None or known.cost > varied.cost:
                pool[varied.convention] = varied
    pool |= {trial.convention: trial for trial in said}
    kept = [trial for trial in pool.values() if allowed(trial.convention, given or {})]
    if not kept:
        return Ranking((), 0.0, 0.0, len(every))
    quick = np.array([1 - coarse.errors(trial.displacements(coarse.points)).mean() for trial in kept])
    order = np.argsort(-quick)[:_KEPT_COARSE]
    middle = Level(fixed, moving, *MIDDLE)
    candidates = [kept[n] for n in order] + [t for t in said if t in kept and t not in [kept[n] for n in order]]
    evaluated = [(trial, trial.displacements(middle.points)) for trial in candidates]
    judged = [(trial, u, 1 - float(middle.errors(u).mean())) for trial, u in evaluated]
    groups = _grouped(judged, said)[:_KEPT_MIDDLE]
    groups += [g for g in _grouped(judged, said)[_KEPT_MIDDLE:] if any(t in said for t in g)]
    return _finest(Level(fixed, moving, *_FINE), groups, len(every) + len(pool))


def _variants(trial: Trial, raw: RawField, fixed: Grid, moving: Grid) -> list[Trial]:
    """What would look alike at first sight: the inverse stored the other way round, a velocity."""
    c = trial.convention
    found = [trial.varied(c.with_(direction="modeling"), trial.cost + 0.3, fixed, moving, raw)]
    if c.content == "displacement":
        # The negative of a field is nearly its inverse: where one looks good, so may the other.
        turned = c.reversed()
        base = c.base(raw.grid, fixed, moving)
        less = component_cost(c.components, c.units, c.axes, base)
        more = component_cost(turned.components, turned.units, turned.axes, base)
        cost = trial.cost - less + more
        found.append(trial.varied(turned.with_(direction="modeling"), cost + 0.3, fixed, moving, raw))
        if c.into == "same" and c.units in ("voxel", "mm"):
            found.append(trial.varied(c.with_(content="velocity"), trial.cost + 0.4, fixed, moving, raw))
            if more < less:
                # exp(-v) is the inverse of exp(v)
                found.append(
                    trial.varied(turned.with_(content="velocity", direction="modeling"), cost + 0.7, fixed, moving, raw)
                )
    return found


def _grouped(judged: list[tuple[Trial, Floats, float]], said: Sequence[Trial]) -> list[list[Trial]]:
    """Groups of the same meaning, best first; within a group what was stated, then the least cost, comes first."""
    groups: list[tuple[Floats, list[Trial]]] = []
    for trial, u, _ in sorted(judged, key=lambda entry: -entry[2]):
        for of_group, members in groups:
            if _same(u, of_group):
                members.append(trial)
                break
        else:
            groups.append((u, [trial]))
    return [sorted(members, key=lambda t: (t not in said, t.cost)) for _, members in groups]


def _same(one: Floats, other: Floats) -> bool:
    apart = float(np.sqrt(((one - other) ** 2).sum(axis=1).mean()))
    size = float(np.sqrt(max((one**2).sum(axis=1).mean(), (other**2).sum(axis=1).mean())))
    return apart <= max(_SAME * size, 1e-3)


def _finest(level: Level, groups: list[list[Trial]], tried: int) -> Ranking:
    entries: list[tuple[list[Trial], Floats, npt.NDArray[np.float64]]] = []
    for members in groups:
        u = members[0].displacements(level.points)
        entries.append((members, u, level.errors(u)))
    entries.sort(key=lambda entry: float(entry[2].mean()))
    none = level.errors(np.zeros_like(level.points))
    best = entries[0][2]
    ranked = tuple(
        Ranked(
            trial=members[0],
            same=tuple(t.convention for t in members[1:]),
            similarity=1 - float(errors.mean()),
            behind=level.compare(best, errors) if errors is not best else 0.0,
            displacements=u,
        )
        for members, u, errors in entries
    )
    return Ranking(ranked, 1 - float(none.mean()), level.compare(best, none), tried)
