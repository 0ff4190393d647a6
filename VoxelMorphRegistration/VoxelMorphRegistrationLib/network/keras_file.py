"""A Keras model in HDF5: its class, its configuration and its layers' arrays, without Keras."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from VoxelMorphRegistrationLib.errors import EngineError, ModelError
from VoxelMorphRegistrationLib.network.vxm_model import DOWNLOAD_AGAIN, Convolution

LayerArrays = dict[str, dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class KerasFile:
    """What ``model.save`` wrote: ``layers`` maps a name in the file to {"kernel": ..., "bias": ...}.

    A layer's name in the configuration may differ from that of its arrays (Keras of 2018 has "flow/flow_27");
    ``array_names`` leads from the one to the other.
    """

    name: str
    class_name: str
    config: dict[str, Any]
    layers: LayerArrays
    array_names: dict[str, str]

    def convolution(self, layer: str) -> Convolution:
        """A layer's arrays as float32. Raises ModelError where they are missing or not finite."""
        return to_convolution(self.name, layer, self.layers.get(self.array_names.get(layer, layer), {}))


def to_convolution(file_name: str, layer: str, arrays: dict[str, NDArray[Any]]) -> Convolution:
    """The arrays {"kernel", "bias"} as a convolution; raises ModelError where they are missing or not finite."""
    if not {"kernel", "bias"} <= arrays.keys():
        raise ModelError(
            f"{file_name} does not hold the layer {layer} that its configuration asks for; {DOWNLOAD_AGAIN}."
        )
    kernel, bias = (np.asarray(arrays[part], np.float32) for part in ("kernel", "bias"))
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise ModelError(f"{file_name} holds weights that are not finite in its layer {layer}; {DOWNLOAD_AGAIN}.")
    return Convolution(kernel, bias)


def import_h5py() -> Any:
    """The module, which Slicer's own Python has not. Raises EngineError, with the way out."""
    try:
        import h5py
    except ImportError as error:
        raise EngineError(
            "Reading a VoxelMorph model file needs the package h5py, which is installed with an engine; "
            "install one: Resources/requirements-openvino.txt."
        ) from error
    return h5py


def read_keras_file(path: Path) -> KerasFile:
    """Read the ``.h5``. Raises ModelError for a file that is none, EngineError where there is no h5py."""
    h5py = import_h5py()
    if not path.is_file():
        raise ModelError(f"The model file {path} was not found; check the path or download the model.")
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            if text is None:
                raise ModelError(
                    f"{path.name} holds no VoxelMorph model (it has no model_config); "
                    "choose a file that VxmDense of voxelmorph 0.1 or 0.2 saved."
                )
            model = json.loads(text)
            return KerasFile(path.name, str(model["class_name"]), dict(model["config"]), *_arrays_by_layer(file))
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path.name} cannot be read as an HDF5 model, it may be truncated or damaged; {DOWNLOAD_AGAIN}."
        ) from error


def _arrays_by_layer(file: Any) -> tuple[LayerArrays, dict[str, str]]:
    """The arrays {"kernel": ..., "bias": ...} by name, wherever in the file Keras put them, and names to these."""
    h5py = import_h5py()
    layers: LayerArrays = {}
    array_names: dict[str, str] = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and "optimizer_weights" not in name:
            *groups, layer, variable = ("", *name.split("/"))
            layers.setdefault(layer, {})[variable.partition(":")[0]] = item[()]
            array_names[groups[-1] if groups else layer] = layer

    file.visititems(collect)
    return layers, array_names
