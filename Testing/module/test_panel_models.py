"""Models in the panel: downloaded from a server on this computer, added from a file, removed."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from host import user
from module.support import SMALL_MODEL, has_field, scene_content, small_card
from pipeline.small_pair import write_small_model

pytestmark = pytest.mark.timeout(300)
TITLE = "Network to download"


@dataclass
class Server:
    """Serves one file; what it does with a request can be changed."""

    url: str = ""
    status: int = 200
    seconds: float = 0.0  # in which half of the file is sent
    requests: int = 0


@pytest.fixture
def server(tmp_path, cache, monkeypatch) -> Iterator[Server]:
    """A model in the catalogue whose weights the server has; both are a real network."""
    weights = write_small_model(tmp_path / "weights.h5", seed=2)
    content, server = weights.read_bytes(), Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.requests += 1
            if server.status != 200:
                self.send_error(server.status)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            half = len(content) // 2
            try:
                self.wfile.write(content[:half])
                self.wfile.flush()
                end = time.monotonic() + server.seconds
                while time.monotonic() < end:
                    time.sleep(0.02)
                self.wfile.write(content[half:])
            except ConnectionError:
                pass  # the client went away, as it may

        def log_message(self, *_):
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        server.url = f"http://127.0.0.1:{http_server.server_port}/weights.h5"
        card = replace(small_card(weights, TITLE), source_url=server.url, description="A network for this test.")
        (cache / f"{card.name}.json").write_text(card.to_json(), encoding="utf-8")
        yield server
        http_server.shutdown()


@pytest.fixture
def undownloaded(panel, server) -> Path:
    """The model chosen, and where its weights will be."""
    panel.panel.models.refresh()
    panel.ui.modelsCollapsibleButton.collapsed = False
    user.choose_text(panel.ui.modelComboBox, TITLE)
    assert panel.parameters.model == "Network-to-download"
    return Path(panel.panel.models._catalogue.cache_folder) / "Network-to-download.h5"


def test_the_card_is_shown(panel, undownloaded):
    ui = panel.ui
    assert ui.modelDescriptionLabel.text == "A network for this test."
    assert ui.modelSuitableLabel.text == "not stated"
    assert ui.modelLicenseLabel.text == "not stated"
    assert ui.modelStatusLabel.text == "Not downloaded yet (0.1 MB)."
    assert ui.downloadModelButton.enabled
    user.choose_text(ui.modelComboBox, "VoxelMorph brain T1")
    assert "T1-weighted brain MRI" in ui.modelDescriptionLabel.text
    assert "skull removed" in ui.modelSuitableLabel.text
    assert "Apache-2.0" in ui.modelLicenseLabel.text
    assert ui.modelStatusLabel.text == "Not downloaded yet (1.3 MB)."


def test_download_by_its_button(panel, undownloaded, server):
    user.click(panel.ui.downloadModelButton)
    panel.wait()
    assert undownloaded.exists()
    assert panel.status == "Done."
    assert panel.ui.modelStatusLabel.text == "Ready."
    assert not panel.ui.downloadModelButton.enabled
    assert server.requests == 1


@pytest.mark.parametrize("agree", [True, False])
def test_apply_asks_before_it_downloads(panel, host, undownloaded, server, agree):
    transform = panel.choose_all()
    host.dialogs.expect(f"The weights of {TITLE} (0.1 MB) are not on this computer.", agree)
    panel.run()
    assert f"Download them from {server.url}?" in host.dialogs.shown[-1].text
    assert undownloaded.exists() is agree
    assert has_field(transform) is agree
    if agree:
        assert panel.status.startswith("Similarity")
        assert "Downloading the model" in panel.log
        assert panel.ui.modelStatusLabel.text == "Ready."
    else:
        assert panel.status == "The model was not downloaded, so nothing was registered."
        assert server.requests == 0
    assert panel.is_ready()


@pytest.mark.parametrize("by", ["button", "apply"])
def test_a_failed_download_says_what_can_be_done(panel, host, undownloaded, server, by):
    server.status = 404
    panel.choose_all()
    before = scene_content(host.scene)
    if by == "apply":
        host.dialogs.expect("are not on this computer")
    host.dialogs.expect("cannot be downloaded")
    user.click(panel.ui.applyButton if by == "apply" else panel.ui.downloadModelButton)
    panel.wait()
    assert "the server answered 404" in panel.status
    assert f"download {server.url} by hand" in panel.status
    assert panel.status in panel.log
    assert not undownloaded.exists()
    assert scene_content(host.scene) == before
    assert panel.is_ready()


@pytest.mark.parametrize("by", ["button", "apply"])
def test_cancelling_a_download_leaves_nothing(panel, host, undownloaded, server, cache, by):
    """Although the server is silent at that moment."""
    server.seconds = 4
    panel.choose_all()
    before = sorted(path.name for path in cache.iterdir())
    if by == "apply":
        host.dialogs.expect("are not on this computer")
    user.click(panel.ui.applyButton if by == "apply" else panel.ui.downloadModelButton)
    user.wait_until(lambda: server.requests == 1, 30)
    user.process_events(0.3)
    panel.cancel()
    clicked = time.perf_counter()
    panel.wait(30)
    assert time.perf_counter() - clicked < 3  # the promise is one second; the machine may be busy
    assert "cancelled" in panel.status
    user.wait_until(lambda: sorted(path.name for path in cache.iterdir()) == before, 10)
    assert panel.is_ready()


def test_a_downloaded_model_is_removed_after_asking(panel, host, undownloaded):
    user.click(panel.ui.downloadModelButton)
    panel.wait()
    host.dialogs.expect(f"Delete the files of {TITLE} from this computer?", False)
    user.click(panel.ui.removeModelButton)
    assert undownloaded.exists()


# ---- a model of the user's own ----


def add(panel, host, path, fill):
    host.dialogs.expect("VoxelMorph networks (*.h5 *.hdf5)", path)
    if path:
        host.dialogs.expect(f"Model card of {path.name}", fill)
    panel.ui.modelsCollapsibleButton.collapsed = False
    user.click(panel.ui.addModelButton)


def field(dialog, name):
    import slicer

    return getattr(slicer.util.childWidgetVariables(dialog), name)


def test_a_file_is_added_used_and_removed(panel, host, cache, tmp_path):
    weights = write_small_model(tmp_path / "mine.h5", seed=3)

    def fill(dialog):
        assert field(dialog, "titleLineEdit").text == "mine"
        assert field(dialog, "levelSpinBox").enabled is False
        field(dialog, "titleLineEdit").text = "My own: network"
        field(dialog, "modalityLineEdit").text = "CT"
        field(dialog, "orientationLineEdit").text = "ras"
        field(dialog, "spacingSpinBox").value = 4.0
        user.choose_text(field(dialog, "scalingComboBox"), "99.9th percentile to the level below")
        assert field(dialog, "levelSpinBox").enabled
        field(dialog, "levelSpinBox").value = 0.5
        user.click(field(dialog, "matchCheckBox"))
        user.click(field(dialog, "skullStrippedCheckBox"))
        dialog.accept()

    add(panel, host, weights, fill)
    assert panel.ui.modelComboBox.currentText == "My own: network"
    name = panel.parameters.model
    card = json.loads((cache / f"{name}.json").read_text())
    assert (card["title"], card["modality"], card["orientation"]) == ("My own: network", "CT", "RAS")
    assert card["spacing_mm"] == [4.0, 4.0, 4.0]
    assert card["skull_stripped"] is True
    assert card["intensity"] == {"scaling": "percentile", "level": 0.5, "match": "none"}
    assert (cache / f"{name}.h5").read_bytes() == weights.read_bytes()
    assert panel.ui.modelStatusLabel.text == "Ready."

    transform = panel.choose_all()
    panel.run()
    assert has_field(transform)

    host.dialogs.expect("Delete the files of My own: network")
    user.click(panel.ui.removeModelButton)
    assert not list(cache.glob(f"{name}*"))
    assert panel.parameters.model == "voxelmorph-brain-t1"
    assert panel.ui.modelComboBox.currentText == "VoxelMorph brain T1"
    assert panel.ui.modelComboBox.findData(name) == -1


def test_adding_can_be_given_up(panel, host, cache, tmp_path):
    before = sorted(cache.iterdir())
    add(panel, host, "", None)
    add(panel, host, write_small_model(tmp_path / "mine.h5"), False)
    assert sorted(cache.iterdir()) == before
    assert panel.parameters.model == SMALL_MODEL


def test_a_mistake_in_the_form_can_be_corrected(panel, host, cache, tmp_path):
    """The form comes up again as it was filled in."""

    def wrong(dialog):
        field(dialog, "titleLineEdit").text = "Corrected"
        field(dialog, "orientationLineEdit").text = "LLA"
        dialog.accept()

    def right(dialog):
        assert field(dialog, "titleLineEdit").text == "Corrected"
        field(dialog, "orientationLineEdit").text = "LIA"
        dialog.accept()

    path = write_small_model(tmp_path / "mine.h5")
    host.dialogs.expect("(*.h5 *.hdf5)", path)
    host.dialogs.expect("Model card of mine.h5", wrong)
    host.dialogs.expect("orientation")
    host.dialogs.expect("Model card of mine.h5", right)
    panel.ui.modelsCollapsibleButton.collapsed = False
    user.click(panel.ui.addModelButton)
    assert panel.ui.modelComboBox.currentText == "Corrected"


def test_a_file_that_is_no_network_is_refused(panel, host, cache, tmp_path):
    path = tmp_path / "notes.h5"
    path.write_text("not a network")
    before = sorted(cache.iterdir())
    host.dialogs.expect("(*.h5 *.hdf5)", path)
    host.dialogs.expect("Model card of notes.h5", True)
    host.dialogs.expect("notes.h5")
    host.dialogs.expect("Model card of notes.h5", False)
    panel.ui.modelsCollapsibleButton.collapsed = False
    user.click(panel.ui.addModelButton)
    assert sorted(cache.iterdir()) == before
