"""Reading VoxelMorph's model files: the official one, and everything that only looks like one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from shared_data import shared
from VoxelMorphRegistrationLib.errors import ModelError
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense

SAVED_LAYER = "model_weights/vxm_dense_unet_dec_conv_3_0/vxm_dense_unet_dec_conv_3_0"


@pytest.fixture
def copy(tmp_path) -> Path:
    path = tmp_path / "model.h5"
    shutil.copy(shared("weights/vxm_dense_brain_T1_3D_mse.h5"), path)
    path.chmod(0o644)
    return path


def change_config(path: Path, class_name: str = "VxmDense", **changes: object) -> None:
    with h5py.File(path, "a") as file:
        model = json.loads(file.attrs["model_config"])
        model["class_name"] = class_name
        model["config"] |= changes
        file.attrs["model_config"] = json.dumps(model)


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as raised:
        read_vxm_dense(path)
    message = str(raised.value)
    assert message.startswith((path.name, "The model file"))
    assert message.endswith(".")
    return message


def test_the_official_model_is_read_as_engine_facts_describes_it(copy):
    model = read_vxm_dense(copy)
    layers = [layer for level in model.encoder + model.decoder for layer in level]
    layers += [*model.final, model.flow]
    assert sum(layer.kernel.size + layer.bias.size for layer in layers) == 313_507
    assert [layer.kernel.shape[4] for level in model.encoder for layer in level] == [16, 32, 32, 32]
    assert [layer.kernel.shape[3] for level in model.decoder for layer in level] == [32, 64, 64, 64]
    assert [layer.kernel.shape[4] for layer in model.final] == [32, 16, 16]
    assert (model.upsamplings, model.integration_steps, model.field_resolution) == (3, 7, 2)
    assert model.shape_multiple == 16


def test_the_deepest_decoder_level_is_the_one_with_the_highest_number(copy):
    """Keras counts the decoder's names down (engine-facts.md, section 1)."""
    with h5py.File(copy) as file:
        deepest = file[f"{SAVED_LAYER}/kernel:0"][()]
    np.testing.assert_array_equal(read_vxm_dense(copy).decoder[0][0].kernel, deepest)


def test_files_older_than_nb_unet_features(copy):
    change_config(copy, enc_nf=[16, 32, 32, 32], dec_nf=[32, 32, 32, 32, 32, 16, 16])
    assert len(read_vxm_dense(copy).final) == 3


def test_what_a_training_leaves_in_the_file_does_not_disturb(copy):
    with h5py.File(copy, "a") as file:
        file.create_dataset("optimizer_weights/Adam/vxm_dense_flow/kernel:0", data=np.zeros(3))
    assert read_vxm_dense(copy).flow.kernel.shape == (3, 3, 3, 16, 3)


def test_a_missing_file(tmp_path):
    assert "was not found" in refused(tmp_path / "none.h5")


@pytest.mark.parametrize("size", [0, 100, 2_000, 700_000, 1_323_287])
def test_a_truncated_file(copy, size):
    copy.write_bytes(copy.read_bytes()[:size])
    assert "may be truncated or damaged" in refused(copy)


def test_a_file_of_another_format(tmp_path):
    path = tmp_path / "model.h5"
    path.write_text("<html>not found</html>")
    assert "cannot be read as an HDF5 model" in refused(path)


@pytest.mark.parametrize("text", ["not json", "[]", '"VxmDense"', '{"class_name": "VxmDense"}'])
def test_a_configuration_that_is_none(copy, text):
    with h5py.File(copy, "a") as file:
        file.attrs["model_config"] = text
    refused(copy)


def test_an_hdf5_file_of_something_else(copy):
    with h5py.File(copy, "a") as file:
        del file.attrs["model_config"]
    assert "holds no VoxelMorph model" in refused(copy)


@pytest.mark.parametrize(
    ("class_name", "message"),
    [
        ("Model", "a whole Keras graph"),
        ("Functional", "a whole Keras graph"),
        ("HyperVxmDense", "network of class HyperVxmDense, and only VxmDense"),
        ("ProbAtlasSegmentation", "network of class ProbAtlasSegmentation, and only VxmDense"),
    ],
)
def test_another_kind_of_network(copy, class_name, message):
    change_config(copy, class_name)
    assert message in refused(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inshape": [160, 192]}, "made for 2-D images"),
        ({"inshape": None}, "3-D is needed"),
        ({"src_feats": 2}, "several channels"),
        ({"hyp_model": {}}, "a second network in front"),
        ({"int_steps": 0}, "its field is at 1/2 resolution and nothing brings it"),
        ({"int_downsize": 1}, "its field is at 1/2 resolution and nothing brings it"),
        ({"nb_unet_features": 16}, "cannot be understood"),
        ({"nb_unet_features": [16, 32]}, "cannot be understood"),
        ({"nb_unet_features": [[16, 32, 32, 32], [32]]}, "decoder has fewer"),
        ({"nb_unet_features": [[], []]}, "decoder has fewer"),
        ({"nb_unet_features": [[8, 32, 32, 32], [32] * 5 + [16, 16]]}, "does not fit its own configuration"),
        ({"nb_unet_features": [[16, 32, 32, 32, 32], [32] * 7]}, "does not hold the layer enc_conv_4_0"),
        ({"nb_unet_conv_per_level": 2}, "does not hold the layer enc_conv_0_1"),
    ],
)
def test_a_configuration_that_cannot_be_used(copy, changes, message):
    change_config(copy, **changes)
    assert message in refused(copy)


def test_a_layer_that_is_missing(copy):
    with h5py.File(copy, "a") as file:
        del file[SAVED_LAYER]
    assert "does not hold the layer dec_conv_3_0" in refused(copy)


def test_a_layer_of_the_wrong_shape(copy):
    with h5py.File(copy, "a") as file:
        del file[f"{SAVED_LAYER}/bias:0"]
        file[f"{SAVED_LAYER}/bias:0"] = np.zeros(31, np.float32)
    assert "does not fit its own configuration" in refused(copy)


def test_weights_that_are_not_finite(copy):
    with h5py.File(copy, "a") as file:
        file[f"{SAVED_LAYER}/bias:0"][4] = np.nan
    assert "not finite in its layer dec_conv_3_0" in refused(copy)
