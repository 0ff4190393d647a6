"""Scaling and squaring and resizing against SciPy, and the properties they must have."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates
from VoxelMorphRegistrationLib.network.integration import integrate, upsample


def smooth_velocity(shape, sigma=3.0, largest=4.0, seed=0):
    rng = np.random.default_rng(seed)
    field = np.stack([gaussian_filter(rng.normal(size=shape), sigma) for _ in range(3)], axis=-1)
    return (field * largest / np.abs(field).max()).astype(np.float32)


def sampled(field, at):
    points = np.moveaxis(at, -1, 0)
    return np.stack([map_coordinates(field[..., n], points, order=1, mode="nearest") for n in range(3)], -1)


def squared_by_scipy(velocity, steps):
    index = np.stack(np.meshgrid(*map(np.arange, velocity.shape[:3]), indexing="ij"), -1)
    u = velocity.astype(np.float64) / 2**steps
    for _ in range(steps):
        u = u + sampled(u, index + u)
    return u


@pytest.mark.parametrize("shape", [(20, 24, 28), (17, 9, 31)])
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_equals_scaling_and_squaring_with_edge_values_outside(shape, steps):
    velocity = smooth_velocity(shape, largest=6.0)  # points far outside at the border
    np.testing.assert_allclose(integrate(velocity, steps), squared_by_scipy(velocity, steps), atol=2e-5)


def test_a_constant_velocity_is_its_own_displacement():
    velocity = np.broadcast_to(np.array([1.5, -2.0, 0.25], np.float32), (12, 10, 8, 3))
    np.testing.assert_allclose(integrate(velocity, 7), velocity, atol=1e-6)


def test_the_negative_velocity_gives_the_inverse_map():
    velocity = smooth_velocity((40, 40, 40), sigma=6.0, largest=2.5)
    forward, backward = integrate(velocity, 7), integrate(-velocity, 7)
    index = np.stack(np.meshgrid(*map(np.arange, velocity.shape[:3]), indexing="ij"), -1)
    there_and_back = forward + sampled(backward, index + forward)
    inner = np.s_[5:-5, 5:-5, 5:-5]
    assert np.abs(forward[inner]).max() > 1.5
    assert np.abs(there_and_back[inner]).max() < 0.03


def test_the_input_is_left_alone():
    velocity = smooth_velocity((8, 9, 10))
    kept = velocity.copy()
    integrate(velocity, 3)
    upsample(velocity, 2)
    np.testing.assert_array_equal(velocity, kept)


@pytest.mark.parametrize("new_shape", [(16, 20, 24), (8, 20, 6), (4, 5, 6), (1, 1, 1)])
def test_resizing_samples_linearly_with_corners_on_corners(new_shape):
    field = smooth_velocity((8, 10, 12), sigma=1.0)
    axes = [np.linspace(0, old - 1, new) for old, new in zip(field.shape, new_shape, strict=False)]
    expected = sampled(field, np.stack(np.meshgrid(*axes, indexing="ij"), -1))
    expected *= np.array(new_shape) / np.array(field.shape[:3])
    np.testing.assert_allclose(upsample(field, new_shape), expected, atol=1e-5)


def test_resizing_by_a_factor():
    field = smooth_velocity((8, 10, 12), sigma=1.0)
    np.testing.assert_array_equal(upsample(field, 2), upsample(field, (16, 20, 24)))
    np.testing.assert_array_equal(upsample(field, 0.5), upsample(field, (4, 5, 6)))
    assert upsample(field, 1) is field
    assert upsample(field[:1], 2).shape == (2, 20, 24, 3)
