"""``models add``: a file of the user's own becomes a model that register takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from network.model_files import DATA, KerasGraph
from VoxelMorphRegistrationLib.commands.main import main
from VoxelMorphRegistrationLib.network.catalogue import CACHE_VARIABLE, EMBEDDED_MODEL, Catalogue
from VoxelMorphRegistrationLib.network.engines import available_engines

PYTORCH = str(DATA / "torch_vxm_dense.pt")


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_pytorch_model_becomes_one_of_the_models(cache, capsys):
    options = ["--name", "My Liver", "--modality", "CT", "--orientation", "ras", "--spacing", "1", "1.5", "2"]
    assert main(["models", "add", PYTORCH, *options, "--scaling", "percentile", "--level", "0.5", "--no-probe"]) == 0
    said = capsys.readouterr().out
    assert "torch_vxm_dense.pt is a VxmDense network of VoxelMorph for PyTorch, with 3,725 parameters." in said
    if "openvino" in available_engines():
        assert "gives the original's field in the openvino engine" in said
    assert '"My-Liver" was added, taken to expect RAS axes, voxels of 1 x 1.5 x 2 mm, ' in said
    assert "intensities scaled by percentile to 0.5" in said
    card = Catalogue().card("My-Liver")
    assert (card.spacing_mm, card.field_kind, card.shape_multiple, card.modality) == ((1, 1.5, 2), "velocity", 4, "CT")
    assert card.description.startswith("torch_vxm_dense.pt is a VxmDense network")
    assert Catalogue().is_available(card)
    assert sorted(path.name for path in cache.iterdir()) == ["My-Liver.h5", "My-Liver.json"]
    assert main(["models", "remove", "My-Liver"]) == 0
    assert list(cache.iterdir()) == []


def test_as_json_with_a_displacement(cache, capsys, tmp_path):
    path = KerasGraph().cvpr2018().write(tmp_path / "vm2.h5")
    assert main(["models", "add", str(path), "--no-probe", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["name"], said["probe"]) == (True, "vm2", None)
    assert (said["card"]["field_kind"], said["card"]["intensity"]["scaling"]) == ("displacement", "unit_range")
    assert Path(said["weights"]).is_file()
    assert said["findings"][0].startswith("vm2.h5 is a whole Keras graph, like VoxelMorph's networks of CVPR 2018")


@pytest.mark.skipif("openvino" not in available_engines(), reason="OpenVINO is not installed")
def test_what_cannot_be_told_is_said(cache, capsys):
    assert main(["models", "add", PYTORCH]) == 0
    assert "It could not be told what this network expects" in capsys.readouterr().out
    assert Catalogue().card("torch_vxm_dense").intensity.scaling == "unit_range"


def test_a_name_that_is_taken_is_said_before_the_work(cache, capsys):
    assert main(["models", "add", PYTORCH, "--no-probe"]) == 0
    before = {path: path.read_bytes() for path in cache.iterdir()}
    capsys.readouterr()
    assert main(["models", "add", PYTORCH]) == 3
    captured = capsys.readouterr()
    assert 'There is a model "torch_vxm_dense" already; give this one another title.' in captured.err
    assert "Reading" not in captured.err
    assert {path: path.read_bytes() for path in cache.iterdir()} == before


@pytest.mark.parametrize("as_added", [True, False])
def test_a_file_that_is_known_already_is_no_second_model(cache, capsys, as_added):
    """The shipped weights, or a file that was converted to what is there already."""
    path = PYTORCH
    if as_added:
        path = str(Catalogue().weights_path(EMBEDDED_MODEL))
    else:
        assert main(["models", "add", PYTORCH, "--no-probe", "--name", "first"]) == 0
    before = sorted(cache.glob("*"))
    capsys.readouterr()
    assert main(["models", "add", path, "--no-probe", "--name", "second"]) == 3
    assert f'is one of the models already: "{EMBEDDED_MODEL if as_added else "first"}"' in capsys.readouterr().err
    assert sorted(cache.glob("*")) == before


def test_a_network_of_any_voxel_size_and_contrast(cache, capsys):
    options = ["--any-spacing", "--scaling", "equalised", "--match", "contrast", "--no-probe"]
    assert main(["models", "add", PYTORCH, "--name", "any", *options]) == 0
    assert "voxels of any size, intensities scaled by equalised to 0.8" in capsys.readouterr().out
    card = Catalogue().card("any")
    assert card.any_spacing
    assert (card.intensity.scaling, card.intensity.level, card.intensity.match) == ("equalised", 0.8, "contrast")


def test_a_file_that_cannot_be_used_leaves_nothing(cache, capsys, tmp_path):
    (tmp_path / "weights.pt").write_text("no zip")
    assert main(["models", "add", str(tmp_path / "weights.pt"), "--json"]) == 3
    captured = capsys.readouterr()
    assert json.loads(captured.out)["ok"] is False
    assert "no PyTorch file of version 1.6 or later" in captured.err
    assert not cache.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--spacing", "1", "2"], "--spacing takes one number, or three"),
        (["--spacing", "1", "--any-spacing"], "give one of them"),
        (["--level", "2"], "--level needs --scaling percentile"),
        (["--scaling", "unit_range", "--level", "2"], "--level needs --scaling percentile"),
    ],
)
def test_options_that_do_not_fit(cache, capsys, options, message):
    with pytest.raises(SystemExit) as raised:
        main(["models", "add", PYTORCH, *options])
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


def test_a_card_that_cannot_be_leaves_nothing(cache, capsys):
    assert main(["models", "add", PYTORCH, "--orientation", "LLA", "--no-probe"]) == 3
    assert "\"orientation\" is 'LLA'" in capsys.readouterr().err
    assert not cache.exists()


def test_a_pytorch_file_is_not_registered_with_as_it_is(cache, capsys):
    from VoxelMorphRegistrationLib.errors import ModelError

    with pytest.raises(ModelError, match=r"is a PyTorch file, which is not used as it is; add it to the models"):
        Catalogue().find(PYTORCH)
