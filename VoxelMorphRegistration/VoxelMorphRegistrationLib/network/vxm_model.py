"""VoxelMorph's registration network as data: the convolutions of its U-Net and what follows them.

One structure holds every family that is read. They differ in how the encoder halves (pooling in VxmDense, strided
convolutions in the networks of 2018 and in PyTorch's of 2020) and, with that, in what the decoder joins: the
levels' own outputs, or their inputs, so that the highest one is the two images themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from VoxelMorphRegistrationLib.errors import ModelError
from VoxelMorphRegistrationLib.network.integration import upsample

FloatArray = NDArray[np.float32]

DOWNLOAD_AGAIN = "download it again or choose another file"


@dataclass(frozen=True)
class Convolution:
    """A 3x3x3 convolution: ``kernel`` (3, 3, 3, in, out) in Keras' order, ``bias`` (out,)."""

    kernel: FloatArray
    bias: FloatArray


@dataclass(frozen=True)
class VxmDenseModel:
    """The layers of a registration network and what follows them.

    ``encoder`` and ``decoder`` are levels of convolutions in the order they run (the decoder deepest first);
    the first ``upsamplings`` decoder levels end in an upsampling, which is joined to what the encoder kept. The
    U-Net's field is resized to 1 / ``svf_resolution`` of the image and, where it is integrated, to
    1 / ``integration_resolution``.

    ``stride_padding`` None: an encoder level ends in a 2x pooling, and its output before that is kept. Otherwise the
    level's first convolution has a stride of 2, with so many zero voxels before and after every axis ((0, 1) is Keras'
    "same" on an even size, (1, 1) is PyTorch's padding of 1), and what the level was given is kept.
    """

    encoder: tuple[tuple[Convolution, ...], ...]
    decoder: tuple[tuple[Convolution, ...], ...]
    final: tuple[Convolution, ...]
    flow: Convolution
    upsamplings: int
    svf_resolution: float
    integration_resolution: float
    integration_steps: int
    stride_padding: tuple[int, int] | None = None

    @property
    def shape_multiple(self) -> int:
        """Every axis of the input has to be a multiple of this."""
        return max(int(2 ** len(self.encoder)), math.ceil(self.field_resolution))

    @property
    def field_resolution(self) -> float:
        """How many input voxels one voxel of the field that is integrated spans."""
        return self.integration_resolution if self.integration_steps else self.svf_resolution

    @property
    def layers(self) -> tuple[Convolution, ...]:
        """Every convolution in the order they run."""
        levels = (*self.encoder, *self.decoder)
        return (*(layer for level in levels for layer in level), *self.final, self.flow)

    @property
    def parameters(self) -> int:
        """How many numbers it learnt."""
        return sum(layer.kernel.size + layer.bias.size for layer in self.layers)

    def to_field_resolution(self, vectors: FloatArray, input_shape: tuple[int, int, int]) -> FloatArray:
        """The U-Net's output (d, h, w, 3) resized as VxmDense resizes it before the integration."""
        for resolution in (self.svf_resolution, self.field_resolution):
            # round() like np.round in VxmDense: to even at .5
            i, j, k = (round(size / resolution) for size in input_shape)
            vectors = upsample(vectors, (i, j, k))
        return vectors


def with_images_exchanged(model: VxmDenseModel) -> VxmDenseModel:
    """The network that says of (a, b) what ``model`` says of (b, a)."""
    first, *others = model.encoder[0]
    encoder = ((_with_inputs(first, [1, 0]), *others), *model.encoder[1:])
    final, flow = list(model.final), model.flow
    if model.stride_padding is not None and model.upsamplings == len(model.encoder):
        # there the images themselves are joined to the last upsampling, behind its own channels
        channels = (final[0] if final else flow).kernel.shape[3]
        order = [*range(channels - 2), channels - 1, channels - 2]
        if final:
            final[0] = _with_inputs(final[0], order)
        else:
            flow = _with_inputs(flow, order)
    return replace(model, encoder=encoder, final=tuple(final), flow=flow)


def with_components(model: VxmDenseModel, axes: tuple[int, int, int]) -> VxmDenseModel:
    """The network whose field's component ``axes[n]`` is component n of what ``model`` says."""
    order = [axes.index(n) for n in range(3)]
    kernel, bias = model.flow.kernel[..., order], model.flow.bias[order]
    return replace(model, flow=Convolution(np.ascontiguousarray(kernel), np.ascontiguousarray(bias)))


def _with_inputs(layer: Convolution, order: list[int]) -> Convolution:
    return Convolution(np.ascontiguousarray(layer.kernel[:, :, :, order]), layer.bias)


def check_channels(name: str, model: VxmDenseModel) -> None:
    """Every layer's input channels against the layers before it; raises ModelError, calling the file ``name``."""
    for number, (layer, channels_in) in enumerate(_expected_channels(model)):
        channels_out = layer.bias.size
        expected = (3, 3, 3, channels_in, channels_out)
        if layer.kernel.shape != expected or layer.bias.shape != (channels_out,):
            raise ModelError(
                f"{name} does not fit its own configuration: convolution {number + 1} is "
                f"{layer.kernel.shape} instead of {expected}; {DOWNLOAD_AGAIN}."
            )
    if model.flow.bias.size != 3:
        raise ModelError(
            f"{name} predicts {model.flow.bias.size} components instead of the 3 of a 3-D displacement; "
            f"{DOWNLOAD_AGAIN}."
        )


def _expected_channels(model: VxmDenseModel) -> Iterator[tuple[Convolution, int]]:
    channels, skips = 2, []
    for level in model.encoder:
        if model.stride_padding is not None:
            skips.append(channels)
        for layer in level:
            yield layer, channels
            channels = layer.bias.size
        if model.stride_padding is None:
            skips.append(channels)
    for number, level in enumerate(model.decoder):
        for layer in level:
            yield layer, channels
            channels = layer.bias.size
        if number < model.upsamplings:
            channels += skips.pop()
    for layer in (*model.final, model.flow):
        yield layer, channels
        channels = layer.bias.size
