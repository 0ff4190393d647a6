"""Adapting a model to nodes of the scene: real training in the real background process, of a small network."""

from __future__ import annotations

import importlib.util
import threading

import pytest

pytest.importorskip("slicer")
if importlib.util.find_spec("voxelmorph") is None:
    pytest.skip("needs the TensorFlow engine", allow_module_level=True)
from slicer_bridge import sequence_scene as s
from slicer_bridge.support import add_volume
from VoxelMorphRegistrationLib.errors import CancelledError, InputError, ModelError
from VoxelMorphRegistrationLib.network.catalogue import CACHE_VARIABLE, Catalogue
from VoxelMorphRegistrationLib.pipeline.training.fine_tuning import Adaptation
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge.adaptation import AdaptationRequest, adapt_model
from VoxelMorphRegistrationLib.slicer_bridge.background import close_shared_worker

FEW_STEPS = Adaptation(steps=30, resolution="full", threads=1, learning_rate=1e-2)


@pytest.fixture
def network(tmp_path, monkeypatch):
    """A small network to begin with, an empty list of own models, and a folder for all that is temporary."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield s.wrong_network(tmp_path)
    close_shared_worker()


def own_models() -> list[str]:
    catalogue = Catalogue()
    return [card.name for card in catalogue.cards() if catalogue.is_users_own(card)]


def left_behind(tmp_path) -> list[str]:
    for thread in threading.enumerate():
        if thread.name == "VoxelMorph tidying":
            thread.join(60)
    return [path.name for path in tmp_path.glob("voxelmorph-*")]


def test_a_sequence_gives_a_model_of_its_own_and_too_little_time_gives_none(scene, logic, network, tmp_path):
    browser, sequence = s.add_sequence()
    stages = []
    progress = Progress(lambda stage, fraction: stages.append((fraction, stage)))
    card = adapt_model(AdaptationRequest(browser, "", network, FEW_STEPS), progress)
    assert (card.name, card.title) == ("Adapted-to-CT", "Adapted to CT")
    assert "adapted to 6 volumes in 30 steps" in card.description
    assert own_models() == ["Adapted-to-CT"]
    assert Catalogue().is_available(card)
    assert any("to go" in stage for _, stage in stages)
    assert [fraction for fraction, _ in stages] == sorted(fraction for fraction, _ in stages)
    with pytest.raises(ModelError, match=r"^Nothing was gained in 1e-06 minutes .*give it more time"):
        logic.adaptModel(sequence, 1e-6, model=network, resolution="full")
    assert own_models() == ["Adapted-to-CT"]
    assert left_behind(tmp_path) == []


def test_cancelling_leaves_nothing(scene, logic, network, tmp_path):
    browser, _ = s.add_sequence()
    reached = []
    with pytest.raises(CancelledError, match="cancelled"):
        logic.adaptModel(
            browser,
            60,
            model=network,
            progressCallback=lambda stage, _: reached.append(stage),
            isCancelled=lambda: any(stage.startswith("Preparing the volumes") for stage in reached),
        )
    assert own_models() == []
    assert left_behind(tmp_path) == []


def test_what_cannot_be_is_said_before_the_work(scene, logic, network, tmp_path):
    browser, _ = s.add_sequence()
    frame = s.small_volume("frame", 0, shape=(40, 40, 40))
    volume = add_volume(frame.array, frame.grid, "only one")
    with pytest.raises(ModelError, match="There is a model"):
        logic.adaptModel(browser, title="voxelmorph-default", model=network)
    with pytest.raises(InputError, match="minutes above 0"):
        logic.adaptModel(browser, 0)
    with pytest.raises(InputError, match="not a sequence node or browser"):
        logic.adaptModel(volume)
    with pytest.raises(InputError, match="at least two volumes"):
        logic.adaptModel([volume], model=network)
    assert own_models() == []
    assert left_behind(tmp_path) == []
