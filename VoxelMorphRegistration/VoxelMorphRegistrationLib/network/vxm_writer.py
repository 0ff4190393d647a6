"""Writing a network as the one kind of file that every engine runs (`vxm_file` reads it).

It is what ``VxmDense.save`` of voxelmorph 0.2 writes, so that VoxelMorph itself loads it, too; only a network that
halves by strided convolutions, which VxmDense cannot be, has a class name of its own.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.errors import ModelError
from VoxelMorphRegistrationLib.network.keras_file import import_h5py
from VoxelMorphRegistrationLib.network.vxm_file import STRIDED
from VoxelMorphRegistrationLib.network.vxm_model import Convolution, VxmDenseModel

_KERAS = {"backend": "tensorflow", "keras_version": "2.3.0-tf"}  # without them Keras takes the layout of Keras 1


def write_vxm_dense(model: VxmDenseModel, path: Path, *, inshape: tuple[int, int, int] = (160, 192, 224)) -> None:
    """Write the network; ``inshape`` is the shape it says it was made for (it takes others, too).

    The same network gives the same bytes. Raises ModelError for one that VxmDense cannot be, EngineError where there is
    no h5py, OSError where the file cannot be written.
    """
    h5py = import_h5py()
    config = _strided_config(model) if model.stride_padding is not None else _vxm_dense_config(model)
    class_name = "VxmDense" if model.stride_padding is None else STRIDED
    layers = _named_layers(model)
    with h5py.File(path, "w") as file:
        file.attrs.update(_KERAS)
        file.attrs["model_config"] = json.dumps({"class_name": class_name, "config": {"inshape": inshape} | config})
        weights = file.create_group("model_weights")
        weights.attrs.update(_KERAS)
        weights.attrs["layer_names"] = np.array([name.encode() for name in layers])
        for name, layer in layers.items():
            group = weights.create_group(name)
            group.attrs["weight_names"] = np.array([f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()])
            group[f"{name}/kernel:0"], group[f"{name}/bias:0"] = layer.kernel, layer.bias


def _vxm_dense_config(model: VxmDenseModel) -> dict[str, Any]:
    counts = {len(level) for level in (*model.encoder, *model.decoder)}
    levels = len(model.encoder)
    upsamplings = max(0, levels - math.floor(math.log2(model.svf_resolution)))
    if len(counts) != 1 or len(model.decoder) != levels or model.upsamplings != upsamplings:
        raise ModelError("This network pools but its levels are not those of a VxmDense network, so it cannot be used.")
    decoder = [layer for level in model.decoder for layer in level] + list(model.final)
    return {
        "nb_unet_features": [
            [int(layer.bias.size) for level in model.encoder for layer in level],
            [int(layer.bias.size) for layer in decoder],
        ],
        "nb_unet_levels": None,
        "unet_feat_mult": 1,
        "nb_unet_conv_per_level": counts.pop(),
        "int_steps": model.integration_steps,
        "svf_resolution": model.svf_resolution,
        "int_resolution": model.integration_resolution,
        "bidir": False,
        "use_probs": False,
        "src_feats": 1,
        "trg_feats": 1,
        "input_model": None,
        "hyp_model": None,
    }


def _strided_config(model: VxmDenseModel) -> dict[str, Any]:
    return {
        "encoder_convolutions": [len(level) for level in model.encoder],
        "decoder_convolutions": [len(level) for level in model.decoder],
        "final_convolutions": len(model.final),
        "upsamplings": model.upsamplings,
        "int_steps": model.integration_steps,
        "svf_resolution": model.svf_resolution,
        "int_resolution": model.integration_resolution,
        "stride_padding": model.stride_padding,
    }


def _named_layers(model: VxmDenseModel) -> dict[str, Convolution]:
    """Every layer by the name that VxmDense gives it, in the order in which Keras lists them."""
    named: dict[str, Convolution] = {}
    for kind, levels in (("enc", model.encoder), ("dec", model.decoder)):
        for place, level in enumerate(levels):
            number = place if kind == "enc" else len(levels) - 1 - place
            for n, layer in enumerate(level):
                named[f"vxm_dense_unet_{kind}_conv_{number}_{n}"] = layer
    for n, layer in enumerate(model.final):
        named[f"vxm_dense_unet_dec_final_conv_{n}"] = layer
    return named | {"vxm_dense_flow": model.flow}
