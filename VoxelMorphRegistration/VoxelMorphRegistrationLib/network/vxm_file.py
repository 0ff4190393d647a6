"""The model file that every engine runs: a VxmDense network in HDF5, as ``VxmDense.save`` of voxelmorph 0.2 writes it.

The file holds the constructor's arguments (JSON, attribute "model_config") and the layers' weights. The
layout follows voxelmorph.tf.networks.Unet: an encoder of levels (convolutions, then a 2x pooling), a decoder
of as many levels (convolutions, then a 2x upsampling joined to the encoder's level) whose layer names count
down, surplus "final" convolutions, and the flow convolution.

A network that halves by strided convolutions is no VxmDense; `vxm_writer` keeps it in the same layout under the class
name ``STRIDED``, with its levels listed.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.errors import ModelError
from VoxelMorphRegistrationLib.network.keras_file import KerasFile, LayerArrays, read_keras_file, to_convolution
from VoxelMorphRegistrationLib.network.vxm_model import DOWNLOAD_AGAIN, Convolution, VxmDenseModel, check_channels

GRAPHS = ("Model", "Functional", "Sequential")  # the classes under which Keras saves a whole graph
STRIDED = "VxmStrided"  # the class name of a network without pooling, which VxmDense cannot be

_DEFAULT_FEATURES = [[16, 32, 32, 32], [32, 32, 32, 32, 32, 16, 16]]
_MOST_LEVELS = 64
_ADD_IT = "add it to the models, which converts it (voxelmorph-registration models add FILE, or in the panel)"


def read_vxm_dense(path: Path) -> VxmDenseModel:
    """Read and check a model file. Raises ModelError, with the way out, for any other file.

    Slicer's own Python has no h5py; there it raises EngineError.
    """
    if path.suffix.lower() in (".pt", ".pth") and path.is_file():
        raise ModelError(f"{path.name} is a PyTorch file, which is not used as it is; {_ADD_IT}.")
    file = read_keras_file(path)
    if file.class_name == STRIDED:
        return _assemble_strided(file)
    if file.class_name in GRAPHS:
        raise ModelError(
            f"{path.name} is a whole Keras graph ({file.class_name}), like VoxelMorph's models of 2018, which is not "
            f"used as it is; {_ADD_IT}."
        )
    if file.class_name != "VxmDense":
        raise ModelError(
            f"{path.name} is a network of class {file.class_name}, and only VxmDense networks can be used; "
            "choose a file that VxmDense of voxelmorph 0.1 or 0.2 saved."
        )
    try:
        return assemble_vxm_dense(file.name, file.config, file.layers)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
        raise ModelError(f"{file.name} has a configuration that cannot be understood; {DOWNLOAD_AGAIN}.") from error


def assemble_vxm_dense(name: str, config: dict[str, Any], layers: LayerArrays) -> VxmDenseModel:
    """The network that VxmDense's constructor makes of ``config``, with the arrays of layers named as it names them.

    Raises ModelError, calling the file ``name``, for one that cannot be used here or does not fit its configuration.
    """

    def refuse(reason: str) -> ModelError:
        return ModelError(f"{name} is a VxmDense network that cannot be used here: {reason}.")

    if len(config.get("inshape") or ()) != 3:
        raise refuse(f"it was made for {len(config.get('inshape') or ())}-D images, and 3-D is needed")
    if (config.get("src_feats", 1), config.get("trg_feats", 1)) != (1, 1):
        raise refuse("it takes several channels an image, and one is needed")
    if config.get("hyp_model") is not None:
        raise refuse("it has a second network in front of it (hyp_model)")

    steps, svf, integration = resolutions(config)
    if svf != 1 and (steps == 0 or integration == 1):
        raise refuse(f"its field is at 1/{svf:g} resolution and nothing brings it to the image's")
    per_level = int(config.get("nb_unet_conv_per_level") or 1)
    if max(per_level, int(config.get("nb_unet_levels") or 1)) > _MOST_LEVELS:
        raise refuse("it has more levels than a volume can be halved")
    try:
        encoder_features, decoder_features = feature_lists(config, per_level)
    except (TypeError, ValueError) as error:
        raise refuse("its list of features (nb_unet_features) cannot be understood") from error
    levels = len(encoder_features) // per_level
    if not levels or len(decoder_features) < len(encoder_features):
        raise refuse("its decoder has fewer convolutions than its encoder")

    take = _LayerReader(name, layers)

    def convolutions(kind: str, level: int) -> tuple[Convolution, ...]:
        return tuple(take(rf"{kind}_conv_{level}_{n}") for n in range(per_level))

    upsamplings = max(0, levels - math.floor(math.log2(svf)))
    model = VxmDenseModel(
        encoder=tuple(convolutions("enc", level) for level in range(levels)),
        decoder=tuple(convolutions("dec", level) for level in reversed(range(levels))),
        final=tuple(take(rf"dec_final_conv_{n}") for n in range(len(decoder_features) - len(encoder_features))),
        flow=take("flow"),
        upsamplings=upsamplings,
        svf_resolution=svf,
        integration_resolution=integration,
        integration_steps=steps,
    )
    if config.get("input_model") is not None and take.others():
        # SynthMorph's makes the training images and learns nothing; one that has weights is part of the registration
        raise refuse("it has a second network in front of it (input_model)")
    check_features(name, model, encoder_features + decoder_features)
    check_channels(name, model)
    return model


def check_features(name: str, model: VxmDenseModel, features: list[int]) -> None:
    """Every layer's outputs against the configuration's list (the flow apart); raises ModelError."""
    for number, (layer, expected) in enumerate(zip(model.layers, features, strict=False)):
        if layer.bias.size != expected:
            raise ModelError(
                f"{name} does not fit its own configuration: convolution {number + 1} has {layer.bias.size} features "
                f"instead of {expected}; {DOWNLOAD_AGAIN}."
            )


def _assemble_strided(file: KerasFile) -> VxmDenseModel:
    try:
        take, config = _LayerReader(file.name, file.layers), file.config
        before, after = map(int, config["stride_padding"])
        encoder, decoder = config["encoder_convolutions"], config["decoder_convolutions"]
        model = VxmDenseModel(
            encoder=tuple(tuple(take(f"enc_conv_{i}_{n}") for n in range(count)) for i, count in enumerate(encoder)),
            decoder=tuple(
                tuple(take(f"dec_conv_{len(decoder) - 1 - i}_{n}") for n in range(count))
                for i, count in enumerate(decoder)
            ),
            final=tuple(take(f"dec_final_conv_{n}") for n in range(config["final_convolutions"])),
            flow=take("flow"),
            upsamplings=int(config["upsamplings"]),
            svf_resolution=float(config["svf_resolution"]),
            integration_resolution=float(config["int_resolution"]),
            integration_steps=int(config["int_steps"]),
            stride_padding=(before, after),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ModelError(
            f"{file.name} has a configuration that cannot be understood; add the original again."
        ) from error
    check_channels(file.name, model)
    return model


def resolutions(config: dict[str, Any]) -> tuple[int, float, float]:
    """Integration steps, SVF and integration resolution, from the new arguments or the deprecated ones."""
    steps = int(config.get("int_steps", 7))
    svf = 2.0 if config.get("unet_half_res") else float(config.get("svf_resolution") or 1)
    downsize = config.get("int_downsize")
    integration = float(config.get("int_resolution") or 2) if downsize is None else float(downsize)
    return steps, svf, max(integration, 1.0)


def feature_lists(config: dict[str, Any], per_level: int) -> tuple[list[int], list[int]]:
    """Features of every encoder and decoder convolution (the surplus at the end are the final ones)."""
    if config.get("enc_nf") and config.get("dec_nf"):  # files older than nb_unet_features
        return list(map(int, config["enc_nf"])), list(map(int, config["dec_nf"]))
    features = config.get("nb_unet_features")
    if isinstance(features, int):
        growth = config.get("unet_feat_mult", 1) ** np.arange(int(config["nb_unet_levels"]))
        per_depth = [int(f) for f in np.round(features * growth)]
        return (
            [f for f in per_depth[:-1] for _ in range(per_level)],
            [f for f in per_depth[::-1] for _ in range(per_level)],
        )
    encoder, decoder = features or _DEFAULT_FEATURES
    return list(map(int, encoder)), list(map(int, decoder))


class _LayerReader:
    """Finds a layer by the end of its name: the beginning is the name the model was given."""

    def __init__(self, file_name: str, layers: LayerArrays) -> None:
        self._file_name = file_name
        self._layers = layers
        self._taken: set[str] = set()

    def __call__(self, ending: str) -> Convolution:
        found = [name for name in self._layers if re.search(rf"(^|_){ending}$", name)]
        self._taken.update(found)
        return to_convolution(self._file_name, ending, self._layers[found[0]] if len(found) == 1 else {})

    def others(self) -> set[str]:
        """The layers with weights that were not asked for, the variance's apart, which is not used."""
        return {name for name in self._layers.keys() - self._taken if not name.endswith("log_sigma")}
