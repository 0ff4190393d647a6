"""VoxelMorph's VxmDense in training: fast convolutions, exact integration, and its own file format."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from VoxelMorphRegistrationLib.errors import ModelError
from VoxelMorphRegistrationLib.network.engines.tensorflow_engine import import_voxelmorph, load_vxm_dense
from VoxelMorphRegistrationLib.pipeline.training.random_fields import Shape

_INTEGRATION_STEPS = 7
_FIELD_RESOLUTION = 2
_ARCHITECTURE = ("nb_unet_features", "nb_unet_levels", "nb_unet_conv_per_level", "unet_feat_mult")
_FILE_SHAPE: Shape = (160, 192, 224)  # written into the file; the network takes any shape


class TrainingNetwork:
    """A VxmDense with its velocity at half resolution, by default of the T1 model's 313,507 parameters, on one shape.

    The convolutions run in bfloat16 where ``mixed`` (a CPU with AVX512-BF16 is then 1.5 times as fast), with weights
    kept in float32; velocity, integration and warp are always float32, because bfloat16 knows an 8-bit position only.
    """

    def __init__(
        self, shape: Shape, start: Path | None = None, *, seed: int = 1, mixed: bool = True, threads: int = 1
    ) -> None:
        """Random weights (Keras' own, from ``seed``), or those of the VxmDense file ``start``."""
        self.voxelmorph: ModuleType = import_voxelmorph(threads)
        import tensorflow as tf

        tf.keras.utils.set_random_seed(seed)
        tf.keras.mixed_precision.set_global_policy("mixed_bfloat16" if mixed else "float32")
        try:
            networks = self.voxelmorph.networks
            whole = (
                networks.VxmDense(shape, svf_resolution=_FIELD_RESOLUTION)
                if start is None
                else load_vxm_dense(self.voxelmorph, start, shape)
            )
        finally:
            tf.keras.mixed_precision.set_global_policy("float32")
        config = {} if start is None else self.voxelmorph.networks.VxmDense.load_config(str(start))
        self._architecture = {name: config[name] for name in _ARCHITECTURE if config.get(name) is not None}
        flow = next(layer for layer in whole.layers if layer.name.endswith("_flow"))
        if flow.output.shape[1] * _FIELD_RESOLUTION != shape[0] or config.get("int_steps") == 0:
            raise ModelError(
                "Training can go on only from a network that gives a velocity at half resolution, as VoxelMorph's T1 "
                "model (svf_resolution 2) and the embedded one do; choose one of these."
            )
        self.unet = tf.keras.Model(whole.inputs, flow.output)
        layers = self.voxelmorph.layers
        self._integrate = layers.VecInt(method="ss", int_steps=_INTEGRATION_STEPS)
        self._double = layers.RescaleTransform(_FIELD_RESOLUTION)
        self._warp = layers.SpatialTransformer(interp_method="linear", indexing="ij")

    @property
    def variables(self) -> list[Any]:
        """The trainable variables, float32, in the order of VxmDense."""
        return list(self.unet.trainable_variables)

    def velocity(self, moving: Any, fixed: Any) -> Any:
        """(1, d, h, w, 3) stationary velocity at half resolution, in its voxels, of two (1, D, H, W, 1) images."""
        import tensorflow as tf

        return tf.cast(self.unet([moving, fixed], training=True), tf.float32)

    def moved(self, image: Any, velocity: Any) -> Any:
        """An image (1, D, H, W, 1) warped by the integrated velocity."""
        return self._warp([image, self._double(self._integrate(velocity))])

    def write(self, path: Path, weights: list[Any] | None = None) -> None:
        """The network as VoxelMorph saves it, with other ``weights`` (in the order of ``variables``) where given."""
        model = self.voxelmorph.networks.VxmDense(_FILE_SHAPE, svf_resolution=_FIELD_RESOLUTION, **self._architecture)
        values = [variable.numpy() for variable in self.variables] if weights is None else weights
        model.set_weights(values)
        partial = path.with_name(f"{path.stem}.part.h5")  # Keras writes HDF5 only where the name says so
        model.save(str(partial))
        partial.replace(path)


def has_fast_bfloat16() -> bool:
    """Whether this processor computes in bfloat16 itself; others imitate it, slower than float32.

    Linux alone tells; elsewhere it is taken to be no.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
