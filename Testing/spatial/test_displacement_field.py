"""DisplacementField against SimpleITK's transform, sums by hand and maps known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from spatial.geometry import AXIS_ORDERS, OBLIQUE_LEFT_HANDED, affine, grid_of, grids, quick, rotation
from spatial.maps import QuadraticMap, bump_field, positions
from VoxelMorphRegistrationLib.errors import InputError, TransformError
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image

LPS = np.array([-1.0, -1.0, 1.0])
GRIDS = [
    pytest.param(OBLIQUE_LEFT_HANDED, id="oblique left-handed"),
    pytest.param(grid_of((20, 24, 22), spacing=(2, 1, 3), axes=AXIS_ORDERS[21], centre=(5, 6, 7)), id="permuted"),
    pytest.param(grid_of((22, 20, 24), spacing=(1, 1, 4), axes=np.diag([-1, -1, 1])), id="LPS"),
]


def random_field(grid: Grid, size_mm: float = 5) -> DisplacementField:
    vectors = np.random.default_rng(1).normal(0, size_mm, (*grid.shape, 3))
    return DisplacementField(vectors.astype(np.float32), grid)


def points_inside(grid: Grid, count: int = 200, margin: float = 0) -> np.ndarray:
    index = np.random.default_rng(2).uniform(margin, np.array(grid.shape) - 1 - margin, (count, 3))
    return grid.to_ras(index)


@given(grids(), st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=5))
@quick
def test_at_and_map_points_are_simpleitks_transform_in_lps(grid, parts):
    field = random_field(grid)
    points = grid.to_ras(np.array(parts) * (np.array(grid.shape) - 1))
    transform = field.transform()
    expected = [np.array(transform.TransformPoint((point * LPS).tolist())) * LPS for point in points]
    np.testing.assert_allclose(field.map_points(points), expected, atol=1e-4)
    np.testing.assert_allclose(field.at(points), np.array(expected) - points, atol=1e-4)


@pytest.mark.parametrize("index", [(1.25, 2.5, 3.75), (0, 0, 0), (23, 19, 27), (4, 5.5, 6), (22.999, 0.001, 13)])
def test_at_is_the_weighted_sum_of_the_eight_neighbours(index):
    grid, field = OBLIQUE_LEFT_HANDED, random_field(OBLIQUE_LEFT_HANDED)
    expected = np.zeros(3)
    for i in (0, 1):
        for j in (0, 1):
            for k in (0, 1):
                corner = np.add(np.floor(index).astype(int), (i, j, k))
                weight = np.prod(1 - np.abs(np.array(index) - corner))
                if weight > 0:
                    expected += weight * field.vectors[tuple(corner)]
    np.testing.assert_allclose(field.at(grid.to_ras(index)), expected, atol=1e-5)


def test_outside_the_nearest_edge_voxel_counts():
    grid, field = OBLIQUE_LEFT_HANDED, random_field(OBLIQUE_LEFT_HANDED)
    np.testing.assert_allclose(field.at(grid.to_ras((-5, 7, 8))), field.vectors[0, 7, 8], atol=1e-5)
    np.testing.assert_allclose(field.at(grid.to_ras((50, -3, 99))), field.vectors[-1, 0, -1], atol=1e-5)


def test_at_keeps_the_shape_of_its_points_and_takes_a_grid_of_one_slice():
    field = random_field(grid_of((5, 6, 1)))
    assert field.at(np.zeros((2, 4, 3))).shape == (2, 4, 3)
    np.testing.assert_allclose(field.at(field.grid.to_ras((2, 3, 0))), field.vectors[2, 3, 0], atol=1e-6)


@pytest.mark.parametrize("grid", GRIDS)
def test_warp_shows_the_image_where_the_field_points(grid):
    """moved(x) = moving(x + u(x)) for an image known in closed form: linear, so interpolation is exact."""
    source = grid_of((40, 44, 48), spacing=(3, 2.5, 2), turned=rotation((2, 0, 1), 20), centre=grid.centre_ras)
    gradient = np.array([1.0, -2.0, 0.5])
    image = Image((positions(source) @ gradient).astype(np.float32), source)
    field = bump_field(grid, 4, 8)
    moved = field.warp(image)
    assert moved.grid is grid
    assert moved.array.dtype == np.float32
    expected = (positions(grid) + field.vectors) @ gradient
    inside = source.contains(positions(grid) + field.vectors)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(moved.array[inside], expected[inside], atol=2e-3)


def test_warp_on_another_grid_and_outside():
    field = bump_field(OBLIQUE_LEFT_HANDED, 4, 8)
    target = OBLIQUE_LEFT_HANDED.window((5, 4, 6), (6, 7, 8))
    image = Image(np.full((10, 10, 10), 7, np.int16), grid_of((10, 10, 10), centre=field.grid.centre_ras))
    moved = field.warp(image, target, outside=-5)
    np.testing.assert_array_equal(moved.array, field.warp(image, outside=-5).array[5:11, 4:11, 6:14])
    assert set(np.unique(moved.array)) == {-5, 7}


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint16])
def test_warp_labels_takes_the_nearest_label_and_keeps_its_type(dtype):
    grid = OBLIQUE_LEFT_HANDED
    labels = np.random.default_rng(3).integers(0, 99, grid.shape).astype(dtype)
    field = bump_field(grid, 4, 8)
    moved = field.warp_labels(Image(labels, grid))
    assert moved.array.dtype == dtype
    index = grid.to_ijk(positions(grid) + field.vectors)
    nearest = np.round(index).astype(int)
    inside = ((nearest >= 0) & (nearest < grid.shape)).all(axis=-1)
    clear = inside & (np.abs(index - np.floor(index) - 0.5) > 1e-3).all(axis=-1)  # not half way between two
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(moved.array[clear], labels[tuple(nearest[clear].T)])


def test_labels_beyond_the_image_are_zero():
    labels = Image(np.full((4, 4, 4), 3, np.uint8), grid_of((4, 4, 4)))
    moved = DisplacementField.zero(grid_of((8, 8, 8))).warp_labels(labels)
    assert set(np.unique(moved.array)) == {0, 3}
    assert np.count_nonzero(moved.array) == 64


@pytest.mark.parametrize("target", GRIDS)
def test_resampled_is_at_on_every_voxel(target):
    """Inside and outside; the grids lie apart, so both are met."""
    field = random_field(grid_of((20, 18, 22), spacing=(2, 2.5, 1.5), turned=rotation((0, 1, 1), 15)))
    other = field.resampled(target)
    assert other.vectors.dtype == np.float32
    inside = field.grid.contains(positions(target))
    np.testing.assert_allclose(other.vectors[inside], field.at(positions(target))[inside], atol=1e-3)
    centre = target.window((0, 0, 0), target.shape)
    assert other.resampled(centre) is other


@pytest.mark.parametrize("axes", [np.eye(3), np.diag([-1, -1, 1]), np.diag([-1, 1, 1])])
def test_resampled_outside_is_the_nearest_edge_voxel(axes):
    field = random_field(grid_of((6, 7, 8), spacing=(1, 2, 3), axes=axes))
    around = field.grid.window((-3, -2, -4), (12, 11, 16))
    np.testing.assert_allclose(field.resampled(around).vectors, field.at(positions(around)), atol=1e-4)


@pytest.mark.parametrize(
    ("first", "shape"),
    [((1, 2, 0), (4, 3, 8)), ((-3, 0, 2), (5, 9, 3)), ((9, -8, 1), (3, 4, 5)), ((-9, 1, 11), (2, 20, 4))],
    ids=["inside", "partly", "beside", "around"],
)
def test_a_window_at_whole_voxels_is_cut_out_and_one_between_them_is_not(first, shape):
    field = random_field(grid_of((6, 7, 8), spacing=(1, 2, 3), turned=rotation((1, 0, 1), 20)))
    window = field.grid.window(first, shape)
    nearest = np.ix_(*(np.clip(np.arange(n) + a, 0, m - 1) for a, n, m in zip(first, shape, (6, 7, 8), strict=True)))
    np.testing.assert_array_equal(field.resampled(window).vectors, field.vectors[nearest])
    np.testing.assert_array_equal(field.grid.first_voxel_of(window), first)
    between = field.grid.window(np.array(first) + 0.5, shape)
    assert field.grid.first_voxel_of(between) is None
    inside = field.grid.contains(positions(between))
    np.testing.assert_allclose(
        field.resampled(between).vectors[inside], field.at(positions(between))[inside], atol=1e-4
    )


@pytest.mark.parametrize("grid", GRIDS)
def test_then_is_one_map_after_the_other(grid):
    first = bump_field(grid, 6, 9)
    second = QuadraticMap(grid.centre_ras).field(grid_of((40, 40, 40), spacing=(3, 3, 3), centre=grid.centre_ras))
    both = first.then(second)
    expected = second.map_points(first.map_points(positions(grid)))
    np.testing.assert_allclose(both.map_points(positions(grid)), expected, atol=1e-3)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_inverse_brings_points_back(grid):
    field = bump_field(grid, 4, 5)
    assert field.magnitude().max() > 3.5
    inverse = field.inverse()
    voxels = positions(grid)
    there = inverse.map_points(voxels)
    np.testing.assert_allclose(field.map_points(there), voxels, atol=0.1)  # the tolerance
    distance = np.linalg.norm(inverse.map_points(field.map_points(voxels)) - voxels, axis=-1)
    assert distance.mean() < 0.1  # between voxels the inverse is linear only


def test_the_inverse_of_a_field_that_goes_on_outside():
    """Points come in from beyond the grid, where the edge's displacement counts."""
    grid = OBLIQUE_LEFT_HANDED
    bump, shift = bump_field(grid, 3, 5), np.float32([5, -7, 4])
    inverse = DisplacementField(bump.vectors + shift, grid).inverse()
    error = np.linalg.norm(bump.map_points(inverse.map_points(positions(grid))) + shift - positions(grid), axis=-1)
    assert error.max() < 0.1
    np.testing.assert_allclose(inverse.vectors[0, 0, 0], -shift, atol=1e-3)


def test_a_field_that_stretches_more_than_twofold_has_an_inverse():
    """A gradient above 1 is no folding: plain fixed-point iteration gives up on it, though the map is one to one."""
    grid = grid_of((32, 32, 32), spacing=(2, 2, 2))
    distance = np.linalg.norm(positions(grid), axis=-1, keepdims=True)
    vectors = 1.6 * positions(grid) * np.exp(-0.5 * (distance / 8) ** 2)  # 2.6-fold at the middle
    field = DisplacementField(vectors.astype(np.float32), grid)
    assert field.jacobian_determinant().array.min() > 0.15
    assert field.jacobian_determinant().array.max() > 2**3
    inverse = field.inverse()
    error = np.linalg.norm(field.map_points(inverse.map_points(positions(grid))) - positions(grid), axis=-1)
    assert error.max() < 0.1


def test_a_folding_field_has_no_inverse():
    grid = grid_of((24, 24, 24), spacing=(2, 2, 2))
    field = bump_field(grid, 30, 5)
    assert field.jacobian_determinant().array.min() < 0
    with pytest.raises(
        TransformError, match=r"cannot be inverted: it folds at .* % of its voxels; smooth it, or register"
    ):
        field.inverse()


@given(grids(smallest=6, largest=9))
@quick
def test_jacobian_determinant_of_a_quadratic_map_on_any_grid(grid):
    """Central differences are exact for it, away from the border."""
    known = QuadraticMap(grid.centre_ras)
    determinant = known.field(grid).jacobian_determinant()
    assert determinant.grid is grid
    assert determinant.array.dtype == np.float32
    inner = np.s_[1:-1, 1:-1, 1:-1]
    np.testing.assert_allclose(determinant.array[inner], known.determinant(positions(grid))[inner], atol=5e-3)


def test_jacobian_determinant_of_mirroring_is_minus_one():
    grid = OBLIQUE_LEFT_HANDED
    mirrored = (positions(grid) - grid.centre_ras) * (-2, 0, 0)
    determinant = DisplacementField(mirrored.astype(np.float32), grid).jacobian_determinant()
    np.testing.assert_allclose(determinant.array[1:-1, 1:-1, 1:-1], -1, atol=1e-4)


def test_jacobian_determinant_on_a_sheared_grid():
    """A volume under a hardened affine: its axes are not at right angles."""
    grid = grid_of((8, 9, 10), spacing=(1, 2, 1.5)).moved_by(affine([[1, 0.3, 0.1], [0, 1.1, -0.2], [0.2, 0, 0.9]]))
    known = QuadraticMap(grid.centre_ras)
    inner = np.s_[1:-1, 1:-1, 1:-1]
    found = known.field(grid).jacobian_determinant().array[inner]
    np.testing.assert_allclose(found, known.determinant(positions(grid))[inner], atol=1e-4)


def test_magnitude_is_the_length_in_mm():
    field = DisplacementField(np.tile(np.float32([2, -3, 6]), (4, 5, 6, 1)), grid_of((4, 5, 6), spacing=(3, 3, 3)))
    np.testing.assert_allclose(field.magnitude(), 7)


def test_the_simpleitk_image_is_double_and_lps():
    field = random_field(OBLIQUE_LEFT_HANDED)
    image = field.to_sitk()
    assert image.GetPixelID() == sitk.sitkVectorFloat64
    np.testing.assert_allclose(image.GetPixel(3, 4, 5), field.vectors[3, 4, 5] * LPS)


@pytest.mark.parametrize("shape", [(4, 5, 6), (6, 5, 4, 3), (3, 4, 5, 6), (4, 5, 6, 2)])
def test_vectors_of_another_shape(shape):
    with pytest.raises(InputError, match=r"vectors have shape .*, but the grid needs \(4, 5, 6, 3\)"):
        DisplacementField(np.zeros(shape, np.float32), grid_of((4, 5, 6)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite(value):
    vectors = np.zeros((4, 5, 6, 3), np.float32)
    vectors[1, 2, 3, 0] = value
    with pytest.raises(InputError, match="not finite"):
        DisplacementField(vectors, grid_of((4, 5, 6)))
