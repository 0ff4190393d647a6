"""A training pair: two views of an anatomy, as the network will see them, and what they really are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from VoxelMorphRegistrationLib.network.card import IntensityPreparation
from VoxelMorphRegistrationLib.network.intensity import prepare_pair
from VoxelMorphRegistrationLib.pipeline.training.anatomies import Anatomy, random_curve
from VoxelMorphRegistrationLib.pipeline.training.random_fields import (
    FloatArray,
    Shape,
    random_diffeomorphism,
    smooth_noise,
)


@dataclass(frozen=True, eq=False)
class TrainingPair:
    """All (D, H, W) float32 on one grid: the network's input, prepared as its card says, and the same views hidden
    from it, in one clean contrast (0..1), on which the loss is taken."""

    moving: FloatArray
    fixed: FloatArray
    hidden_moving: FloatArray
    hidden_fixed: FloatArray


def make_pair(
    rng: np.random.Generator, bank: Sequence[Anatomy], shape: Shape, preparation: IntensityPreparation
) -> TrainingPair:
    """Two warped views of one anatomy: any part, size, orientation and mirror image of it, in two contrasts."""
    while True:
        anatomy = bank[int(rng.integers(len(bank)))]
        first, second = rng.integers(len(anatomy.subjects), size=2)
        view = _random_view(rng, anatomy.subjects[first].shape, shape)
        hidden_moving = _seen(anatomy.subjects[first], _moved(rng, view, shape))
        hidden_fixed = _seen(anatomy.subjects[second], _moved(rng, view, shape))
        if min(float(hidden_moving.std()), float(hidden_fixed.std())) > 0.03:
            break  # otherwise it is all background
    empty = rng.random() < 0.8  # what surrounds an anatomy stays black in most contrasts
    acquired = []
    for hidden, contrast in zip((hidden_moving, hidden_fixed), _two_contrasts(rng), strict=True):
        image = contrast(hidden)
        acquired.append(_acquired(rng, np.where(hidden > 0.01, image, 0) if empty else image))
    if rng.random() < 0.3:
        acquired = [
            _masked(rng, image, other) for image, other in zip(acquired, (True, rng.random() < 0.5), strict=True)
        ]
    fixed, moving = prepare_pair(acquired[1], acquired[0], preparation)
    return TrainingPair(moving, fixed, hidden_moving, hidden_fixed)


def _two_contrasts(rng: np.random.Generator) -> list[Callable[[FloatArray], FloatArray]]:
    """Intensity curves of a pair: the same (as two scans of one kind), each the other's negative, or any two."""
    kind = rng.choice(("same", "curved", "inverted", "any"), p=(0.3, 0.15, 0.2, 0.35))
    if kind == "same":
        return [_as_it_is, _as_it_is]
    if kind == "inverted":
        negative = rng.permutation(2)  # the one or the other
        return [_negative if flip else _as_it_is for flip in negative]
    seeds = [int(rng.integers(2**31))] * 2 if kind == "curved" else rng.integers(2**31, size=2).tolist()
    strength = float(rng.uniform(0.3, 1))
    return [partial(_curved, seed=seed, strength=strength) for seed in seeds]


def _as_it_is(image: FloatArray) -> FloatArray:
    return image


def _negative(image: FloatArray) -> FloatArray:
    return 1 - image


def _curved(image: FloatArray, seed: int, strength: float) -> FloatArray:
    return random_curve(np.random.default_rng(seed), image, strength)


def _random_view(rng: np.random.Generator, source: Shape, shape: Shape) -> NDArray[np.float32]:
    """The 3x4 map from voxels of a view to those of the source: axes permuted, mirrored, turned, scaled, shifted."""
    turn = _rotation(rng.normal(0, 0.15, 3)) @ np.eye(3)[rng.permutation(3)] @ np.diag(rng.choice([-1.0, 1.0], 3))
    matrix = turn * np.exp(rng.uniform(np.log(0.6), np.log(2.0))) * np.exp(rng.normal(0, 0.05, 3))
    size = np.array(source)
    reach = np.abs(matrix) @ (np.array(shape) / 2)
    slack = np.maximum(size / 2 - 0.6 * reach, 0)  # may look beyond the source, at nothing
    middle = size / 2 + rng.uniform(-1, 1, 3) * slack
    offset = middle - matrix @ (np.array(shape) / 2)
    return np.column_stack([matrix, offset]).astype(np.float32)


def _moved(rng: np.random.Generator, view: NDArray[np.float32], shape: Shape) -> FloatArray:
    """(3, D, H, W) positions in the source: the view with a random motion, smooth and a little affine."""
    amplitude = float(np.exp(rng.uniform(np.log(0.3), np.log(5.0))))
    wavelength = float(np.exp(rng.uniform(np.log(10), np.log(40)))) + 2 * amplitude
    motion = random_diffeomorphism(rng, shape, amplitude, wavelength)
    middle = (np.array(shape, np.float32) - 1) / 2
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij"), -1)
    rest = _rotation(rng.normal(0, 0.03, 3)) @ (np.eye(3) + rng.normal(0, 0.02, (3, 3)))
    points = (grid + motion - middle) @ rest.T.astype(np.float32) + middle + rng.normal(0, 0.7, 3).astype(np.float32)
    seen = points @ view[:, :3].T + view[:, 3]
    return np.ascontiguousarray(np.moveaxis(seen, -1, 0))


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rodrigues' formula for a rotation vector in radians."""
    angle = float(np.linalg.norm(angles))
    if angle == 0:
        return np.eye(3)
    x, y, z = angles / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: NDArray[np.float64] = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turn


def _seen(subject: NDArray[np.uint8], positions: FloatArray) -> FloatArray:
    import scipy.ndimage

    values: FloatArray = scipy.ndimage.map_coordinates(
        subject, positions, output=np.float32, order=1, mode="constant", cval=0
    )
    return values * np.float32(1 / 255)


def _acquired(rng: np.random.Generator, image: FloatArray) -> FloatArray:
    """The image as a machine would deliver it: blurred, unevenly lit, noisy."""
    import scipy.ndimage

    if rng.random() < 0.4:
        image = scipy.ndimage.gaussian_filter(image, rng.uniform(0, 1.0, 3) * (rng.random(3) < 0.5))
    if rng.random() < 0.4:
        light = smooth_noise(rng, image.shape, max(image.shape) * float(rng.uniform(0.4, 1.0)))
        image = image * np.exp(np.float32(rng.uniform(0, 0.3)) * light)
    noise = np.float32(rng.uniform(0, 0.06)) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(image + noise * (image > image.min()), np.float32)


def _masked(rng: np.random.Generator, image: FloatArray, wanted: bool) -> FloatArray:
    """The image cut to a random ellipsoid, as by a mask or a field of view."""
    if not wanted:
        return image
    middle, radius = rng.uniform(-0.3, 0.3, 3), rng.uniform(0.6, 1.3, 3)
    axes = [((np.linspace(-1, 1, n) - m) / r) ** 2 for n, m, r in zip(image.shape, middle, radius, strict=True)]
    inside = axes[0][:, None, None] + axes[1][:, None] + axes[2] < 1
    return np.where(inside, image, image.min())
