"""VoxelMorph's own TensorFlow code beside ours: the same networks have to give the same fields.

TensorFlow takes some 15 s to import, so everything that needs it is in this module.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from network.model_files import DATA, KerasGraph, write_vxm_dense_config
from network.network_data import BRAIN_CENTRE, OFFICIAL_WEIGHTS, brain
from scipy.ndimage import gaussian_filter
from shared_data import shared
from VoxelMorphRegistrationLib.errors import InputError, ModelError
from VoxelMorphRegistrationLib.network.engines import available_engines, load_engine
from VoxelMorphRegistrationLib.network.engines.tensorflow_engine import import_voxelmorph, load_vxm_dense
from VoxelMorphRegistrationLib.network.families import read_original
from VoxelMorphRegistrationLib.network.model_import import import_model
from VoxelMorphRegistrationLib.network.tensor import displacement_from_tensor
from VoxelMorphRegistrationLib.network.vxm_writer import write_vxm_dense

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(
        not {"openvino", "tensorflow"} <= available_engines().keys(),
        reason="needs both engines: Resources/requirements-openvino.txt and requirements-tensorflow.txt",
    ),
]


@pytest.fixture(scope="module")
def voxelmorph():
    return import_voxelmorph(threads=2)


@pytest.fixture(scope="module")
def tensorflow_engine():
    return load_engine("tensorflow", shared(OFFICIAL_WEIGHTS), threads=2)


@pytest.fixture(scope="module")
def pair():
    return brain("test_scan")[BRAIN_CENTRE], brain("subject_1")[BRAIN_CENTRE]


@pytest.fixture(scope="module")
def registered(voxelmorph, pair):
    """What VxmDense.register() itself returns, (1, D, H, W, 3)."""
    moving, fixed = pair
    model = load_vxm_dense(voxelmorph, shared(OFFICIAL_WEIGHTS), moving.shape)
    return model.get_registration_model().predict_on_batch([moving[None, ..., None], fixed[None, ..., None]])


def test_both_engines_and_voxelmorph_itself_agree_on_a_real_pair(tensorflow_engine, pair, registered):
    moving, fixed = pair
    reference = tensorflow_engine.predict(moving, fixed)
    found = load_engine("openvino", shared(OFFICIAL_WEIGHTS), threads=2).predict(moving, fixed)
    assert np.abs(reference.vectors).max() > 2
    np.testing.assert_allclose(found.vectors, reference.vectors, atol=1e-4)
    assert (found.kind, found.integration_steps, found.scale) == ("velocity", 7, 2.0)
    assert (reference.kind, reference.integration_steps, reference.scale) == ("velocity", 7, 2.0)
    assert np.abs(registered).max() > 4
    for prediction in (found, reference):
        np.testing.assert_allclose(prediction.displacement_on(moving.shape), registered[0], atol=1e-3)


def test_a_tensorflow_tensor_is_read_as_it_is(registered, pair):
    import tensorflow as tf

    shape = pair[0].shape
    np.testing.assert_array_equal(displacement_from_tensor(tf.constant(registered), shape), registered[0])
    first = tf.transpose(registered, (0, 4, 1, 2, 3))
    np.testing.assert_array_equal(displacement_from_tensor(first, shape), registered[0])
    rounded = displacement_from_tensor(tf.cast(registered, tf.bfloat16), shape)
    np.testing.assert_allclose(rounded, registered[0], rtol=2**-8)
    with pytest.raises(InputError, match="no values that can be read"):
        displacement_from_tensor(tf.keras.Input((*shape, 3)), shape)


def test_a_velocity_tensor_integrates_to_the_same(tensorflow_engine, pair, registered):
    moving, fixed = pair
    velocity = tensorflow_engine.predict(moving, fixed).vectors
    found = displacement_from_tensor(velocity[np.newaxis], moving.shape, kind="velocity", integration_steps=7)
    np.testing.assert_allclose(found, registered[0], atol=1e-3)


# Constructor arguments of VxmDense, by their old and new names.
CONFIGURATIONS = {
    "as the official model": {"unet_half_res": True, "int_downsize": 2},
    "full resolution, integrated there": {"int_downsize": 1},
    "displacement": {"int_steps": 0},
    "half resolution, five steps at a quarter": {"svf_resolution": 2, "int_resolution": 4, "int_steps": 5},
    "integrated finer than predicted": {"svf_resolution": 4, "int_resolution": 2},
    "own features, no surplus": {"nb_unet_features": [[4, 6, 8], [8, 6, 4]], "unet_half_res": True},
    "features by levels, two convolutions each, own name": {
        "nb_unet_features": 4,
        "nb_unet_levels": 3,
        "unet_feat_mult": 2,
        "nb_unet_conv_per_level": 2,
        "bidir": True,
        "name": "my_enc_conv_0_0_net",
    },
    "one level with two convolutions": {
        "nb_unet_features": [[4, 5], [6, 5, 4]],
        "nb_unet_conv_per_level": 2,
        "svf_resolution": 2,
    },
}
SMALL = (32, 16, 48)


@pytest.mark.parametrize("arguments", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_any_vxm_dense_is_read(voxelmorph, tmp_path, arguments):
    """Networks of random weights, saved by voxelmorph and run by it and by OpenVINO."""
    import tensorflow as tf

    model = saved_network(voxelmorph, tmp_path / "model.h5", arguments)
    moving, fixed = smooth_images()
    both = tf.keras.Model(model.inputs, [model.references.preint_flow, model.references.pos_flow])
    vectors, registered = (
        output.numpy() for output in both([moving[None, ..., None], fixed[None, ..., None]], training=False)
    )
    found = load_engine("openvino", tmp_path / "model.h5", threads=2).predict(moving, fixed)
    assert 0.3 < np.abs(vectors).max() < 100
    np.testing.assert_allclose(found.vectors, vectors[0], atol=1e-4)
    np.testing.assert_allclose(found.displacement_on(SMALL), registered[0], atol=1e-3)


def test_a_probabilistic_network_gives_its_mean(voxelmorph, tmp_path):
    path = tmp_path / "model.h5"
    saved_network(voxelmorph, path, {"use_probs": True, "nb_unet_features": [[4, 6], [6, 4, 4]]})
    found = load_engine("openvino", path, threads=2).predict(*smooth_images())
    expected = load_engine("tensorflow", path).predict(*smooth_images())
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-4)


def saved_network(voxelmorph, path, arguments):
    """A VxmDense whose flow has the size of a trained one's (VoxelMorph starts with nearly zero), and its file."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(4)
    rng = np.random.default_rng(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = voxelmorph.networks.VxmDense(SMALL, **arguments)
        flow = next(layer for layer in model.layers if layer.name.endswith("_flow"))
        flow.set_weights([rng.normal(scale=0.2, size=array.shape) for array in flow.get_weights()])
        model.save(str(path))
    return model


def smooth_images():
    rng = np.random.default_rng(3)
    return [gaussian_filter(rng.normal(size=SMALL), 3).astype(np.float32) * 20 for _ in range(2)]


def test_another_shape_rebuilds_the_network(tensorflow_engine):
    for shape in ((16, 32, 48), (32, 16, 16)):
        image = np.zeros(shape, np.float32)
        assert tensorflow_engine.predict(image, image).vectors.shape[:3] == tuple(n // 2 for n in shape)
    with pytest.raises(InputError, match="multiple of 16"):
        tensorflow_engine.predict(np.zeros((16, 16, 24)), np.zeros((16, 16, 24)))


def run_python(code, *arguments, **environment):
    library = Path(__file__).parents[2] / "VoxelMorphRegistration"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": str(library)} | environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_keras_3_already_in_the_process_is_said():
    code = """
import os, sys
from pathlib import Path
import tensorflow
tensorflow.keras.layers
from VoxelMorphRegistrationLib.errors import EngineError
from VoxelMorphRegistrationLib.network.engines import load_engine
try:
    load_engine("tensorflow", Path(sys.argv[1]))
except EngineError as error:
    print(error)
"""
    message = run_python(code, str(shared(OFFICIAL_WEIGHTS)), TF_USE_LEGACY_KERAS="0")
    assert message.startswith("TensorFlow was already loaded with Keras 3 in this process")


def test_predicting_is_quiet(tensorflow_engine, capfd):
    """Keras' progress bar, Python's warnings and TensorFlow's own log stay away from the user's terminal."""
    image = np.zeros((48, 16, 16), np.float32)
    tensorflow_engine.predict(image, image)
    assert capfd.readouterr() == ("", "")


def test_an_import_that_fails_says_what_to_install():
    code = """
import sys
sys.modules["tensorflow"] = None  # how Python marks a module that cannot be imported
from VoxelMorphRegistrationLib.errors import EngineError
from VoxelMorphRegistrationLib.network.engines.tensorflow_engine import import_voxelmorph
try:
    import_voxelmorph()
except EngineError as error:
    print(error)
"""
    message = run_python(code)
    assert message.startswith("The TensorFlow engine cannot be loaded (")
    assert "install voxelmorph 0.2" in message


def test_keras_itself_reads_the_same_out_of_a_graph_of_2018(tmp_path, voxelmorph):
    """The layers after the field are VoxelMorph's own of 2018, which are not here; they take no part in it."""
    import json

    import h5py
    import tensorflow as tf

    class Absent(tf.keras.layers.Layer):
        def call(self, inputs):
            return inputs[0] if isinstance(inputs, list) else inputs

    absent = dict.fromkeys(["Sample", "VecInt", "Rescale", "Resize", "SpatialTransformer"], Absent)
    moving, fixed = np.random.default_rng(0).random((2, 16, 24, 32), np.float32)
    for graph in (KerasGraph().cvpr2018(), KerasGraph((3, 4, 5), doublings=2).miccai2018()):
        path = graph.write(tmp_path / "graph.h5")
        with h5py.File(path) as file:
            keras = tf.keras.models.model_from_json(file.attrs["model_config"], custom_objects=absent)
            assert json.loads(file.attrs["model_config"])["class_name"] == "Model"
        keras.load_weights(path)
        field = tf.keras.Model(keras.inputs, keras.get_layer("flow").output)
        expected = field([moving[None, ..., None], fixed[None, ..., None]]).numpy()[0]
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(read_original(path).evaluate(moving, fixed), expected, atol=1e-5)
        write_vxm_dense(read_original(path).model, tmp_path / "converted.h5")
        for engine in ("tensorflow", "openvino"):
            found = load_engine(engine, tmp_path / "converted.h5", threads=2).predict(moving, fixed)
            np.testing.assert_allclose(found.vectors, expected, atol=1e-5)


def test_voxelmorph_itself_loads_what_was_converted_from_pytorch(tmp_path):
    found = import_model(DATA / "torch_vxm_dense.pt", tmp_path)
    recorded = np.load(DATA / "torch_vxm_dense.npz")
    moving, fixed = np.random.default_rng(0).random((2, 16, 24, 32), np.float32)
    prediction = load_engine("tensorflow", found.weights_path, threads=2).predict(moving, fixed)
    np.testing.assert_allclose(prediction.vectors, recorded["velocity"], atol=1e-5)
    assert (prediction.kind, prediction.integration_steps, prediction.scale) == ("velocity", 5, 2)


def test_a_file_that_keras_cannot_load_is_one_sentence_until_it_is_written_anew(tmp_path):
    path = write_vxm_dense_config(tmp_path / "bare.h5", ([4, 4], [4, 4, 4]))  # without Keras' lists of names
    moving, fixed = np.random.default_rng(0).random((2, 16, 24, 32), np.float32)
    with pytest.raises(ModelError, match=r"^VoxelMorph cannot load bare\.h5 \(.*\); use the OpenVINO engine, or add"):
        load_engine("tensorflow", path, threads=2).predict(moving, fixed)
    anew = import_model(path, tmp_path / "out").weights_path
    one, two = (load_engine(name, anew, threads=2).predict(moving, fixed) for name in ("tensorflow", "openvino"))
    np.testing.assert_allclose(one.vectors, two.vectors, atol=1e-5)
