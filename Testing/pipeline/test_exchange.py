"""Library objects through a folder and back, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pipeline.small_pair import small_volume
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.pipeline.exchange import pack, save_array, unpack
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, RegistrationResult
from VoxelMorphRegistrationLib.pipeline.registration_job import RegistrationJob
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image

ANY_ARRAY = arrays.arrays(
    st.sampled_from(["u1", "i2", "<f4", ">f4", "f8", "?"]), arrays.array_shapes(min_dims=1, max_dims=4, max_side=5)
)


def there_and_back(kind, value, folder: Path):
    return unpack(kind, json.loads(json.dumps(pack(value, folder))), folder)


def assert_same_image(found: Image, expected: Image) -> None:
    np.testing.assert_array_equal(found.array, expected.array)
    assert found.array.dtype == expected.array.dtype
    np.testing.assert_array_equal(found.grid.ijk_to_ras, expected.grid.ijk_to_ras)
    assert (found.grid.shape, found.name) == (expected.grid.shape, expected.name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(ANY_ARRAY, st.sampled_from(["C", "F"]), st.booleans(), st.booleans())
def test_arrays_of_any_type_and_memory_layout(tmp_path, array, order, reverse, skip):
    array = np.array(array, order=order)
    array = array[::-1] if reverse else array
    array = array[..., ::2] if skip else array
    path = tmp_path / "array.npy"
    save_array(array, path)
    found = np.load(path)
    np.testing.assert_array_equal(found, array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)


def test_the_memory_order_is_kept(tmp_path):
    """So that no side has to transpose a volume, whose arrays are KJI in Slicer and SimpleITK."""
    image = there_and_back(Image, small_volume("a"), tmp_path)
    assert image.array.flags.f_contiguous
    assert not image.array.flags.c_contiguous


def test_a_job(tmp_path):
    fixed, moving = small_volume("fixed"), small_volume("Größe 3 µm", 7.5)
    options = RegistrationOptions(model="C:\\Modelle\\ü.h5", resolution="half", pre_align="rigid", inverse=True)
    mask = fixed.with_array(fixed.array > 0)
    job = RegistrationJob(fixed, moving, options, mask, None, Catalogue(tmp_path / "cards", tmp_path / "cache"))
    found = there_and_back(RegistrationJob, job, tmp_path)
    for name in ("fixed", "moving", "fixed_mask"):
        assert_same_image(getattr(found, name), getattr(job, name))
    assert found.moving_mask is None
    assert found.options == options
    assert found.catalogue == job.catalogue


@pytest.mark.parametrize("inverse", [True, False])
def test_a_result(tmp_path, inverse):
    random = np.random.default_rng(0)
    grid = Grid((6, 7, 8), np.diag([-2.0, 2.0, 2.0, 1.0]) + 0.1 / 3 * np.eye(4, k=3))
    fields = [DisplacementField(random.normal(size=(6, 7, 8, 3)).astype(np.float32), grid) for _ in range(2)]
    affine = np.eye(4) + np.pad(random.normal(size=(3, 4)) / 7, [(0, 1), (0, 0)])
    result = RegistrationResult(
        deformation=Deformation(affine, fields[0], fields[1] if inverse else None),
        moved=small_volume("moved"),
        similarity_before=1 / 3,
        similarity_after=float("nan"),
        folded_percent=0.0,
        warnings=("One.", "Zwölf."),
        seconds={"network": 0.1, "check": 1e-17},
        model="m",
        engine="e",
        plan="p",
    )
    found = there_and_back(RegistrationResult, result, tmp_path)
    np.testing.assert_array_equal(found.deformation.affine, affine)
    np.testing.assert_array_equal(found.deformation.displacement.vectors, fields[0].vectors)
    np.testing.assert_array_equal(found.deformation.displacement.grid.ijk_to_ras, grid.ijk_to_ras)
    if inverse:
        np.testing.assert_array_equal(found.deformation.inverse_displacement.vectors, fields[1].vectors)
    else:
        assert found.deformation.inverse_displacement is None
    assert_same_image(found.moved, result.moved)
    assert (found.similarity_before, found.warnings, found.seconds) == (1 / 3, result.warnings, result.seconds)
    assert np.isnan(found.similarity_after)
    assert (found.model, found.engine, found.plan) == ("m", "e", "p")


def test_packing_can_be_stopped_between_slabs(tmp_path):
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(small_volume("a"), tmp_path, check=check)
    assert len(calls) == 5


def test_an_array_of_objects_is_refused(tmp_path):
    array = np.full((8, 8, 8), None, object)
    with pytest.raises(InputError, match="does not hold numbers"):
        pack(Image(array, Grid((8, 8, 8), np.eye(4))), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("packed", [{}, {"shape": [2, 2, 2]}, {"shape": [2, 2, 2], "matrix": []}])
def test_what_was_not_packed_here_is_refused(tmp_path, packed):
    with pytest.raises((ValueError, LookupError)):
        unpack(Grid, packed, tmp_path)
