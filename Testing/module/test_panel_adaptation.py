"""The panel's section that adapts the model to the sequence: real training of a small network in the real process."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")
if importlib.util.find_spec("voxelmorph") is None:
    pytest.skip("needs the TensorFlow engine", allow_module_level=True)
from host import user
from slicer_bridge import sequence_scene as s

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def section(panel, tmp_path, monkeypatch):
    """The section, opened, for a sequence and a small network of a user's own; few steps, but large ones.

    What is asked for otherwise, a minute at least, would be the test's time.
    """
    from VoxelMorphRegistrationLib.network.card import ModelCard
    from VoxelMorphRegistrationLib.network.catalogue import Catalogue

    weights = Path(s.wrong_network(tmp_path))
    card = dataclasses.replace(ModelCard.from_json(weights.with_suffix(".json")), name="Wrong", file_name="Wrong.h5")
    Catalogue().add(weights, card)
    panel.panel.models.choose("Wrong")
    panel.browser, _ = s.add_sequence()
    panel.section = panel.panel.adaptation
    panel.section._ui.adaptCollapsibleButton.collapsed = False
    as_asked_for = panel.widget.logic.adaptationRequest

    def quicker(*arguments):
        request = as_asked_for(*arguments)
        options = dataclasses.replace(request.options, steps=30, learning_rate=1e-2)
        return dataclasses.replace(request, options=options)

    monkeypatch.setattr(panel.widget.logic, "adaptationRequest", quicker)
    return panel


def ui(panel):
    return panel.section._ui


def choose_sequence(panel):
    user.choose(panel.panel.sequences._ui.sequenceSelector, panel.browser)
    user.process_events(0.05)


def status(panel):
    return str(ui(panel).adaptStatusLabel.text)


def models(panel):
    box = panel.ui.modelComboBox
    return [box.itemText(n) for n in range(box.count)]


def test_it_is_offered_where_there_is_a_sequence(section):
    button = ui(section).adaptButton
    assert (button.enabled, button.toolTip) == (False, "Select a sequence of volumes in the section Sequence.")
    assert ui(section).adaptMinutesSpinBox.value == 10
    choose_sequence(section)
    assert button.enabled
    ui(section).adaptMinutesSpinBox.value = 3
    assert section.parameters.adaptMinutes == 3


def test_the_adapted_model_is_chosen_and_its_title_is_taken_then(section, host):
    choose_sequence(section)
    ui(section).adaptTitleLineEdit.text = "Liver of Ms B"
    user.click(ui(section).adaptButton)
    assert ui(section).adaptButton.text == "Cancel"
    section.wait(1500)
    assert status(section).startswith("Liver of Ms B was added to the models, and chosen.")
    assert "adapted to 6 volumes in 30 steps" in status(section)
    assert section.parameters.model == "Liver-of-Ms-B"
    assert section.ui.modelComboBox.currentText == "Liver of Ms B"
    assert section.ui.modelStatusLabel.text == "Ready."
    assert not ui(section).adaptProgressBar.isVisible()
    assert "minutes to go" in section.log
    before = models(section)
    host.dialogs.expect('There is a model "Liver-of-Ms-B" already')
    user.click(ui(section).adaptButton)
    section.wait(600)
    assert "There is a model" in status(section)
    assert models(section) == before


def test_cancelling_leaves_nothing(section):
    choose_sequence(section)
    before = models(section)
    user.click(ui(section).adaptButton)
    user.wait_until(lambda: status(section).startswith("Building the network"), 1500, "the network")
    user.click(ui(section).adaptButton)
    section.wait(600)
    assert "cancelled" in status(section)
    assert models(section) == before
    assert section.parameters.model == "Wrong"


def test_without_its_engine_it_asks(section, host, monkeypatch, tmp_path):
    from network.private_python import TinyEngine
    from VoxelMorphRegistrationLib.panel import engine_first

    tiny = TinyEngine(tmp_path, None)
    tiny.require("tiny>=1.0")
    asked: list[str] = []

    def installation(engine):
        asked.append(engine)
        return tiny.installation(python=Path(sys.executable), host_path=[])

    monkeypatch.setattr(engine_first, "chosen_installation", installation)
    choose_sequence(section)
    host.dialogs.expect("Install them now?", False)
    user.click(ui(section).adaptButton)
    section.wait(600)
    assert status(section) == "Tiny was not installed, so nothing was done."
    assert asked == ["tensorflow"]
