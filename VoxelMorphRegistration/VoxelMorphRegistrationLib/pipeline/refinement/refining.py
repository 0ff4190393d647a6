"""From the network's field to a better one on this very pair, within a budget of seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.pipeline.refinement.contrast import Contrast, contrast_of
from VoxelMorphRegistrationLib.pipeline.refinement.demons import Demons
from VoxelMorphRegistrationLib.pipeline.refinement.fields import folds, in_space, in_voxels, then, warped
from VoxelMorphRegistrationLib.pipeline.refinement.inversion import inverted
from VoxelMorphRegistrationLib.pipeline.refinement.pair import MARGIN, Pair, pair_on_lattice
from VoxelMorphRegistrationLib.pipeline.refinement.separable import Floats, blurred, spread
from VoxelMorphRegistrationLib.pipeline.refinement.similarity import LocalCorrelation
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
        run.similarity_before, run.best, run.steps, run.coarse_steps, clock() - start, run.contrast_name, stopped,
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
        self._fixed = np.nan_to_num(pair.fixed)
        self._alike = LocalCorrelation(self._fixed, pair.inside)
        self._moved, self._moved_known = self._look(field)
        self.similarity_before = self.best = self._alike(self._moved)
        self.steps = self.coarse_steps = 0
        self.from_network = True
        self._given = self._field = field

    def refined(self) -> tuple[Floats | None, str]:
        """The field and why it ended; None where nothing was gained."""
        self._better_of_network_and_nothing()
        moving = np.nan_to_num(self._pair.moving)
        contrast, fixed = contrast_of(self._fixed, moving, self._moved, self._pair.inside)
        self.contrast_name = contrast.name
        base, base_best = self._field, self.best
        for every in _COARSER:
            if min(self._fixed.shape) >= every * _SMALLEST:
                self._at_coarser_level(fixed, contrast, every)
        stopped = self._at_full_level(contrast(fixed))
        if self.best <= base_best:
            return (None if self.from_network else base), stopped
        return self._unfolded(base, self._field), stopped

    def _better_of_network_and_nothing(self) -> None:
        """A network may take a pair apart that it was not made for."""
        nothing = np.zeros_like(self._field)
        moved, known = np.nan_to_num(self._pair.moving), ~np.isnan(self._pair.moving)
        alike = self._alike(moved)
        if alike > self.best:
            self.from_network, self._field, self.best = False, nothing, alike
            self._moved, self._moved_known = moved, known

    def _at_coarser_level(self, fixed: Floats, contrast: type[Contrast], every: int) -> None:
        """A step field is found on coarser voxels and put before the field, whose detail it leaves as it is."""
        sigma = every / 2
        coarse_fixed = blurred(fixed, sigma, every)
        coarse_moving = blurred(self._moved, sigma, every)
        thin = (slice(None, None, every),) * 3
        known = (self._known & self._moved_known)[thin]
        alike = LocalCorrelation(coarse_fixed, self._pair.inside[thin])
        demons = Demons(contrast(coarse_fixed), _COARSE_SMOOTHING)
        steps = np.zeros((3, *coarse_fixed.shape), np.float32)
        best, best_steps, first, count, since = -1.0, steps, 0.0, 0, 0
        while count < _COARSE_STEPS and since < _PATIENCE and self._time_left(0.0):
            moved = warped(coarse_moving, steps, 0.0)
            similarity = alike(moved)
            first = similarity if count == 0 else first
            since = 0 if similarity > best + _GAIN else since + 1
            if similarity > best:
                best, best_steps = similarity, steps
            self._report(f"at {every} voxels", self.best)
            steps = demons.step(steps, moved, known)
            count += 1
        if best <= first + _GAIN:
            return
        field = then(spread(best_steps * np.float32(every), self._shape, every), self._field)
        moved, seen = self._look(field)
        similarity = self._alike(moved)
        if similarity > self.best:
            self._field, self._moved, self._moved_known, self.best = field, moved, seen, similarity
            self.coarse_steps += count

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
        allowed = folds(base, self._pair.inside)
        gain = (field - base) * _fade(self._shape)
        for part in _DAMPINGS:
            damped = base + np.float32(part) * gain
            if folds(damped, self._pair.inside) <= allowed:
                if part < 1:
                    self.best = self._alike(self._look(damped)[0])
                return damped if self.best > self.similarity_before else None
        self.best = self.similarity_before
        return None

    @property
    def _shape(self) -> tuple[int, int, int]:
        d, h, w = self._fixed.shape
        return d, h, w

    def _look(self, field: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """The moving image through the field, and where that shows something of it."""
        moved = warped(self._pair.moving, field)
        unknown = np.isnan(moved)
        moved[unknown] = 0
        return moved, ~unknown

    def _time_left(self, step: float) -> bool:
        return self._clock() + step <= self._end

    def _report(self, where: str, similarity: float) -> None:
        elapsed, budget = self._clock() - self._start, self._end - self._start
        self._say(" ".join(f"Refining {where}: similarity {similarity:.3f}".split()), elapsed / max(budget, 1e-9))


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
