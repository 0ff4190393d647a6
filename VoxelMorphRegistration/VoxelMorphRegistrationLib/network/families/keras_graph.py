"""A whole Keras graph: VoxelMorph's networks of 2018, and VxmDense saved as a plain ``tf.keras.Model``.

The graph (JSON) is followed from its two images to the convolution called "flow", and from there to the transformer
that warps the moving image. The networks of CVPR 2018 (``cvpr2018_net`` in src/networks.py of VoxelMorph's branch
legacy) give a displacement at full resolution; that of MICCAI 2018 (``miccai2018_net``) the mean and the variance of a
velocity at half resolution, integrated in 7 steps. The variance is for training and is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.errors import ModelError
from VoxelMorphRegistrationLib.network.families import numpy_layers
from VoxelMorphRegistrationLib.network.families.original import Original
from VoxelMorphRegistrationLib.network.keras_file import KerasFile
from VoxelMorphRegistrationLib.network.vxm_model import FloatArray, VxmDenseModel, check_channels, with_components

_KERAS_SAME = (0, 1)  # what padding "same" puts before and after an even axis at stride 2 and kernel 3
_STEPS = 7  # where the file does not say: VecInt of neuron (ext/neuron/neuron/layers.py), as of VoxelMorph
_RESIZING = ("Rescale", "Resize", "RescaleTransform", "ResizeTransform", "RescaleValues")
_WARPING = ("SpatialTransformer", "Dense3DSpatialTransformer")
_HARMLESS = ("Sample", "SampleNormalLogVar", "Concatenate", "Negate")


def read(file: KerasFile) -> Original:
    """The network of a Keras graph. Raises ModelError for a graph that is no registration network of this kind."""
    try:
        graph = _Graph(file)
        return Original(graph.family, graph.model, graph.evaluate)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ModelError(
            f"{file.name} is a Keras graph that is not laid out like a registration network of VoxelMorph; choose a "
            "model of VoxelMorph."
        ) from error


@dataclass(frozen=True)
class _Layer:
    name: str
    kind: str
    config: dict[str, Any]
    inputs: tuple[str, ...]


class _Graph:
    def __init__(self, file: KerasFile) -> None:
        self._file = file
        self._layers = {layer.name: layer for layer in map(_layer, file.config["layers"])}
        flows = [layer for layer in self._layers.values() if layer.kind == "Conv3D" and _is_flow(layer.name)]
        if len(flows) != 1:
            raise self._refuse(f"it has {len(flows)} convolutions called flow, and one is needed")
        self._flow = flows[0]
        self._images = [entry[0] for entry in file.config["input_layers"]]
        shapes = [self._layers[name].config["batch_input_shape"] for name in self._images]
        if len(shapes) != 2 or any(len(shape) != 5 for shape in shapes):
            raise self._refuse("its inputs are not two 3-D images")
        if any(shape[-1] != 1 for shape in shapes):
            raise self._refuse("it takes several channels an image, and one is needed")

    @property
    def family(self) -> str:
        year = "MICCAI" if self.model.integration_steps else "CVPR"
        return f"a whole Keras graph, like VoxelMorph's networks of {year} 2018"

    @cached_property
    def model(self) -> VxmDenseModel:
        """The same network as levels."""
        encoder, decoder, final, upsamplings, strided = self._levels()
        resolution = float(2 ** (len(encoder) - upsamplings))
        steps, integration, swapped = self._tail(resolution)
        if steps == 0 and resolution != 1:
            raise self._refuse(f"its field is at 1/{resolution:g} resolution and nothing brings it to the image's")
        model = VxmDenseModel(
            encoder=tuple(tuple(map(self._file.convolution, level)) for level in encoder),
            decoder=tuple(tuple(map(self._file.convolution, level)) for level in decoder),
            final=tuple(map(self._file.convolution, final)),
            flow=self._file.convolution(self._flow.name),
            upsamplings=upsamplings,
            svf_resolution=resolution,
            integration_resolution=integration,
            integration_steps=steps,
            stride_padding=_KERAS_SAME if strided else None,
        )
        check_channels(self._file.name, model)
        return with_components(model, (1, 0, 2)) if swapped else model

    def evaluate(self, moving: FloatArray, fixed: FloatArray) -> FloatArray:
        """The flow's output, layer by layer as the graph says, with x and y exchanged where it is read so."""
        images = dict(zip(self._images, (moving, fixed), strict=True))
        done: dict[str, FloatArray] = {}

        def value(name: str) -> FloatArray:
            if name not in done:
                layer = self._layers[name]
                done[name] = (
                    images[name][..., np.newaxis]
                    if layer.kind == "InputLayer"
                    else self._apply(layer, [value(source) for source in layer.inputs])
                )
            return done[name]

        field = value(self._flow.name)
        return field[..., [1, 0, 2]] if self._tail(1.0)[2] else field

    def _apply(self, layer: _Layer, data: list[FloatArray]) -> FloatArray:
        if layer.kind == "Conv3D":
            stride = layer.config["strides"][0]
            return numpy_layers.convolve(
                data[0], self._file.convolution(layer.name), stride, _KERAS_SAME if stride == 2 else (1, 1)
            )
        if layer.kind == "LeakyReLU":
            return numpy_layers.activate(data[0], layer.config["alpha"])
        if layer.kind == "Concatenate":
            return numpy_layers.join(*data)
        return numpy_layers.double(data[0]) if layer.kind == "UpSampling3D" else numpy_layers.halve(data[0])

    # ---- from the images to the flow ---------------------------------------------------------------------------

    def _levels(self) -> tuple[list[list[str]], list[list[str]], list[str], int, bool]:
        """Names of the encoder's levels, the decoder's, the final convolutions; upsamplings; whether it strides."""
        path = self._path()
        places = [place for place, layer in enumerate(path) if _halves(layer)]
        kinds = {path[place].kind for place in places}
        strided = kinds == {"Conv3D"}
        kept = [path[place - 1].name for place in places]  # what the upsamplings are joined to, the last one first
        if strided:
            starts, ends = places, [*places[1:], places[-1] + 1]
        else:
            starts, ends = [1, *(place + 1 for place in places[:-1])], places
        if len(kinds) != 1 or (strided and places[0] != 1):
            raise self._refuse("its layers halve the images in another way than VoxelMorph's")
        encoder = [_convolutions(path[start:end]) for start, end in zip(starts, ends, strict=True)]
        decoder: list[list[str]] = []
        current: list[str] = []
        for layer in path[ends[-1] :]:
            if layer.kind == "Conv3D":
                current.append(layer.name)
            elif layer.kind == "UpSampling3D":
                decoder.append(current)
                current = []
            elif layer.kind == "Concatenate" and layer.inputs[1:] != (kept.pop(),):
                raise self._refuse("its layers are joined in another way than VoxelMorph's")
        upsamplings, width = len(decoder), len(encoder[0])
        while len(decoder) < len(encoder):  # a network that ends below full resolution
            decoder.append(current[:width])
            current = current[width:]
        if not all((*encoder, *decoder)):
            raise self._refuse("it has a level without a convolution")
        return encoder, decoder, current, upsamplings, strided

    def _path(self) -> list[_Layer]:
        """From the joined images to the last layer before the flow."""
        layers = [self._layers[self._flow.inputs[0]]]
        while set(layers[-1].inputs) != set(self._images):
            layer = layers[-1]
            allowed = {
                "Conv3D": self._is_plain(layer),
                "LeakyReLU": abs(layer.config.get("alpha", 0.3) - 0.2) < 1e-6,
                "Concatenate": len(layer.inputs) == 2 and self._layers[layer.inputs[0]].kind == "UpSampling3D",
                "UpSampling3D": layer.config.get("size") == [2, 2, 2],
                "MaxPooling3D": layer.config.get("pool_size") == [2, 2, 2],
            }
            if not allowed.get(layer.kind, False):
                raise self._refuse(f"its layer {layer.name} ({layer.kind}) is none that VoxelMorph has")
            layers.append(self._layers[layer.inputs[0]])
        if list(layers[-1].inputs) != self._images:
            raise self._refuse("it joins its two images in another order than it takes them")
        layers.reverse()
        for layer, after in pairwise([*layers, self._flow]):
            if (layer.kind == "Conv3D") != (after.kind == "LeakyReLU"):
                raise self._refuse(f"its layer {layer.name} is not activated as VoxelMorph's are")
        return layers

    def _is_plain(self, layer: _Layer) -> bool:
        config = layer.config
        return (
            list(config.get("kernel_size", ())) == [3, 3, 3]
            and list(config.get("strides", ())) in ([1, 1, 1], [2, 2, 2])
            and list(config.get("dilation_rate", [1, 1, 1])) == [1, 1, 1]
            and config.get("padding") == "same"
            and config.get("activation", "linear") == "linear"
            and config.get("data_format", "channels_last") == "channels_last"
        )

    # ---- from the flow to the transformer ----------------------------------------------------------------------

    def _tail(self, resolution: float) -> tuple[int, float, bool]:
        """Integration steps, resolution of the integration, and whether x and y are exchanged ("xy" indexing)."""
        steps, integration, swapped, reached = 0, resolution, False, [self._flow.name]
        for name in reached:
            for layer in self._layers.values():
                if name not in layer.inputs or layer.name in reached:
                    continue
                if layer.kind == "Lambda":
                    raise self._refuse("it holds pieces of Python (Lambda layers) after its field, which are not run")
                if layer.kind == "VecInt":
                    if layer.config.get("method", "ss") not in ("ss", "scaling_and_squaring"):
                        raise self._refuse("it integrates its velocity in another way than by scaling and squaring")
                    steps = int(layer.config.get("int_steps", _STEPS))
                elif layer.kind in _RESIZING and steps == 0:
                    integration /= float(layer.config["zoom_factor"])
                elif layer.kind not in (*_RESIZING, *_WARPING, *_HARMLESS):
                    raise self._refuse(f"its layer {layer.name} ({layer.kind}) after the field is none VoxelMorph has")
                if layer.kind in _WARPING:  # the older kind (dense_3D_spatial_transformer.py) knows no other order
                    swapped |= layer.kind == "Dense3DSpatialTransformer" or layer.config.get("indexing") == "xy"
                else:
                    reached.append(layer.name)
        return steps, integration, swapped

    def _refuse(self, reason: str) -> ModelError:
        return ModelError(f"{self._file.name} is a Keras graph that cannot be used here: {reason}.")


def _layer(entry: dict[str, Any]) -> _Layer:
    nodes = entry["inbound_nodes"]
    inputs = tuple(link[0] for link in nodes[0]) if nodes else ()
    return _Layer(entry["name"], entry["class_name"], entry["config"], inputs)


def _halves(layer: _Layer) -> bool:
    return layer.kind == "MaxPooling3D" or (layer.kind == "Conv3D" and list(layer.config["strides"]) == [2, 2, 2])


def _convolutions(layers: list[_Layer]) -> list[str]:
    return [layer.name for layer in layers if layer.kind == "Conv3D"]


def _is_flow(name: str) -> bool:
    return re.search(r"(^|_)flow$", name) is not None
