"""Networks of other families: what is read, that the converted file is the same network, and what is refused."""

from __future__ import annotations

import os
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from network.model_files import DATA, KerasGraph, save_torch, write_vxm_dense_config
from shared_data import shared
from VoxelMorphRegistrationLib.errors import FileError, ModelError
from VoxelMorphRegistrationLib.network import model_import
from VoxelMorphRegistrationLib.network.engines import available_engines, load_engine
from VoxelMorphRegistrationLib.network.families import read_original
from VoxelMorphRegistrationLib.network.families.numpy_layers import evaluate
from VoxelMorphRegistrationLib.network.model_import import import_model
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense
from VoxelMorphRegistrationLib.network.vxm_model import with_components, with_images_exchanged
from VoxelMorphRegistrationLib.network.vxm_writer import write_vxm_dense
from VoxelMorphRegistrationLib.torch_file import load_torch

needs_openvino = pytest.mark.skipif("openvino" not in available_engines(), reason="OpenVINO is not installed")


def images(shape: tuple[int, int, int] = (16, 24, 32)) -> Any:
    return np.random.default_rng(0).random((2, *shape), np.float32)


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as raised:
        read_original(path)
    message = str(raised.value)
    assert path.name in message
    assert message.endswith(".")
    assert "\n" not in message
    return message


# ---- Keras graphs ----------------------------------------------------------------------------------------------


def test_a_network_of_cvpr_2018(tmp_path):
    graph = KerasGraph().cvpr2018()
    model = read_original(graph.write(tmp_path / "vm2.h5")).model
    assert [[layer.bias.size for layer in level] for level in model.encoder] == [[3], [4]]
    assert [[layer.bias.size for layer in level] for level in model.decoder] == [[4], [4]]
    assert [layer.bias.size for layer in model.final] == [3]
    np.testing.assert_array_equal(model.flow.kernel, graph.arrays["flow"][0])
    assert (model.upsamplings, model.svf_resolution, model.integration_steps) == (2, 1, 0)
    assert (model.stride_padding, model.shape_multiple) == ((0, 1), 4)


def test_a_network_of_miccai_2018(tmp_path):
    graph = KerasGraph((3, 4, 5), doublings=2).miccai2018()
    model = read_original(graph.write(tmp_path / "miccai.h5")).model
    assert (model.upsamplings, model.svf_resolution, model.integration_resolution) == (2, 2, 2)
    assert (model.integration_steps, model.stride_padding) == (7, (0, 1))
    np.testing.assert_array_equal(model.flow.bias, graph.arrays["flow"][1])  # the mean, not the variance


def test_how_often_it_is_squared_is_taken_from_the_file_where_it_says_so(tmp_path):
    path = KerasGraph((3, 4), doublings=1).miccai2018(int_steps=4).write(tmp_path / "m.h5")
    assert read_original(path).model.integration_steps == 4


@needs_openvino
@pytest.mark.parametrize(
    "graph",
    [
        lambda: KerasGraph().cvpr2018(),
        lambda: KerasGraph((3, 4, 5), doublings=2).miccai2018(),
        lambda: KerasGraph((3, 4), pooling=True).cvpr2018(),
        lambda: KerasGraph((3, 4, 5), pooling=True, doublings=2).miccai2018(),
    ],
    ids=["cvpr", "miccai", "pooling", "pooling at half resolution"],
)
def test_the_converted_file_gives_the_field_of_the_graph_as_it_is_written(tmp_path, graph):
    path = graph().write(tmp_path / "original.h5")
    found = import_model(path, tmp_path / "out")
    assert found.check.startswith("The converted file gives the original's field in the openvino engine")
    moving, fixed = images()
    original = read_original(path)
    field = load_engine("openvino", found.weights_path, threads=2).predict(moving, fixed)
    expected = original.evaluate(moving, fixed)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(field.vectors, expected, atol=1e-5)
    assert (field.kind, field.scale) == (found.field_kind, 16 / expected.shape[0])


@pytest.mark.parametrize(
    ("kind", "config"), [("Dense3DSpatialTransformer", {}), ("SpatialTransformer", {"indexing": "xy"})]
)
def test_x_and_y_are_exchanged_where_the_field_is_read_so(tmp_path, kind, config):
    plain = read_original(KerasGraph().cvpr2018().write(tmp_path / "ij.h5"))
    swapped = read_original(KerasGraph().cvpr2018(kind, **config).write(tmp_path / "xy.h5"))
    np.testing.assert_array_equal(swapped.model.flow.kernel, plain.model.flow.kernel[..., [1, 0, 2]])
    field = swapped.evaluate(*images())
    np.testing.assert_array_equal(field, plain.evaluate(*images())[..., [1, 0, 2]])
    np.testing.assert_allclose(evaluate(swapped.model, *images()), field, atol=1e-5)


def _rewire(graph: KerasGraph) -> None:
    graph.layer("concatenate_up_0")["inbound_nodes"][0][1][0] = "concatenate_1"


def _change(name: str, **config: object) -> Any:
    return lambda graph: graph.layer(name)["config"].update(config)


def _kind(name: str, kind: str) -> Any:
    return lambda graph: graph.layer(name).update(class_name=kind)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_rewire, "joined in another way"),
        (_change("conv3d_3", dilation_rate=[2, 2, 2]), "conv3d_3 .* is none that VoxelMorph has"),
        (_change("conv3d_3", activation="relu"), "conv3d_3 .* is none that VoxelMorph has"),
        (_change("conv3d_3", kernel_size=[5, 5, 5]), "conv3d_3 .* is none that VoxelMorph has"),
        (_change("leaky_4", alpha=0.3), "leaky_4 .* is none that VoxelMorph has"),
        (_change("up_0", size=[2, 2, 1]), "up_0 .* is none that VoxelMorph has"),
        (_kind("leaky_4", "BatchNormalization"), "leaky_4 .* is none that VoxelMorph has"),
        (_change("input_2", batch_input_shape=[None, 16, 24, 32, 2]), "several channels an image, and one is needed"),
        (_change("input_2", batch_input_shape=[None, 16, 24, 1]), "inputs are not two 3-D images"),
        (_kind("warp", "Lambda"), "pieces of Python"),
        (_kind("warp", "Dense"), "warp .* after the field is none"),
        (lambda graph: graph.layer("flow").update(name="velocity"), "0 convolutions called flow"),
        (lambda graph: graph.arrays.pop("flow"), "does not hold the layer flow"),
        (lambda graph: graph.layer("conv3d_3").pop("config"), "not laid out like a registration network"),
        (lambda graph: graph.layers.pop(2), "not laid out like a registration network"),
    ],
)
def test_a_graph_that_is_something_else(tmp_path, change, message):
    import re

    graph = KerasGraph().cvpr2018()
    change(graph)
    assert re.search(message, refused(graph.write(tmp_path / "other.h5")))


def test_a_field_that_nothing_brings_to_the_images_resolution(tmp_path):
    assert "1/2 resolution and nothing" in refused(KerasGraph(doublings=1).cvpr2018().write(tmp_path / "half.h5"))


# ---- PyTorch ---------------------------------------------------------------------------------------------------


@needs_openvino
@pytest.mark.parametrize("name", ["torch_vxm_dense", "torch_vxm_dense_2020"])
def test_what_pytorch_itself_computed(tmp_path, name):
    """Away from the border also the displacement: there PyTorch's integration takes zeros for what lies outside."""
    recorded = np.load(DATA / f"{name}.npz")
    moving, fixed = images()
    original = read_original(DATA / f"{name}.pt")
    velocity = original.model.to_field_resolution(original.evaluate(moving, fixed), moving.shape)
    np.testing.assert_allclose(velocity, recorded["velocity"], atol=1e-5)
    found = import_model(DATA / f"{name}.pt", tmp_path)
    prediction = load_engine("openvino", found.weights_path, threads=2).predict(moving, fixed)
    assert np.abs(recorded["velocity"]).max() > 0.5
    np.testing.assert_allclose(prediction.vectors, recorded["velocity"], atol=1e-5)
    assert (prediction.kind, prediction.integration_steps, prediction.scale) == ("velocity", 5, 2)
    inner = np.s_[1:-1, 1:-1, 1:-1]
    displacement = prediction.displacement_on(moving.shape)[::4, ::4, ::4]
    np.testing.assert_allclose(displacement[inner], recorded["displacement"][inner], atol=0.02)


def pytorch() -> dict[str, Any]:
    content: dict[str, Any] = load_torch(DATA / "torch_vxm_dense.pt", advice="")
    return content


def test_the_weights_are_those_in_the_file_and_not_transposed(tmp_path):
    content = pytorch()
    model = read_original(save_torch(tmp_path / "again.pt", content)).model
    weight = content["model_state"]["unet_model.encoder.0.0.main.weight"]
    np.testing.assert_array_equal(model.encoder[0][0].kernel[0, 1, 2], weight[:, :, 0, 1, 2].T)
    assert [level[0].bias.size for level in model.decoder] == [6, 4]


def test_a_network_saved_from_several_gpus(tmp_path):
    content = pytorch()
    content["model_state"] = {f"module.{key}": value for key, value in content["model_state"].items()}
    assert read_original(save_torch(tmp_path / "gpus.pt", content)).model.parameters > 1000


def _state(**changes: object) -> Any:
    return lambda content: content["model_state"].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["config"].update(src_feats=2), "several channels an image, and one is needed"),
        (lambda content: content["config"].update(inshape=[64, 64]), "2-D images"),
        (lambda content: content.pop("config"), "weights without the network's configuration; save it in PyTorch"),
        (lambda content: content["model_state"].pop("flow.weight"), "does not hold the layer flow"),
        (lambda content: content["model_state"].clear(), "does not hold a VxmDense network"),
        (lambda content: content.update(model_state=[1, 2]), "does not hold a VxmDense network"),
        (_state(**{"flow.bias": np.full(3, np.nan)}), "not finite"),
        (_state(**{"flow.weight": np.zeros((3, 3, 3, 3))}), "2-D images"),
        (_state(**{"unet_model.encoder.1.0.main.bias": np.zeros(5)}), "does not fit its own configuration"),
        (lambda content: content["config"].update(nb_unet_features=[[8, 6], [6, 4, 3]]), "does not fit its own"),
    ],
)
def test_a_pytorch_file_that_cannot_be_used(tmp_path, change, message):
    content = pytorch()
    change(content)
    assert message in refused(save_torch(tmp_path / "model.pt", content))


def test_a_pytorch_file_never_runs_what_it_names(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "done"),)

    path = tmp_path / "evil.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"config": Evil(), "model_state": {}}, 2))
    assert "mkdir to be run, which could do anything" in refused(path)
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("size", [0, 100, 5_000, 19_000])
def test_a_truncated_pytorch_file(tmp_path, size):
    path = tmp_path / "model.pt"
    path.write_bytes((DATA / "torch_vxm_dense.pt").read_bytes()[:size])
    assert "damaged" in refused(path)


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_pytorch_file_is_one_sentence_or_the_network(tmp_path, seed):
    random = np.random.default_rng(seed)
    content = bytearray((DATA / "torch_vxm_dense.pt").read_bytes())
    for place in random.integers(0, len(content), 20):
        content[place] = random.integers(256)
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with suppress(ModelError):
        assert read_original(path).model.shape_multiple == 4


# ---- VxmDense and SynthMorph -----------------------------------------------------------------------------------


def test_what_is_written_is_read_again_to_the_bit(tmp_path):
    before = read_vxm_dense(shared("weights/vxm_dense_brain_T1_3D_mse.h5"))
    write_vxm_dense(before, tmp_path / "a.h5")
    write_vxm_dense(before, tmp_path / "b.h5")
    after = read_vxm_dense(tmp_path / "a.h5")
    for one, two in zip(before.layers, after.layers, strict=True):
        np.testing.assert_array_equal(one.kernel, two.kernel)
        np.testing.assert_array_equal(one.bias, two.bias)
    assert (after.upsamplings, after.svf_resolution, after.field_resolution) == (3, 2, 2)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


SYNTHMORPH = {"svf_resolution": 2, "int_resolution": 2, "input_model": {"class_name": "Functional", "config": {}}}


@needs_openvino
def test_a_network_of_the_shape_of_synthmorph(tmp_path):
    """256 features, 21 million parameters, and the model that made its training images in front of it."""
    path = write_vxm_dense_config(tmp_path / "shapes.h5", ([256] * 4, [256] * 6), **SYNTHMORPH)
    model = read_original(path).model
    assert (model.upsamplings, model.svf_resolution, model.integration_steps) == (3, 2, 5)
    assert 85_150_080 - 100_000 < 4 * model.parameters < 85_150_080  # the size of the published files
    moving, fixed = images((16, 16, 16))
    expected = evaluate(model, moving, fixed)
    found = load_engine("openvino", path, threads=2).predict(moving, fixed)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found.vectors, expected, atol=1e-4 * np.abs(expected).max())


def test_a_second_network_in_front_that_has_weights_is_refused(tmp_path):
    import h5py

    path = write_vxm_dense_config(tmp_path / "joint.h5", ([4, 4], [4, 4, 4]), **SYNTHMORPH)
    read_original(path)
    with h5py.File(path, "a") as file:
        file["model_weights/affine_conv/affine_conv/kernel:0"] = np.zeros(3)
    assert "a second network in front of it (input_model)" in refused(path)


# ---- importing -------------------------------------------------------------------------------------------------


def test_a_conversion_that_gives_another_field_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    def turned(model: Any, path: Path) -> None:
        write_vxm_dense(with_components(model, (2, 1, 0)), path)

    monkeypatch.setattr(model_import, "write_vxm_dense", turned)
    path = KerasGraph().cvpr2018().write(tmp_path / "original.h5")
    with pytest.raises(ModelError, match=r"original\.h5 cannot be converted: its field and that of the converted file"):
        import_model(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_model_is_not_converted_onto_itself(tmp_path):
    path = KerasGraph().cvpr2018().write(tmp_path / "original.h5")
    before = path.read_bytes()
    with pytest.raises(FileError, match="cannot be converted into its own folder"):
        import_model(path, tmp_path)
    assert path.read_bytes() == before


def test_a_file_that_is_refused_leaves_nothing(tmp_path):
    (tmp_path / "model.h5").write_text("nothing")
    with pytest.raises(ModelError, match="cannot be read as an HDF5 model"):
        import_model(tmp_path / "model.h5", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("graph", [KerasGraph().cvpr2018, KerasGraph((3, 4), pooling=True).cvpr2018])
def test_exchanging_the_images_and_ordering_the_components(tmp_path, graph):
    model = read_original(graph().write(tmp_path / "m.h5")).model
    moving, fixed = images()
    field = evaluate(model, moving, fixed)
    np.testing.assert_allclose(evaluate(with_images_exchanged(model), fixed, moving), field, atol=1e-5)
    ordered = evaluate(with_components(model, (1, 2, 0)), moving, fixed)
    np.testing.assert_array_equal(ordered[..., [1, 2, 0]], field)
