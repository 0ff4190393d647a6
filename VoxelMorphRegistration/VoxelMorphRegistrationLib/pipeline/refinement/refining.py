"""From the network's field to a better one on this very pair, within a budget of seconds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from VoxelMorphRegistrationLib.pipeline.refinement.contrast import Contrast, Mask, contrast_of
from VoxelMorphRegistrationLib.pipeline.refinement.demons import Demons
from VoxelMorphRegistrationLib.pipeline.refinement.fields import folded, in_space, in_voxels, then, warped
from VoxelMorphRegistrationLib.pipeline.refinement.inversion import inverted
from VoxelMorphRegistrationLib.pipeline.refinement.pair import MARGIN, Pair, pair_on_lattice
from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats, blurred, spread
from VoxelMorphRegistrationLib.pipeline.refinement.unfolding import less_folded
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image

_SMALLEST = 16  # voxels along an axis, of a coarser level
_COARSE_STEPS = 20
_SMOOTHING = 0.8  # voxels, of the field after each step
_COARSE_SMOOTHING = 1.0
_PATIENCE = 3  # steps without gain after which a level ends
_GAIN = 5e-4  # of the similarity; less is none
# Coarser levels serve a pair with much motion left; one that lies well they make more alike, and its structures less
# (Docs/refinement.md). So they have to gain this much of what a first step at the full level does,
_COARSE_GAIN = 0.75
# and are not tried where there is no time for them, for joining the fields and for a step at the full level after it:
_COARSE_TAKES = 6.0  # such steps

Clock = Callable[[], float]


@dataclass(frozen=True)
class RefinementReport:
    """What a refinement did. Similarities are those of the pair's `Contrast`, 1 at most."""

    similarity_before: float
    similarity_after: float
    steps: int
    """At the full level, that count in the result."""
    coarse_steps: int
    seconds: float
    contrast: str
    """"same contrast" or "different contrast"."""
    stopped: str
    """"time" when the budget was spent, "done" when nothing more was gained."""
    from_network: bool
    """False where the network's field was less alike than no field, so that it began from the pre-alignment."""

    @property
    def gained(self) -> bool:
        """Whether the result is another field than the network's."""
        return self.similarity_after > self.similarity_before

    def warnings(self) -> list[str]:
        """Sentences for the user about what did not go as expected."""
        found = []
        if not self.from_network:
            found.append(
                "The network's field made the volumes less alike than the pre-alignment alone, so the refinement began "
                "from the pre-alignment; the model probably does not suit these images."
            )
        if self.stopped == "time" and not (self.steps or self.coarse_steps):
            found.append("The time for refinement was too short for a whole step; give it more seconds.")
        return found

    def __str__(self) -> str:
        ending = "nothing more to gain" if self.stopped == "done" else "time spent"
        return (
            f"similarity {self.similarity_before:.3f} before, {self.similarity_after:.3f} after "
            f"{self.coarse_steps + self.steps} steps in {self.seconds:.1f} s ({self.contrast}; {ending})"
        )


def refine(
    fixed: Image,
    moving: Image,
    deformation: Deformation,
    seconds: float,
    *,
    fixed_mask: Image | None = None,
    moving_mask: Image | None = None,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter,
) -> tuple[Deformation, RefinementReport]:
    """A deformation at least as good as the given one, by the similarity of the images, and what was done.

    Its displacement lies on the fixed volume's lattice (coarser for more than 8 million voxels of content) over the
    content and the network's grid; the affine stays as it is. It folds in no more voxels of the content than the
    given one. No step is begun that would end after ``seconds``; where the given one has its inverse, that of the
    refined field comes on top. Raises CancelledError between steps, TransformError where the inverse is not found.
    """
    say, start = progress or Progress(), clock()
    say("Refining: preparing", 0.0)
    pair = pair_on_lattice(fixed, moving, deformation.affine, fixed_mask, moving_mask)
    run = _Run(pair, in_voxels(deformation.displacement.resampled(pair.grid)), start + seconds, clock, say, start)
    found, stopped = run.refined()
    report = RefinementReport(
        run.similarity_before, run.best, run.steps, run.coarse_steps, clock() - start, run.contrast, stopped,
        run.from_network,
    )  # fmt: skip
    if found is None:
        return deformation, report
    base, back = deformation.displacement, deformation.inverse_displacement
    if not run.from_network:
        base, back = DisplacementField.zero(base.grid), back and DisplacementField.zero(back.grid)
    del run
    refined = _embedded(found, pair.grid, base)
    return Deformation(deformation.affine, refined, back and inverted(refined, back)), report


class _Run:
    def __init__(self, pair: Pair, field: Floats, end: float, clock: Clock, say: Progress, start: float) -> None:
        self._pair, self._clock, self._say, self._start, self._end = pair, clock, say, start, end
        self._known = ~np.isnan(pair.fixed)
        self._moving, self._inside = pair.moving, pair.inside
        moved, seen = self._look(field)
        if (both := pair.inside & seen).any():
            self._inside = both
        kind, self._fixed = contrast_of(np.nan_to_num(pair.fixed), np.nan_to_num(pair.moving), moved, self._inside)
        self._contrast: Contrast = kind(self._fixed, self._inside)
        self._found = self._seen_through(field, moved, seen)
        self.similarity_before = self._found.similarity
        self.steps = self.coarse_steps = 0
        self.from_network = True

    @property
    def contrast(self) -> str:
        """In words, for the report."""
        return self._contrast.name

    @property
    def best(self) -> float:
        """The similarity of the best field so far."""
        return self._found.similarity

    def refined(self) -> tuple[Floats | None, str]:
        """The field and why it ended; None where nothing was gained."""
        self._better_of_network_and_nothing()
        base = self._found
        if self._contrast.within:
            stopped = self._at_full_level()
        else:
            self._from_coarser_levels(base, base.similarity)
            stopped = "done" if self._time_left(0.0) else "time"
        if self.best <= base.similarity + self._contrast.least_gain:
            self._found = base
            self.steps = self.coarse_steps = 0
            return (None if self.from_network else base.field), stopped
        return self._unfolded(base.field), stopped

    def _better_of_network_and_nothing(self) -> None:
        """A network may take a pair apart that it was not made for."""
        moved, seen = np.nan_to_num(self._moving), ~np.isnan(self._moving)
        nothing = self._seen_through(np.zeros_like(self._found.field), moved, seen)
        if nothing.similarity > self.best:
            self.from_network, self._found = False, nothing

    def _at_full_level(self) -> str:
        """Steps at the lattice's own voxels; after the first of them, coarser voxels are tried in its place."""
        demons, base = Demons(self._contrast, _SMOOTHING), self._found
        latest, count, since, took, without_coarse = base, 0, 0, 0.0, base
        stopped = "time"
        while self._time_left(took):
            before = self._clock()
            latest = self._seen_through(demons.step(latest.field, latest.channels, self._known & latest.seen))
            count += 1
            since = 0 if latest.similarity > self.best + _GAIN else since + 1
            if latest.similarity > self.best:
                self._found, self.steps = latest, count
            self._report("", self.best)
            if since >= _PATIENCE:
                stopped = "done"
                break
            took = self._clock() - before
            if count == 1 and not self.coarse_steps and self._time_left(_COARSE_TAKES * took):
                without_coarse = self._found
                gain = without_coarse.similarity - base.similarity
                if self._from_coarser_levels(base, base.similarity + _COARSE_GAIN * gain):
                    latest, count, since, self.steps = self._found, 0, 0, 0
        if without_coarse.similarity > self.best:  # there was no time to go on from the coarser levels' result
            self._found, self.steps, self.coarse_steps = without_coarse, int(without_coarse is not base), 0
        return stopped

    def _from_coarser_levels(self, base: _Seen, least: float) -> bool:
        """Whether what coarser voxels find, put before the field, whose detail stays, makes the pair alike enough."""
        coarse = self._at_coarser_levels(base)
        if coarse.gain <= _GAIN or not self._time_left(0.0):
            return False
        first = spread(coarse.field * np.float32(coarse.every), self._shape, coarse.every)
        if self._contrast.similarity(self._contrast.channels(warped(base.image, first, 0.0))) <= least:
            return False
        found = self._seen_through(then(first, base.field))
        if found.similarity <= least:
            return False
        self._found, self.coarse_steps = found, coarse.steps
        return True

    def _at_coarser_levels(self, base: _Seen) -> _CoarseField:
        """A field on coarser voxels, found from the pair as the given field leaves it."""
        found, steps = _CoarseField(np.zeros((3, 1, 1, 1), np.float32), 1, 0.0, 0), 0
        for every in self._contrast.around:
            if min(self._shape) < every * _SMALLEST:
                continue
            thin = (slice(None, None, every),) * 3
            level = _CoarseLevel(
                type(self._contrast)(_on_every(self._fixed, every), self._inside[thin]),
                _on_every(base.image, every), (self._known & base.seen)[thin],
            )  # fmt: skip
            finer = found.every // every
            start = spread(found.field * np.float32(finer), level.shape, finer) if steps else None
            found = self._stepped(level, start, every)
            steps += found.steps
        return dataclasses.replace(found, steps=steps)

    def _stepped(self, level: _CoarseLevel, start: Floats | None, every: int) -> _CoarseField:
        """The level's best field; ``start`` is what the level before it found."""
        found = np.zeros((3, *level.shape), np.float32)
        none = best = level.similarity(found)
        if start is not None:
            best = level.similarity(start)
            found = start if best > none else found
            best = best if best > none else level.similarity(found)
        field, since, count = found, 0, 0
        while count < _COARSE_STEPS and since < _PATIENCE and self._time_left(0.0):
            field = level.step(field)
            similarity = level.similarity(field)
            count += 1
            since = 0 if similarity > best + _GAIN else since + 1
            if similarity > best:
                found, best = field, similarity
            self._report(f"at {every} voxels" if every > 1 else "", self.best)
        return _CoarseField(found, every, best - none, count)

    def _unfolded(self, base: Floats) -> Floats | None:
        """What was found, fading at the lattice's border, with as much of the gain as leaves no folds."""
        inside = self._pair.inside
        gain = self._found.field - base
        gain *= _fade(self._shape)
        field = base + gain
        folds = folded(field) & inside
        if not folds.any():
            return field
        field = less_folded(base, gain, folds, inside)
        self._found = self._seen_through(field)
        return field if self.best > self.similarity_before else None

    @property
    def _shape(self) -> tuple[int, int, int]:
        d, h, w = self._pair.fixed.shape
        return d, h, w

    def _seen_through(self, field: Floats, moved: Floats | None = None, seen: Mask | None = None) -> _Seen:
        """The field with what it shows, which may be known already."""
        if moved is None or seen is None:
            moved, seen = self._look(field)
        channels = self._contrast.channels(moved)
        return _Seen(field, moved, seen, channels, self._contrast.similarity(channels))

    def _look(self, field: Floats) -> tuple[Floats, Mask]:
        """The moving image through the field, and where that shows something of it."""
        moved = warped(self._moving, field)
        unknown = np.isnan(moved)
        moved[unknown] = 0
        return moved, ~unknown

    def _time_left(self, step: float) -> bool:
        return self._clock() + step <= self._end

    def _report(self, where: str, similarity: float) -> None:
        elapsed, budget = self._clock() - self._start, self._end - self._start
        self._say(" ".join(f"Refining {where}: similarity {similarity:.3f}".split()), elapsed / max(budget, 1e-9))


@dataclass(frozen=True, eq=False)
class _Seen:
    """A field, the moving image through it and where that shows something, and how alike the pair is so."""

    field: Floats
    image: Floats
    seen: Mask
    channels: Floats
    similarity: float


@dataclass(frozen=True, eq=False)
class _CoarseField:
    """(3, D, H, W) in voxels of a level that has every ``every``-th, what it gains there, and the steps it took."""

    field: Floats
    every: int
    gain: float
    steps: int


class _CoarseLevel:
    """The pair on every n-th voxel, seen through the field that was given."""

    def __init__(self, contrast: Contrast, moving: Floats, known: Mask) -> None:
        self._contrast, self._moving, self._known = contrast, moving, known
        self._demons = Demons(contrast, _COARSE_SMOOTHING)
        self._channels = contrast.channels(moving)
        d, h, w = moving.shape
        self.shape = (d, h, w)

    def similarity(self, field: Floats) -> float:
        """Through a field, (3, D, H, W) in the level's voxels, from which `step` goes on."""
        self._channels = self._contrast.channels(warped(self._moving, field, 0.0))
        return self._contrast.similarity(self._channels)

    def step(self, field: Floats) -> Floats:
        """The field of which `similarity` was asked last, a step further."""
        return self._demons.step(field, self._channels, self._known)


def _on_every(image: Floats, every: int) -> Floats:
    """The image on every n-th voxel, what lies between averaged in."""
    return blurred(image, every / 2, every) if every > 1 else image


def _fade(shape: tuple[int, int, int]) -> Floats:
    """1 inside, 0 at the faces, over the margin."""
    ramps = [np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / MARGIN, 0, 1).astype(np.float32) for n in shape]
    fade: Floats = ramps[0][:, None, None] * ramps[1][:, None] * ramps[2]
    return fade


def _embedded(field: Floats, grid: Grid, base: DisplacementField) -> DisplacementField:
    """The refined field on its lattice grown over the network's grid, whose own field goes on around it."""
    lattice = grid.grown_to_cover(base.grid)
    first = np.rint(lattice.to_ijk(grid.origin)).astype(int)
    inside = tuple(slice(start, start + size) for start, size in zip(first, grid.shape, strict=True))
    vectors = np.array(base.resampled(lattice).vectors)
    vectors[inside] = in_space(field, grid).vectors
    return DisplacementField(vectors, lattice)
