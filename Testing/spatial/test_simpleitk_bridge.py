"""The SimpleITK border: positions, values, vectors and affines against SimpleITK's own geometry, in LPS."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from spatial.geometry import AXIS_ORDERS, affine, grid_of, grids, quick, rotation, rotations
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

LPS = np.array([-1.0, -1.0, 1.0])


def noise(shape: tuple[int, ...], dtype: object = np.float32) -> np.ndarray:
    return (np.random.default_rng(0).random(shape) * 200).astype(dtype)


@given(grids(), st.tuples(*[st.floats(-20, 20)] * 3))
@quick
def test_simpleitk_puts_a_voxel_where_the_grid_does(grid, index):
    image = bridge.place_on_grid(sitk.Image(grid.shape, sitk.sitkUInt8), grid)
    np.testing.assert_allclose(
        image.TransformContinuousIndexToPhysicalPoint(index), grid.to_ras(index) * LPS, atol=1e-6
    )
    assert bridge.grid_from_sitk(image).is_same(grid, 1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64, np.int64, np.bool_])
def test_a_value_stays_at_its_index_and_its_type(dtype):
    grid = grid_of((3, 4, 5), spacing=(1, 2, 3))
    array = noise(grid.shape, dtype)
    image = bridge.scalar_to_sitk(array, grid)
    assert image.GetPixel(2, 1, 4) == array[2, 1, 4]
    back = bridge.scalar_from_sitk(image)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == (np.uint8 if dtype is np.bool_ else dtype)


@pytest.mark.parametrize("dtype", [np.float16, ">i2", ">f4", np.longdouble])
def test_types_that_simpleitk_does_not_know_keep_their_values(dtype):
    """NIfTI files come in both byte orders, and networks hand over half precision."""
    grid = grid_of((3, 4, 5))
    array = noise(grid.shape).astype(np.int16).astype(dtype)
    np.testing.assert_array_equal(bridge.scalar_from_sitk(bridge.scalar_to_sitk(array, grid)), array)


def test_memory_order_does_not_matter():
    grid = grid_of((3, 4, 5))
    array = noise((6, 8, 10))[::2, ::2, ::2]
    for same in (array, np.asfortranarray(array), np.ascontiguousarray(array)):
        np.testing.assert_array_equal(bridge.scalar_from_sitk(bridge.scalar_to_sitk(same, grid)), array)


def test_vectors_are_lps_over_there():
    grid = grid_of((3, 4, 5), spacing=(1, 2, 3), turned=rotation((1, 1, 1), 40))
    vectors = noise((*grid.shape, 3))
    image = bridge.vectors_to_sitk(vectors, grid)
    assert image.GetPixelID() == sitk.sitkVectorFloat64
    np.testing.assert_allclose(image.GetPixel(1, 2, 3), vectors[1, 2, 3] * LPS)
    np.testing.assert_array_equal(bridge.vectors_from_sitk(image), vectors)
    single = sitk.Cast(image, sitk.sitkVectorFloat32)
    np.testing.assert_array_equal(bridge.vectors_from_sitk(single), vectors)


@given(rotations(180), st.tuples(*[st.floats(-100, 100)] * 3), st.tuples(*[st.floats(-100, 100)] * 3))
@quick
def test_an_affine_maps_ras_points_as_simpleitk_maps_lps_points(turned, translation, point):
    matrix = affine(turned @ np.array([[1.2, 0.1, 0], [0, 0.8, -0.2], [0.3, 0, 1]]), translation)
    transform = bridge.affine_to_sitk(matrix)
    expected = matrix[:3, :3] @ point + translation
    np.testing.assert_allclose(transform.TransformPoint((point * LPS).tolist()) * LPS, expected, atol=1e-9)
    np.testing.assert_allclose(bridge.affine_from_sitk(transform), matrix, atol=1e-9)


def test_any_linear_transform_becomes_a_matrix():
    rigid = sitk.Euler3DTransform((10, 20, 30), 0.1, 0.2, 0.3, (1, 2, 3))
    scaled = sitk.ScaleTransform(3, (1.1, 0.9, 1.0))
    both = sitk.CompositeTransform([rigid, scaled])
    for transform in (rigid, scaled, both, sitk.TranslationTransform(3, (4, 5, 6)), sitk.Transform()):
        matrix = bridge.affine_from_sitk(transform)
        point = np.array([7.0, -8.0, 9.0])
        expected = transform.TransformPoint((point * LPS).tolist()) * LPS
        np.testing.assert_allclose(matrix[:3, :3] @ point + matrix[:3, 3], expected, atol=1e-9)


@pytest.mark.parametrize("axes", [AXIS_ORDERS[0], AXIS_ORDERS[17], AXIS_ORDERS[30]])
def test_resample_shows_the_same_place(axes):
    """A ramp in RAS is the same ramp on any grid, moved by what the transform says."""
    source = grid_of((20, 20, 20), spacing=(2, 3, 2.5))
    gradient = np.array([1.0, -2.0, 0.5])
    ramp = source.to_ras(np.moveaxis(np.indices(source.shape), 0, -1)) @ gradient
    target = grid_of((5, 6, 4), spacing=(1, 2, 1.5), turned=rotation((1, 2, 0), 30), axes=axes)
    shift = np.array([3.0, -2.0, 1.0])
    seen = bridge.resample(bridge.scalar_to_sitk(ramp, source), target, bridge.affine_to_sitk(affine(np.eye(3), shift)))
    expected = (target.to_ras(np.moveaxis(np.indices(target.shape), 0, -1)) + shift) @ gradient
    np.testing.assert_allclose(bridge.scalar_from_sitk(seen), expected, atol=1e-6)


@pytest.mark.parametrize("degrees", [3e-155, 3e-158, 3e-300])
@pytest.mark.parametrize("axis", [(1, 1, 0), (1, 2, 3), (0, 1, 14)])
def test_a_rotation_by_almost_nothing(axis, degrees):
    """Hypothesis found that ITK's inverse of some directions with such values in them is not a number."""
    grid = grid_of((2, 2, 2), spacing=(3, 1, 1), turned=rotation(axis, degrees))
    image = bridge.place_on_grid(sitk.Image(grid.shape, sitk.sitkUInt8), grid)
    index = image.TransformPhysicalPointToContinuousIndex((grid.origin * LPS).tolist())
    np.testing.assert_allclose(index, (0, 0, 0), atol=1e-9)
