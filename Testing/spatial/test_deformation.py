"""Deformation: one map, phi(x) = affine(x + u(x)), in all the forms in which it is handed out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from spatial.geometry import AXIS_ORDERS, OBLIQUE_LEFT_HANDED, affine, grid_of, grids, quick, rotation
from spatial.maps import bump_field, positions
from VoxelMorphRegistrationLib.errors import TransformError
from VoxelMorphRegistrationLib.spatial import Deformation, Grid, Image

LPS = np.array([-1.0, -1.0, 1.0])
MATRIX = affine(rotation((1, -1, 2), 12) @ np.diag([1.1, 0.95, 1.05]), (14, -22, 9))
CENTRE = OBLIQUE_LEFT_HANDED.centre_ras

FIXED_GRIDS = [
    pytest.param(OBLIQUE_LEFT_HANDED, id="the network's own"),
    pytest.param(
        grid_of((30, 34, 20), spacing=(1.7, 1.2, 2.6), turned=rotation((0, 1, 1), 30), centre=CENTRE), id="oblique"
    ),
    pytest.param(
        grid_of((60, 20, 33), spacing=(1, 4, 2), axes=AXIS_ORDERS[27], centre=np.add(CENTRE, (9, 5, -3))),
        id="reaches out",
    ),
    pytest.param(grid_of((8, 8, 8), axes=np.diag([-1, -1, 1]), centre=CENTRE), id="smaller"),
]


@pytest.fixture(scope="module")
def deformation() -> Deformation:
    field = bump_field(OBLIQUE_LEFT_HANDED, 4, 5)
    return Deformation(MATRIX, field, field.inverse())


def phi(deformation: Deformation, points: np.ndarray) -> np.ndarray:
    """The definition, written out."""
    there = points + deformation.displacement.at(points)
    return there @ deformation.affine[:3, :3].T + deformation.affine[:3, 3]


@pytest.mark.parametrize("fixed", FIXED_GRIDS)
def test_every_form_is_the_same_map(deformation, fixed):
    points = positions(fixed).reshape(-1, 3)
    expected = phi(deformation, points)
    np.testing.assert_allclose(deformation.map_points(points), expected, atol=1e-9)
    resampling = deformation.resampling_field(fixed)
    assert resampling.grid is fixed or resampling.grid.is_same(fixed)
    np.testing.assert_allclose(points + resampling.vectors.reshape(-1, 3), expected, atol=1e-3)
    np.testing.assert_allclose(deformation.compact_field(fixed).map_points(points), expected, atol=1e-3)
    transform = deformation.transform()
    some = np.random.default_rng(0).choice(len(points), 200, replace=False)
    mapped = [transform.TransformPoint((point * LPS).tolist()) * LPS for point in points[some]]
    np.testing.assert_allclose(mapped, expected[some], atol=1e-3)


@given(grids(largest_angle=180, spacing=(0.8, 3)))
@quick
def test_the_compact_field_is_the_map_on_any_fixed_grid(fixed):
    fixed = fixed.window((0, 0, 0), fixed.shape).moved_by(affine(np.eye(3), CENTRE - fixed.centre_ras))
    deformation = Deformation(MATRIX, bump_field(OBLIQUE_LEFT_HANDED, 4, 5))
    points = positions(fixed)
    np.testing.assert_allclose(
        deformation.compact_field(fixed).map_points(points), deformation.map_points(points), atol=1e-3
    )


@pytest.mark.parametrize("fixed", FIXED_GRIDS)
def test_the_compact_grid_is_the_networks_lattice_over_the_fixed_grid(deformation, fixed):
    compact, own = deformation.compact_grid(fixed), deformation.displacement.grid
    assert compact.contains(fixed.corners_ras()).all()
    np.testing.assert_allclose(compact.axes, own.axes)
    offset = compact.to_ijk(own.origin)
    np.testing.assert_allclose(offset, np.round(offset), atol=1e-6)


def test_outside_the_networks_grid_the_map_is_the_affine(deformation):
    far = grid_of((6, 6, 6), spacing=(9, 9, 9), centre=CENTRE + 200)
    expected = positions(far) @ MATRIX[:3, :3].T + MATRIX[:3, 3]
    np.testing.assert_allclose(deformation.map_points(positions(far)), expected, atol=1e-9)
    resampling = deformation.resampling_field(far)
    np.testing.assert_allclose(positions(far) + resampling.vectors, expected, atol=1e-3)
    transform = deformation.transform()
    point = positions(far)[1, 2, 3]
    np.testing.assert_allclose(transform.TransformPoint((point * LPS).tolist()) * LPS, expected[1, 2, 3], atol=1e-6)


def test_points_go_there_and_back(deformation):
    points = positions(OBLIQUE_LEFT_HANDED).reshape(-1, 3)
    error = np.linalg.norm(deformation.map_points_back(deformation.map_points(points)) - points, axis=-1)
    assert error.mean() < 0.05
    assert np.quantile(error, 0.99) < 0.5


@pytest.mark.parametrize("spacing", [(2, 2, 2), (1, 3, 2)])
def test_the_modeling_field_is_the_inverse_on_the_moving_grid(deformation, spacing):
    moving = grid_of(
        (40, 30, 34),
        spacing=spacing,
        turned=rotation((1, 0, 1), 20),
        centre=deformation.map_points(CENTRE),
        axes=AXIS_ORDERS[9],
    )
    modeling = deformation.modeling_field(moving)
    assert modeling.grid.is_same(moving)
    points = positions(moving)
    np.testing.assert_allclose(points + modeling.vectors, deformation.map_points_back(points), atol=1e-3)
    error = np.linalg.norm(deformation.map_points(points + modeling.vectors) - points, axis=-1)
    assert error.max() < 0.3
    assert error.mean() < 0.01


def test_without_an_inverse_nothing_goes_back():
    deformation = Deformation(MATRIX, bump_field(OBLIQUE_LEFT_HANDED, 4, 5))
    for use in (deformation.map_points_back, lambda _: deformation.modeling_field(OBLIQUE_LEFT_HANDED)):
        with pytest.raises(TransformError, match="run without its inverse; ask for the inverse transform"):
            use((0, 0, 0))


def moving_image() -> Image:
    """A ramp in RAS: linear interpolation is exact on it."""
    grid = grid_of((50, 50, 50), spacing=(3, 3, 3), centre=MATRIX[:3, :3] @ CENTRE + MATRIX[:3, 3])
    return Image((positions(grid) @ (1.0, -2.0, 0.5)).astype(np.float32), grid, "ramp")


@pytest.mark.parametrize("fixed", FIXED_GRIDS)
def test_warp_is_the_moving_image_at_phi(deformation, fixed):
    moving = moving_image()
    moved = deformation.warp(moving, fixed, outside=-999)
    assert moved.grid is fixed
    assert moved.array.dtype == np.float32
    target = deformation.map_points(positions(fixed))
    inside = moving.grid.contains(target)
    assert inside.mean() > 0.9
    np.testing.assert_allclose(moved.array[inside], (target @ (1.0, -2.0, 0.5))[inside], atol=5e-3)


@pytest.mark.parametrize("fixed", FIXED_GRIDS)
def test_warp_labels_is_the_nearest_label_at_phi(deformation, fixed):
    grid: Grid = moving_image().grid
    labels = np.random.default_rng(4).integers(1, 2000, grid.shape).astype(np.int16)
    moved = deformation.warp_labels(Image(labels, grid), fixed)
    assert moved.array.dtype == np.int16
    index = grid.to_ijk(deformation.map_points(positions(fixed)))
    nearest = np.round(index).astype(int)
    clear = ((nearest >= 0) & (nearest < grid.shape)).all(axis=-1)
    clear &= (np.abs(index - np.floor(index) - 0.5) > 1e-2).all(axis=-1)
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(moved.array[clear], labels[tuple(nearest[clear].T)])
