"""What can be seen in the numbers of a field without any image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.files.fields import RawField
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Layout, read_layout
from VoxelMorphRegistrationLib.spatial.grid import Floats

_PLANES = 10
_SMOOTHER = 0.5
"""How much smoother than the plain reading another one must be to be believed."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of the stored numbers, in one layout.

    ``affine`` (3, 3) and ``offset`` (3,) are the best linear fit to the array's index, ``linear`` the share of the
    variance it explains in the component where it explains least, and ``affine_share`` that over all components.
    """

    layout: Layout
    space: tuple[int, int, int]
    roughness: float
    largest: float
    not_finite: int
    whole_numbers: bool
    affine: Floats
    offset: Floats
    linear: float
    affine_share: float


def roughness(vectors: npt.NDArray[Any]) -> float:
    """Mean step between neighbours over the spread of the values; a network's fields have below 0.1, noise 1.1."""
    total, count = 0.0, 0
    for axis in range(3):
        n = vectors.shape[axis]
        if n < 2:
            continue
        at = np.unique(np.linspace(0, n - 2, _PLANES).astype(int))
        thin = tuple(
            slice(None) if a == axis else slice(None, None, max(1, s // 24)) for a, s in enumerate(vectors.shape[:3])
        )
        part = np.where(np.isfinite(vectors[thin]), vectors[thin], np.nan)
        step = np.abs(np.take(part, at + 1, axis).astype(np.float32) - np.take(part, at, axis))
        total, count = total + float(np.nanmean(step)), count + 1
    thin_all = tuple(slice(None, None, max(1, s // 24)) for s in vectors.shape[:3])
    values = vectors[thin_all].astype(np.float32)
    spread = float(np.nanmean(np.nanstd(np.where(np.isfinite(values), values, np.nan), axis=(0, 1, 2))))
    return total / count / spread if spread > 0 and count else 0.0


def layouts(raw: RawField) -> list[tuple[Layout, float]]:
    """The layouts in which the array may be read, with their roughness, the most believable first.

    A layout in which the array would have been forced into its shape by ``numpy.reshape`` comes only where it is
    clearly smoother than the plain one: so it is found out.
    """
    said = raw.hint("layout")
    if said is not None and said.sure:
        layout: Layout = said.value  # type: ignore[assignment]
        return [(layout, roughness(read_layout(raw.array, layout)))]
    shape = raw.array.shape
    plain: list[Layout] = [name for name, axis in _PLAIN if shape[axis] == 3]
    found = sorted(((name, roughness(read_layout(raw.array, name))) for name in plain), key=lambda entry: entry[1])
    best = found[0][1]
    space = shape[:3] if "last" in plain else shape[1:]
    forced: list[Layout] = ["first reshaped" if "last" in plain else "last reshaped"]
    if space != space[::-1]:
        forced += ["first reversed", "last reversed"]
    for name in forced:
        rough = roughness(read_layout(raw.array, name))
        if rough < _SMOOTHER * best:
            found.append((name, rough))
    found.sort(key=lambda entry: entry[1])
    return [entry for entry in found if entry[1] <= found[0][1] / _SMOOTHER]


def statistics(raw: RawField, layout: Layout, rough: float) -> Statistics:
    """Of the array in one layout, from some 14,000 of its voxels (the largest value and NaN from all)."""
    vectors = read_layout(raw.array, layout)
    steps = [max(1, n // 24) for n in vectors.shape[:3]]
    thin = vectors[:: steps[0], :: steps[1], :: steps[2]].astype(np.float64)
    index = np.stack(
        np.meshgrid(*[np.arange(n) * s for n, s in zip(thin.shape[:3], steps, strict=True)], indexing="ij"), -1
    )
    values, at = thin.reshape(-1, 3), index.reshape(-1, 3)
    finite = np.isfinite(values).all(axis=1)
    values, at = values[finite], at[finite]
    design = np.column_stack([at, np.ones(len(at))])
    fit = np.linalg.lstsq(design, values, rcond=None)[0] if len(at) > 4 else np.zeros((4, 3))
    rest, spread = (values - design @ fit).var(axis=0), values.var(axis=0)
    explained = np.where(spread > 0, 1 - rest / np.where(spread > 0, spread, 1), 0.0)
    energy = float((values**2).mean()) if len(values) else 0.0
    left = float(((values - design @ fit) ** 2).mean()) if len(values) else 0.0
    largest, bad = 0.0, 0
    for plane in vectors:
        ok = np.isfinite(plane)
        bad += int(plane.size - ok.sum())
        largest = max(largest, float(np.abs(np.where(ok, plane, 0)).max(initial=0.0)))
    return Statistics(
        layout=layout,
        space=(vectors.shape[0], vectors.shape[1], vectors.shape[2]),
        roughness=rough,
        largest=largest,
        not_finite=bad,
        whole_numbers=bool(
            vectors.dtype.kind == "i" or (len(values) and energy > 0 and (values == np.rint(values)).all())
        ),
        affine=fit[:3].T,
        offset=fit[3],
        linear=float(explained.min()),
        affine_share=1 - left / energy if energy > 0 else 0.0,
    )


_PLAIN: tuple[tuple[Layout, int], ...] = (("last", 3), ("first", 0))
