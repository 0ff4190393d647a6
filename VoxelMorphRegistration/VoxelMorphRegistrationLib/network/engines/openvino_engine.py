"""OpenVINO: runs a VxmDense file without TensorFlow, on the CPU, in 32-bit floats.

The graph is built straight from the weights, for one input shape at a time: fixed shapes let OpenVINO plan
its memory, and building takes a fraction of a second.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from VoxelMorphRegistrationLib.errors import EngineError
from VoxelMorphRegistrationLib.network.engines.protocol import Prediction, checked_pair
from VoxelMorphRegistrationLib.network.engines.recent import RecentNetworks, Shape
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense
from VoxelMorphRegistrationLib.network.vxm_model import Convolution, VxmDenseModel

FloatArray = NDArray[np.float32]

NAME = "openvino"
HOW_TO_INSTALL = 'install it with: pip install "openvino>=2025.0"'


def installed_version() -> str | None:
    """The installed version, without importing it; None where it is not installed."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return None


def load(weights_path: Path, shape: Shape | None, threads: int | None) -> OpenVINOEngine:
    """Load a VxmDense file; with a ``shape``, make it ready for that input now."""
    return OpenVINOEngine(read_vxm_dense(weights_path), shape, threads)


class OpenVINOEngine:
    """A VxmDense network in OpenVINO, compiled for the last input shapes."""

    name = NAME

    def __init__(self, model: VxmDenseModel, shape: Shape | None = None, threads: int | None = None) -> None:
        """With a ``shape``, ready for an input of that shape; ``threads`` None uses every core."""
        self._model = model
        self._threads = threads
        self._networks = RecentNetworks(self._compiled)
        self.shape_multiple = model.shape_multiple
        try:
            import openvino
        except ImportError as error:
            raise EngineError(f"OpenVINO is installed but cannot be loaded ({error}).") from error
        self._openvino = openvino
        if shape is not None:
            self._networks.of(shape)

    def predict(self, moving: FloatArray, fixed: FloatArray) -> Prediction:
        """See Engine.predict."""
        moving, fixed = checked_pair(moving, fixed, self.shape_multiple)
        shape: Shape = moving.shape
        network = self._networks.of(shape)
        try:
            request = network.create_infer_request()
            (flow,) = request.infer(
                {0: moving[np.newaxis, np.newaxis], 1: fixed[np.newaxis, np.newaxis]}, share_inputs=True
            ).values()
            vectors = np.ascontiguousarray(np.moveaxis(flow[0], 0, -1))
        except (RuntimeError, MemoryError) as error:
            raise EngineError(_failure(shape, error)) from error
        return Prediction(
            vectors=self._model.to_field_resolution(vectors, shape),
            kind="velocity" if self._model.integration_steps else "displacement",
            integration_steps=self._model.integration_steps,
            scale=self._model.field_resolution,
        )

    def _compiled(self, shape: Shape) -> Any:
        # On recent processors OpenVINO would take bfloat16, which moves the field by up to 0.2 voxels.
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if self._threads is not None:
            options["INFERENCE_NUM_THREADS"] = self._threads
        try:
            return self._openvino.Core().compile_model(build_graph(self._model, shape), "CPU", options)
        except (RuntimeError, MemoryError) as error:
            raise EngineError(_failure(shape, error)) from error


def _failure(shape: Shape, error: Exception) -> str:
    reason = str(error).strip().splitlines()
    return (
        f"OpenVINO could not run the network on {' x '.join(map(str, shape))} voxels "
        f"({reason[-1].strip() if reason else type(error).__name__}); "
        "a lower resolution needs less memory."
    )


def build_graph(model: VxmDenseModel, shape: Shape, *, transposed: bool | None = None) -> Any:
    """The U-Net as an ``openvino.Model``: (1,1,D,H,W) moving and fixed to (1,3,d,h,w), channels first.

    Where VxmDense doubles a field, joins it to a skip connection and convolves the two, this convolves each and
    adds: with ``transposed``, the doubling and its convolution are one transposed convolution that does 8 / 27
    of the products. It is faster on x86 (default there); elsewhere OpenVINO has only a slow one.
    """
    import openvino
    import openvino.opset11 as ops

    if transposed is None:
        transposed = platform.machine().lower() in ("x86_64", "amd64")

    def correlate(data: Any, kernel: FloatArray, stride: int = 1, padding: tuple[int, int] = (1, 1)) -> Any:
        before, after = ([amount] * 3 for amount in padding)
        return ops.convolution(data, ops.constant(_channels_first(kernel)), [stride] * 3, before, after, [1] * 3)

    def double_and_correlate(data: Any, kernel: FloatArray) -> Any:
        if transposed:
            weights = ops.constant(_doubling_kernel(kernel))
            return ops.convolution_backprop_data(
                data, weights, strides=[2] * 3, pads_begin=[1] * 3, pads_end=[1] * 3, dilations=[1] * 3
            )
        axes, factors = np.array([2, 3, 4], np.int64), np.array([2, 2, 2], np.float32)
        doubled = ops.interpolate(
            data,
            ops.constant(factors),
            "nearest",
            "scales",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
            axes=ops.constant(axes),
        )
        return correlate(doubled, kernel)

    def convolve(data: Any, layer: Convolution, skip: Any = None, halving: bool = False) -> Any:
        if halving and model.stride_padding is not None:
            result = correlate(data, layer.kernel, 2, model.stride_padding)
        elif skip is None:
            result = correlate(data, layer.kernel)
        else:  # the kernel's first input channels are those of the doubled field
            channels = data.get_output_shape(0)[1]
            result = ops.add(
                double_and_correlate(data, layer.kernel[:, :, :, :channels]),
                correlate(skip, layer.kernel[:, :, :, channels:]),
            )
        return ops.add(result, ops.constant(layer.bias.reshape(1, -1, 1, 1, 1)))

    def activate(data: Any) -> Any:
        return ops.prelu(data, ops.constant(np.array([0.2], np.float32)))

    def halve(data: Any) -> Any:
        return ops.max_pool(data, [2] * 3, [1] * 3, [0] * 3, [0] * 3, [2] * 3).output(0)

    inputs = [ops.parameter([1, 1, *shape], np.float32, name=name) for name in ("moving", "fixed")]
    last = ops.concat(inputs, 1)
    skips = []
    for level in model.encoder:
        if model.stride_padding is not None:
            skips.append(last)
        for number, layer in enumerate(level):
            last = activate(convolve(last, layer, halving=number == 0))
        if model.stride_padding is None:
            skips.append(last)
            last = halve(last)

    skip = None  # what the next convolution joins to its doubled input
    for number, level in enumerate(model.decoder):
        for layer in level:
            last, skip = activate(convolve(last, layer, skip)), None
        if number < model.upsamplings:
            skip = skips.pop()
    for layer in model.final:
        last, skip = activate(convolve(last, layer, skip)), None
    return openvino.Model([convolve(last, model.flow, skip)], inputs, "VxmDense")


def _channels_first(kernel: FloatArray) -> FloatArray:
    """Keras' (d, h, w, in, out) as OpenVINO's (out, in, d, h, w). Both correlate, neither flips."""
    return np.ascontiguousarray(kernel.transpose(4, 3, 0, 1, 2))


def _doubling_kernel(kernel: FloatArray) -> FloatArray:
    """The (in, out, 4, 4, 4) kernel of the transposed convolution that doubles (nearest) and then correlates.

    Along one axis, a voxel of the small field adds w2, w1 + w2, w0 + w1, w0 to the four voxels around its two.
    """
    spread = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], np.float32)
    return np.ascontiguousarray(np.einsum("ax,by,cz,xyzio->ioabc", spread, spread, spread, kernel))
