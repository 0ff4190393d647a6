"""Models in the panel: downloaded from a server on this computer, added from a file, removed."""

from __future__ import annotations

import http.server
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from host import user
from module.support import MODULE, SMALL_MODEL, has_field, scene_content, small_card
from network.model_files import DATA
from network.network_data import OFFICIAL_WEIGHTS
from pipeline.small_pair import write_small_model
from pipeline.test_background import make_python
from shared_data import shared
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense
from VoxelMorphRegistrationLib.network.vxm_writer import write_vxm_dense
from VoxelMorphRegistrationLib.pipeline.background import Worker

pytestmark = pytest.mark.timeout(1800)
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
    host.dialogs.expect("VoxelMorph networks (*.h5 *.hdf5 *.pt *.pth)", path)
    if path:
        host.dialogs.expect(f"Model card of {path.name}", fill)
    panel.ui.modelsCollapsibleButton.collapsed = False
    user.click(panel.ui.addModelButton)
    panel.wait()


def field(dialog, name):
    import slicer

    return getattr(slicer.util.childWidgetVariables(dialog), name)


def assert_same_network(one, two):
    for here, there in zip(read_vxm_dense(one).layers, read_vxm_dense(two).layers, strict=True):
        np.testing.assert_array_equal(here.kernel, there.kernel)
        np.testing.assert_array_equal(here.bias, there.bias)


def test_a_file_is_added_used_and_removed(panel, host, cache, tmp_path):
    weights = write_small_model(tmp_path / "mine.h5", seed=3)

    def fill(dialog):
        assert field(dialog, "titleLineEdit").text == "mine"
        assert field(dialog, "levelSpinBox").enabled is False
        assert not field(dialog, "fieldKindComboBox").enabled
        found = field(dialog, "findingsText").toPlainText()
        assert "mine.h5 is a VxmDense network of VoxelMorph for TensorFlow" in found
        assert "gives the original's field in the openvino engine" in found
        assert "could not be told what this network expects" in found  # it has random weights
        field(dialog, "titleLineEdit").text = "My own: network"
        field(dialog, "modalityLineEdit").text = "CT"
        field(dialog, "orientationLineEdit").text = "ras"
        for axis, size in zip("IJK", (4.0, 5.0, 6.0), strict=True):
            field(dialog, f"spacing{axis}SpinBox").value = size
        user.choose_text(field(dialog, "scalingComboBox"), "99.9th percentile to the level below")
        assert field(dialog, "levelSpinBox").enabled
        field(dialog, "levelSpinBox").value = 0.5
        assert field(dialog, "matchComboBox").currentData == "fixed_to_moving"
        user.choose_text(field(dialog, "matchComboBox"), "As they are")
        user.click(field(dialog, "skullStrippedCheckBox"))
        dialog.accept()

    add(panel, host, weights, fill)
    assert panel.ui.modelComboBox.currentText == "My own: network"
    name = panel.parameters.model
    card = json.loads((cache / f"{name}.json").read_text())
    assert (card["title"], card["modality"], card["orientation"]) == ("My own: network", "CT", "RAS")
    assert card["spacing_mm"] == [4.0, 5.0, 6.0]
    assert card["field_kind"] == "velocity"
    assert card["skull_stripped"] is True
    assert card["intensity"] == {"scaling": "percentile", "level": 0.5, "match": "none"}
    assert_same_network(cache / f"{name}.h5", weights)
    assert panel.ui.modelStatusLabel.text == "Ready."

    transform = panel.choose_all()
    panel.run()
    assert has_field(transform)

    host.dialogs.expect("Delete the files of My own: network")
    user.click(panel.ui.removeModelButton)
    assert not list(cache.glob(f"{name}*"))
    assert panel.parameters.model == "voxelmorph-default"
    assert panel.ui.modelComboBox.currentText == "VoxelMorph any anatomy"
    assert panel.ui.modelComboBox.findData(name) == -1


def test_adding_can_be_given_up(panel, host, cache, tmp_path):
    before = sorted(cache.iterdir())
    add(panel, host, "", None)
    add(panel, host, write_small_model(tmp_path / "mine.h5", seed=3), False)
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
        user.click(field(dialog, "anySpacingCheckBox"))
        assert not field(dialog, "spacingISpinBox").enabled
        user.choose_text(field(dialog, "scalingComboBox"), "Equalised, up to the level below")
        assert field(dialog, "levelSpinBox").enabled
        user.choose_text(field(dialog, "matchComboBox"), "Any two: one carried over to the other's contrast")
        dialog.accept()

    path = write_small_model(tmp_path / "mine.h5", seed=3)
    host.dialogs.expect("(*.h5 *.hdf5 *.pt *.pth)", path)
    host.dialogs.expect("Model card of mine.h5", wrong)
    host.dialogs.expect("orientation")
    host.dialogs.expect("Model card of mine.h5", right)
    panel.ui.modelsCollapsibleButton.collapsed = False
    user.click(panel.ui.addModelButton)
    panel.wait()
    assert panel.ui.modelComboBox.currentText == "Corrected"
    card = json.loads((cache / "Corrected.json").read_text())
    assert card["any_spacing"] is True
    assert (card["intensity"]["scaling"], card["intensity"]["match"]) == ("equalised", "contrast")


def test_the_form_offers_what_a_card_can_say(panel, host, cache, tmp_path):
    from VoxelMorphRegistrationLib.network.catalogue import Catalogue
    from VoxelMorphRegistrationLib.panel.model_card_form import ModelCardForm

    weights = write_small_model(tmp_path / "mine.h5", seed=3)
    form = ModelCardForm(str(MODULE.parent / "Resources" / "UI" / "ModelCardForm.ui"), weights, None, "no engine")
    assert form.card(Catalogue()).intensity.match == "fixed_to_moving"

    def fill(dialog):
        user.choose_text(field(dialog, "scalingComboBox"), "Equalised, up to the level below")
        user.choose_text(field(dialog, "matchComboBox"), "Any two: one carried over to the other's contrast")
        user.click(field(dialog, "anySpacingCheckBox"))
        assert field(dialog, "levelSpinBox").enabled
        assert not field(dialog, "spacingJSpinBox").enabled
        dialog.accept()

    host.dialogs.expect("Model card of mine.h5", fill)
    assert form.ask()
    card = form.card(Catalogue())
    assert (card.intensity.scaling, card.intensity.match, card.any_spacing) == ("equalised", "contrast", True)
    form.close()


def test_a_file_that_is_known_already_is_said_to_be(panel, host, cache, tmp_path):
    path = write_small_model(tmp_path / "mine.h5")
    before = sorted(cache.iterdir())
    host.dialogs.expect("(*.h5 *.hdf5 *.pt *.pth)", path)
    host.dialogs.expect(f'mine.h5 is one of the models already: "{SMALL_MODEL}"')
    panel.ui.modelsCollapsibleButton.collapsed = False
    user.click(panel.ui.addModelButton)
    panel.wait()
    assert sorted(cache.iterdir()) == before


def test_a_file_that_is_no_network_is_refused(panel, host, cache, tmp_path):
    path = tmp_path / "notes.h5"
    path.write_text("not a network")
    before = sorted(cache.iterdir())
    host.dialogs.expect("(*.h5 *.hdf5 *.pt *.pth)", path)
    host.dialogs.expect("notes.h5 cannot be read as an HDF5 model")
    panel.ui.modelsCollapsibleButton.collapsed = False
    user.click(panel.ui.addModelButton)
    panel.wait()
    assert sorted(cache.iterdir()) == before
    assert panel.ui.addModelButton.enabled


def test_what_its_trial_told_is_filled_in(panel, host, cache, tmp_path):
    weights = tmp_path / "t1.h5"  # not the very file, which is known
    write_vxm_dense(read_vxm_dense(shared(OFFICIAL_WEIGHTS)), weights)

    def fill(dialog):
        assert field(dialog, "scalingComboBox").currentData == "percentile"
        assert field(dialog, "levelSpinBox").value == 0.5
        assert field(dialog, "levelSpinBox").enabled
        assert "the brightest values belong at about 0.5" in field(dialog, "findingsText").toPlainText()
        field(dialog, "titleLineEdit").text = "T1 again"
        dialog.accept()

    add(panel, host, weights, fill)
    assert panel.ui.modelComboBox.currentText == "T1 again"
    assert json.loads((cache / "T1-again.json").read_text())["intensity"]["level"] == 0.5


def test_a_pytorch_model_is_added(panel, host, cache):
    def fill(dialog):
        assert field(dialog, "fieldKindComboBox").currentData == "velocity"
        assert "VoxelMorph for PyTorch, with 3,725 parameters" in field(dialog, "findingsText").toPlainText()
        dialog.accept()

    add(panel, host, DATA / "torch_vxm_dense.pt", fill)
    assert json.loads((cache / "torch_vxm_dense.json").read_text())["shape_multiple"] == 4
    assert panel.ui.modelComboBox.currentText == "torch_vxm_dense"
    assert panel.ui.modelStatusLabel.text == "Ready."


def test_trying_a_model_can_be_cancelled(panel, host, cache, tmp_path, temporary):
    before = sorted(cache.iterdir())
    host.dialogs.expect("(*.h5 *.hdf5 *.pt *.pth)", write_small_model(tmp_path / "mine.h5", seed=3))
    panel.ui.modelsCollapsibleButton.collapsed = False
    user.click(panel.ui.addModelButton)
    user.wait_until(lambda: "Trying the model" in panel.status, 60)
    panel.cancel()
    panel.wait(30)
    assert "cancelled" in panel.status
    assert sorted(cache.iterdir()) == before
    assert panel.ui.addModelButton.enabled


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need rights there")
def test_without_an_engine_a_vxmdense_file_is_taken_as_it_is(panel, host, cache, tmp_path, monkeypatch):
    """The background process runs in a Python that has only what Slicer's has."""
    from VoxelMorphRegistrationLib.panel import models_section

    python = make_python(tmp_path / "python", "numpy", "simpleitk")
    worker = Worker(python)
    monkeypatch.setattr(models_section, "reading_worker", lambda: worker)

    def fill(dialog):
        assert "needs the package h5py" in field(dialog, "findingsText").toPlainText()
        user.choose_text(field(dialog, "fieldKindComboBox"), "A displacement")
        dialog.accept()

    weights = write_small_model(tmp_path / "mine.h5", seed=3)
    add(panel, host, weights, fill)
    assert (cache / "mine.h5").read_bytes() == weights.read_bytes()
    assert json.loads((cache / "mine.json").read_text())["field_kind"] == "displacement"
    host.dialogs.expect("(*.h5 *.hdf5 *.pt *.pth)", DATA / "torch_vxm_dense.pt")
    host.dialogs.expect("needs the package h5py")
    user.click(panel.ui.addModelButton)
    panel.wait()
    assert not (cache / "torch_vxm_dense.json").exists()
    worker.close()
