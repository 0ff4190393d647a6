"""`refine` on the MNI152 brain under a known warp: no shared data, no network."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pipeline.refinement.known_warp import inverted_contrast, known_pair, smooth_field, unregistered
from spatial.geometry import affine, rotation
from spatial.maps import positions
from VoxelMorphRegistrationLib.errors import CancelledError
from VoxelMorphRegistrationLib.pipeline.quality.quick import folded_percent
from VoxelMorphRegistrationLib.pipeline.refinement import refine
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Image

AMPLE = 600.0
"""Seconds: these end by themselves."""


@pytest.fixture(scope="module")
def pair():
    return known_pair()


@pytest.fixture(scope="module")
def refined(pair):
    return refine(pair.fixed, pair.moving, unregistered(pair.fixed.grid), AMPLE)


def test_a_known_warp_is_found(pair, refined):
    deformation, report = refined
    assert pair.error_mm(deformation) < 0.52 * pair.error_mm(unregistered(pair.fixed.grid))
    assert report.gained
    assert report.similarity_after > report.similarity_before + 0.1
    assert report.contrast == "same contrast"
    assert report.from_network
    assert report.coarse_steps > 0
    assert report.steps > 0
    assert not report.warnings()


def test_it_ends_by_itself(refined):
    assert refined[1].stopped == "done"
    assert refined[1].seconds < AMPLE / 4


def test_nothing_folds(pair, refined):
    assert folded_percent(refined[0].displacement, pair.fixed) == 0


def test_the_affine_stays_and_the_field_is_the_given_one_far_away(pair):
    """In a corner of a wide network grid, away from the content, lies what the network said."""
    wide = pair.fixed.grid.window((-20, -20, -20), tuple(n + 40 for n in pair.fixed.grid.shape))
    far = ~pair.fixed.grid.contains(positions(wide))
    network = DisplacementField(
        smooth_field(wide, 2.0, seed=4).vectors * far[..., None] + 0.5 * pair.true.resampled(wide).vectors, wide
    )
    matrix = affine(rotation((2, 1, -2), 1), (0, 1, -1))
    deformation, report = refine(pair.fixed, pair.moving, Deformation(matrix, network), AMPLE)
    assert report.gained
    np.testing.assert_array_equal(deformation.affine, matrix)
    corner = wide.to_ras([[4, 4, 4], [10, 50, 8]])
    np.testing.assert_allclose(deformation.displacement.at(corner), network.at(corner), atol=1e-4)
    assert np.abs(network.at(corner)).min() > 0.01
    edge = np.concatenate([deformation.displacement.vectors.take([0, -1], a).ravel() for a in range(3)])
    assert np.abs(edge).max() == 0


def test_an_inverted_contrast_is_improved(pair):
    deformation, report = refine(pair.fixed, inverted_contrast(pair.moving), unregistered(pair.fixed.grid), AMPLE)
    assert report.contrast == "different contrast"
    assert pair.error_mm(deformation) < 0.45 * pair.error_mm(unregistered(pair.fixed.grid))
    assert folded_percent(deformation.displacement, pair.fixed) == 0


def test_a_good_start_of_inverted_contrast_is_not_harmed(pair):
    close = DisplacementField(0.9 * pair.true.vectors, pair.true.grid)
    start = Deformation(np.eye(4), close)
    deformation, _ = refine(pair.fixed, inverted_contrast(pair.moving), start, AMPLE)
    assert pair.error_mm(deformation) <= 1.05 * pair.error_mm(start)


def test_coarser_levels_are_for_much_motion_only(pair, refined):
    assert refined[1].coarse_steps > 0
    start = Deformation(np.eye(4), DisplacementField(0.7 * pair.true.vectors, pair.true.grid))
    deformation, report = refine(pair.fixed, pair.moving, start, AMPLE)
    assert report.coarse_steps == 0 < report.steps
    assert pair.error_mm(deformation) < pair.error_mm(start)


def test_what_fits_already_is_left_as_it_is(pair):
    given = unregistered(pair.fixed.grid)
    deformation, report = refine(pair.moving, pair.moving, given, AMPLE)
    assert deformation is given
    assert report.similarity_after == report.similarity_before
    assert not report.gained


def test_a_network_that_takes_the_pair_apart_is_not_followed(pair):
    apart = smooth_field(pair.fixed.grid, 14.0, seed=9)
    deformation, report = refine(pair.fixed, pair.moving, Deformation(np.eye(4), apart), AMPLE)
    assert not report.from_network
    assert "the pre-alignment" in report.warnings()[0]
    assert pair.error_mm(deformation) < 0.6 * pair.error_mm(unregistered(pair.fixed.grid))


def test_no_step_is_begun_after_the_budget(pair):
    """Each look at the clock is a second: a budget of 12 of them ends long before the images are exhausted."""
    ticks = itertools.count()
    deformation, report = refine(
        pair.fixed, pair.moving, unregistered(pair.fixed.grid), 12.0, clock=lambda: float(next(ticks))
    )
    assert report.stopped == "time"
    assert report.seconds <= 20
    assert report.similarity_after >= report.similarity_before
    assert pair.error_mm(deformation) <= pair.error_mm(unregistered(pair.fixed.grid))


def test_a_budget_for_nothing_gives_back_what_was_given(pair):
    ticks = itertools.count()
    given = unregistered(pair.fixed.grid)
    deformation, report = refine(pair.fixed, pair.moving, given, 0.5, clock=lambda: float(next(ticks)))
    assert deformation is given
    assert report.steps == report.coarse_steps == 0
    assert "too short" in report.warnings()[0]


@pytest.mark.parametrize("after", [1, 3, 8])
def test_it_can_be_cancelled_between_steps(pair, after):
    said = []
    progress = Progress(lambda stage, fraction: said.append((stage, fraction)), lambda: len(said) >= after)
    with pytest.raises(CancelledError):
        refine(pair.fixed, pair.moving, unregistered(pair.fixed.grid), AMPLE, progress=progress)
    assert len(said) == after


def test_progress_shows_a_similarity_that_never_falls(pair):
    said = []
    progress = Progress(lambda stage, fraction: said.append((stage, fraction)))
    refine(pair.fixed, pair.moving, unregistered(pair.fixed.grid), AMPLE, progress=progress)
    shown = [float(stage.rpartition(" ")[2]) for stage, _ in said if "similarity" in stage]
    assert len(shown) > 5
    assert shown == sorted(shown)
    assert shown[-1] > shown[0]
    fractions = [fraction for _, fraction in said]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] <= fractions[-1] <= 1


def test_the_inverse_is_that_of_the_refined_field(pair):
    grid = pair.fixed.grid
    start = DisplacementField(0.6 * pair.true.vectors, grid)
    given = Deformation(affine(rotation((1, 2, 0), 2), (0, 1, 0)), start, start.inverse())
    deformation, report = refine(pair.fixed, pair.moving, given, AMPLE)
    assert report.gained
    points = grid.to_ras(np.argwhere(pair.inside)[::11])
    error = np.linalg.norm(deformation.map_points_back(deformation.map_points(points)) - points, axis=-1)
    assert error.mean() < 0.15  # a twentieth of a voxel
    assert np.quantile(error, 0.99) < 1.0


def test_masks_say_what_counts(pair):
    """Rubbish outside the masks changes nothing."""
    inside = pair.fixed.with_array((pair.fixed.array > 0).astype(np.uint8))
    there = pair.moving.with_array((pair.moving.array > 0).astype(np.uint8))
    random = np.random.default_rng(3)

    def spoilt(image: Image, mask: Image) -> Image:
        return image.with_array(np.where(mask.array > 0, image.array, random.uniform(0, 400, image.array.shape)))

    clean, _ = refine(pair.fixed, pair.moving, unregistered(pair.fixed.grid), AMPLE)
    masked, _ = refine(
        spoilt(pair.fixed, inside), spoilt(pair.moving, there), unregistered(pair.fixed.grid), AMPLE,
        fixed_mask=inside, moving_mask=there,
    )  # fmt: skip
    assert pair.error_mm(masked) == pytest.approx(pair.error_mm(clean), rel=0.15)


def test_what_the_moving_volume_does_not_show_pulls_nothing(pair):
    """A moving volume that ends in the middle of the brain: the half that is there is found as before."""
    half = pair.moving.grid.shape[2] // 2
    lower = Image(
        pair.moving.array[:, :, :half], pair.moving.grid.window((0, 0, 0), (*pair.moving.grid.shape[:2], half))
    )
    deformation, report = refine(pair.fixed, lower, unregistered(pair.fixed.grid), AMPLE)
    assert report.gained
    points = pair.fixed.grid.to_ras([p for p in np.argwhere(pair.inside)[::7] if p[2] < half - 6])
    start = np.linalg.norm(pair.true.at(points), axis=-1).mean()
    end = np.linalg.norm(deformation.map_points(points) - pair.true.map_points(points), axis=-1).mean()
    assert end < 0.6 * start
    assert folded_percent(deformation.displacement, pair.fixed) == 0
