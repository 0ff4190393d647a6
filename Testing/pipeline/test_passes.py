"""A coarse pass of the network before the fine one: how two deformations become one, and that it pays."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from pipeline.known_networks import write_vxm_dense
from pipeline.test_registration_of_brains import Pair
from spatial.geometry import affine
from VoxelMorphRegistrationLib.network.catalogue import BRAIN_MODEL, DEFAULT_MODEL, Catalogue
from VoxelMorphRegistrationLib.network.engines import available_engines, load_engine
from VoxelMorphRegistrationLib.pipeline.passes import Pass, one_after_the_other, passes
from VoxelMorphRegistrationLib.pipeline.steps import predict
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid

CARD = Catalogue().card(DEFAULT_MODEL)
AFFINE = affine(np.diag([1.1, 0.9, 1.0]), (4.0, -3.0, 2.0))


def bump(grid: Grid, push: tuple[float, float, float]) -> DisplacementField:
    """A smooth push in mm, strongest in the grid's middle, 0 at its border."""
    ramps = [np.sin(np.pi * np.linspace(0, 1, size)) ** 2 for size in grid.shape]
    height = np.einsum("i,j,k->ijk", *ramps)[..., None]
    return DisplacementField((height * np.array(push)).astype(np.float32), grid)


def both(grid: Grid, push: tuple[float, float, float]) -> Deformation:
    field = bump(grid, push)
    return Deformation(AFFINE, field, field.inverse(tolerance_mm=0.3))


@pytest.fixture
def coarse() -> Deformation:
    return both(Grid((21, 21, 21), affine(np.eye(3) * 4, (-44, -44, -44))), (5.0, -3.0, 2.0))


@pytest.fixture
def fine() -> Deformation:
    return both(Grid((36, 36, 36), affine(np.eye(3) * 2, (-35, -35, -35))), (-1.5, 2.0, 1.0))


def test_only_full_resolution_of_a_model_that_is_better_for_it_has_a_coarse_pass():
    assert passes(CARD, "full") == (Pass("half", both_ways=True), Pass("full"))
    assert passes(CARD, "half") == (Pass("half"),)
    assert passes(dataclasses.replace(CARD, coarse_first=False), "full") == (Pass("full"),)
    assert not passes(dataclasses.replace(CARD, field_kind="displacement"), "full")[0].both_ways
    assert Catalogue().card(BRAIN_MODEL).coarse_first


def test_a_point_goes_through_the_rest_then_the_coarse_then_the_affine(coarse, fine):
    found = one_after_the_other(coarse, fine)
    points = np.random.default_rng(0).uniform(-30, 30, (500, 3))
    expected = coarse.map_points(fine.displacement.map_points(points))
    np.testing.assert_allclose(found.map_points(points), expected, atol=0.05)  # linear between 2 mm voxels
    assert np.linalg.norm(found.map_points(points) - coarse.map_points(points), axis=1).max() > 1


def test_the_inverse_goes_the_other_way_round(coarse, fine):
    found = one_after_the_other(coarse, fine)
    points = np.random.default_rng(0).uniform(-30, 30, (500, 3))
    np.testing.assert_allclose(found.map_points_back(found.map_points(points)), points, atol=0.1)
    without = dataclasses.replace(fine, inverse_displacement=None)
    assert one_after_the_other(coarse, without).inverse_displacement is None


def test_the_field_still_ends_in_zeros(coarse, fine):
    vectors = one_after_the_other(coarse, fine).displacement.vectors
    for axis in range(3):
        for end in (0, -1):
            assert np.abs(np.take(vectors, end, axis)).max() < 0.1


def test_asked_both_ways_equal_images_do_not_move_and_an_exchange_turns_the_answer_round(tmp_path: Path):
    if not available_engines():
        pytest.skip("no inference engine is installed")
    engine = load_engine("auto", write_vxm_dense(tmp_path / "random.h5", kernel=1.0, bias=(0.5, -0.25, 0.75)))
    one, other = np.random.default_rng(0).uniform(0, 1, (2, 32, 32, 32)).astype(np.float32)
    assert np.abs(predict(engine, CARD, one, one).vectors).max() > 0.1
    assert np.abs(predict(engine, CARD, one, one, both_ways=True).vectors).max() < 1e-6
    there = predict(engine, CARD, one, other, both_ways=True).vectors
    assert np.abs(there).max() > 0.05
    np.testing.assert_allclose(predict(engine, CARD, other, one, both_ways=True).vectors, -there, atol=1e-6)


def test_on_two_real_brains_the_coarse_pass_pays_and_can_be_inverted():
    """The default model on the pair at 2 mm, whose voxels it takes as they are."""
    pair = Pair()
    half = pair.register(model=DEFAULT_MODEL, pre_align="affine", resolution="half")
    full = pair.register(model=DEFAULT_MODEL, pre_align="affine", resolution="full", inverse=True)
    assert pair.dice(full.deformation) > pair.dice(half.deformation) + 0.02
    assert full.folded_percent == 0
    there_and_back = full.deformation.map_points_back(full.deformation.map_points(pair.points))
    assert np.linalg.norm(there_and_back - pair.points, axis=1).mean() < 0.5  # a tenth of a voxel of the field, 4 mm
    assert "half resolution" in full.plan
    assert "full resolution" in full.plan
