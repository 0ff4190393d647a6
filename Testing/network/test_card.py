"""Model cards: the shipped ones are right, and a wrong one is refused by the name of its field."""

from __future__ import annotations

import dataclasses
import json

import pytest
from shared_data import shared
from VoxelMorphRegistrationLib.errors import ModelError
from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.network.catalogue import BRAIN_MODEL, Catalogue, shipped_cards_folder
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense
from VoxelMorphRegistrationLib.network.weights import file_sha256


@pytest.mark.parametrize("path", sorted(shipped_cards_folder().glob("*.json")), ids=lambda path: path.stem)
def test_a_shipped_card_is_complete_and_written_as_to_json_writes_it(path):
    card = ModelCard.from_json(path)
    assert card.name == path.stem
    assert card.to_json() == path.read_text(encoding="utf-8")
    assert all((card.title, card.description, card.suitable_for, card.licence, card.citation, card.sha256))


def test_the_default_card_describes_the_official_weights():
    card = Catalogue().card(BRAIN_MODEL)
    weights = shared("weights/vxm_dense_brain_T1_3D_mse.h5")
    assert file_sha256(weights) == card.sha256
    assert (weights.name, weights.stat().st_size) == (card.file_name, card.size_bytes)
    model = read_vxm_dense(weights)
    assert model.shape_multiple == card.shape_multiple
    assert (model.integration_steps > 0) == (card.field_kind == "velocity")


def test_a_card_survives_json(tmp_path):
    card = dataclasses.replace(Catalogue().card(BRAIN_MODEL), title="Größe", spacing_mm=(0.5, 1.0, 2.0))
    path = tmp_path / "card.json"
    path.write_text(card.to_json(), encoding="utf-8")
    assert ModelCard.from_json(path) == card


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"orientation": "LIL"}, "three axes, like LIA"),
        ({"orientation": "LI"}, "three axes"),
        ({"orientation": "lia"}, "three axes"),
        ({"spacing_mm": [1, 1]}, '"spacing_mm" has to be a list of 3 numbers'),
        ({"spacing_mm": [1, 1, 0]}, '"spacing_mm" has to be positive'),
        ({"spacing_mm": 1}, "list of 3 numbers"),
        ({"shape_multiple": 16.5}, '"shape_multiple" has to be a whole number'),
        ({"shape_multiple": True}, "whole number"),
        ({"shape_multiple": 0}, "at least 1"),
        ({"skull_stripped": "yes"}, '"skull_stripped" has to be true or false'),
        ({"field_kind": "flow"}, '"field_kind" is .flow. and has to be one of velocity, displacement'),
        ({"intensity": "percentile"}, '"intensity" has to be an object'),
        ({"intensity": {"scaling": "max", "level": 1, "match": "none"}}, '"intensity.scaling" is .max.'),
        ({"intensity": {"scaling": "none", "match": "none"}}, 'lacks "intensity.level"'),
        (
            {"intensity": {"scaling": "none", "level": -1, "match": "none"}},
            '"intensity.level" has to be positive',
        ),
        ({"name": "../escape"}, '"name"'),
        ({"name": 3}, '"name" has to be text'),
        ({"file_name": "/etc/passwd"}, '"file_name" has to be the name of a file without folders'),
        ({"file_name": ""}, '"file_name"'),
        ({"sha256": "ABC"}, "64 hexadecimal digits"),
        ({"sha256": ""}, 'needs the "sha256"'),
        ({"source_url": "ftp://example.org/a.h5"}, '"source_url" has to begin with'),
        ({"size_bytes": -1}, '"size_bytes"'),
        ({"colour": "red"}, 'has the unknown "colour"'),
    ],
)
def test_a_wrong_field_is_named(tmp_path, change, message):
    values = json.loads(Catalogue().card(BRAIN_MODEL).to_json()) | change
    path = tmp_path / "card.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ModelError, match=message) as raised:
        ModelCard.from_json(path)
    assert str(raised.value).startswith("The model card card.json cannot be used: ")


def test_a_lacking_field_is_named(tmp_path):
    values = json.loads(Catalogue().card(BRAIN_MODEL).to_json())
    del values["licence"]
    path = tmp_path / "card.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ModelError, match='lacks "licence"'):
        ModelCard.from_json(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_what_is_no_card_is_refused(tmp_path, text):
    path = tmp_path / "card.json"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"cannot be (read as JSON|used)"):
        ModelCard.from_json(path)


def test_a_missing_card_is_named(tmp_path):
    with pytest.raises(ModelError, match="was not found"):
        ModelCard.from_json(tmp_path / "none.json")
