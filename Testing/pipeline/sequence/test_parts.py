"""The parts of a sequence's registration, each by itself: truth, order, coarse copies, velocities, labels, motion."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from pipeline.sequence.breathing import Breathing, breathing_phantom
from spatial.maps import positions
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.frames import ImageFrames
from VoxelMorphRegistrationLib.network.integration import integrate
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions
from VoxelMorphRegistrationLib.pipeline.sequence import SequenceOptions, motion
from VoxelMorphRegistrationLib.pipeline.sequence.coarse import CoarseCopies
from VoxelMorphRegistrationLib.pipeline.sequence.interpolation import between, logarithm
from VoxelMorphRegistrationLib.pipeline.sequence.labels import LabelCarrier
from VoxelMorphRegistrationLib.pipeline.sequence.schedule import regular_keys, schedule
from VoxelMorphRegistrationLib.pipeline.sequence.solver import composed
from VoxelMorphRegistrationLib.pipeline.sequence.store import split_off
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge


@pytest.fixture(scope="module")
def breath() -> Breathing:
    return breathing_phantom(6, (32, 32, 32), 6.0)


def wavy(grid: Grid, size_mm: float, seed: int) -> DisplacementField:
    """Smooth, far from folding, zero at the border."""
    random = np.random.default_rng(seed)
    coarse = random.normal(0, size_mm, (5, 5, 5, 3)).astype(np.float32)
    field = DisplacementField(coarse, grid.with_shape((5, 5, 5))).resampled(grid)
    edge = np.ones(grid.shape, np.float32)
    for axis, n in enumerate(grid.shape):
        ramp = np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / 4, 0, 1).astype(np.float32)
        edge *= ramp.reshape([-1 if a == axis else 1 for a in range(3)])
    return DisplacementField(field.vectors * edge[..., None], grid)


# ---- the truth that other tests compare with -----------------------------------------------------------------------


def test_the_breath_goes_there_and_back_and_moves_its_labels_with_its_image(breath):
    points = breath.landmarks(0, 100)
    np.testing.assert_allclose(breath.between(3, 1, breath.between(1, 3, points)), points, atol=1e-3)
    np.testing.assert_allclose(breath.between(0, 2, points), breath.landmarks(2, 100), atol=1e-9)
    moved = np.linalg.norm(breath.between(0, 3, points) - points, axis=-1)
    assert 5 < moved.max() < 30
    for label in (1, 2, 3):
        centre = positions(breath.labels.grid)[breath.labels.array == label].mean(axis=0)
        seen = positions(breath.anatomy.grid)[breath.labels_of(3).array == label].mean(axis=0)
        assert np.linalg.norm(breath.between(0, 3, centre) - seen) < 2.0
    np.testing.assert_array_equal(breath.image(0).array, breath.anatomy.array)


# ---- order ---------------------------------------------------------------------------------------------------------


def test_every_frame_comes_once_after_what_it_needs():
    for mode in ("reference", "warm", "chain", "keyframes"):
        for count, reference in ((2, 0), (2, 1), (9, 0), (9, 4), (9, 8), (10, 3)):
            steps = schedule(count, reference, mode, regular_keys(count, reference, 3))
            assert sorted(step.frame for step in steps) == [n for n in range(count) if n != reference]
            done = {reference}
            for step in steps:
                needed = {step.neighbour} if step.neighbour is not None else set(step.between or ())
                assert needed <= done
                if step.between:
                    assert step.between[0] < step.frame < step.between[1]
                done.add(step.frame)


def test_regular_keys():
    assert regular_keys(12, 5, 4) == [0, 1, 5, 9, 11]


# ---- coarse copies -------------------------------------------------------------------------------------------------


def test_the_suggested_reference_is_nearest_the_middle_of_the_motion(breath):
    """Of one way out (0 to 4 of 8), frame 2 or 3 has the least to go to either end."""
    half = breathing_phantom(9, (32, 32, 32), 6.0)
    images = [half.image(n) for n in range(5)]
    spread = [
        np.linalg.norm(half.between(0, n, half.landmarks(0)) - half.landmarks(0), axis=-1).mean() for n in range(5)
    ]
    middle = int(np.argmin(np.abs(np.array(spread) - spread[-1] / 2)))
    assert abs(CoarseCopies(ImageFrames(images)).middle() - middle) <= 1


def test_key_frames_by_content_lie_where_the_motion_turns():
    """Out, hold, back: the turns at 3 and 6 are found before any regular frame."""
    still = breathing_phantom(8, (32, 32, 32), 6.0)
    path = [0, 1, 2, 4, 4, 4, 4, 2, 1, 0]
    frames = ImageFrames([still.image(n) for n in path])
    keys = CoarseCopies(frames).keys(4, [0, 9])
    assert keys[1] in (2, 3)
    assert keys[2] in (6, 7)


def test_frames_that_cannot_be_read_are_left_out_of_the_comparison(breath):
    class Holes(ImageFrames):
        def read(self, n: int) -> Image:
            if n == 1:
                raise InputError("damaged")
            return super().read(n)

    images = [breath.image(n) for n in range(4)]
    images[2] = images[2].with_array(np.zeros_like(images[2].array))
    copies = CoarseCopies(Holes(images))
    assert list(copies.numbers) == [0, 3]
    with pytest.raises(InputError, match="Fewer than two frames"):
        CoarseCopies(Holes(images[:3]))


# ---- fields --------------------------------------------------------------------------------------------------------


def test_the_logarithm_of_an_exponential_is_the_velocity():
    grid = Grid((24, 26, 28), np.eye(4))
    velocity = wavy(grid, 1.5, 0).vectors
    found = logarithm(integrate(velocity, 7))
    assert np.abs(velocity).max() > 3
    assert np.quantile(np.abs(integrate(found, 7) - integrate(velocity, 7)), 0.999) < 0.1
    assert np.sqrt(np.mean((found - velocity) ** 2)) < 0.03


def test_between_two_maps_lies_the_half_way_and_the_ends_are_the_ends():
    matrix = np.diag([-3.0, 2.0, 2.5, 1.0])
    grid = Grid((24, 26, 28), matrix)
    velocity = wavy(grid, 1.0, 1).vectors
    to_ras = grid.axes.T.astype(np.float32)

    def at(part: float) -> Deformation:
        return Deformation(np.eye(4), DisplacementField(integrate(velocity * np.float32(part), 7) @ to_ras, grid))

    points = grid.to_ras(np.random.default_rng(0).uniform(6, 18, (200, 3)))
    for part in (0.0, 0.3, 1.0):
        found = between(at(0.0), at(1.0), part).map_points(points)
        assert np.quantile(np.linalg.norm(found - at(part).map_points(points), axis=-1), 0.98) < 0.25


def test_composition_with_affine_parts_is_one_map_after_the_other():
    grid = Grid((24, 26, 28), np.diag([3.0, 3.0, 3.0, 1.0]))
    turn = np.eye(4)
    turn[:3, :3] = [[np.cos(0.1), -np.sin(0.1), 0], [np.sin(0.1), np.cos(0.1), 0], [0, 0, 1]]
    turn[:3, 3] = [2, -1, 3]
    first, then = Deformation(turn, wavy(grid, 2.0, 2)), Deformation(np.linalg.inv(turn), wavy(grid, 2.0, 3))
    points = grid.to_ras(np.random.default_rng(1).integers(7, 17, (300, 3)))
    joined = composed(first, then)
    np.testing.assert_allclose(joined.map_points(points), then.map_points(first.map_points(points)), atol=1e-3)
    total = first.compact_field(grid)
    np.testing.assert_allclose(split_off(total, turn).map_points(points), first.map_points(points), atol=1e-3)


# ---- labels and motion ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other_grid", [False, True])
def test_carried_labels_are_those_of_itks_linear_label_interpolator(breath, other_grid):
    labels = breath.labels
    shape, matrix = (20, 24, 22), labels.grid.ijk_to_ras @ np.diag([-1.3, 1.2, 1.4, 1.0])
    matrix[:3, 3] = labels.grid.to_ras([29.0, 2.5, 1.2])
    target = Grid(shape, matrix) if other_grid else labels.grid
    field = wavy(labels.grid.with_shape((16, 16, 16)), 5.0, 4)
    mine = LabelCarrier(labels).carried(field, target)
    seen = bridge.resample(
        bridge.scalar_to_sitk(labels.array, labels.grid), target, field.transform(), interpolator=sitk.sitkLabelLinear
    )
    theirs = bridge.scalar_from_sitk(seen)
    assert mine.array.dtype == labels.array.dtype
    assert set(np.unique(mine.array)) <= set(np.unique(labels.array))
    assert np.count_nonzero(mine.array != theirs) <= 2  # where two labels weigh the same
    assert np.count_nonzero(mine.array) > 70


def test_labels_that_mark_nothing_are_refused(breath):
    with pytest.raises(InputError, match="marks nothing"):
        LabelCarrier(breath.labels.with_array(np.zeros_like(breath.labels.array)))


def test_the_motion_of_a_shifted_and_swollen_structure_is_known(breath):
    """x -> 1.1 x + shift: volume / 1.1^3 in the frame (carry), times 1.1^3 where the map goes (hold)."""
    grid = Grid((48, 48, 48), np.diag([2.0, 2.0, 2.0, 1.0]))
    x = positions(grid)
    ball = Image((np.linalg.norm(x - 47, axis=-1) < 20).astype(np.uint8) * 7, grid)
    shift = np.array([3.0, -2.0, 4.0])
    total = DisplacementField((0.1 * (x - 47) + shift).astype(np.float32), grid)
    (rest,) = motion.in_held_labels(ball, Deformation(np.eye(4), DisplacementField.zero(grid)))
    (held,) = motion.in_held_labels(ball, Deformation(np.eye(4), total))
    assert held.label == rest.label == 7
    assert held.volume_ml / rest.volume_ml == pytest.approx(1.1**3, rel=0.01)
    np.testing.assert_allclose(np.array(held.centroid_ras) - rest.centroid_ras, shift, atol=0.1)
    assert held.max_displacement_mm == pytest.approx(np.linalg.norm(shift) + 2.0, abs=0.3)
    carrier = LabelCarrier(ball)
    (carried,) = motion.in_carried_labels(carrier.carried(total, grid), total, carrier.values)
    assert carried.volume_ml / rest.volume_ml == pytest.approx(1.1**-3, rel=0.02)
    np.testing.assert_allclose(np.array(carried.centroid_ras) - rest.centroid_ras, -shift / 1.1, atol=0.2)
    empty = carrier.carried(total, Grid((4, 4, 4), np.eye(4)))
    (gone,) = motion.in_carried_labels(empty, total, carrier.values)
    assert gone.volume_ml == 0.0
    assert np.isnan(gone.mean_displacement_mm)


# ---- choices -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [{"mode": "all"}, {"direction": "left"}, {"keep": "float64"}, {"bias": "some"}, {"key_every": 1}],
)
def test_a_choice_that_does_not_exist_is_refused(wrong):
    with pytest.raises(InputError):
        SequenceOptions(**wrong)


def test_a_sequence_never_asks_for_inverses():
    assert not SequenceOptions(registration=RegistrationOptions(inverse=True)).registration.inverse
