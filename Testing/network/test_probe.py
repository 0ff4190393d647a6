"""Trying a network on known warps: what is told about one that registers, and about one that does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from network.model_files import write_vxm_dense_config
from network.network_data import OFFICIAL_WEIGHTS
from shared_data import shared
from VoxelMorphRegistrationLib.errors import CancelledError
from VoxelMorphRegistrationLib.network.engines import available_engines, load_engine
from VoxelMorphRegistrationLib.network.probe import probe_model
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense
from VoxelMorphRegistrationLib.network.vxm_model import (
    Convolution,
    VxmDenseModel,
    with_components,
    with_images_exchanged,
)
from VoxelMorphRegistrationLib.network.vxm_writer import write_vxm_dense
from VoxelMorphRegistrationLib.pipeline.model_preparation import prepare_model
from VoxelMorphRegistrationLib.progress import Progress

pytestmark = pytest.mark.skipif("openvino" not in available_engines(), reason="OpenVINO is not installed")


def for_brighter_images(model: VxmDenseModel, factor: float) -> VxmDenseModel:
    """The network that says of images times the factor what ``model`` says of the images."""
    first = model.encoder[0][0]
    scaled = Convolution(first.kernel / np.float32(factor), first.bias)
    return replace(model, encoder=((scaled,), *model.encoder[1:]))


def test_a_network_of_other_conventions_is_found_out_and_put_right(tmp_path):
    """The T1 network as if it had been trained at 0 to 255, fixed image first, with its components reversed."""
    official = read_vxm_dense(shared(OFFICIAL_WEIGHTS))
    odd = with_components(with_images_exchanged(for_brighter_images(official, 255)), (2, 1, 0))
    path = tmp_path / "odd.h5"
    write_vxm_dense(odd, path)
    prepared = prepare_model(path, tmp_path / "out")
    words = " ".join(prepared.sentences)
    assert "odd.h5 is a VxmDense network of VoxelMorph for TensorFlow, with 313,507 parameters." in words
    assert "the brightest values belong at about 128" in words
    assert "hardly depends on the orientation" in words
    assert "it was trained to be given the fixed image first" in words
    assert "they belong to the array's axes 2, 1, 0" in words
    assert "Unit: voxels" in words
    assert "rewritten accordingly" in words
    found = prepared.probe
    assert found is not None
    assert (found.level, found.direction, found.axes, found.unit) == (128, "fixed_to_moving", (0, 1, 2), "voxel")
    assert found.is_usual
    assert found.recovered > 0.8
    assert found.intensity is not None
    assert (found.intensity.scaling, found.intensity.level) == ("percentile", 128)
    mended, expected = read_vxm_dense(prepared.model.weights_path), for_brighter_images(official, 255)
    for one, two in zip(mended.layers, expected.layers, strict=True):
        np.testing.assert_array_equal(one.kernel, two.kernel)


@pytest.fixture
def untrained(tmp_path) -> Path:
    return write_vxm_dense_config(tmp_path / "random.h5", ([4, 4], [4, 4, 4]), int_steps=7)


def test_nothing_is_told_of_a_network_that_does_not_register(untrained, tmp_path):
    found = probe_model(load_engine("openvino", untrained, threads=2))
    assert (found.level, found.orientation_matters, found.direction, found.axes, found.unit) == (None,) * 5
    assert found.is_usual is None
    assert found.intensity is None
    (sentence,) = found.evidence
    assert sentence.startswith("It could not be told what this network expects")


def test_preparing_without_a_trial(untrained, tmp_path):
    prepared = prepare_model(untrained, tmp_path / "out", probe=False)
    assert prepared.probe is None
    assert prepared.sentences[-1] == "It was not tried on known warps."
    assert prepared.model.shape_multiple == 4
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["random.h5"]


def test_a_trial_can_be_stopped(untrained):
    calls = []
    progress = Progress(lambda *said: calls.append(said), lambda: len(calls) == 2)
    with pytest.raises(CancelledError):
        probe_model(untrained, progress)
    assert len(calls) == 2
