"""Training: it learns, it can be repeated, it goes on where it stopped, and engines read what it writes."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from VoxelMorphRegistrationLib.errors import CancelledError, InputError
from VoxelMorphRegistrationLib.network.catalogue import EMBEDDED_MODEL, Catalogue
from VoxelMorphRegistrationLib.network.engines import load_engine
from VoxelMorphRegistrationLib.pipeline.training.curve import read_curve
from VoxelMorphRegistrationLib.pipeline.training.synthetic import SyntheticPairs
from VoxelMorphRegistrationLib.pipeline.training.trainer import CONTRAST, Trainer, TrainingSettings
from VoxelMorphRegistrationLib.progress import Progress

pytestmark = pytest.mark.tensorflow

SHAPE = (32, 32, 32)
SETTINGS = TrainingSettings(seed=3, shape=SHAPE, learning_rate=3e-4, warm_up_steps=5, averaging=0.9, mixed=False)
HALF, ALL = 36, 40
RECORDED_LOSSES = [0.6906, 0.1848]


def _pairs() -> SyntheticPairs:
    return SyntheticPairs(3, SHAPE, CONTRAST, anatomies=2)


def _trainer(folder) -> Trainer:
    """From the embedded weights on four pairs again and again: from random ones nothing is learned in so few steps."""
    few = [_pairs()(number) for number in range(4)]
    start = Catalogue().weights_path(EMBEDDED_MODEL)
    return Trainer(folder, lambda step: few[step % 4], SETTINGS, start, validation=[_pairs()(1000)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 40 steps in one go, and one that was interrupted after 36 and is gone on with by another process."""
    folder = tmp_path_factory.mktemp("straight")
    straight = _trainer(folder)
    straight.run(HALF)
    copy = tmp_path_factory.mktemp("resumed") / "run"
    shutil.copytree(folder, copy)
    straight.run(ALL)
    resumed = _trainer(copy)
    assert resumed.step == HALF
    resumed.run(ALL)
    return straight, resumed


def test_a_few_dozen_steps_reach_the_recorded_loss(trained) -> None:
    rows = read_curve(trained[0].folder / "curve.csv")
    losses = [row["loss"] for row in rows if np.isfinite(row["loss"])]
    assert [row["step"] for row in rows if np.isfinite(row["loss"])] == [20, 40]
    assert losses == pytest.approx(RECORDED_LOSSES, rel=0.05)
    assert losses[1] < 0.9 * losses[0]


def test_going_on_equals_never_having_stopped(trained) -> None:
    straight, resumed = trained
    for a, b in zip(straight.network.variables, resumed.network.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)
    rows = [read_curve(trainer.folder / "curve.csv")[-1] for trainer in trained]
    assert rows[0]["validation_residual"] == pytest.approx(rows[1]["validation_residual"], rel=1e-3)
    assert (straight.folder / "curve.png").stat().st_size > 5000


def test_the_engines_read_what_is_written_and_agree(trained) -> None:
    pair = _pairs()(2000)
    answers = []
    for name in ("tensorflow", "openvino"):
        engine = load_engine(name, trained[0].folder / "model.h5")
        prediction = engine.predict(pair.moving, pair.fixed)
        assert prediction.kind == "velocity"
        assert prediction.scale == 2
        answers.append(prediction.vectors)
    assert np.abs(answers[0]).max() > 1e-4
    np.testing.assert_allclose(*answers, atol=1e-4)


def test_cancelling_and_other_settings(trained) -> None:
    straight = trained[0]
    with pytest.raises(CancelledError):
        straight.run(ALL + 1, progress=Progress(is_cancelled=lambda: True))
    assert straight.step == ALL
    with pytest.raises(InputError, match="other settings"):
        Trainer(straight.folder, _pairs(), TrainingSettings(seed=4, shape=SHAPE, mixed=False))
