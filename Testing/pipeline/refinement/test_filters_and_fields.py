"""The parts of the refinement, against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
from pipeline.refinement.known_warp import smooth_field
from spatial.geometry import affine, rotation
from VoxelMorphRegistrationLib.errors import TransformError
from VoxelMorphRegistrationLib.pipeline.refinement import fields
from VoxelMorphRegistrationLib.pipeline.refinement.contrast import DifferentContrast, SameContrast, contrast_of
from VoxelMorphRegistrationLib.pipeline.refinement.inversion import inverted
from VoxelMorphRegistrationLib.pipeline.refinement.separable import blurred, spread
from VoxelMorphRegistrationLib.pipeline.refinement.similarity import LocalCorrelation
from VoxelMorphRegistrationLib.pipeline.refinement.unfolding import less_folded
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid

SHAPE = (20, 24, 18)
GRID = Grid(SHAPE, affine(rotation((1, 2, 3), 30) @ np.diag([2.0, 3.0, 2.5]), (5, -7, 9)))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_blurring_is_a_gaussian_and_knows_the_edges():
    array = noise(*SHAPE)
    impulse = np.zeros((25, 27, 29), np.float32)
    impulse[12, 13, 14] = 1
    squares = sum(np.square(np.arange(n) - n // 2).reshape([-1 if a == b else 1 for b in range(3)]) for a, n in
                  enumerate(impulse.shape))  # fmt: skip
    gaussian = np.exp(-0.5 * squares / 1.5**2) / (2 * np.pi * 1.5**2) ** 1.5
    np.testing.assert_allclose(blurred(impulse, 1.5), gaussian, atol=1e-5)
    np.testing.assert_allclose(blurred(np.ones(SHAPE, np.float32), 2.0), 1, rtol=1e-5)
    np.testing.assert_allclose(blurred(array, 1.5, 3), blurred(array, 1.5)[::3, ::3, ::3], atol=1e-6)
    np.testing.assert_allclose(blurred(np.stack([array, 2 * array]), 1.5)[1], 2 * blurred(array, 1.5), atol=1e-5)


@pytest.mark.parametrize("every", [2, 4])
def test_spreading_puts_every_coarse_voxel_where_it_was(every):
    ramp = np.add.outer(np.add.outer(np.arange(20.0), 2 * np.arange(24.0)), -np.arange(18.0)).astype(np.float32)
    full = spread(np.ascontiguousarray(ramp[::every, ::every, ::every]), SHAPE, every)
    known = tuple(slice(0, (size - 1) // every * every + 1) for size in SHAPE)
    np.testing.assert_allclose(full[known], ramp[known], atol=1e-4)


def test_fields_in_voxels_and_back_on_an_oblique_grid():
    field = DisplacementField(noise(*SHAPE, 3), GRID)
    voxels = fields.in_voxels(field)
    np.testing.assert_allclose(GRID.axes @ voxels[:, 3, 4, 5], field.vectors[3, 4, 5], rtol=1e-5)
    np.testing.assert_allclose(fields.in_space(voxels, GRID).vectors, field.vectors, atol=1e-5)


def test_composition_and_warping_are_those_of_the_library():
    first, second = smooth_field(GRID, 3.0), smooth_field(GRID, 3.0, seed=2)
    composed = fields.in_space(fields.then(fields.in_voxels(first), fields.in_voxels(second)), GRID)
    inner = (slice(4, -4),) * 3
    np.testing.assert_allclose(composed.vectors[inner], first.then(second).vectors[inner], atol=1e-3)
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")).astype(np.float32)
    moved = fields.warped(index[1], fields.in_voxels(first))
    seen = ~np.isnan(moved)
    assert 0.8 < seen.mean() <= 1
    np.testing.assert_allclose(moved[seen], (index[1] + fields.in_voxels(first)[1])[seen], atol=1e-3)


def test_a_small_step_is_composed_to_first_order():
    """Exactly where the field is linear, whatever the step."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")).astype(np.float32)
    matrix = np.array([[0.1, 0.05, 0], [-0.1, 0.02, 0.1], [0, 0.1, -0.05]], np.float32)
    field = np.einsum("ab,bijk->aijk", matrix, index)
    step = 0.05 * fields.in_voxels(smooth_field(GRID, 4.0, seed=2))
    expected = step + np.einsum("ab,bijk->aijk", matrix, index + step)
    inner = (slice(None), *(slice(1, -1),) * 3)
    np.testing.assert_allclose(fields.after_small(field, step)[inner], expected[inner], atol=1e-5)


def test_folds_are_found():
    field = np.zeros((3, *SHAPE), np.float32)
    assert not fields.folded(field).any()
    field[1] = -2.0 * np.arange(SHAPE[1], dtype=np.float32)[:, None]  # y -> -y
    assert fields.folded(field).all()
    field[:, 10:] = 0
    folded = fields.folded(field)
    assert folded[:9].all()
    assert not folded[11:].any()


def test_of_a_few_folds_only_what_lies_around_them_is_taken_back():
    index = np.stack(np.indices((60, 40, 44), np.float32))
    gain = np.zeros_like(index)
    gain[0] = 0.8 * np.sin(index[0] / 6)
    gain[1] = -9 * np.exp(-(((index - 12) / 2.5) ** 2).sum(axis=0)) * (index[1] - 12) / 2.5
    inside = np.ones(gain.shape[1:], bool)
    base = np.full_like(gain, 0.3)
    folds = fields.folded(base + gain)
    assert 0 < folds.sum() < 500
    found = less_folded(base, gain, folds, inside)
    assert not fields.folded(found).any()
    np.testing.assert_allclose(found[:, 48:], (base + gain)[:, 48:], atol=1e-5)  # far away
    assert np.abs(found - base).max() > 0.75

    everywhere = -2 * index  # a mirror image: nothing of it can stay
    np.testing.assert_array_equal(less_folded(base, everywhere, fields.folded(everywhere), inside), base)


def test_an_inverse_from_a_rough_one():
    field = smooth_field(GRID, 2.0)
    rough = DisplacementField(-0.5 * field.vectors, GRID)
    back = inverted(field, rough)
    assert np.quantile(back.then(field).magnitude(), 0.999) < 0.06  # 0.02 voxels
    assert np.quantile(rough.then(field).magnitude(), 0.999) > 0.5
    folded = DisplacementField(20 * field.vectors, GRID)
    with pytest.raises(TransformError, match="cannot be inverted"):
        inverted(folded, DisplacementField.zero(GRID))


def image_and_another() -> tuple[np.ndarray, np.ndarray]:
    """Smooth noise of 0 to 1, twice."""
    smooth = [blurred(np.random.default_rng(n).normal(size=(40, 40, 40)).astype(np.float32), 2.0) for n in (0, 5)]
    first, second = ((image - image.min()) / (image.max() - image.min()) for image in smooth)
    return first, second


BIAS = np.linspace(0.7, 1.3, 40, dtype=np.float32)[:, None, None]


def test_local_correlation_sees_through_a_bias_and_knows_inverted_images():
    image, other = image_and_another()
    alike = LocalCorrelation(image, np.ones(image.shape, bool))
    same = alike(image)
    assert same > 0.8
    assert alike(image * BIAS) > 0.8 * same
    assert alike(1 - image) < 0.1 * same
    assert alike(other) < 0.3 * same
    assert alike(np.zeros_like(image)) == pytest.approx(0, abs=1e-6)


def test_structure_knows_no_contrast():
    image, other = image_and_another()
    contrast = DifferentContrast(image, np.ones(image.shape, bool))

    def alike(moved: np.ndarray) -> float:
        return contrast.similarity(contrast.channels(moved))

    assert alike(image) == pytest.approx(1)
    assert alike(1 - image) > 0.99
    assert alike(0.5 * image * BIAS) > 0.9
    assert abs(alike(other)) < 0.2
    assert np.isfinite(alike(np.zeros_like(image)))


def test_whether_a_pair_is_of_one_contrast():
    image, _ = image_and_another()
    inside = np.ones(image.shape, bool)
    for moved, expected in ((np.roll(image, 1, 0), SameContrast), (1 - image, DifferentContrast)):
        kind, fixed = contrast_of(image, moved, moved, inside)
        assert kind is expected
        assert fixed.shape == image.shape
    empty = np.zeros_like(image)
    assert contrast_of(empty, empty, empty, inside)[0] is SameContrast
