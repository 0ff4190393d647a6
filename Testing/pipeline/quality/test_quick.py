"""Similarity and folding against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from spatial.anatomy import mni_brain, seen_through
from spatial.geometry import OBLIQUE_LEFT_HANDED, affine, grid_of, rotation
from spatial.maps import bump_field, positions
from VoxelMorphRegistrationLib.pipeline.quality.quick import folded_percent, similarity
from VoxelMorphRegistrationLib.spatial import DisplacementField, Image


def brute_correlation(a: np.ndarray, b: np.ndarray, inside: np.ndarray) -> float:
    x, y = a[inside].astype(float), b[inside].astype(float)
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def test_similarity_is_the_correlation_inside_the_content():
    fixed = mni_brain(4)  # small enough that every voxel counts
    turned = affine(rotation((0, 0, 1), 10), (5, 3, 0))
    moving = seen_through(fixed, turned, grid_of((50, 60, 50), spacing=(4, 4.4, 4), turned=rotation((1, 0, 0), 20)))
    moved = seen_through(moving, np.linalg.inv(turned), fixed.grid)
    as_it_lies = seen_through(moving, np.eye(4), fixed.grid)
    inside = fixed.array > 0
    before, after = similarity(fixed, moving, moved)
    assert before == pytest.approx(brute_correlation(fixed.array, as_it_lies.array, inside), abs=1e-4)
    assert after == pytest.approx(brute_correlation(fixed.array, moved.array, inside), abs=1e-6)
    assert after > 0.9 > before


def test_similarity_of_a_large_volume_is_close_to_that_of_all_its_voxels():
    fixed = mni_brain(1)
    noisy = fixed.with_array(fixed.array + np.random.default_rng(0).normal(0, 40, fixed.array.shape).astype(np.float32))
    expected = brute_correlation(fixed.array, noisy.array, fixed.array > 0)
    assert similarity(fixed, noisy, noisy) == pytest.approx((expected, expected), abs=0.01)


def test_similarity_inside_a_mask():
    fixed = mni_brain(4)
    moved = fixed.with_array(np.where(np.arange(fixed.array.shape[0])[:, None, None] < 24, fixed.array, 0))
    left = np.zeros(fixed.array.shape, np.uint8)
    left[:24] = 1
    assert similarity(fixed, fixed, moved, fixed.with_array(left)) == pytest.approx((1, 1))
    assert similarity(fixed, fixed, moved)[1] < 0.9


def test_where_there_is_nothing_to_compare_it_is_zero():
    fixed = mni_brain(4)
    away = Image(fixed.array, fixed.grid.moved_by(affine(np.eye(3), (900, 0, 0))))
    blank = fixed.with_array(np.zeros(fixed.array.shape))
    assert similarity(fixed, away, blank) == (0.0, 0.0)


def test_folded_percent_counts_the_content_only():
    grid = OBLIQUE_LEFT_HANDED
    field = bump_field(grid, 25, 4)
    folded = field.jacobian_determinant().array <= 0
    assert 0 < folded.mean() < 0.2
    content = np.linalg.norm(positions(grid) - grid.centre_ras, axis=-1) < 9
    fixed = Image(np.where(content, 100, -5), grid)
    expected = 100 * np.count_nonzero(folded & content) / np.count_nonzero(content)
    assert folded_percent(field, fixed) == pytest.approx(expected)
    assert folded_percent(DisplacementField.zero(grid), fixed) == 0


def test_folded_percent_on_another_grid_than_the_volumes():
    field = bump_field(OBLIQUE_LEFT_HANDED, 25, 4)
    fine = grid_of((60, 60, 60), centre=OBLIQUE_LEFT_HANDED.centre_ras)
    fixed = Image(np.pad(np.ones((58, 58, 58)), 1), fine)
    where = fine.to_ijk(positions(OBLIQUE_LEFT_HANDED))
    content = ((where > 0.5) & (where < 58.5)).all(axis=-1)
    folded = field.jacobian_determinant().array <= 0
    expected = 100 * np.count_nonzero(folded & content) / np.count_nonzero(content)
    assert folded_percent(field, fixed) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("whole", [True, False])
def test_folded_percent_inside_a_mask(whole):
    """A mask that is 1 everywhere has no minimum to tell its outside by."""
    grid = OBLIQUE_LEFT_HANDED
    field = bump_field(grid, 25, 4)
    inside = np.ones(grid.shape, bool)
    if not whole:
        inside[: grid.shape[0] // 2] = False
    folded = field.jacobian_determinant().array <= 0
    expected = 100 * np.count_nonzero(folded & inside) / np.count_nonzero(inside)
    fixed = Image(np.random.default_rng(0).random(grid.shape), grid)
    assert folded_percent(field, fixed, Image(inside.astype(np.uint8), grid)) == pytest.approx(expected)
    assert expected > 0
