"""Every way of writing one field gives the same displacements, and everything else an error."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shared_data import shared
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network.integration import integrate, upsample
from VoxelMorphRegistrationLib.network.tensor import displacement_from_tensor, voxels_to_ras

SHAPE = (6, 8, 10)
FIELD = np.random.default_rng(0).normal(size=(*SHAPE, 3)).astype(np.float32)

shapes = st.tuples(*[st.integers(4, 9)] * 3).filter(lambda shape: 3 not in shape)
fields = shapes.flatmap(
    lambda shape: hnp.arrays(np.float32, (*shape, 3), elements=st.floats(-50, 50, width=32, allow_subnormal=False))
)


def written(field, *, channels_first, batch, kji):
    """The (D, H, W, 3) field as a network's tensor in another of the conventions."""
    if kji:
        field = field[..., ::-1].transpose(2, 1, 0, 3)
    if channels_first:
        field = np.moveaxis(field, -1, 0)
    return field[np.newaxis] if batch else field


@given(field=fields, channels_first=st.booleans(), batch=st.booleans(), kji=st.booleans())
def test_every_way_of_writing_a_field_is_read_back(field, channels_first, batch, kji):
    tensor = written(field, channels_first=channels_first, batch=batch, kji=kji)
    result = displacement_from_tensor(tensor, field.shape[:3], axis_order="kji" if kji else "ijk")
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, field)


@given(field=fields, channels_first=st.booleans(), kji=st.booleans())
def test_a_half_resolution_tensor_is_resized_and_its_vectors_doubled(field, channels_first, kji):
    grid = tuple(2 * size for size in field.shape[:3])
    tensor = written(field, channels_first=channels_first, batch=True, kji=kji)
    result = displacement_from_tensor(tensor, grid, axis_order="kji" if kji else "ijk")
    np.testing.assert_allclose(result, upsample(field, 2), atol=1e-4)
    np.testing.assert_allclose(result[0, 0, 0], 2 * field[0, 0, 0], atol=1e-4)
    np.testing.assert_allclose(result[-1, -1, -1], 2 * field[-1, -1, -1], atol=1e-4)


def test_quarter_resolution_and_odd_sizes():
    constant = np.full((1, 3, 4, 5, 6), 2.0, np.float32)
    np.testing.assert_allclose(displacement_from_tensor(constant, (16, 20, 24)), 8.0, rtol=1e-6)
    odd = displacement_from_tensor(constant, (7, 9, 12))
    np.testing.assert_allclose(odd[3, 4, 5], [2 * 7 / 4, 2 * 9 / 5, 4], rtol=1e-6)


def test_axes_and_components_are_reordered_together_as_slicer_and_simpleitk_see_the_volume():
    """A tensor in SimpleITK's (and slicer.util's) array order samples a real image as the one in IJK does."""
    path = str(shared("vxm_pair/test_scan_t1.nii.gz"))
    image = sitk.ReadImage(path, sitk.sitkFloat32)[60:100, 70:118, 80:136]
    kji = sitk.GetArrayFromImage(image)
    shift = (2, -1, 3)  # voxels along k, j, i
    tensor = np.broadcast_to(np.reshape(shift, (1, 3, 1, 1, 1)), (1, 3, *kji.shape)).astype(np.float32)
    displacement = displacement_from_tensor(tensor, image.GetSize(), axis_order="kji")
    assert displacement.shape == (*image.GetSize(), 3)
    assert tuple(displacement[5, 6, 7]) == shift[::-1]
    ijk = kji.transpose(2, 1, 0)
    x = np.array([10, 20, 30])
    assert ijk[tuple(x + displacement[tuple(x)].astype(int))] == kji[tuple(x[::-1] + np.array(shift))]


def test_a_velocity_is_integrated_before_it_is_resized():
    velocity = np.random.default_rng(1).normal(scale=2, size=(6, 8, 10, 3)).astype(np.float32)
    result = displacement_from_tensor(velocity, (12, 16, 20), kind="velocity", integration_steps=5)
    np.testing.assert_allclose(result, upsample(integrate(velocity, 5), 2), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.float16, np.float64, ">f4"])
def test_signed_integers_and_any_float_are_taken(dtype):
    whole = np.round(FIELD * 3)
    np.testing.assert_array_equal(displacement_from_tensor(whole.astype(dtype), SHAPE), whole)


def test_the_callers_tensor_is_neither_changed_nor_shared():
    tensor = FIELD.copy()
    result = displacement_from_tensor(tensor, SHAPE)
    result += 1
    np.testing.assert_array_equal(tensor, FIELD)


def test_components_that_could_be_first_or_last_are_told_apart_by_the_grid():
    tensor = np.zeros((1, 3, 8, 10, 3), np.float32)
    assert displacement_from_tensor(tensor, (8, 10, 3)).shape == (8, 10, 3, 3)
    assert displacement_from_tensor(tensor, (3, 8, 10)).shape == (3, 8, 10, 3)


def test_components_that_could_be_first_or_last_on_the_same_grid_have_to_be_said():
    tensor = np.random.default_rng(2).normal(size=(3, 3, 3, 3))
    with pytest.raises(InputError, match=r"components first or last; say which with layout="):
        displacement_from_tensor(tensor, (3, 3, 3))
    last = displacement_from_tensor(tensor, (3, 3, 3), layout="channels_last")
    np.testing.assert_allclose(last, tensor, rtol=1e-6)
    first = displacement_from_tensor(tensor, (3, 3, 3), layout="channels_first")
    np.testing.assert_allclose(first, np.moveaxis(tensor, 0, -1), rtol=1e-6)


def _with(value):
    field = FIELD.copy()
    field[1, 2, 3, 1] = value
    return field


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (np.zeros((6, 8, 10)), "has 3 axes .* instead of the 4 or 5"),
        (np.zeros((1, 1, 3, 6, 8, 10)), "has 6 axes"),
        (np.zeros((2, 3, *SHAPE)), "a batch of 2 fields"),
        (np.zeros((0, 3, *SHAPE)), "a batch of 0 fields"),
        (np.zeros((1, 6, *SHAPE)), "mean and variance"),
        (np.zeros((1, *SHAPE, 6)), "mean and variance"),
        (np.zeros((1, 2, 64, 64)), "2-D registration"),
        (np.zeros((1, 1, *SHAPE)), "no 3 components first or last"),
        (np.zeros((1, 3, 6, 8, 12)), r"\(6 x 8 x 12\) belongs to another grid: the volume is \(6 x 8 x 10\)"),
        (np.zeros((1, 3, 10, 8, 6)), 'reversed order.*order of the axes as "kji"'),
        (np.zeros((1, 3, 5, 4, 3)), 'reversed order.*order of the axes as "kji"'),
        (_with(np.nan), "NaN or infinite values in 1 voxels"),
        (_with(-np.inf), "NaN or infinite"),
        (_with(0).astype(np.float64) + 1e300, "NaN or infinite"),
        (FIELD.astype(np.uint8), "uint8 values, which have no sign"),
        (FIELD > 0, "bool values, which have no sign"),
        (FIELD.astype(complex), "displacements are real numbers"),
        (FIELD.astype(str), "displacements are real numbers"),
        (None, "NoneType|real numbers|axes"),
        ([[1, 2], [3]], "no values that can be read"),
        ("field.npy", "real numbers|axes"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_every_other_tensor_is_refused_with_its_own_sentence(tensor, message):
    with pytest.raises(InputError, match=message) as raised:
        displacement_from_tensor(tensor, SHAPE)
    assert str(raised.value).endswith(".")


def test_a_reversed_tensor_read_as_kji_names_ijk():
    with pytest.raises(InputError, match='order of the axes as "ijk"'):
        displacement_from_tensor(np.zeros((1, 3, 6, 8, 10)), SHAPE, axis_order="kji")


@pytest.mark.parametrize(
    "setting", [{"layout": "last"}, {"axis_order": "xyz"}, {"kind": "flow"}, {"integration_steps": -1}]
)
def test_unknown_settings_are_refused(setting):
    with pytest.raises(InputError, match=next(iter(setting))):
        displacement_from_tensor(FIELD, SHAPE, **setting)


def test_a_layout_that_the_tensor_does_not_have_is_refused():
    with pytest.raises(InputError, match="no 3 components first"):
        displacement_from_tensor(FIELD, SHAPE, layout="channels_first")


def test_voxels_to_ras_on_an_oblique_anisotropic_left_handed_grid():
    angle = np.radians(30)
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([-0.8, 1.1, 2.5])
    affine[:3, 3] = [100, -50, 20]
    ras = voxels_to_ras(FIELD, affine)
    start = np.array([1.0, 2.0, 3.0, 1.0])
    end = start + np.append(FIELD[1, 2, 3], 0)
    np.testing.assert_allclose(ras[1, 2, 3], (affine @ end - affine @ start)[:3], atol=1e-5)
    assert ras.dtype == np.float32
    np.testing.assert_array_equal(ras, voxels_to_ras(FIELD, affine[:3, :3]))
