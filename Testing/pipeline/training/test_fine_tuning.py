"""Adapting a model to the volumes of one patient: what is learned from, what is listed, what is left."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from VoxelMorphRegistrationLib.errors import CancelledError, InputError
from VoxelMorphRegistrationLib.network.catalogue import EMBEDDED_MODEL, Catalogue
from VoxelMorphRegistrationLib.pipeline.training import fine_tuning
from VoxelMorphRegistrationLib.pipeline.training.study import StudyPairs
from VoxelMorphRegistrationLib.pipeline.training.trainer import TrainingSettings
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Grid, Image

CROP = (32, 32, 32)
CARD = Catalogue().card(EMBEDDED_MODEL)


@pytest.fixture(scope="module")
def frames() -> list[Image]:
    """A textured ball that moves up and down, a little larger than a crop."""
    rng = np.random.default_rng(0)
    texture = scipy.ndimage.gaussian_filter(rng.standard_normal((44, 40, 36)), 2.0)
    axes = [np.linspace(-1.2, 1.2, n) ** 2 for n in texture.shape]
    ball = axes[0][:, None, None] + axes[1][:, None] + axes[2] < 1
    anatomy = np.where(ball, 100 + 400 * texture, 0).astype(np.float32)
    grid = Grid(anatomy.shape, np.diag([2.0, 2.0, 2.0, 1.0]))
    return [Image(np.roll(anatomy, n, axis=2), grid, f"frame {n}") for n in range(4)]


def test_pairs_are_prepared_crops_of_two_frames_and_depend_on_their_number_alone(frames) -> None:
    pairs = StudyPairs(frames, CARD, "full", CROP, 1)
    first, second = pairs(5), pairs(6)
    assert first.moving.shape == CROP
    assert first.moving is first.hidden_moving
    assert not np.array_equal(first.moving, first.fixed)
    assert first.fixed.max() <= CARD.intensity.level + 1e-6
    assert not np.array_equal(first.fixed, second.fixed)
    again = StudyPairs(frames, CARD, "full", CROP, 1)(5)
    np.testing.assert_array_equal(first.fixed, again.fixed)
    large = StudyPairs(frames, CARD, "full", (96, 32, 32), 1)(0)
    assert large.fixed.shape == (96, 32, 32)  # background around it


def test_one_volume_is_not_enough(frames) -> None:
    with pytest.raises(InputError, match="at least two volumes"):
        StudyPairs(frames[:1], CARD, "full", CROP, 1)


@pytest.mark.tensorflow
def test_an_adapted_model_is_listed_and_a_cancelled_one_is_not(frames, tmp_path, monkeypatch) -> None:
    # the crop of real use costs minutes of a test's time on this tiny anatomy
    monkeypatch.setattr(
        fine_tuning, "TrainingSettings", lambda **given: TrainingSettings(**given, shape=CROP, mixed=False)
    )
    catalogue = Catalogue(cache_folder=tmp_path)
    start = catalogue.find(EMBEDDED_MODEL)
    with pytest.raises(CancelledError):
        fine_tuning.fine_tune(
            frames, start, 1, title="Never", catalogue=catalogue, progress=Progress(is_cancelled=lambda: True)
        )
    assert list(tmp_path.iterdir()) == []
    adapted = fine_tuning.fine_tune(
        frames, start, 0.15, title="Ball of Ms B", resolution="full", learning_rate=3e-4, threads=1, catalogue=catalogue
    )
    assert adapted.residual_after < adapted.residual_before
    assert adapted.steps > 0
    card = catalogue.card("Ball-of-Ms-B")
    assert card == adapted.card
    assert card.intensity == CARD.intensity
    assert catalogue.is_available(card)
    assert "4 volumes" in card.description
