"""VoxelMorph's PyTorch networks: ``VxmDense.save`` of its torch backend, {"config": ..., "model_state": ...}.

From February 2021 (voxelmorph 0.2) they have the layers of the TensorFlow ones under other names; before, in 2020, they
halved by strided convolutions ("downarm", "uparm", "extras"). PyTorch's own integration takes zero outside the field
and TensorFlow's the nearest value, so beside the border of the images the displacement differs from PyTorch's, by
voxels there, as it does between VoxelMorph's two backends; the velocity does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.errors import FileError, ModelError
from VoxelMorphRegistrationLib.network.families import numpy_layers
from VoxelMorphRegistrationLib.network.families.original import Original
from VoxelMorphRegistrationLib.network.keras_file import LayerArrays, to_convolution
from VoxelMorphRegistrationLib.network.vxm_file import (
    assemble_vxm_dense,
    check_features,
    feature_lists,
    resolutions,
)
from VoxelMorphRegistrationLib.network.vxm_model import (
    DOWNLOAD_AGAIN,
    Convolution,
    FloatArray,
    VxmDenseModel,
    check_channels,
)
from VoxelMorphRegistrationLib.torch_file import load_torch

_FAMILY = "a VxmDense network of VoxelMorph for PyTorch"
_PADDING = (1, 1)
_SAVE = (
    "save it in PyTorch with VoxelMorph's own model.save(name), which writes the configuration and the weights alone"
)


def read(path: Path) -> Original:
    """Read a ``.pt``/``.pth`` file without running anything in it. Raises ModelError or FileError."""
    if not path.is_file():
        raise ModelError(f"The model file {path} was not found; check the path.")
    try:
        content = load_torch(path, advice=_SAVE)
    except FileError as error:
        raise ModelError(str(error)) from error
    except Exception as error:  # a damaged zip or pickle may raise anything
        sentence = f"{path.name} cannot be read as a PyTorch file, it may be damaged; {DOWNLOAD_AGAIN}."
        raise ModelError(sentence) from error
    if not isinstance(content, Mapping) or not {"config", "model_state"} <= content.keys():
        raise ModelError(f"{path.name} holds weights without the network's configuration; {_SAVE}.")
    try:
        config, state = dict(content["config"]), dict(content["model_state"])
        state = {key.removeprefix("module."): value for key, value in state.items()}
        return _Network(path.name, config, state).original()
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ModelError(
            f"{path.name} does not hold a VxmDense network of VoxelMorph's PyTorch backend; choose one that its "
            "VxmDense.save wrote."
        ) from error


class _Network:
    def __init__(self, name: str, config: dict[str, Any], state: dict[str, Any]) -> None:
        self._name, self._config, self._state = name, config, state

    def original(self) -> Original:
        if any(key.startswith("unet_model.downarm.") for key in self._state):
            return Original(
                "a VxmDense network of VoxelMorph for PyTorch, of 2020", self._strided(), self._evaluate_2020
            )
        layers: LayerArrays = {}
        depth = 1 + max(int(match[1]) for match in self._keys(r"unet_model\.decoder\.(\d+)\."))
        for match in self._keys(r"unet_model\.encoder\.(\d+)\.(\d+)\.main\.weight"):
            self._name_layer(layers, match, f"enc_conv_{match[1]}_{match[2]}")
        for match in self._keys(r"unet_model\.decoder\.(\d+)\.(\d+)\.main\.weight"):
            self._name_layer(layers, match, f"dec_conv_{depth - 1 - int(match[1])}_{match[2]}")
        for match in self._keys(r"unet_model\.remaining\.(\d+)\.main\.weight"):
            self._name_layer(layers, match, f"dec_final_conv_{match[1]}")
        for match in self._keys(r"flow\.weight"):
            self._name_layer(layers, match, "flow")
        model = assemble_vxm_dense(self._name, self._config, layers)
        return Original(_FAMILY, model, self._evaluate)

    def _name_layer(self, layers: LayerArrays, match: re.Match[str], name: str) -> None:
        layer = self._convolution(match.string.removesuffix(".weight"))
        layers[name] = {"kernel": layer.kernel, "bias": layer.bias}

    def _strided(self) -> VxmDenseModel:
        steps, _, integration = resolutions(self._config)
        encoder, decoder = feature_lists(self._config, 1)
        levels = len(encoder)
        model = VxmDenseModel(
            encoder=tuple((self._convolution(f"unet_model.downarm.{n}.main"),) for n in range(levels)),
            decoder=tuple((self._convolution(f"unet_model.uparm.{n}.main"),) for n in range(levels)),
            final=tuple(self._convolution(f"unet_model.extras.{n}.main") for n in range(len(decoder) - levels)),
            flow=self._convolution("flow"),
            upsamplings=levels,
            svf_resolution=1.0,
            integration_resolution=integration,
            integration_steps=steps,
            stride_padding=_PADDING,
        )
        check_features(self._name, model, encoder + decoder)
        check_channels(self._name, model)
        return model

    def _evaluate(self, moving: FloatArray, fixed: FloatArray) -> FloatArray:
        """Unet.forward and the flow of voxelmorph/torch/networks.py since February 2021."""
        last = numpy_layers.join(moving[..., np.newaxis], fixed[..., np.newaxis])
        history = [last]
        encoder = self._levels("encoder")
        for level in encoder:
            last = self._blocks(last, level)
            history.append(last)
            last = numpy_layers.halve(last)
        half = bool(self._config.get("unet_half_res"))
        for number, level in enumerate(self._levels("decoder")):
            last = self._blocks(last, level)
            if not half or number < len(encoder) - 1:
                last = numpy_layers.join(numpy_layers.double(last), history.pop())
        last = self._blocks(last, self._places(r"(unet_model\.remaining\.(\d+))\.main\.weight"))
        return numpy_layers.convolve(last, self._convolution("flow"))

    def _evaluate_2020(self, moving: FloatArray, fixed: FloatArray) -> FloatArray:
        """unet.forward and the flow of voxelmorph/torch/networks.py from May to December 2020 (commit bb12e95)."""
        history = [numpy_layers.join(moving[..., np.newaxis], fixed[..., np.newaxis])]
        for place in self._places(r"(unet_model\.downarm\.(\d+))\.main\.weight"):
            layer = self._convolution(f"{place}.main")
            history.append(numpy_layers.activate(numpy_layers.convolve(history[-1], layer, 2, _PADDING)))
        last = history.pop()
        for place in self._places(r"(unet_model\.uparm\.(\d+))\.main\.weight"):
            last = numpy_layers.join(numpy_layers.double(self._blocks(last, [place])), history.pop())
        last = self._blocks(last, self._places(r"(unet_model\.extras\.(\d+))\.main\.weight"))
        return numpy_layers.convolve(last, self._convolution("flow"))

    def _blocks(self, data: FloatArray, places: list[str]) -> FloatArray:
        for place in places:
            data = numpy_layers.activate(numpy_layers.convolve(data, self._convolution(f"{place}.main")))
        return data

    def _levels(self, part: str) -> list[list[str]]:
        levels = {int(match[1]) for match in self._keys(rf"unet_model\.{part}\.(\d+)\.")}
        return [self._places(rf"(unet_model\.{part}\.{level}\.(\d+))\.main\.weight") for level in sorted(levels)]

    def _places(self, pattern: str) -> list[str]:
        """What the pattern's first group finds among the keys, in the order of the number in its second."""
        return [match[1] for match in sorted(self._keys(pattern), key=lambda match: int(match[2]))]

    def _keys(self, pattern: str) -> list[re.Match[str]]:
        return [match for key in self._state if (match := re.match(pattern, key))]

    def _convolution(self, place: str) -> Convolution:
        """PyTorch's (out, in, d, h, w) as Keras' (d, h, w, in, out). Both correlate, neither flips."""
        arrays = {}
        if f"{place}.weight" in self._state and f"{place}.bias" in self._state:
            weight = np.asarray(self._state[f"{place}.weight"], np.float32)
            if weight.ndim != 5:
                raise ModelError(f"{self._name} was made for {weight.ndim - 2}-D images, and 3-D is needed.")
            kernel = np.ascontiguousarray(weight.transpose(2, 3, 4, 1, 0))
            arrays = {"kernel": kernel, "bias": np.asarray(self._state[f"{place}.bias"], np.float32)}
        return to_convolution(self._name, place, arrays)
