"""Finding out what an unknown network expects and means, by running it on warps that are known.

Two volumes are made up, of three tissues with a fine texture inside an irregular ellipsoid, and warped by smooth
random displacements u: fixed(x) = moving(x + u(x)). A network that registers at all then says something like u, in
its own convention, if the intensities are those it was trained on. What it cannot show is what it was trained on:
the voxel size, the modality, and where its axes point in a body.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from VoxelMorphRegistrationLib.network.card import IntensityPreparation
from VoxelMorphRegistrationLib.network.engines import Engine, load_engine
from VoxelMorphRegistrationLib.progress import Progress

FloatArray = NDArray[np.float32]
Axes = tuple[int, int, int]
Convention = tuple[Axes, tuple[int, int, int]]

LEVELS = (0.5, 1.0, 128.0, 255.0)
"""To what the volumes' 99.9th percentile is scaled. FreeSurfer's volumes, divided by 255, have it at about 0.5."""

_SHAPE = (80, 96, 80)  # about; every axis is made a multiple of what the network needs
_LIKE = 0.5  # correlation with the warp from which on a field counts as found; networks of random weights reach 0.45
_UNITS = (0.4, 1.6)  # lengths, as a share of the warp's, that are voxels: half or twice as many are no longer
_SAME = 0.15  # how much less correlation in another orientation counts as less

_CONVENTIONS: list[Convention] = [
    ((i, j, k), (a, b, c)) for i, j, k in permutations(range(3)) for a, b, c in product((1, -1), repeat=3)
]


@dataclass(frozen=True)
class ProbeResult:
    """What could be told about a network; None where it could not.

    ``level``: to what the brightest values are to be scaled. ``orientation_matters``: whether it is worse with the
    same pair flipped or turned. ``direction``: of the field, the usual one being "fixed_to_moving", for resampling the
    moving image; the other means, too, that it was trained to be given the fixed image first. ``axes``: along which
    array axis each component points; (0, 1, 2) is usual. ``unit``: of its lengths. ``recovered``: the correlation of
    what it said with what it should have. ``evidence``: a sentence for each of these.
    """

    level: float | None
    orientation_matters: bool | None
    direction: Literal["fixed_to_moving", "moving_to_fixed"] | None
    axes: Axes | None
    unit: Literal["voxel"] | None
    recovered: float
    evidence: tuple[str, ...]

    @property
    def is_usual(self) -> bool | None:
        """Whether its field is what the engines take it for; None where that could not be told."""
        if self.direction is None or self.axes is None or self.unit is None:
            return None
        return (self.direction, self.axes) == ("fixed_to_moving", (0, 1, 2))

    @property
    def intensity(self) -> IntensityPreparation | None:
        """The preparation that brings volumes to the intensities found; None where they were not."""
        if self.level is None:
            return None
        return IntensityPreparation("unit_range" if self.level == 1 else "percentile", self.level, "none")


def probe_model(model: Engine | Path, progress: Progress | None = None) -> ProbeResult:
    """Run a network on known warps and tell from its fields what it expects and means.

    ``model`` is an engine or the path of a file for one. Takes some 12 predictions on about 80 x 96 x 80 voxels.
    Raises EngineError, ModelError for a file that cannot be loaded, and CancelledError.
    """
    progress = progress or Progress()
    engine = load_engine("auto", model) if isinstance(model, Path) else model
    pairs = [_KnownPair(seed, engine.shape_multiple) for seed in (1, 2)]
    steps = len(LEVELS) + 1 + len(_REORIENTATIONS)
    done = 0

    def ask(pair: _KnownPair, level: float, axes: tuple[int, ...] = (0, 1, 2), flips: tuple[int, ...] = ()) -> _Match:
        nonlocal done
        progress("Trying the model on warps that are known", done / steps)
        done += 1
        return pair.match(engine, level, axes, flips)

    by_level = {level: ask(pairs[0], level) for level in LEVELS}
    level = max(by_level, key=lambda level: by_level[level].score)
    best, again = by_level[level], ask(pairs[1], level)
    found = min(best.correlation, again.correlation) >= _LIKE and best.convention == again.convention
    if not found:
        return ProbeResult(None, None, None, None, None, best.correlation, (_nothing(by_level),))
    turned = [ask(pairs[0], level, axes, flips).correlation for axes, flips in _REORIENTATIONS]
    matters = bool(min(turned) < best.correlation - _SAME)
    (order, signs), gain = best.convention, (best.gain + again.gain) / 2
    uniform = len(set(signs)) == 1
    unit: Literal["voxel"] | None = "voxel" if _UNITS[0] <= gain <= _UNITS[1] else None
    direction: Literal["fixed_to_moving", "moving_to_fixed"] | None = None
    if uniform:
        direction = "fixed_to_moving" if signs[0] == 1 else "moving_to_fixed"
    return ProbeResult(
        level,
        matters,
        direction,
        order,
        unit,
        best.correlation,
        (
            _about_levels(by_level, level),
            _about_orientation(best.correlation, turned, matters),
            _about_direction(direction),
            _about_axes(order),
            _about_unit(gain, unit),
        ),
    )


# The same pair with its axes in another order, or some of them flipped
_REORIENTATIONS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((0, 1, 2), (0,)),
    ((0, 1, 2), (1,)),
    ((0, 1, 2), (2,)),
    ((1, 2, 0), ()),
    ((2, 1, 0), ()),
)


@dataclass(frozen=True)
class _Match:
    """How a field fits a known warp: in which convention best, how well, and how long it is beside it.

    In a convention (order, signs) the field's component n is signs[n] times the warp's component order[n].
    """

    convention: Convention
    correlation: float
    gain: float

    @property
    def score(self) -> float:
        """The share of the warp that is recovered: at most 1, far below 0 for a field that is all noise."""
        return 2 * self.gain - (self.gain / max(self.correlation, 1e-6)) ** 2


class _KnownPair:
    """A made-up volume, its warped copy, and the warp; arrays are (D, H, W) and (D, H, W, 3) in voxels."""

    def __init__(self, seed: int, shape_multiple: int) -> None:
        random = np.random.default_rng(seed)
        shape = tuple(round(size / shape_multiple) or 1 for size in _SHAPE)
        shape = tuple(size * shape_multiple for size in shape)
        self.moving, self.inside = _volume(random, shape)
        self.warp = _smooth_warp(random, shape)
        self.fixed = _resample(self.moving, self.warp)
        self.brightest = float(np.percentile(self.moving, 99.9))

    def match(self, engine: Engine, level: float, axes: tuple[int, ...], flips: tuple[int, ...]) -> _Match:
        """What the engine says of the pair, its brightest values at ``level``, its axes reordered and flipped."""
        factor = np.float32(level / self.brightest)
        moving, fixed, inside = (
            np.flip(array.transpose(axes), flips) for array in (self.moving, self.fixed, self.inside)
        )
        warp = np.flip(self.warp.transpose(*axes, 3), flips)[..., axes].copy()
        warp[..., list(flips)] *= -1
        shape = (moving.shape[0], moving.shape[1], moving.shape[2])
        field = engine.predict(moving * factor, fixed * factor).displacement_on(shape)
        return _compare(field[inside].astype(np.float64), warp[inside].astype(np.float64))


def _compare(field: NDArray[np.float64], warp: NDArray[np.float64]) -> _Match:
    products = field.T @ warp / len(warp)
    length, expected = float((field**2).sum(axis=1).mean()), float((warp**2).sum(axis=1).mean())

    def overlap(convention: Convention) -> float:
        return float(sum(sign * products[n, axis] for n, (axis, sign) in enumerate(zip(*convention, strict=True))))

    best = max(_CONVENTIONS, key=overlap)
    correlation = overlap(best) / max(float(np.sqrt(length * expected)), 1e-12)
    return _Match(best, correlation, overlap(best) / expected)


def _volume(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Three tissues (0.12, 0.30 and 0.43, as in a T1 brain) with texture, and where they are."""
    axes = [np.linspace(-1, 1, size) / half for size, half in zip(shape, (0.8, 0.85, 0.75), strict=True)]
    radius = np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij"))) + 0.06 * _noise(random, shape, 6)
    tissue = _noise(random, shape, 2.5)
    image = np.select([tissue > 0.25, tissue > -0.9], [0.43, 0.30], 0.12) + 0.02 * _noise(random, shape, 1)
    image = np.where(radius < 1, image, 0).clip(0).astype(np.float32)
    blurred = sitk.DiscreteGaussian(sitk.GetImageFromArray(image), 0.4)  # no voxel is of one tissue alone
    volume: FloatArray = sitk.GetArrayFromImage(blurred)
    return volume, radius < 0.95


def _smooth_warp(random: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Some 1 to 4 voxels, varying over some 20, and nothing at the border."""
    warp = 1.5 * np.stack([_noise(random, shape, 8) for _ in range(3)], axis=-1)
    for axis, size in enumerate(shape):
        to_border = np.minimum(np.arange(size), np.arange(size)[::-1])
        warp *= (to_border / 10).clip(0, 1).reshape([-1 if a == axis else 1 for a in range(4)])
    return warp.astype(np.float32)


def _noise(random: np.random.Generator, shape: tuple[int, ...], sigma: float) -> FloatArray:
    """Smooth noise of standard deviation 1."""
    image = sitk.GetImageFromArray(random.standard_normal(shape).astype(np.float32))
    smooth: FloatArray = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, sigma))
    smooth /= smooth.std()
    return smooth


def _resample(image: FloatArray, warp: FloatArray) -> FloatArray:
    """image(x + warp(x)); SimpleITK's x is the last array axis."""
    field = sitk.GetImageFromArray(warp[..., ::-1].astype(np.float64), isVector=True)
    moved = sitk.Resample(sitk.GetImageFromArray(image), sitk.DisplacementFieldTransform(field))
    array: FloatArray = sitk.GetArrayFromImage(moved)
    return array


# ---- what is said ----------------------------------------------------------------------------------------------


def _nothing(by_level: dict[float, _Match]) -> str:
    return (
        "It could not be told what this network expects: on a volume with a known warp its field resembles the warp at "
        f"none of the intensities tried ({_correlations(by_level)})."
    )


def _correlations(by_level: dict[float, _Match]) -> str:
    return ", ".join(f"{match.correlation:.2f} at {level:g}" for level, match in by_level.items())


def _about_levels(by_level: dict[float, _Match], level: float) -> str:
    shares = ", ".join(f"{max(match.score, 0):.0%} at {tried:g}" for tried, match in by_level.items())
    return f"Intensities: the brightest values belong at about {level:g}; of a known warp it recovers {shares}."


def _about_orientation(best: float, turned: list[float], matters: bool) -> str:
    how = "it depends on the orientation" if matters else "it hardly depends on the orientation"
    return (
        f"Orientation: {how}; its field's correlation with the warp is {best:.2f}, and {min(turned):.2f} to "
        f"{max(turned):.2f} with the same pair flipped or turned (which axes it was trained on could not be told)."
    )


def _about_direction(direction: str | None) -> str:
    if direction == "fixed_to_moving":
        return "Direction: its vectors lead from the fixed image to the moving one, for resampling, as they should."
    if direction == "moving_to_fixed":
        return (
            "Direction: its vectors are the reverse of what they should be, so it was trained to be given the fixed "
            "image first."
        )
    return "Direction: it could not be told, because its components point in different directions."


def _about_axes(order: Axes) -> str:
    if order == (0, 1, 2):
        return "Components: in the order of the array's axes, as they should be."
    return f"Components: they belong to the array's axes {', '.join(map(str, order))} and not 0, 1, 2."


def _about_unit(gain: float, unit: str | None) -> str:
    if unit is None:
        return f"Unit: it could not be told; its vectors are {gain:.2f} times as long as the warp's in voxels."
    return f"Unit: voxels; its vectors are {gain:.2f} times as long as the warp's."
