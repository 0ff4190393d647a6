"""How the map of each frame is found, in each of the modes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from VoxelMorphRegistrationLib.errors import RegistrationError
from VoxelMorphRegistrationLib.files.frames import Frames
from VoxelMorphRegistrationLib.pipeline.sequence.interpolation import between
from VoxelMorphRegistrationLib.pipeline.sequence.options import SequenceOptions
from VoxelMorphRegistrationLib.pipeline.sequence.quality import correlation
from VoxelMorphRegistrationLib.pipeline.sequence.records import Status
from VoxelMorphRegistrationLib.pipeline.sequence.result import Drift
from VoxelMorphRegistrationLib.pipeline.sequence.schedule import Step
from VoxelMorphRegistrationLib.pipeline.sequence.solver import FrameSolver, PreparedFrame, Solved, composed
from VoxelMorphRegistrationLib.pipeline.sequence.store import SequenceStore
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField


@dataclass(frozen=True, eq=False)
class Found:
    """A frame's map, fixed to moving, how it came about, and the frames on whose maps it rests."""

    deformation: Deformation
    status: Status
    built_on: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


class FieldFinder:
    """Finds one frame's map after another. The maps of earlier frames are read back from the store.

    They are never taken from memory, so that a run that was interrupted goes on exactly as it would have done.
    """

    def __init__(
        self,
        frames: Frames,
        store: SequenceStore,
        options: SequenceOptions,
        solver: FrameSolver,
        reference: int,
        keys: Sequence[int],
    ) -> None:
        """``keys``: the key frames, for mode "keyframes"."""
        self._frames, self._store, self._options = frames, store, options
        self._solver, self._reference, self._keys = solver, reference, keys
        self._last: tuple[int, PreparedFrame] = (reference, solver.reference)

    def ask(self, step: Step, frame: PreparedFrame) -> Callable[[], Found]:
        """Ask the network about a frame; what makes its map of the answer may be called in another thread.

        The frames that the step builds on have to be in the store. Both raise a RegistrationError where the frame
        cannot be registered.
        """
        if step.between is not None:
            found = self._interpolated(step.frame) or self._with_reference(frame)
        elif step.neighbour is None or (neighbour := self._done_neighbour(step)) == self._reference:
            found = self._with_reference(frame)
        elif self._options.mode == "warm":
            found = self._warm(frame, neighbour)
        else:
            found = self._chained(frame, neighbour)
        self._last = (step.frame, frame)
        return found

    def drift(self, steps: Sequence[Step]) -> tuple[Drift, ...]:
        """For both ends of a chain; none in other modes."""
        if self._options.mode != "chain":
            return ()
        ends = {step.frame for step in steps if step.frame in (0, len(self._frames) - 1)}
        found = []
        for n in sorted(ends):
            try:
                chained = self._store.deformation(n)
                frame = self._solver.prepare(self._frames.read(n))
                direct = self._with_reference(frame)().deformation
            except RegistrationError:  # the frame's own record says why
                continue
            fixed = frame if self._options.direction == "carry" else self._solver.reference
            index = np.argwhere(fixed.values > fixed.values.min())
            points = self._solver.grid.to_ras(index[:: max(1, len(index) // 20_000)])
            apart = np.linalg.norm(chained.map_points(points) - direct.map_points(points), axis=-1)
            found.append(Drift(n, float(apart.mean()), float(np.quantile(apart, 0.95))))
        return tuple(found)

    def _with_reference(self, frame: PreparedFrame) -> Callable[[], Found]:
        fixed, moving = self._pair(frame, self._solver.reference)
        solved = self._solver.ask(fixed, moving)
        return lambda: _found(solved())

    def _pair(self, frame: PreparedFrame, towards: PreparedFrame) -> tuple[PreparedFrame, PreparedFrame]:
        """Fixed and moving; ``towards`` is the reference, or a frame nearer to it."""
        return (frame, towards) if self._options.direction == "carry" else (towards, frame)

    def _done_neighbour(self, step: Step) -> int:
        """The nearest frame towards the reference whose map is there; the reference where none is."""
        assert step.neighbour is not None
        toward = 1 if self._reference > step.frame else -1
        for n in range(step.neighbour, self._reference, toward):
            record = self._store.record(n)
            if record is not None and record.is_done and self._store.path("field", n).exists():
                return n
        return self._reference

    def _warm(self, frame: PreparedFrame, neighbour: int) -> Callable[[], Found]:
        """From the neighbour's map where that alone takes away half of what keeps the two apart.

        Where it takes away less, the network finds the whole better than the rest: each composition costs a little.
        """
        fixed, moving = self._pair(frame, self._solver.reference)
        start = self._store.deformation(neighbour)
        some = (slice(None, None, 2),) * 3
        inside = fixed.values[some] > fixed.values.min()
        target = fixed.values[some][inside]
        as_it_lies = correlation(target, moving.values[some][inside])
        through = correlation(target, self._solver.seen(moving.image, start)[some][inside])
        if 1 - through > (1 - as_it_lies) / 2:
            return self._with_reference(frame)
        solved = self._solver.ask(fixed, moving, start=start)
        return lambda: _found(solved(), neighbour)

    def _chained(self, frame: PreparedFrame, neighbour: int) -> Callable[[], Found]:
        known = self._store.deformation(neighbour)
        number, prepared = self._last
        if number != neighbour:
            prepared = self._solver.prepare(self._frames.read(neighbour))
        fixed, moving = self._pair(frame, prepared)
        solved = self._solver.ask(fixed, moving)

        def found() -> Found:
            step = solved()
            carry = self._options.direction == "carry"
            joined = composed(step.deformation, known) if carry else composed(known, step.deformation)
            return _found(replace(step, deformation=joined), neighbour)

        return found

    def _interpolated(self, n: int) -> Callable[[], Found] | None:
        """Between the nearest key frames that are done, of which the reference, which does not move, is one.

        None where there is none on one side, because it failed, or its field was not kept.
        """
        done = [k for k in self._keys if k == self._reference or self._store.path("field", k).exists()]
        earlier, later = [k for k in done if k < n], [k for k in done if k > n]
        if not earlier or not later:
            return None
        before, after = max(earlier), min(later)
        first, second = (None if k == self._reference else self._store.deformation(k) for k in (before, after))
        first = first or _still(second)
        second = second or _still(first)
        built_on = tuple(k for k in (before, after) if k != self._reference)
        return lambda: Found(between(first, second, (n - before) / (after - before)), "interpolated", built_on)


def _found(solved: Solved, *built_on: int) -> Found:
    return Found(solved.deformation, "registered", built_on, solved.warnings)


def _still(like: Deformation | None) -> Deformation:
    assert like is not None
    return Deformation(np.eye(4), DisplacementField.zero(like.displacement.grid))
