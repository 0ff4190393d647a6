"""plan_model_grid: nothing is cropped, whatever the fixed volume's geometry."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spatial.geometry import AXIS_ORDERS, grid_of, grids, quick, rotation
from VoxelMorphRegistrationLib.network.catalogue import BRAIN_MODEL, Catalogue
from VoxelMorphRegistrationLib.pipeline.model_grid import RESOLUTIONS, plan_model_grid
from VoxelMorphRegistrationLib.spatial import Grid, Image

CARD = Catalogue().card(BRAIN_MODEL)
cards = st.builds(
    lambda orientation, spacing, multiple: dataclasses.replace(
        CARD, orientation=orientation, spacing_mm=spacing, shape_multiple=multiple
    ),
    st.sampled_from(["LIA", "RAS", "LPS", "SAR", "PIL"]),
    st.tuples(*[st.sampled_from([1.0, 1.5, 2.0, 3.0])] * 3),
    st.sampled_from([8, 16, 32]),
)


def image_with_content(grid: Grid, start: np.ndarray, stop: np.ndarray, dtype: type = np.int16) -> Image:
    array = np.full(grid.shape, -7, dtype)
    array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = 5
    return Image(array, grid, "fixed")


def corners(grid: Grid, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    return grid.window(start, tuple(int(n) for n in np.array(stop) - start)).corners_ras()


@given(
    grids(smallest=12, largest=40, spacing=(0.4, 5)), cards, st.sampled_from([*RESOLUTIONS]), st.integers(0, 2**32 - 1)
)
@quick
def test_content_and_margin_are_inside_and_sides_are_multiples(grid, card, resolution, seed):
    random = np.random.default_rng(seed)
    start = random.integers(0, np.array(grid.shape) - 2)
    stop = random.integers(start + 1, np.array(grid.shape) + 1)
    if (stop - start).prod() == np.prod(grid.shape):
        return  # all content: no minimum is left around it
    plan = plan_model_grid(image_with_content(grid, start, stop), card, resolution)
    assert all(n % card.shape_multiple == 0 and n >= 32 for n in plan.grid.shape)
    index = plan.grid.to_ijk(corners(grid, start, stop))
    assert index.min() >= 3  # a margin of 4 voxels, less the rounding to the lattice
    assert (index <= np.array(plan.grid.shape) - 4).all()
    assert plan.grid.orientation == grid.reoriented(card.orientation).orientation
    wanted = np.array(card.spacing_mm) * RESOLUTIONS[resolution]
    np.testing.assert_allclose(plan.grid.spacing, wanted, rtol=0.06)
    unneeded = (np.array(plan.grid.shape) - np.ptp(index, axis=0) - 1 - 8) >= card.shape_multiple
    assert not (unneeded & (np.array(plan.grid.shape) > 32)).any()


@given(st.sampled_from(AXIS_ORDERS), st.floats(0, 30), st.floats(0.97, 1.03), st.sampled_from([*RESOLUTIONS]))
@quick
def test_a_fitting_lattice_is_used_as_it_is(axes, degrees, size, resolution):
    """Every voxel of the network's grid is one of the fixed volume's: at full resolution nothing is interpolated."""
    grid = grid_of((50, 60, 40), spacing=[size] * 3, turned=rotation((1, 2, 3), degrees), axes=axes, centre=(5, 6, 7))
    plan = plan_model_grid(image_with_content(grid, np.array([9, 8, 7]), np.array([40, 51, 33])), CARD, resolution)
    index = grid.to_ijk(plan.grid.to_ras([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]))
    np.testing.assert_allclose(index, np.round(index), atol=1e-6)
    np.testing.assert_allclose(plan.grid.spacing, size * RESOLUTIONS[resolution])
    assert plan.on_fixed_lattice == (resolution == "full")


@pytest.mark.parametrize("spacing", [(1, 1, 1.2), (0.9, 0.9, 0.9), (0.5, 0.5, 0.5)])
def test_another_lattice_is_resampled_to_the_cards_spacing(spacing):
    grid = grid_of((60, 60, 60), spacing=spacing, axes=AXIS_ORDERS[5])
    plan = plan_model_grid(image_with_content(grid, np.array([9] * 3), np.array([50] * 3)), CARD, "full")
    assert not plan.on_fixed_lattice
    np.testing.assert_allclose(plan.grid.spacing, CARD.spacing_mm)


def test_a_mask_decides_what_is_content():
    grid = grid_of((64, 64, 64))
    start, stop = np.array([20, 22, 24]), np.array([30, 41, 38])
    fixed = Image(np.random.default_rng(0).random(grid.shape), grid)
    mask = image_with_content(grid, start, stop).with_array
    inside = np.zeros(grid.shape, np.uint8)
    inside[20:30, 22:41, 24:38] = 1
    plan = plan_model_grid(fixed, CARD, "full", mask(inside))
    assert plan.grid.shape == (32, 32, 32)
    assert plan.grid.contains(corners(grid, start, stop)).all()
    assert plan_model_grid(fixed, CARD, "full").grid.shape == (80, 80, 80)


def test_the_vxm_pair_needs_no_more_than_the_shape_it_was_trained_on():
    """160 x 192 x 224 at 1 mm LIA with a brain of up to 150 x 170 x 180 mm in it."""
    grid = grid_of((160, 192, 224), axes=np.array([[-1, 0, 0], [0, 0, 1], [0, -1, 0]]))
    assert grid.orientation == "LIA"
    plan = plan_model_grid(image_with_content(grid, np.array([10, 20, 25]), np.array([150, 180, 200])), CARD, "full")
    assert all(a <= b for a, b in zip(plan.grid.shape, (160, 192, 224), strict=True))
    assert plan.on_fixed_lattice


def test_the_description_names_both_grids():
    fixed = image_with_content(grid_of((50, 60, 40)), np.array([9, 8, 7]), np.array([40, 51, 33]))
    plan = plan_model_grid(fixed, CARD, "half")
    for words in ("LIA (half resolution)", "2.00 x 2.00 x 2.00 mm", "50 x 60 x 40 voxels", "RAS"):
        assert words in plan.description
