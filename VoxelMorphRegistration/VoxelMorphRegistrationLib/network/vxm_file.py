"""VoxelMorph's own model file: a VxmDense network in HDF5, as ``VxmDense.save`` of voxelmorph 0.2 writes it.

The file holds the constructor's arguments (JSON, attribute "model_config") and the layers' weights. The
layout follows voxelmorph.tf.networks.Unet: an encoder of levels (convolutions, then a 2x pooling), a decoder
of as many levels (convolutions, then a 2x upsampling joined to the encoder's level) whose layer names count
down, surplus "final" convolutions, and the flow convolution.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from VoxelMorphRegistrationLib.errors import EngineError, ModelError
from VoxelMorphRegistrationLib.network.integration import upsample

FloatArray = NDArray[np.float32]

_DEFAULT_FEATURES = [[16, 32, 32, 32], [32, 32, 32, 32, 32, 16, 16]]
_DOWNLOAD_AGAIN = "download it again or choose another file"


@dataclass(frozen=True)
class Convolution:
    """A 3x3x3 convolution: ``kernel`` (3, 3, 3, in, out) in Keras' order, ``bias`` (out,)."""

    kernel: FloatArray
    bias: FloatArray


@dataclass(frozen=True)
class VxmDenseModel:
    """The layers of a VxmDense network and what follows them.

    ``encoder`` and ``decoder`` are levels of convolutions in the order they run (the decoder deepest first);
    the first ``upsamplings`` decoder levels end in an upsampling. The U-Net's field is resized to
    1 / ``svf_resolution`` of the image and, where it is integrated, to 1 / ``integration_resolution``.
    """

    encoder: tuple[tuple[Convolution, ...], ...]
    decoder: tuple[tuple[Convolution, ...], ...]
    final: tuple[Convolution, ...]
    flow: Convolution
    upsamplings: int
    svf_resolution: float
    integration_resolution: float
    integration_steps: int

    @property
    def shape_multiple(self) -> int:
        """Every axis of the input has to be a multiple of this."""
        return max(int(2 ** len(self.encoder)), math.ceil(self.field_resolution))

    @property
    def field_resolution(self) -> float:
        """How many input voxels one voxel of the field that is integrated spans."""
        return self.integration_resolution if self.integration_steps else self.svf_resolution

    def to_field_resolution(self, vectors: FloatArray, input_shape: tuple[int, int, int]) -> FloatArray:
        """The U-Net's output (d, h, w, 3) resized as VxmDense resizes it before the integration."""
        for resolution in (self.svf_resolution, self.field_resolution):
            # round() like np.round in VxmDense: to even at .5
            i, j, k = (round(size / resolution) for size in input_shape)
            vectors = upsample(vectors, (i, j, k))
        return vectors


def read_vxm_dense(path: Path) -> VxmDenseModel:
    """Read and check a VxmDense ``.h5``. Raises ModelError, with the way out, for any other file.

    Slicer's own Python has no h5py; there it raises EngineError.
    """
    try:
        import h5py
    except ImportError as error:
        raise EngineError(
            "Reading a VoxelMorph model file needs the package h5py, which is installed with an engine; "
            "install one: Resources/requirements-openvino.txt."
        ) from error

    if not path.is_file():
        raise ModelError(f"The model file {path} was not found; check the path or download the model.")
    try:
        with h5py.File(path, "r") as file:
            config = _vxm_dense_config(path, file.attrs.get("model_config"))
            arrays = _arrays_by_layer(file)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise ModelError(
            f"{path.name} cannot be read as an HDF5 model, it may be truncated or damaged; {_DOWNLOAD_AGAIN}."
        ) from error
    return _assemble(path.name, config, arrays)


def _vxm_dense_config(path: Path, text: str | bytes | None) -> dict[str, Any]:
    if text is None:
        raise ModelError(
            f"{path.name} holds no VoxelMorph model (it has no model_config); "
            "choose a file that VxmDense of voxelmorph 0.1 or 0.2 saved."
        )
    model = json.loads(text)
    class_name = model.get("class_name") if isinstance(model, dict) else None
    if class_name in ("Model", "Functional", "Sequential"):
        raise ModelError(
            f"{path.name} is a whole Keras graph ({class_name}), like VoxelMorph's models of 2018, and not a "
            "VxmDense network; choose a model that VxmDense of voxelmorph 0.1 or 0.2 saved."
        )
    if class_name != "VxmDense":
        raise ModelError(
            f"{path.name} is a network of class {class_name}, and only VxmDense networks can be used; "
            "choose a file that VxmDense of voxelmorph 0.1 or 0.2 saved."
        )
    config: dict[str, Any] = model["config"]
    return config


def _arrays_by_layer(file: Any) -> dict[str, dict[str, NDArray[Any]]]:
    """Layer name to {"kernel": ..., "bias": ...}, wherever in the file Keras put them."""
    import h5py

    layers: dict[str, dict[str, NDArray[Any]]] = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and "optimizer_weights" not in name:
            *_, layer, variable = ("", *name.split("/"))
            layers.setdefault(layer, {})[variable.partition(":")[0]] = item[()]

    file.visititems(collect)
    return layers


def _assemble(name: str, config: dict[str, Any], layers: dict[str, dict[str, NDArray[Any]]]) -> VxmDenseModel:
    def refuse(reason: str) -> ModelError:
        return ModelError(f"{name} is a VxmDense network that cannot be used here: {reason}.")

    if len(config.get("inshape") or ()) != 3:
        raise refuse(f"it was made for {len(config.get('inshape') or ())}-D images, and 3-D is needed")
    if (config.get("src_feats", 1), config.get("trg_feats", 1)) != (1, 1):
        raise refuse("it takes several channels an image, and one is needed")
    for part in ("input_model", "hyp_model"):
        if config.get(part) is not None:
            raise refuse(f"it has a second network in front of it ({part})")

    steps, svf, integration = _resolutions(config)
    if svf != 1 and (steps == 0 or integration == 1):
        raise refuse(f"its field is at 1/{svf:g} resolution and nothing brings it to the image's")
    per_level = int(config.get("nb_unet_conv_per_level") or 1)
    try:
        encoder_features, decoder_features = _features(config, per_level)
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
    _check_channels(name, model, encoder_features, decoder_features)
    return model


def _resolutions(config: dict[str, Any]) -> tuple[int, float, float]:
    """Integration steps, SVF and integration resolution, from the new arguments or the deprecated ones."""
    steps = int(config.get("int_steps", 7))
    svf = 2.0 if config.get("unet_half_res") else float(config.get("svf_resolution") or 1)
    downsize = config.get("int_downsize")
    integration = float(config.get("int_resolution") or 2) if downsize is None else float(downsize)
    return steps, svf, max(integration, 1.0)


def _features(config: dict[str, Any], per_level: int) -> tuple[list[int], list[int]]:
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

    def __init__(self, file_name: str, layers: dict[str, dict[str, NDArray[Any]]]) -> None:
        self._file_name = file_name
        self._layers = layers

    def __call__(self, ending: str) -> Convolution:
        found = [arrays for name, arrays in self._layers.items() if re.search(rf"(^|_){ending}$", name)]
        if len(found) != 1 or not {"kernel", "bias"} <= found[0].keys():
            raise ModelError(
                f"{self._file_name} does not hold the layer {ending} that its configuration asks for; "
                f"{_DOWNLOAD_AGAIN}."
            )
        kernel, bias = (np.asarray(found[0][part], np.float32) for part in ("kernel", "bias"))
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise ModelError(
                f"{self._file_name} holds weights that are not finite in its layer {ending}; {_DOWNLOAD_AGAIN}."
            )
        return Convolution(kernel, bias)


def _check_channels(name: str, model: VxmDenseModel, encoder: list[int], decoder: list[int]) -> None:
    """Every layer's shape against the one before it; raises ModelError."""
    for number, (layer, channels_in, channels_out) in enumerate(_expected_channels(model, encoder, decoder)):
        expected = (3, 3, 3, channels_in, channels_out)
        if layer.kernel.shape != expected or layer.bias.shape != (channels_out,):
            raise ModelError(
                f"{name} does not fit its own configuration: convolution {number + 1} is "
                f"{layer.kernel.shape} instead of {expected}; {_DOWNLOAD_AGAIN}."
            )


def _expected_channels(
    model: VxmDenseModel, encoder: list[int], decoder: list[int]
) -> Iterator[tuple[Convolution, int, int]]:
    channels, skips, widths = 2, [], iter(encoder)
    for level in model.encoder:
        for layer in level:
            channels_out = next(widths)
            yield layer, channels, channels_out
            channels = channels_out
        skips.append(channels)
    widths = iter(decoder)
    for number, level in enumerate(model.decoder):
        for layer in level:
            channels_out = next(widths)
            yield layer, channels, channels_out
            channels = channels_out
        if number < model.upsamplings:
            channels += skips.pop()
    for layer, channels_out in zip(model.final, decoder[len(encoder) :], strict=True):
        yield layer, channels, channels_out
        channels = channels_out
    yield model.flow, channels, 3
