"""Grid: where voxels lie, whatever the orientation, against nibabel, SimpleITK and plain definitions."""

from __future__ import annotations

from itertools import product

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spatial.geometry import AXIS_ORDERS, affine, grid_of, grids, quick, rotation, shapes
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.spatial import Grid

ORIENTATIONS = ["".join(nibabel.aff2axcodes(affine(axes))) for axes in AXIS_ORDERS]
indices = st.lists(st.tuples(*[st.floats(-50, 50)] * 3), min_size=1, max_size=5).map(np.array)


def every_voxel(grid: Grid) -> np.ndarray:
    return grid.to_ras(list(product(*map(range, grid.shape))))


def same_places(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two lists of points are the same, in any order."""
    if len(a) != len(b):
        return False
    distance = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return bool(distance.min(axis=0).max() < 1e-6 and distance.min(axis=1).max() < 1e-6)


@given(grids(), indices)
@quick
def test_to_ras_and_to_ijk_are_inverse(grid, index):
    np.testing.assert_allclose(grid.to_ijk(grid.to_ras(index)), index, atol=1e-8)


@given(grids(), indices)
@quick
def test_to_ras_is_nibabels_apply_affine(grid, index):
    np.testing.assert_allclose(
        grid.to_ras(index), nibabel.affines.apply_affine(grid.ijk_to_ras, index), rtol=0, atol=1e-9
    )


def test_points_keep_their_array_shape():
    grid = grid_of((4, 5, 6))
    assert grid.to_ras(np.zeros((2, 7, 3))).shape == (2, 7, 3)
    assert grid.to_ijk(np.zeros(3)).shape == (3,)


@given(grids())
@quick
def test_spacing_directions_origin_and_extent(grid):
    i, j, k = (grid.to_ras(step) - grid.origin for step in np.eye(3))
    np.testing.assert_allclose(grid.spacing, [np.linalg.norm(step) for step in (i, j, k)])
    np.testing.assert_allclose(grid.directions * grid.spacing, np.stack([i, j, k], axis=1), atol=1e-9)
    np.testing.assert_allclose(grid.extent_mm, grid.spacing * np.array(grid.shape))
    np.testing.assert_allclose(grid.centre_ras, grid.corners_ras().mean(axis=0), atol=1e-9)


@given(grids(largest_angle=44))  # below 45 degrees each array axis has one anatomical axis that is nearest
@quick
def test_orientation_is_nibabels(grid):
    assert grid.orientation == "".join(nibabel.aff2axcodes(grid.ijk_to_ras))


@given(grids())
@quick
def test_orientation_names_three_different_axes_at_any_angle(grid):
    assert sorted("LR".find(c) >= 0 for c in grid.orientation) == [False, False, True]
    assert grid.orientation in ORIENTATIONS


@given(grids(largest=5), st.sampled_from(ORIENTATIONS))
@quick
def test_reoriented_keeps_every_voxel_where_it_is(grid, orientation):
    assert same_places(every_voxel(grid.reoriented(orientation)), every_voxel(grid))


@given(grids(largest_angle=44), st.sampled_from(ORIENTATIONS))  # without a tie between two readings
@quick
def test_reoriented_reads_as_asked_and_goes_back(grid, orientation):
    other = grid.reoriented(orientation)
    assert other.orientation == orientation
    assert other.reoriented(grid.orientation).is_same(grid, 1e-6)


def test_reoriented_agrees_with_nibabel():
    grid = grid_of((4, 5, 6), spacing=(1, 2, 3), turned=rotation((3, 1, 2), 25), axes=AXIS_ORDERS[13])
    image = nibabel.Nifti1Image(np.zeros(grid.shape), grid.ijk_to_ras)
    change = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(image.affine), nibabel.orientations.axcodes2ornt("LIA")
    )
    expected = image.as_reoriented(change)
    other = grid.reoriented("LIA")
    assert other.shape == expected.shape
    np.testing.assert_allclose(other.ijk_to_ras, expected.affine, atol=1e-9)


@given(grids(), st.tuples(*[st.floats(-9, 9)] * 3), shapes())
@quick
def test_window_lies_on_the_same_lattice(grid, start, shape):
    window = grid.window(start, shape)
    assert window.shape == shape
    np.testing.assert_allclose(window.axes, grid.axes)
    np.testing.assert_allclose(window.to_ras((1, 1, 1)), grid.to_ras(np.array(start) + 1), atol=1e-9)


@given(grids(), shapes())
@quick
def test_with_shape_aligns_the_corners(grid, shape):
    other = grid.with_shape(shape)
    np.testing.assert_allclose(other.corners_ras(), grid.corners_ras(), atol=1e-9)
    position = [np.linspace(0, n - 1, m)[1] for n, m in zip(grid.shape, shape, strict=True)]
    np.testing.assert_allclose(other.to_ras((1, 1, 1)), grid.to_ras(position), atol=1e-9)


@given(grids(), grids(largest=5))
@quick
def test_grown_to_cover_holds_both_grids_on_its_own_lattice(grid, other):
    if np.prod(other.extent_mm / grid.spacing) > 1e6 or np.abs(grid.to_ijk(other.centre_ras)).max() > 1e4:
        return  # an array nobody could hold; only the arithmetic of the window would be tested
    grown = grid.grown_to_cover(other)
    assert grown.contains(other.corners_ras()).all()
    assert grown.contains(grid.corners_ras()).all()
    np.testing.assert_allclose(grown.axes, grid.axes)
    offset = grown.to_ijk(grid.origin)
    np.testing.assert_allclose(offset, np.round(offset), atol=1e-5)
    for axis in range(3):  # smallest: without its first or last layer it no longer holds both
        both = grown.to_ijk(np.concatenate([other.corners_ras(), grid.corners_ras()]))[:, axis]
        assert both.min() < 1 + 1e-5
        assert both.max() > grown.shape[axis] - 2 - 1e-5


@given(grids())
@quick
def test_grown_to_cover_what_it_covers_already_stays(grid):
    assert grid.grown_to_cover(grid).is_same(grid)
    inner = grid.window((0.4, 0.3, 0.2), tuple(max(n - 1, 1) for n in grid.shape))
    assert grid.grown_to_cover(inner).is_same(grid)


@given(grids(), st.floats(-90, 90))
@quick
def test_moved_by_carries_every_voxel(grid, degrees):
    matrix = affine(rotation((1, 1, 0), degrees) * 1.2, (5, -6, 7))
    np.testing.assert_allclose(
        grid.moved_by(matrix).to_ras((1, 2, 3)), nibabel.affines.apply_affine(matrix, grid.to_ras((1, 2, 3))), atol=1e-9
    )


def test_contains_is_the_box_of_voxel_centres():
    grid = grid_of((3, 4, 5), spacing=(1, 2, 3), turned=rotation((0, 0, 1), 30))
    assert grid.contains(grid.corners_ras()).all()
    assert not grid.contains(grid.to_ras([[-0.01, 0, 0], [0, 3.01, 0], [2, 3, 4.01]])).any()


def test_is_same_tells_a_thousandth_of_a_millimetre():
    grid = grid_of((10, 10, 10))
    assert grid.is_same(grid.moved_by(affine(np.eye(3), (5e-4, 0, 0))))
    assert not grid.is_same(grid.moved_by(affine(np.eye(3), (5e-3, 0, 0))))
    assert not grid.is_same(grid_of((10, 10, 11)))


def test_the_matrix_cannot_be_changed_behind_its_back():
    matrix = np.eye(4)
    grid = Grid((2, 2, 2), matrix)
    matrix[0, 3] = 7
    assert grid.origin[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        grid.ijk_to_ras[0, 3] = 7


@pytest.mark.parametrize(
    ("shape", "matrix", "message"),
    [
        ((2, 2), np.eye(4), "needs three dimensions"),
        ((2, 2, 2, 2), np.eye(4), "needs three dimensions"),
        ((2, 0, 2), np.eye(4), "at least one voxel"),
        ((2, 2, 2), np.eye(3), "not a finite 4x4 affine"),
        ((2, 2, 2), np.full((4, 4), np.nan), "not a finite 4x4 affine"),
        ((2, 2, 2), np.diag([1, 1, 1, 2]), "not a finite 4x4 affine"),
        ((2, 2, 2), np.diag([1, 0, 1, 1]), "cannot be inverted"),
        ((2, 2, 2), affine([[1, 1, 0], [1, 1, 0], [0, 0, 1]]), "cannot be inverted"),
    ],
)
def test_a_geometry_that_is_none(shape, matrix, message):
    with pytest.raises(InputError, match=message):
        Grid(shape, matrix)
