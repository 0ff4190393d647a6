"""A convention is applied as its words say: against formulas written out here, SimpleITK and the tensor's border."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.fields import RawField
from VoxelMorphRegistrationLib.network.tensor import displacement_from_tensor, voxels_to_ras
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention, letters, opposite
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid


def oblique(shape: tuple[int, int, int] = (12, 10, 8), spacing: tuple[float, ...] = (1.2, 0.9, 2.5)) -> Grid:
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag(spacing) @ np.diag([1, -1, 1])
    matrix[:3, 3] = 31, -47, 120
    return Grid(shape, matrix)


FIXED, MOVING = oblique(), oblique((13, 9, 8), (1.1, 1.0, 2.2))
NUMBERS = np.random.default_rng(0).normal(size=(*FIXED.shape, 3)).astype(np.float32)
INDEX = np.stack(np.meshgrid(*[np.arange(n) for n in FIXED.shape], indexing="ij"), -1)
PLACES = FIXED.to_ras(INDEX)
HALF = (np.array(FIXED.shape) - 1) / 2

EXPECTED = {
    ("ijk", "voxel", "displacement"): NUMBERS @ FIXED.axes.T,
    ("kji", "voxel", "displacement"): NUMBERS[..., ::-1] @ FIXED.axes.T,
    ("ijk", "mm", "displacement"): NUMBERS @ FIXED.directions.T,
    ("RAS", "mm", "displacement"): NUMBERS,
    ("LPS", "mm", "displacement"): NUMBERS * [-1, -1, 1],
    ("SAL", "mm", "displacement"): NUMBERS[..., ::-1] * [-1, 1, 1],
    ("kji", "normalised", "displacement"): (NUMBERS[..., ::-1] * HALF) @ FIXED.axes.T,
    ("ijk", "voxel", "positions"): FIXED.to_ras(NUMBERS) - PLACES,
    ("LPS", "mm", "positions"): NUMBERS * [-1, -1, 1] - PLACES,
    ("ijk", "normalised", "positions"): FIXED.to_ras((NUMBERS + 1) * HALF) - PLACES,
}


@pytest.mark.parametrize(("components", "units", "content"), EXPECTED)
def test_the_words_mean_the_formula(components, units, content):
    convention = Convention(letters(components), units, content)
    field = convention.apply(RawField(NUMBERS, "x"), FIXED)
    assert field.grid.is_same(FIXED)
    np.testing.assert_allclose(field.vectors, EXPECTED[components, units, content], atol=1e-4)


def test_voxels_of_the_moving_volume():
    """From array to array: index + displacement is an index of the moving volume (surfa's disp_crs)."""
    field = Convention(into="moving").apply(RawField(NUMBERS, "x"), FIXED, MOVING)
    np.testing.assert_allclose(field.vectors, MOVING.to_ras(INDEX + NUMBERS) - PLACES, atol=1e-4)


@pytest.mark.parametrize("layout", ["first", "last"])
@pytest.mark.parametrize("order", ["ijk", "kji"])
@pytest.mark.parametrize("factor", [1, 2])
def test_voxelmorph_tensors_mean_what_the_tensors_border_says(layout, order, factor):
    """The border of the network's own results, `network.tensor`, is the reference."""
    space = tuple(n // factor for n in (FIXED.shape if order == "ijk" else FIXED.shape[::-1]))
    shape = (3, *space) if layout == "first" else (*space, 3)
    tensor = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    voxels = displacement_from_tensor(tensor, FIXED.shape, axis_order=order)
    convention = Convention(letters(order), axes=letters(order), layout=layout)
    found = convention.apply(RawField(tensor, "x"), FIXED).resampled(FIXED)
    np.testing.assert_allclose(found.vectors, voxels_to_ras(voxels, FIXED.axes), atol=2e-3)


def test_lps_on_an_image_is_what_simpleitk_applies():
    image = sitk.GetImageFromArray(
        np.ascontiguousarray(NUMBERS.transpose(2, 1, 0, 3)).astype(np.float64), isVector=True
    )
    lps = np.diag([-1.0, -1, 1, 1]) @ FIXED.ijk_to_ras
    image.SetOrigin(lps[:3, 3])
    image.SetSpacing(FIXED.spacing)
    image.SetDirection((lps[:3, :3] / FIXED.spacing).ravel())
    transform = sitk.DisplacementFieldTransform(image)
    field = Convention(letters("LPS"), "mm").apply(RawField(NUMBERS, "x"), FIXED)
    flip = np.array([-1, -1, 1])
    for point in FIXED.to_ras(np.random.default_rng(2).uniform(1, 6, (20, 3))):
        there = np.array(transform.TransformPoint((point * flip).tolist())) * flip
        np.testing.assert_allclose(field.map_points(point), there, atol=1e-3)


def test_a_velocity_is_integrated_and_backwards_for_modeling():
    smooth = np.stack([np.sin(INDEX[..., (n + 1) % 3] / 3.0) for n in range(3)], -1).astype(np.float32)
    raw = RawField(smooth, "v")
    forward = Convention(content="velocity").resampling(raw, FIXED)
    backward = Convention(content="velocity", direction="modeling").resampling(raw, FIXED)
    inside = PLACES[4:-4, 4:-4, 3:-3].reshape(-1, 3)
    np.testing.assert_allclose(backward.map_points(forward.map_points(inside)), inside, atol=0.15)
    assert np.abs(forward.at(inside)).max() > 0.5


def test_a_modeling_field_is_inverted():
    smooth = DisplacementField(np.stack([np.sin(INDEX[..., n] / 4.0) for n in range(3)], -1).astype(np.float32), FIXED)
    convention = Convention(letters("LPS"), "mm", direction="modeling", placement="moving")
    raw = RawField(convention.store(smooth.resampled(MOVING), FIXED, MOVING), "x")
    found = convention.resampling(raw, FIXED, MOVING)
    inside = PLACES[3:-3, 3:-3, 2:-2].reshape(-1, 3)
    np.testing.assert_allclose(smooth.map_points(found.map_points(inside)), inside, atol=0.25)


SIGNED = st.sampled_from(["ijk", "-ij-k", "k-ji", "jki", "RAS", "LPS", "PIR", "SAL"])


@settings(max_examples=60, deadline=None)
@given(
    components=SIGNED,
    units=st.sampled_from(["voxel", "full voxel", "mm", "normalised"]),
    content=st.sampled_from(["displacement", "positions"]),
    axes=st.sampled_from(["ijk", "kji", "-ij-k", "k-ij"]),
    layout=st.sampled_from(["last", "first"]),
    placement=st.sampled_from(["own", "fixed", "moving"]),
    into=st.sampled_from(["same", "moving"]),
)
def test_what_is_stored_comes_back(components, units, content, axes, layout, placement, into):
    if components.isupper() and units != "mm":
        with pytest.raises(InputError, match="are in mm"):
            Convention(letters(components), units)
        return
    if placement == "own":
        axes = "ijk"
    convention = Convention(
        letters(components), units, content, layout=layout, axes=letters(axes), placement=placement, into=into
    )
    base = MOVING if placement == "moving" else FIXED
    smooth = np.stack(np.meshgrid(*[np.linspace(-2, 2, n) for n in base.shape], indexing="ij"), -1)
    field = DisplacementField(smooth.astype(np.float32), base)
    array = convention.store(field, FIXED, MOVING)
    back = convention.apply(RawField(array, "x", base if placement == "own" else None), FIXED, MOVING)
    assert back.grid.is_same(base)
    np.testing.assert_allclose(back.vectors, field.vectors, atol=2e-3)
    assert Convention.from_text(convention.as_text()) == convention
    assert convention.reversed().reversed() == convention


@pytest.mark.parametrize("text", ["ij", "iik", "RLS", "ijS", "xyz", "", "RASi"])
def test_letters_that_name_no_axes(text):
    with pytest.raises(InputError, match="names no three axes"):
        letters(text)


def test_opposites():
    assert [opposite(x) for x in ("i", "-i", "R", "L", "I")] == ["-i", "i", "L", "R", "S"]


def test_unknown_words():
    with pytest.raises(InputError, match="Unknown units 'inch'"):
        Convention(units="inch")
    with pytest.raises(InputError, match="no colour"):
        Convention.from_text({"colour": "red"})


def test_a_field_on_the_moving_volume_needs_it():
    with pytest.raises(InputError, match="lies on the moving volume"):
        Convention(placement="moving").apply(RawField(NUMBERS, "x"), FIXED)


def test_a_reshaped_array_is_read_by_undoing_the_reshape():
    wrong = np.moveaxis(NUMBERS, -1, 0).copy().reshape(NUMBERS.shape)
    found = Convention(layout="first reshaped").apply(RawField(wrong, "x"), FIXED)
    np.testing.assert_allclose(found.vectors, NUMBERS @ FIXED.axes.T, atol=1e-4)
