"""From the network's field to a better one on this very pair, within a budget of seconds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from VoxelMorphRegistrationLib.pipeline.refinement.contrast import Contrast, DifferentContrast, contrast_of
from VoxelMorphRegistrationLib.pipeline.refinement.demons import Demons, Mask
from VoxelMorphRegistrationLib.pipeline.refinement.fields import folds, in_space, in_voxels, then, warped
from VoxelMorphRegistrationLib.pipeline.refinement.inversion import inverted
from VoxelMorphRegistrationLib.pipeline.refinement.pair import MARGIN, Pair, pair_on_lattice
from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats, blurred, spread
from VoxelMorphRegistrationLib.pipeline.refinement.similarity import LocalCorrelation
from VoxelMorphRegistrationLib.pipeline.refinement.transfer import without_background
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image

_COARSER = (4, 2)  # levels before the full one
_SMALLEST = 16  # voxels along an axis, of a coarser level
_COARSE_STEPS = 20
_SMOOTHING = 0.8  # voxels, of the field after each step
_COARSE_SMOOTHING = 1.0
_PATIENCE = 3  # steps without gain after which a level ends
_GAIN = 5e-4  # of the similarity; less is none
_DAMPINGS = (1.0, 0.75, 0.5, 0.25)  # of what was gained, tried in turn until nothing folds

Clock = Callable[[], float]


@dataclass(frozen=True)
class RefinementReport:
    """What a refinement did. Similarities are local squared correlations (`LocalCorrelation`), 0 to 1."""

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
            f"local similarity {self.similarity_before:.3f} before, {self.similarity_after:.3f} after "
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
    field, stopped = run.refined()
    report = RefinementReport(
        run.similarity_before, run.best, run.steps, run.coarse_steps, clock() - start, run.contrast, stopped,
        run.from_network,
    )  # fmt: skip
    if field is None:
        return deformation, report
    base, back = deformation.displacement, deformation.inverse_displacement
    if not run.from_network:
        base, back = DisplacementField.zero(base.grid), back and DisplacementField.zero(back.grid)
    del run
    refined = _embedded(field, pair.grid, base)
    return Deformation(deformation.affine, refined, back and inverted(refined, back)), report


class _Run:
    def __init__(self, pair: Pair, field: Floats, end: float, clock: Clock, say: Progress, start: float) -> None:
        self._pair, self._clock, self._say, self._start, self._end = pair, clock, say, start, end
        self._known = ~np.isnan(pair.fixed)
        self._fixed, self._moving, self._inside = np.nan_to_num(pair.fixed), pair.moving, pair.inside
        self._moved, self._moved_known = self._look(field)
        if (seen := pair.inside & self._moved_known).any():
            self._inside = seen
        self._contrast, self._matched = contrast_of(self._fixed, np.nan_to_num(pair.moving), self._moved, self._inside)
        if self._contrast is DifferentContrast:
            self._moving = without_background(pair.moving)
            self._fixed = self._matched = np.nan_to_num(without_background(pair.fixed))
            self._moved, self._moved_known = self._look(field)
        self._alike = LocalCorrelation(self._fixed, self._inside)
        self.similarity_before = self.best = self._alike(self._moved)
        self.steps = self.coarse_steps = 0
        self.from_network = True
        self._field = field

    @property
    def contrast(self) -> str:
        """In words, for the report."""
        return self._contrast.name

    def refined(self) -> tuple[Floats | None, str]:
        """The field and why it ended; None where nothing was gained."""
        self._better_of_network_and_nothing()
        base, base_best = self._field, self.best
        self._from_coarser_levels(self._matched, self._contrast)
        stopped = self._at_full_level(self._contrast(self._matched))
        if self.best <= base_best + self._contrast.least_gain:
            self.best = base_best
            self.steps = self.coarse_steps = 0
            return (None if self.from_network else base), stopped
        return self._unfolded(base, self._field), stopped

    def _better_of_network_and_nothing(self) -> None:
        """A network may take a pair apart that it was not made for."""
        nothing = np.zeros_like(self._field)
        moved, known = np.nan_to_num(self._moving), ~np.isnan(self._moving)
        alike = self._alike(moved)
        if alike > self.best:
            self.from_network, self._field, self.best = False, nothing, alike
            self._moved, self._moved_known = moved, known

    def _from_coarser_levels(self, fixed: Floats, contrast: type[Contrast]) -> None:
        """What coarser voxels find is put before the field, whose detail stays, if that makes the pair more alike."""
        coarse = self._at_coarser_levels(fixed, contrast)
        if coarse.gain <= _GAIN or not self._time_left(0.0):
            return
        field = then(spread(coarse.field * np.float32(coarse.every), self._shape, coarse.every), self._field)
        moved, seen = self._look(field)
        similarity = self._alike(moved)
        if similarity > self.best:
            self._field, self._moved, self._moved_known, self.best = field, moved, seen, similarity
            self.coarse_steps = coarse.steps

    def _at_coarser_levels(self, fixed: Floats, contrast: type[Contrast]) -> _CoarseField:
        """A field on coarser voxels, found from the pair as the given field leaves it."""
        found, steps = _CoarseField(np.zeros((3, 1, 1, 1), np.float32), 1, 0.0, 0), 0
        for every in _COARSER:
            if min(self._shape) < every * _SMALLEST:
                continue
            thin = (slice(None, None, every),) * 3
            level = _CoarseLevel(
                blurred(fixed, every / 2, every), blurred(self._moved, every / 2, every), self._inside[thin],
                (self._known & self._moved_known)[thin], contrast,
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
            self._report(f"at {every} voxels", self.best)
        return _CoarseField(found, every, best - none, count)

    def _at_full_level(self, contrast: Contrast) -> str:
        demons = Demons(contrast, _SMOOTHING)
        field, moved, seen, since, took = self._field, self._moved, self._moved_known, 0, 0.0
        count = 0
        while self._time_left(took):
            before = self._clock()
            field = demons.step(field, moved, self._known & seen)
            moved, seen = self._look(field)
            similarity = self._alike(moved)
            count += 1
            since = 0 if similarity > self.best + _GAIN else since + 1
            if similarity > self.best:
                self.best, self._field, self.steps = similarity, field, count
            self._report("", self.best)
            if since >= _PATIENCE:
                return "done"
            took = self._clock() - before
        return "time"

    def _unfolded(self, base: Floats, field: Floats) -> Floats | None:
        """The field, fading at the lattice's border, with as much of the gain as there is room for without folds."""
        gain, inside = field - base, self._pair.inside
        gain *= _fade(self._shape)
        for part in _DAMPINGS:
            damped = base + np.float32(part) * gain
            if not (folded := folds(damped, inside)) or folded <= folds(base, inside):
                if part < 1:
                    self.best = self._alike(self._look(damped)[0])
                return damped if self.best > self.similarity_before else None
        self.best = self.similarity_before
        return None

    @property
    def _shape(self) -> tuple[int, int, int]:
        d, h, w = self._fixed.shape
        return d, h, w

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
class _CoarseField:
    """(3, D, H, W) in voxels of a level that has every ``every``-th, what it gains there, and the steps it took."""

    field: Floats
    every: int
    gain: float
    steps: int


class _CoarseLevel:
    """The pair on every n-th voxel, seen through the field that was given."""

    def __init__(self, fixed: Floats, moving: Floats, inside: Mask, known: Mask, contrast: type[Contrast]) -> None:
        self._moving, self._known = moving, known
        self._alike = LocalCorrelation(fixed, inside)
        self._demons = Demons(contrast(fixed), _COARSE_SMOOTHING)
        self._moved = moving
        d, h, w = fixed.shape
        self.shape = (d, h, w)

    def similarity(self, field: Floats) -> float:
        """Through a field, (3, D, H, W) in the level's voxels, from which `step` goes on."""
        self._moved = warped(self._moving, field, 0.0)
        return self._alike(self._moved)

    def step(self, field: Floats) -> Floats:
        """The field of which `similarity` was asked last, a step further."""
        return self._demons.step(field, self._moved, self._known)


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
