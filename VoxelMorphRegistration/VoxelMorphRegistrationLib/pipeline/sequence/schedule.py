"""In which order the frames of a sequence are registered, and what each one needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from VoxelMorphRegistrationLib.pipeline.sequence.options import Mode


@dataclass(frozen=True)
class Step:
    """What is done for one frame.

    ``neighbour`` is the frame, nearer the reference, whose result this one builds on (modes "warm" and "chain").
    ``between`` are the key frames before and after, of whose fields this one's is interpolated; one of them may be the
    reference, which does not move. With neither, the frame is registered with the reference.
    """

    frame: int
    neighbour: int | None = None
    between: tuple[int, int] | None = None


def schedule(count: int, reference: int, mode: Mode, keys: Sequence[int] = ()) -> list[Step]:
    """One step for each frame but the reference, in an order in which each finds what it needs done before.

    ``keys`` (sorted, the reference, the first and the last frame among them) are for mode "keyframes".
    """
    outward = [*range(reference + 1, count), *range(reference - 1, -1, -1)]
    if mode == "reference":
        return [Step(n) for n in range(count) if n != reference]
    if mode in ("warm", "chain"):
        return [Step(n, neighbour=n - 1 if n > reference else n + 1) for n in outward]
    steps = [Step(n) for n in keys if n != reference]
    for before, after in pairwise(keys):
        steps += [Step(n, between=(before, after)) for n in range(before + 1, after)]
    return steps


def regular_keys(count: int, reference: int, every: int) -> list[int]:
    """The reference, every ``every``-th frame from it, and both ends."""
    return sorted({0, count - 1, *range(reference, count, every), *range(reference, -1, -every)})
