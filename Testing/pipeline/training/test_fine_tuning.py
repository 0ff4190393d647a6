"""Adapting a model to the volumes of one patient: what is learned from, what is listed, what is left."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from pipeline.known_networks import as_keras_reads_it, write_vxm_dense
from VoxelMorphRegistrationLib.errors import CancelledError, InputError, ModelError
from VoxelMorphRegistrationLib.files.frames.protocol import ImageFrames
from VoxelMorphRegistrationLib.network.catalogue import EMBEDDED_MODEL, Catalogue
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense
from VoxelMorphRegistrationLib.pipeline.training.fine_tuning import Adaptation, fine_tune
from VoxelMorphRegistrationLib.pipeline.training.study import StudyPairs, spread_volumes, study_images
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Grid, Image

CROP = (32, 32, 32)
CARD = Catalogue().card(EMBEDDED_MODEL)


@pytest.fixture(scope="module")
def frames() -> ImageFrames:
    """A textured ball that moves up and down, a little larger than a crop."""
    rng = np.random.default_rng(0)
    texture = scipy.ndimage.gaussian_filter(rng.standard_normal((44, 40, 36)), 2.0)
    axes = [np.linspace(-1.2, 1.2, n) ** 2 for n in texture.shape]
    ball = axes[0][:, None, None] + axes[1][:, None] + axes[2] < 1
    anatomy = np.where(ball, 100 + 400 * texture, 0).astype(np.float32)
    grid = Grid(anatomy.shape, np.diag([2.0, 2.0, 2.0, 1.0]))
    return ImageFrames([Image(np.roll(anatomy, n, axis=2), grid, f"frame {n}") for n in range(4)])


def _pairs(frames: ImageFrames) -> StudyPairs:
    return StudyPairs(study_images(spread_volumes(frames), CARD, "full"), CARD, CROP, 1)


def test_pairs_are_prepared_crops_of_two_frames_and_depend_on_their_number_alone(frames) -> None:
    pairs = _pairs(frames)
    first, second = pairs(5), pairs(6)
    assert first.moving.shape == CROP
    assert first.moving is first.hidden_moving
    assert not np.array_equal(first.moving, first.fixed)
    assert first.fixed.max() <= CARD.intensity.level + 1e-6
    assert not np.array_equal(first.fixed, second.fixed)
    np.testing.assert_array_equal(first.fixed, _pairs(frames)(5).fixed)


def test_one_usable_volume_is_not_enough(frames) -> None:
    with pytest.raises(InputError, match="at least two volumes"):
        study_images([frames.read(0)], CARD, "full")
    bad = frames.read(1).with_array(np.full(frames.read(1).array.shape, np.nan, np.float32))
    with pytest.raises(InputError, match="not finite"):
        list(spread_volumes(ImageFrames([frames.read(0), bad])))


def test_of_a_long_sequence_some_frames_are_taken_and_bad_ones_are_left_out(frames) -> None:
    good, bad = frames.read(0), frames.read(1).with_array(np.zeros(frames.read(1).array.shape, np.float32))
    many = ImageFrames([Image((bad if n == 1 else good).array, good.grid, str(n)) for n in range(500)])
    names = [int(volume.name) for volume in spread_volumes(many)]
    assert len(names) == 60
    assert (names[0], names[-1]) == (0, 499)
    few = ImageFrames([good, bad, good])
    assert len(list(spread_volumes(few))) == 2


def test_times_that_cannot_be_and_names_that_are_taken_are_told_before_the_work(frames, tmp_path) -> None:
    with pytest.raises(InputError, match="minutes above 0"):
        Adaptation(minutes=0)
    catalogue = Catalogue(cache_folder=tmp_path)
    with pytest.raises(ModelError, match="There is a model"):
        fine_tune(frames, catalogue.find(EMBEDDED_MODEL), title=EMBEDDED_MODEL, catalogue=catalogue)


def test_a_cancelled_adaptation_lists_nothing(frames, tmp_path) -> None:
    catalogue = Catalogue(cache_folder=tmp_path)
    start = catalogue.find(EMBEDDED_MODEL)
    with pytest.raises(CancelledError):
        fine_tune(frames, start, title="Never", catalogue=catalogue, progress=Progress(is_cancelled=lambda: True))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.tensorflow
def test_an_adapted_model_is_listed(frames, tmp_path) -> None:
    """A small network that moves everything by a voxel learns not to, in some steps.

    That nothing is listed where nothing was learned is tested through the background process (test_adaptation.py).
    """
    (tmp_path / "cache").mkdir()
    catalogue = Catalogue(cache_folder=tmp_path / "cache")
    card = {"intensity": CARD.intensity, "orientation": "RAS", "any_spacing": True}
    wrong = as_keras_reads_it(write_vxm_dense(tmp_path / "wrong.h5", bias=(1, 0, 0), card=card))
    start = catalogue.find(str(wrong))
    stages: list[str] = []
    options = Adaptation(steps=30, resolution="full", threads=1, learning_rate=1e-2)
    adapted = fine_tune(
        frames,
        start,
        title="Ball of Ms B",
        options=options,
        catalogue=catalogue,
        progress=Progress(lambda stage, _fraction: stages.append(stage)),
    )
    assert adapted.residual_after < 0.99 * adapted.residual_before
    assert adapted.steps == 30
    assert any("minutes to go" in stage for stage in stages)
    card = catalogue.card("Ball-of-Ms-B")
    assert card == adapted.card
    assert card.intensity == CARD.intensity
    assert catalogue.is_available(card)
    assert "4 volumes" in card.description
    assert read_vxm_dense(adapted.weights_path).parameters == read_vxm_dense(wrong).parameters
