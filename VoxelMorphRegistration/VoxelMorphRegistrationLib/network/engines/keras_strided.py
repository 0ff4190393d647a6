"""A network that halves by strided convolutions, in Keras: VoxelMorph 0.2 itself has none, its legacy code had."""

from __future__ import annotations

from typing import Any

from VoxelMorphRegistrationLib.network.vxm_model import Convolution, VxmDenseModel

Shape = tuple[int, int, int]


def build_strided(model: VxmDenseModel, shape: Shape) -> Any:
    """The U-Net as a ``tf.keras.Model``: two (1, D, H, W, 1) images to its field (1, d, h, w, 3)."""
    import tensorflow as tf

    keras = tf.keras.layers
    assert model.stride_padding is not None
    padding = model.stride_padding

    def convolve(data: Any, layer: Convolution, halving: bool = False) -> Any:
        if halving:
            data = keras.ZeroPadding3D((padding, padding, padding))(data)
        convolution = keras.Conv3D(
            layer.bias.size, 3, strides=2 if halving else 1, padding="valid" if halving else "same"
        )
        result = convolution(data)
        convolution.set_weights([layer.kernel, layer.bias])
        return result

    def activate(data: Any) -> Any:
        return keras.LeakyReLU(0.2)(data)

    images = [tf.keras.Input((*shape, 1)) for _ in range(2)]
    last = keras.Concatenate()(images)
    kept = []
    for level in model.encoder:
        kept.append(last)
        for number, layer in enumerate(level):
            last = activate(convolve(last, layer, halving=number == 0))
    for number, level in enumerate(model.decoder):
        for layer in level:
            last = activate(convolve(last, layer))
        if number < model.upsamplings:
            last = keras.Concatenate()([keras.UpSampling3D()(last), kept.pop()])
    for layer in model.final:
        last = activate(convolve(last, layer))
    return tf.keras.Model(images, convolve(last, model.flow))
