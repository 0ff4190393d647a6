"""Smooth random numbers in space: the raw material of shapes, textures, bias fields and motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from VoxelMorphRegistrationLib.network.integration import integrate, upsample

FloatArray = NDArray[np.float32]
Shape = tuple[int, int, int]


def smooth_noise(rng: np.random.Generator, shape: Shape, wavelength: float) -> FloatArray:
    """(D, H, W) Gaussian noise of about unit variance that varies over ``wavelength`` voxels.

    White noise on a coarse lattice, resized linearly; a wavelength of 1 or less is white noise itself.
    """
    if wavelength <= 1:
        return rng.standard_normal(shape, dtype=np.float32)
    lattice = [max(2, round(size / wavelength) + 1) for size in shape]
    coarse = rng.standard_normal((*lattice, 1), dtype=np.float32)
    noise = resized(coarse, shape)[..., 0]
    return noise / np.float32(max(float(noise.std()), 1e-6))


def resized(values: FloatArray, shape: Shape) -> FloatArray:
    """(d, h, w, C) values resized linearly, corner on corner, to (D, H, W, C), their size kept."""
    for axis, size in enumerate(shape):
        position = np.linspace(0, values.shape[axis] - 1, size)
        lower = np.clip(position.astype(int), 0, max(values.shape[axis] - 2, 0))
        upper = np.minimum(lower + 1, values.shape[axis] - 1)
        weight = (position - lower).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(4)])
        values = np.take(values, lower, axis) * (1 - weight) + np.take(values, upper, axis) * weight
    return values


def random_diffeomorphism(rng: np.random.Generator, shape: Shape, amplitude: float, wavelength: float) -> FloatArray:
    """(D, H, W, 3) displacement in voxels: a smooth random velocity, integrated, so that it does not fold.

    ``amplitude`` is the velocity's root mean square length, ``wavelength`` the distance in voxels over which it
    turns. It is made at a third of the resolution and upsampled as VoxelMorph does it.
    """
    coarse: Shape = tuple(max(8, size // 3) for size in shape)  # type: ignore[assignment]
    ratio = shape[0] / coarse[0]
    velocity = np.stack([_smooth_twice(rng, coarse, wavelength / ratio) for _ in range(3)], axis=-1)
    length = float(np.sqrt((velocity**2).sum(-1).mean()))
    velocity *= np.float32(amplitude / ratio / max(length, 1e-6))
    return upsample(integrate(velocity, 6), shape)


def _smooth_twice(rng: np.random.Generator, shape: Shape, wavelength: float) -> FloatArray:
    """Noise without the kinks that linear interpolation leaves at the lattice's nodes."""
    import scipy.ndimage

    noise = smooth_noise(rng, shape, wavelength)
    smooth: FloatArray = scipy.ndimage.gaussian_filter(noise, min(0.5 * wavelength, 6.0), mode="nearest")
    return smooth
