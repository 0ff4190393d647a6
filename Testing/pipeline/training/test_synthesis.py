"""What training pairs are made of: reproducible, unfolded, of one hidden contrast, and prepared as in use."""

from __future__ import annotations

import numpy as np
import pytest
from shared_data import shared
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.pipeline.training.anatomies import (
    paint_subjects,
    random_curve,
    random_shapes,
    read_image,
    read_label_maps,
)
from VoxelMorphRegistrationLib.pipeline.training.pairs import make_pair
from VoxelMorphRegistrationLib.pipeline.training.random_fields import random_diffeomorphism, resized, smooth_noise
from VoxelMorphRegistrationLib.pipeline.training.synthetic import SyntheticPairs
from VoxelMorphRegistrationLib.pipeline.training.trainer import CONTRAST
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid

SHAPE = (32, 32, 48)


@pytest.fixture(scope="module")
def anatomy():
    rng = np.random.default_rng(5)
    return paint_subjects(rng, [random_shapes(rng)], texture=True)


def test_noise_has_unit_variance_and_the_wavelength_asked_for() -> None:
    rng = np.random.default_rng(0)
    steps = []
    for wavelength in (1.0, 4.0, 12.0):
        noise = smooth_noise(rng, (40, 44, 48), wavelength)
        assert noise.shape == (40, 44, 48)
        assert noise.std() == pytest.approx(1, abs=0.02)
        steps.append(float(np.abs(np.diff(noise, axis=0)).mean()))
    assert steps[0] > 2 * steps[1] > 4 * steps[2]


def test_resizing_keeps_the_corners_and_straight_lines() -> None:
    ramp = np.linspace(0, 1, 5, dtype=np.float32)[:, None, None, None] * np.ones((5, 4, 3, 2), np.float32)
    bigger = resized(ramp, (9, 8, 7))
    assert bigger.shape == (9, 8, 7, 2)
    np.testing.assert_allclose(bigger[:, 3, 2, 1], np.linspace(0, 1, 9), atol=1e-6)


@pytest.mark.parametrize("amplitude", [0.5, 3.0, 6.0])
def test_motions_have_their_size_and_never_fold(amplitude: float) -> None:
    motion = random_diffeomorphism(np.random.default_rng(1), (48, 48, 48), amplitude, 20 + 2 * amplitude)
    length = float(np.sqrt((motion**2).sum(-1).mean()))
    assert 0.4 * amplitude < length < 1.6 * amplitude
    field = DisplacementField(motion, Grid((48, 48, 48), np.eye(4)))
    assert field.jacobian_determinant().array.min() > 0


def test_a_curve_of_no_strength_changes_nothing_and_a_strong_one_does() -> None:
    image = np.linspace(0, 1, 1000, dtype=np.float32)
    np.testing.assert_allclose(random_curve(np.random.default_rng(2), image, 0.0), image, atol=0.005)
    curved = random_curve(np.random.default_rng(2), image, 1.0)
    assert curved.min() >= 0
    assert curved.max() <= 1
    assert np.abs(curved - image).mean() > 0.1


def test_subjects_painted_together_have_the_same_colours() -> None:
    rng = np.random.default_rng(3)
    labels = random_shapes(rng)
    first, second = paint_subjects(rng, [labels, labels[::-1]], texture=False).subjects
    inside = np.zeros(labels.shape, bool)
    inside[8:-8, 8:-8, 8:-8] = True
    assert abs(float(first[inside].mean()) - float(second[::-1][inside].mean())) < 3


def test_a_pair_is_a_function_of_its_number_alone() -> None:
    straight = SyntheticPairs(7, SHAPE, CONTRAST, anatomies=3)
    pairs = [straight(number) for number in (11, 12)]  # between them, an anatomy is renewed
    again = SyntheticPairs(7, SHAPE, CONTRAST, anatomies=3)(12)  # without its predecessor, as after an interruption
    for name in ("moving", "fixed", "hidden_moving", "hidden_fixed"):
        image = getattr(pairs[1], name)
        assert image.shape == SHAPE
        assert image.dtype == np.float32
        assert np.isfinite(image).all()
        np.testing.assert_array_equal(image, getattr(again, name))
        assert not np.array_equal(image, getattr(pairs[0], name))


def test_the_hidden_views_are_of_one_contrast_and_the_inputs_in_the_range_of_the_card(anatomy) -> None:
    rng = np.random.default_rng(11)
    correlations = []
    for _ in range(6):
        pair = make_pair(rng, [anatomy], SHAPE, CONTRAST)
        correlations.append(np.corrcoef(pair.hidden_moving.ravel(), pair.hidden_fixed.ravel())[0, 1])
        for image in (pair.moving, pair.fixed):
            assert image.min() >= 0
            assert image.max() <= CONTRAST.level + 1e-6
    assert min(correlations) > 0  # moved, but never inverted
    assert max(correlations) < 0.999


def test_label_maps_lie_on_one_another() -> None:
    folder = shared("synthseg_labels")
    paths = [folder / f"training_seg_{number}.nii.gz" for number in ("01", "05")]
    first, second = read_label_maps(paths)
    assert first.shape == second.shape
    assert max(first.shape) < 200  # 1.5 mm voxels, cut to the head
    brain = [label for label in range(1, 8) if (first == label).sum() > 2000]
    overlaps = [
        2 * ((first == label) & (second == label)).sum() / ((first == label).sum() + (second == label).sum())
        for label in brain
    ]
    assert np.mean(overlaps) > 0.35  # 0.04 where the affine map between them is left out


def test_files_that_nothing_can_be_learned_from_are_named(tmp_path) -> None:
    import nibabel

    empty = tmp_path / "empty.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones((20, 20, 20), np.float32), np.eye(4)), empty)
    with pytest.raises(InputError, match=r"empty\.nii\.gz holds one value only"):
        read_image(empty)
    many = tmp_path / "many.nii.gz"
    values = np.arange(20**3, dtype=np.int16).reshape(20, 20, 20)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), many)
    with pytest.raises(InputError, match="8000 different labels"):
        read_label_maps([many])
    assert read_label_maps([]) == []
