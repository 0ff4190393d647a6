"""The catalogue: shipped cards, the user's own, local files, and the cache."""

from __future__ import annotations

import dataclasses
import http.server
import shutil
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from shared_data import shared
from VoxelMorphRegistrationLib.errors import ModelError
from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.network.catalogue import (
    BRAIN_MODEL,
    CACHE_VARIABLE,
    Catalogue,
    user_cache_folder,
)

CARD = Catalogue().card(BRAIN_MODEL)


@pytest.fixture
def official() -> Path:
    return shared("weights/vxm_dense_brain_T1_3D_mse.h5")


@pytest.fixture
def catalogue(tmp_path) -> Catalogue:
    """The shipped cards with an empty cache."""
    return Catalogue(cache_folder=tmp_path / "cache")


def put_card(folder: Path, **changes: object) -> ModelCard:
    card = dataclasses.replace(CARD, **changes)
    folder.mkdir(exist_ok=True)
    (folder / f"{card.name}.json").write_text(card.to_json(), encoding="utf-8")
    return card


def test_an_unknown_model_lists_the_known_ones(catalogue):
    put_card(catalogue.cache_folder, name="mine")
    with pytest.raises(ModelError, match=rf'no model "brian"; the known ones are: .*{BRAIN_MODEL}.*, mine\.'):
        catalogue.card("brian")


def test_the_users_cards_come_after_the_shipped_ones_and_do_not_replace_them(catalogue, caplog):
    put_card(catalogue.cache_folder, name="mine")
    put_card(catalogue.cache_folder, name=BRAIN_MODEL, title="An impostor")
    (catalogue.cache_folder / "broken.json").write_text("{}")
    names = [card.name for card in catalogue.cards()]
    assert names[-1] == "mine"
    assert names.count(BRAIN_MODEL) == 1
    assert catalogue.card(BRAIN_MODEL).title == CARD.title
    assert "broken.json" in caplog.text


def test_a_title_that_is_taken_gets_a_number(catalogue):
    assert catalogue.free_title("My model") == "My model"
    for name in ("My-model", "My-model-2"):
        put_card(catalogue.cache_folder, name=name)
    assert catalogue.free_title("My model") == "My model 3"


def test_weights_in_the_cache_are_used_only_with_the_right_checksum(catalogue, official):
    assert not catalogue.is_available(BRAIN_MODEL)
    catalogue.cache_folder.mkdir()
    in_cache = catalogue.cache_folder / CARD.file_name
    in_cache.write_bytes(official.read_bytes()[:-1])
    assert not catalogue.is_available(BRAIN_MODEL)
    shutil.copy(official, in_cache)
    assert catalogue.is_available(BRAIN_MODEL)
    assert catalogue.weights_path(BRAIN_MODEL) == in_cache
    assert catalogue.download(BRAIN_MODEL) == in_cache


def test_shipped_weights_come_first_and_are_not_removed(tmp_path, official):
    shipped = tmp_path / "shipped"
    put_card(shipped, name="small")
    shutil.copy(official, shipped)
    catalogue = Catalogue(shipped, tmp_path / "cache")
    assert catalogue.weights_path("small") == shipped / CARD.file_name
    assert not catalogue.remove("small")
    assert catalogue.is_available("small")


def test_a_model_is_downloaded_used_and_removed(tmp_path, official, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(official.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{official.name}"
        put_card(tmp_path / "shipped", name="remote", source_url=url)
        catalogue = Catalogue(tmp_path / "shipped", tmp_path / "cache")
        model = catalogue.find("remote")
        server.shutdown()
    assert model.card.name == "remote"
    assert model.weights_path == tmp_path / "cache" / official.name
    assert model.weights_path.read_bytes() == official.read_bytes()
    assert catalogue.remove("remote")
    assert list((tmp_path / "cache").iterdir()) == []
    assert not catalogue.remove("remote")


def test_a_model_without_an_address_says_where_its_file_belongs(catalogue):
    put_card(catalogue.cache_folder, name="mine", source_url="", file_name="mine.h5", sha256="")
    with pytest.raises(ModelError, match=r"no address to download from; put mine\.h5 into the folder .*cache"):
        catalogue.find("mine")


def test_a_file_is_a_model_and_a_known_one_is_recognised(catalogue, official):
    model = catalogue.find(str(official))
    assert model.weights_path == official
    assert model.card == CARD


def test_an_unknown_file_gets_a_card_that_says_what_is_assumed(catalogue, official, tmp_path):
    import h5py

    own = tmp_path / "own.h5"
    shutil.copy(official, own)
    with h5py.File(own, "a") as file:
        file.attrs["note"] = "another checksum"
    card = catalogue.find(own).card
    assert (card.name, card.sha256, card.source_url, card.licence) == ("own", "", "", "not stated")
    assert (card.shape_multiple, card.field_kind) == (16, "velocity")
    assert "without a card" in card.description


def test_a_file_takes_the_card_beside_it_or_the_one_it_is_given(catalogue, official, tmp_path):
    own = tmp_path / "own.h5"
    shutil.copy(official, own)
    put_card(tmp_path, name="own", title="beside")
    other = tmp_path / "elsewhere"
    put_card(other, name="other", title="given")
    assert catalogue.find(own).card.title == "beside"
    assert catalogue.find(own, card_path=other / "other.json").card.title == "given"


def test_a_file_that_is_not_the_one_of_its_card_is_refused(catalogue, official, tmp_path):
    own = tmp_path / "own.h5"
    own.write_bytes(official.read_bytes() + b"\0")
    put_card(tmp_path, name="own")
    with pytest.raises(ModelError, match="is not the one its model card describes"):
        catalogue.find(own)


def test_a_file_that_is_not_there_is_named(catalogue, tmp_path):
    with pytest.raises(ModelError, match=r"none\.h5 was not found"):
        catalogue.find(tmp_path / "none.h5")


def test_the_cache_is_where_the_platform_keeps_caches_unless_said_otherwise(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert user_cache_folder() == tmp_path
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    expected = {
        "win32": tmp_path / "local",
        "darwin": Path.home() / "Library" / "Caches",
    }.get(sys.platform, tmp_path / "xdg")
    assert user_cache_folder() == expected / "voxelmorph-registration"
