"""TensorFlow: VoxelMorph's own code (voxelmorph 0.2 on neurite 0.2), the reference for every other engine."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from VoxelMorphRegistrationLib.errors import EngineError, ModelError
from VoxelMorphRegistrationLib.network.engines.keras_strided import build_strided
from VoxelMorphRegistrationLib.network.engines.protocol import Prediction, checked_pair
from VoxelMorphRegistrationLib.network.engines.recent import RecentNetworks, Shape
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense

FloatArray = NDArray[np.float32]

NAME = "tensorflow"
HOW_TO_INSTALL = (
    "install voxelmorph 0.2, neurite 0.2, TensorFlow and tf-keras as Resources/requirements-tensorflow.txt describes"
)


def installed_version() -> str | None:
    """TensorFlow's version where all it takes is installed, else None; nothing is imported."""
    for package in ("voxelmorph", "neurite"):
        # the releases from 0.3 on are PyTorch only and have no VxmDense
        if not (_version(package) or "").startswith("0.2"):
            return None
    if _version("tf-keras") is None:
        return None
    return _version("tensorflow") or _version("tensorflow-cpu")


def load(weights_path: Path, shape: Shape | None, threads: int | None) -> TensorFlowEngine:
    """Load a VxmDense file; with a ``shape``, build the network for that input now."""
    return TensorFlowEngine(weights_path, shape, threads)


class TensorFlowEngine:
    """A VxmDense network in TensorFlow. It is built anew for an input of another shape; the last ones are kept."""

    name = NAME

    def __init__(self, weights_path: Path, shape: Shape | None = None, threads: int | None = None) -> None:
        """With a ``shape``, ready for an input of that shape; ``threads`` None uses every core."""
        self._file = read_vxm_dense(weights_path)  # says clearly what is wrong with a file; Keras does not
        self._weights_path = weights_path
        self.shape_multiple = self._file.shape_multiple
        self._voxelmorph = import_voxelmorph(threads)
        self._networks = RecentNetworks(self._build)
        if shape is not None:
            self._networks.of(shape)

    def predict(self, moving: FloatArray, fixed: FloatArray) -> Prediction:
        """See Engine.predict."""
        import tensorflow as tf

        moving, fixed = checked_pair(moving, fixed, self.shape_multiple)
        shape: Shape = moving.shape
        try:
            pair = [image[np.newaxis, ..., np.newaxis] for image in (moving, fixed)]
            vectors = self._networks.of(shape)(pair, training=False).numpy()[0]
        except (tf.errors.OpError, RuntimeError, MemoryError) as error:
            raise EngineError(
                f"TensorFlow could not run the network on {' x '.join(map(str, shape))} voxels "
                f"({type(error).__name__}); a lower resolution needs less memory."
            ) from error
        if self._file.stride_padding is not None:
            vectors = self._file.to_field_resolution(vectors, shape)
        return Prediction(
            vectors=np.ascontiguousarray(vectors, np.float32),
            kind="velocity" if self._file.integration_steps else "displacement",
            integration_steps=self._file.integration_steps,
            scale=self._file.field_resolution,
        )

    def _build(self, shape: Shape) -> Any:
        import tensorflow as tf

        if self._file.stride_padding is not None:
            return build_strided(self._file, shape)
        model = load_vxm_dense(self._voxelmorph, self._weights_path, shape)
        # preint_flow: the field just before the integration, at the resolution it is integrated at
        return tf.keras.Model(model.inputs, model.references.preint_flow)


def load_vxm_dense(voxelmorph: ModuleType, weights_path: Path, shape: Shape) -> Any:
    """VoxelMorph's VxmDense for an input ``shape`` other than the one it was trained at, too.

    A probabilistic network (use_probs) is rebuilt without its variance, so that it gives its mean and not a
    random sample. Raises ModelError for a file that Keras cannot read, such as one without its list of layers.
    """
    try:
        return _loaded(voxelmorph.networks.VxmDense, weights_path, shape)
    except (AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        raise ModelError(
            f"VoxelMorph cannot load {weights_path.name} ({_first_line(error)}); use the OpenVINO engine, or "
            "add the file to the models (voxelmorph-registration models add FILE), which writes it anew."
        ) from error


def _loaded(vxm_dense: Any, weights_path: Path, shape: Shape) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated argument names in the older files
        config = vxm_dense.load_config(str(weights_path)) | {"inshape": shape, "input_model": None}
        model = vxm_dense.from_config(dict(config))
        model.load_weights(str(weights_path))
        if config.get("use_probs"):
            mean_only = vxm_dense.from_config(config | {"use_probs": False})
            for layer in mean_only.layers:
                if layer.get_weights():
                    layer.set_weights(model.get_layer(layer.name).get_weights())
            model = mean_only
    return model


def import_voxelmorph(threads: int | None = None) -> ModuleType:
    """Import voxelmorph 0.2 on today's TensorFlow and Python; its two work-arounds live here only.

    1. neurite 0.2 is written for Keras 2, so TensorFlow has to be told to use tf-keras before it is imported.
    2. neurite 0.2 calls inspect.getargspec, which Python 3.11 removed (voxelmorph issue 619).

    Raises EngineError, with the way out.
    """
    import inspect

    for name, value in {
        "TF_USE_LEGACY_KERAS": "1",
        "NEURITE_BACKEND": "tensorflow",
        "VXM_BACKEND": "tensorflow",
    }.items():
        os.environ[name] = value
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not hasattr(inspect, "getargspec"):
        vars(inspect)["getargspec"] = lambda function: inspect.getfullargspec(function)[:4]

    imported_before = "tensorflow" in sys.modules
    try:
        with warnings.catch_warnings(), _without_native_log():
            warnings.simplefilter("ignore")
            import tensorflow as tf

            if getattr(tf.keras, "__version__", "2").startswith("3"):  # tf-keras states none
                raise EngineError(
                    "TensorFlow was already loaded with Keras 3 in this process, and VoxelMorph 0.2 needs "
                    "Keras 2; set the environment variable TF_USE_LEGACY_KERAS=1 before the program starts, "
                    "or use the OpenVINO engine."
                    if imported_before
                    else f"TensorFlow cannot use Keras 2, which VoxelMorph 0.2 needs; {HOW_TO_INSTALL}."
                )
            import voxelmorph
    except ImportError as error:
        raise EngineError(f"The TensorFlow engine cannot be loaded ({error}); {HOW_TO_INSTALL}.") from error
    if not hasattr(getattr(voxelmorph, "networks", None), "VxmDense"):
        raise EngineError(f"voxelmorph {_version('voxelmorph')} is installed, which has no VxmDense; {HOW_TO_INSTALL}.")
    tf.get_logger().setLevel("ERROR")
    if threads is not None:
        with suppress(RuntimeError):  # already running: the number of threads stays what it is
            tf.config.threading.set_intra_op_parallelism_threads(threads)
    return voxelmorph  # type: ignore[no-any-return]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].strip()


@contextmanager
def _without_native_log() -> Iterator[None]:
    """Hide what TensorFlow's C++ code writes to the process's standard error before its log level is read."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
