"""The layers of VoxelMorph's networks in NumPy: slow, plain, and independent of every engine.

Arrays are (d, h, w, channels). They are for checking a converted file against its original on a small volume.
"""

from __future__ import annotations

import numpy as np

from VoxelMorphRegistrationLib.network.vxm_model import Convolution, FloatArray, VxmDenseModel


def convolve(data: FloatArray, layer: Convolution, stride: int = 1, padding: tuple[int, int] = (1, 1)) -> FloatArray:
    """A 3x3x3 correlation (as Keras and PyTorch convolve) with so many zeros before and after each axis."""
    padded = np.pad(data, [*[padding] * 3, (0, 0)])
    shape = [(size - 3) // stride + 1 for size in padded.shape[:3]]
    result = np.broadcast_to(layer.bias, (*shape, layer.bias.size)).astype(np.float32)
    for offset in np.ndindex(3, 3, 3):
        window = tuple(slice(o, o + stride * (n - 1) + 1, stride) for o, n in zip(offset, shape, strict=True))
        result += padded[window] @ layer.kernel[offset]
    return result


def activate(data: FloatArray, slope: float = 0.2) -> FloatArray:
    """LeakyReLU."""
    return np.where(data > 0, data, np.float32(slope) * data)


def halve(data: FloatArray) -> FloatArray:
    """The maximum of every 2 x 2 x 2 voxels."""
    d, h, w, channels = data.shape
    result: FloatArray = data.reshape(d // 2, 2, h // 2, 2, w // 2, 2, channels).max(axis=(1, 3, 5))
    return result


def double(data: FloatArray) -> FloatArray:
    """Every voxel eight times."""
    return data.repeat(2, 0).repeat(2, 1).repeat(2, 2)


def join(*parts: FloatArray) -> FloatArray:
    """Channels behind channels."""
    return np.concatenate(parts, axis=-1)


def evaluate(model: VxmDenseModel, moving: FloatArray, fixed: FloatArray) -> FloatArray:
    """The U-Net's field (d, h, w, 3) for two (D, H, W) images, as VxmDense of voxelmorph 0.2 computes it."""
    strided = model.stride_padding
    last = join(moving[..., np.newaxis], fixed[..., np.newaxis])
    kept = []
    for level in model.encoder:
        if strided is not None:
            kept.append(last)
        for number, layer in enumerate(level):
            halving = strided is not None and number == 0
            last = activate(convolve(last, layer, 2, strided) if halving and strided else convolve(last, layer))
        if strided is None:
            kept.append(last)
            last = halve(last)
    for number, level in enumerate(model.decoder):
        for layer in level:
            last = activate(convolve(last, layer))
        if number < model.upsamplings:
            last = join(double(last), kept.pop())
    for layer in model.final:
        last = activate(convolve(last, layer))
    return convolve(last, model.flow)
