"""A whole check, against maps whose Jacobian, displacement, overlap and landmark errors are known in closed form."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline.small_pair import small_volume
from spatial.maps import QuadraticMap, bump_field, positions
from VoxelMorphRegistrationLib.errors import CancelledError, InputError
from VoxelMorphRegistrationLib.files.any_transform import linear_map
from VoxelMorphRegistrationLib.files.points import Points
from VoxelMorphRegistrationLib.pipeline import exchange
from VoxelMorphRegistrationLib.pipeline.quality.checking import check_registration
from VoxelMorphRegistrationLib.pipeline.quality.results import CheckResult
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image

SHAPE = (30, 36, 32)


def affine(linear, shift=(0.0, 0.0, 0.0)):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, shift
    return matrix


@pytest.fixture(scope="module")
def fixed() -> Image:
    return small_volume("fixed", shape=SHAPE)


@pytest.fixture(scope="module")
def moving() -> Image:
    """The fixed volume's anatomy 12 mm further to the right."""
    return small_volume("moving", 12.0, shape=SHAPE)


def ball(grid: Grid, centre, radius_mm: float, label: int = 3) -> Image:
    inside = np.linalg.norm(positions(grid) - centre, axis=-1) <= radius_mm
    return Image((label * inside).astype(np.uint8), grid, "ball")


def test_the_right_translation_is_found_right(fixed, moving):
    shift = linear_map(affine(np.eye(3), (12, 0, 0)), fixed.grid)
    points = Points(np.array([[20.0, 10, 0], [-25, -20, 15]]), ("bright", "dark"))
    there = Points(points.positions[::-1] + np.array([12, 0, 0]), ("dark", "bright"))  # in another order
    found = check_registration(
        fixed,
        moving,
        shift,
        fixed_labels=ball(fixed.grid, (0, 0, 0), 40),
        moving_labels=ball(moving.grid, (12, 0, 0), 40),
        label_names={3: "middle"},
        fixed_points=points,
        moving_points=there,
        inverse=linear_map(affine(np.eye(3), (-12, 0, 0)), moving.grid),
    )
    assert found.level == "good"
    assert found.verdict.startswith("Nothing that was measured speaks against")
    assert found.displacement.mean_mm == pytest.approx(12, abs=1e-4)
    assert found.displacement.max_mm == pytest.approx(12, abs=1e-4)
    assert (found.jacobian.min, found.jacobian.max) == pytest.approx((1, 1), abs=1e-4)
    assert found.jacobian.folded_percent == 0
    assert found.similarity.correlation.after > found.similarity.correlation.before + 0.2
    assert found.similarity.mutual_information.after > found.similarity.mutual_information.before
    assert found.similarity.local_correlation.after > found.similarity.local_correlation.before
    assert found.inverse_consistency.max_mm < 1e-4
    (structure,) = found.structures
    assert (structure.label, structure.name) == (3, "middle")
    assert structure.volume_ml == pytest.approx(4 / 3 * np.pi * 4**3, rel=0.05)
    assert structure.volume_change_percent == pytest.approx(0, abs=0.01)
    assert structure.overlap.dice.before < 0.9
    assert structure.overlap.dice.after > 0.97
    assert structure.overlap.surface_distance_mm.before > structure.overlap.surface_distance_mm.after
    assert found.landmarks.mean_mm.before == pytest.approx(12)
    assert found.landmarks.max_mm.after == pytest.approx(0, abs=1e-6)
    assert [point.name for point in found.landmarks.points] == ["bright", "dark"]


@pytest.mark.parametrize("factors", [(1.1, 1.1, 1.1), (0.8, 1.3, 1.0), (0.5, 1.0, 0.9)])
def test_a_scaling_changes_volumes_by_its_determinant(fixed, moving, factors):
    """Everywhere, also at the volume's faces, and within a structure; the displacement is known at each voxel."""
    found = check_registration(
        fixed,
        moving,
        linear_map(affine(np.diag(factors)), fixed.grid),
        fixed_labels=ball(fixed.grid, (10, 0, 0), 30),
        fixed_mask=Image(np.ones(SHAPE, np.uint8), fixed.grid),
    )
    determinant = np.prod(factors)
    assert (found.jacobian.min, found.jacobian.max) == pytest.approx((determinant,) * 2, rel=1e-3)
    assert found.structures[0].volume_change_percent == pytest.approx(100 * (determinant - 1), abs=0.1)
    lengths = np.linalg.norm(positions(fixed.grid) * (np.array(factors) - 1), axis=-1)
    assert found.displacement.mean_mm == pytest.approx(lengths.mean(), rel=1e-3)
    assert found.displacement.p95_mm == pytest.approx(np.percentile(lengths, 95), rel=1e-3)
    assert found.displacement.max_mm == pytest.approx(lengths.max(), rel=1e-3)
    assert found.maps.magnitude_mm.array == pytest.approx(lengths, abs=1e-3)


def test_the_maps_of_a_curved_deformation_on_an_oblique_grid(moving):
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) * [2.0, 3.0, 4.0]
    grid = Grid((24, 20, 16), affine(turn, (5, -20, 12)))
    fixed = Image(np.random.default_rng(0).normal(100, 20, grid.shape).astype(np.float32), grid, "oblique")
    curved = QuadraticMap(grid.centre_ras)
    found = check_registration(fixed, moving, curved.field(grid))
    exact = curved.determinant(positions(grid))
    inner = (slice(1, -1),) * 3  # central differences are exact for a quadratic map
    assert found.maps.jacobian.array[inner] == pytest.approx(exact[inner], abs=2e-3)
    assert found.maps.jacobian.grid.is_same(grid)
    assert np.abs(found.maps.jacobian.array - exact).max() < 0.2  # one-sided at the faces


def test_a_fold_is_found_where_it_is(fixed, moving):
    """A push of 30 mm over 8 mm folds; it lies within a structure, whose share is known from the map itself."""
    found = check_registration(
        fixed, moving, bump_field(fixed.grid, 30.0, 8.0), fixed_labels=ball(fixed.grid, fixed.grid.centre_ras, 30)
    )
    assert found.jacobian.min < 0 < found.jacobian.folded_percent
    assert found.level != "good"
    assert any("folds within label 3" in remark.message for remark in found.remarks)
    folded = found.maps.jacobian.array <= 0
    inside = ball(fixed.grid, fixed.grid.centre_ras, 30).array > 0
    assert found.structures[0].folded_percent == pytest.approx(100 * folded[inside].mean())
    content = fixed.array > fixed.array.min()
    assert found.jacobian.folded_percent == pytest.approx(100 * folded[content].mean())


def test_the_opposite_direction_is_bad(fixed, moving):
    points = Points(np.array([[20.0, 10, 0], [-25, -20, 15]]), ("1", "2"))
    found = check_registration(
        fixed,
        moving,
        linear_map(affine(np.eye(3), (-12, 0, 0)), fixed.grid),
        fixed_labels=ball(fixed.grid, (0, 0, 0), 40),
        moving_labels=ball(moving.grid, (12, 0, 0), 40),
        fixed_points=points,
        moving_points=Points(points.positions + np.array([12, 0, 0]), points.names),
    )
    assert found.level == "bad"
    assert found.verdict.startswith("Do not use this registration before you know why: The volumes are less alike")
    said = " ".join(remark.message for remark in found.remarks if remark.level == "bad")
    assert "less than before" in said
    assert "farther than before" in said
    assert found.landmarks.mean_mm.after == pytest.approx(24)


def test_measures_that_disagree_ask_to_look():
    from VoxelMorphRegistrationLib.pipeline.quality.results import BeforeAfter, Similarity
    from VoxelMorphRegistrationLib.pipeline.quality.verdict import of_similarity

    up, down, same = BeforeAfter(0.5, 0.6), BeforeAfter(0.6, 0.5), BeforeAfter(0.5, 0.501)
    for mutual, local, level in (
        (up, up, "good"),
        (up, same, "good"),
        (same, same, "look"),
        (up, down, "look"),
        (down, up, "look"),
        (down, same, "look"),
        (down, down, "bad"),
    ):
        (remark,) = of_similarity(Similarity(up, mutual, local))
        assert remark.level == level


def test_a_transform_that_does_nothing_is_said_to_do_nothing(fixed, moving):
    found = check_registration(fixed, moving, DisplacementField.zero(fixed.grid))
    assert found.level == "look"
    said = [remark.message for remark in found.remarks]
    assert "The transform moves nothing." in said
    assert any("hardly more alike" in each for each in said)
    assert found.similarity.correlation.before == pytest.approx(found.similarity.correlation.after, abs=1e-6)


def test_a_wrong_inverse_is_measured_and_called_wrong(fixed, moving):
    field = bump_field(fixed.grid, 10.0, 25.0)
    right = check_registration(fixed, moving, field, inverse=field.inverse())
    wrong = check_registration(fixed, moving, field, inverse=linear_map(affine(np.eye(3), (20, 0, 0)), moving.grid))
    assert right.inverse_consistency.max_mm < 0.5
    assert wrong.inverse_consistency.max_mm > 10
    assert any(remark.level == "bad" and "not the inverse" in remark.message for remark in wrong.remarks)
    assert -1 <= right.maps.inverse_error_mm.array.min() <= right.maps.inverse_error_mm.array.max() < 0.5
    far = check_registration(
        fixed, moving, field, inverse=DisplacementField.zero(fixed.grid.moved_by(affine(np.eye(3), (900, 0, 0))))
    )
    assert far.inverse_consistency is None
    assert np.all(far.maps.inverse_error_mm.array == -1)
    assert any("belongs to other volumes" in remark.message for remark in far.remarks)


def test_an_affine_with_a_field_and_its_own_inverse(fixed, moving):
    matrix = affine([[0.98, -0.1, 0], [0.1, 0.99, 0.05], [0, -0.05, 1.02]], (12, 3, -2))
    field = bump_field(fixed.grid, 8.0, 25.0)
    apart = Deformation(matrix, field, field.inverse())
    found = check_registration(fixed, moving, apart)
    joined = check_registration(fixed, moving, apart.resampling_field(fixed.grid))
    assert found.inverse_consistency.p95_mm < 0.3
    assert joined.inverse_consistency is None
    assert found.displacement.mean_mm == pytest.approx(joined.displacement.mean_mm, rel=1e-4)
    assert found.jacobian.p99 == pytest.approx(joined.jacobian.p99, rel=1e-3)


def test_large_volumes_are_measured_on_fewer_voxels(fixed, moving, monkeypatch):
    from VoxelMorphRegistrationLib.pipeline.quality import checking

    field = bump_field(fixed.grid, 8.0, 30.0)
    labels = {"fixed_labels": ball(fixed.grid, (0, 0, 0), 40), "moving_labels": ball(moving.grid, (12, 0, 0), 40)}
    whole = check_registration(fixed, moving, field, **labels)
    monkeypatch.setattr(checking, "_MOST_VOXELS", 10_000)
    coarse = check_registration(fixed, moving, field, **labels)
    assert coarse.maps.jacobian.grid.is_same(fixed.grid)
    assert np.abs(coarse.maps.magnitude_mm.array - whole.maps.magnitude_mm.array).max() < 1.0
    assert coarse.displacement.mean_mm == pytest.approx(whole.displacement.mean_mm, rel=0.1)
    assert coarse.structures[0].volume_ml == whole.structures[0].volume_ml
    assert coarse.structures[0].overlap.dice.after == pytest.approx(whole.structures[0].overlap.dice.after, abs=0.02)


def test_labels_on_one_side_only_are_named(fixed, moving):
    left = ball(fixed.grid, (-20, 0, 0), 15, 1).array + ball(fixed.grid, (20, 0, 0), 15, 2).array
    right = ball(moving.grid, (20, 0, 0), 15, 2).array + ball(moving.grid, (-20, 0, 0), 15, 7).array
    found = check_registration(
        fixed,
        moving,
        DisplacementField.zero(fixed.grid),
        fixed_labels=Image(left, fixed.grid, "a"),
        moving_labels=Image(right, moving.grid, "b"),
        label_names={1: "lung", 7: "liver"},
    )
    assert [(s.label, s.overlap is not None) for s in found.structures] == [(1, False), (2, True)]
    said = [remark.message for remark in found.remarks]
    assert "Only drawn on the fixed side, so not compared: lung." in said
    assert "Only drawn on the moving side, so not compared: liver." in said
    assert found.mean_dice.after == found.structures[1].overlap.dice.after


def test_the_result_travels_and_becomes_json(fixed, moving, tmp_path):
    found = check_registration(
        fixed,
        moving,
        bump_field(fixed.grid, 8.0, 25.0),
        fixed_labels=ball(fixed.grid, (0, 0, 0), 40),
        moving_labels=ball(moving.grid, (12, 0, 0), 40),
        fixed_points=Points(np.zeros((1, 3)), ("a",)),
        moving_points=Points(np.ones((1, 3)), ("a",)),
    )
    packed = json.loads(json.dumps(exchange.pack(found, tmp_path)))
    back = exchange.unpack(CheckResult, packed, tmp_path)
    assert back.as_json() == found.as_json()
    assert np.array_equal(back.maps.jacobian.array, found.maps.jacobian.array)
    told = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert told["structures"][0]["overlap"]["dice"]["after"] == found.structures[0].overlap.dice.after
    assert told["inverse_consistency"] is None
    assert "maps" not in told


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"fixed_points": Points(np.zeros((1, 3)), ("a",))}, "needed on both sides"),
        (
            {
                "fixed_points": Points(np.zeros((1, 3)), ("a",)),
                "moving_points": Points(np.zeros((2, 3)), ("a", "b")),
            },
            "1 fixed but 2 moving landmarks",
        ),
        ({"moving_labels": "ball"}, "give the fixed labels, too"),
        ({"fixed_labels": "empty"}, "are empty"),
        ({"fixed_labels": "float"}, "not whole numbers"),
        ({"fixed_labels": "ball", "moving_labels": "other"}, "no label in common"),
    ],
)
def test_bad_input_is_one_sentence(fixed, moving, given, sentence):
    made = {
        "ball": ball(fixed.grid, (0, 0, 0), 30),
        "other": ball(fixed.grid, (0, 0, 0), 30, 9),
        "empty": Image(np.zeros(SHAPE, np.uint8), fixed.grid, "none"),
        "float": Image(np.full(SHAPE, 0.5), fixed.grid, "half"),
    }
    arguments = {name: made[value] if isinstance(value, str) else value for name, value in given.items()}
    with pytest.raises(InputError, match=sentence):
        check_registration(fixed, moving, DisplacementField.zero(fixed.grid), **arguments)


def test_a_check_can_be_cancelled(fixed, moving):
    with pytest.raises(CancelledError):
        check_registration(
            fixed, moving, DisplacementField.zero(fixed.grid), progress=Progress(is_cancelled=lambda: True)
        )


def surface_distances_by_hand(a, b, spacing):
    """Every surface voxel with every other one."""

    def surface(mask):
        wide = np.pad(mask, 1)
        near = np.zeros_like(wide)
        for shift in np.ndindex(3, 3, 3):
            near |= ~np.roll(wide, np.array(shift) - 1, (0, 1, 2))
        return np.argwhere(wide & near) * spacing

    one, other = surface(a), surface(b)
    between = np.linalg.norm(one[:, None] - other[None], axis=-1)
    there, back = between.min(axis=1), between.min(axis=0)
    hausdorff = max(np.percentile(there, 95), np.percentile(back, 95))
    return hausdorff, np.concatenate([there, back]).mean()


@given(st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_overlaps_are_those_computed_by_hand_and_by_simpleitk(seed):
    from VoxelMorphRegistrationLib.pipeline.quality.overlap import overlaps

    random = np.random.default_rng(seed)
    spacing = random.uniform(0.5, 3, 3)
    grid = Grid((14, 12, 10), affine(np.diag(spacing) * [-1, 1, 1]))
    volumes = []
    for _ in range(3):
        noise = sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(random.normal(size=(10, 12, 14))), 1.5)
        array = sitk.GetArrayFromImage(noise).T
        volumes.append(Image((array > np.percentile(array, 75)).astype(np.int16) * 5, grid, "noise"))
    fixed, lying, moved = volumes
    found = overlaps(fixed, lying, moved, [5])[5]
    measure = sitk.LabelOverlapMeasuresImageFilter()
    for other, when in ((lying, "before"), (moved, "after")):
        measure.Execute(*(sitk.GetImageFromArray(v.array.astype(np.uint8)) for v in (fixed, other)))
        assert getattr(found.dice, when) == pytest.approx(measure.GetDiceCoefficient(5))
        hausdorff, mean = surface_distances_by_hand(fixed.array > 0, other.array > 0, spacing)
        assert getattr(found.hausdorff95_mm, when) == pytest.approx(hausdorff, rel=1e-4, abs=1e-4)
        assert getattr(found.surface_distance_mm, when) == pytest.approx(mean, rel=1e-4, abs=1e-4)


def test_a_structure_that_left_the_volume_has_no_distance(fixed, moving):
    found = check_registration(
        fixed,
        moving,
        linear_map(affine(np.eye(3), (500, 0, 0)), fixed.grid),
        fixed_labels=ball(fixed.grid, (0, 0, 0), 30),
        moving_labels=ball(moving.grid, (12, 0, 0), 30),
    )
    assert found.structures[0].overlap.dice.after == 0
    assert found.structures[0].overlap.hausdorff95_mm.after is None
    assert found.level == "bad"


def test_mutual_information_follows_itk_s_and_sees_through_an_inverted_contrast(fixed):
    from VoxelMorphRegistrationLib.pipeline.quality.similarity import LocalCorrelation, correlation, mutual_information

    mine, itks = [], []
    registration = sitk.ImageRegistrationMethod()
    registration.SetMetricAsMattesMutualInformation(50)
    registration.SetInterpolator(sitk.sitkLinear)
    for shift in (0.0, 3.0, 8.0, 20.0):
        other = small_volume("other", shift, shape=SHAPE)
        mine.append(mutual_information(fixed.array.ravel(), 1000.0 - other.array.ravel()))
        images = [sitk.GetImageFromArray(v.astype(np.float32)) for v in (fixed.array.T, other.array.T)]
        itks.append(-registration.MetricEvaluate(*images))
    assert mine == sorted(mine, reverse=True)
    assert itks == sorted(itks, reverse=True)
    assert np.corrcoef(mine, itks)[0, 1] > 0.98
    assert mutual_information(fixed.array.ravel(), np.zeros(fixed.array.size)) == pytest.approx(0, abs=1e-12)
    assert correlation(fixed.array.ravel(), fixed.array.ravel()) == pytest.approx(1)
    inside = fixed.array > 0
    windows = LocalCorrelation(fixed.array, inside)
    assert windows(fixed.array) == pytest.approx(windows(1000 - fixed.array), abs=0.05)
    assert windows(fixed.array) > windows(small_volume("other", 12.0, shape=SHAPE).array) > windows(np.zeros(SHAPE))
