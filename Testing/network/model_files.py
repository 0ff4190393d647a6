"""Model files with random weights in the layouts in which other programs save theirs."""

from __future__ import annotations

import io
import json
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np

DATA = Path(__file__).parent / "data"


class KerasGraph:
    """A whole graph as Keras 2.2.4 saved it; `layers` may be changed before `write`."""

    def __init__(self, widths: tuple[int, ...] = (3, 4), *, pooling: bool = False, doublings: int = 2) -> None:
        """Encoder levels of these widths; ``doublings`` of them are undone before the flow."""
        self.layers: list[dict[str, Any]] = []
        self.arrays: dict[str, tuple[Any, Any]] = {}
        self._random = np.random.default_rng(0)
        self._pooling = pooling
        images = [self._add("InputLayer", f"input_{n}", [], batch_input_shape=[None, 16, 24, 32, 1]) for n in (1, 2)]
        last, channels = self._add("Concatenate", "concatenate_1", images), 2
        kept = []
        for width in widths:
            if not pooling:
                kept.append((last, channels))
            last, channels = self.convolve(last, channels, width, 1 if pooling else 2), width
            if pooling:
                kept.append((last, channels))
                last = self._add("MaxPooling3D", f"pool_{width}", [last], pool_size=[2, 2, 2])
        for number in range(len(widths)):
            last, channels = self.convolve(last, channels, 4), 4
            if number < doublings:
                skip, more = kept.pop()
                doubled = self._add("UpSampling3D", f"up_{number}", [last], size=[2, 2, 2])
                last, channels = self._add("Concatenate", f"concatenate_up_{number}", [doubled, skip]), 4 + more
        self.last, self.channels = self.convolve(last, channels, 3), 3

    def convolve(self, source: str, channels: int, width: int, stride: int = 1, *, name: str = "") -> str:
        """A convolution and, unless it has a name, its activation; the name of what comes last."""
        name, activated = name or f"conv3d_{len(self.layers)}", not name
        kernel = self._random.normal(0, (2 / (27 * channels)) ** 0.5, (3, 3, 3, channels, width)).astype(np.float32)
        self.arrays[name] = kernel, self._random.normal(0, 0.1, width).astype(np.float32)
        self._add(
            "Conv3D", name, [source], kernel_size=[3] * 3, strides=[stride] * 3, filters=width, padding="same",
            activation="linear", data_format="channels_last", dilation_rate=[1] * 3, use_bias=True,
        )  # fmt: skip
        return self._add("LeakyReLU", f"leaky_{len(self.layers)}", [name], alpha=0.20000000298) if activated else name

    def cvpr2018(self, warping: str = "SpatialTransformer", **config: Any) -> KerasGraph:
        """A displacement that warps (cvpr2018_net)."""
        self.convolve(self.last, self.channels, 3, name="flow")
        self._add(warping, "warp", ["input_1", "flow"], **config)
        return self

    def miccai2018(self, kind: str = "VecInt", **config: Any) -> KerasGraph:
        """The mean and the variance of a velocity that is integrated (miccai2018_net)."""
        for name in ("flow", "log_sigma"):
            self.convolve(self.last, self.channels, 3, name=name)
        self._add("Concatenate", "parameters", ["flow", "log_sigma"])
        self._add("Sample", "z_sample", ["flow", "log_sigma"])
        self._add(kind, "flow-int", ["z_sample"], **config)
        self._add("Rescale", "diffflow_tmp", ["flow-int"])
        self._add("Resize", "diffflow", ["diffflow_tmp"])
        self._add("SpatialTransformer", "warp", ["input_1", "diffflow"])
        return self

    def layer(self, name: str) -> dict[str, Any]:
        """The entry of this layer, to be changed."""
        return next(layer for layer in self.layers if layer["name"] == name)

    def write(self, path: Path) -> Path:
        """The file."""
        config = {"layers": self.layers, "input_layers": [["input_1", 0, 0], ["input_2", 0, 0]], "name": "model_1"}
        config["output_layers"] = [["warp", 0, 0]]
        with h5py.File(path, "w") as file:
            file.attrs.update({"keras_version": "2.2.4", "backend": "tensorflow"})
            file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": config})
            weights = file.create_group("model_weights")
            weights.attrs.update({"keras_version": "2.2.4", "backend": "tensorflow"})
            weights.attrs["layer_names"] = np.array([layer["name"].encode() for layer in self.layers])
            for layer in self.layers:
                name = layer["name"]
                group = weights.create_group(name)
                names = [f"{name}_7/kernel:0", f"{name}_7/bias:0"] if name in self.arrays else []
                group.attrs["weight_names"] = np.array([each.encode() for each in names])
                for each, array in zip(names, self.arrays.get(name, ()), strict=True):
                    group[each] = array
        return path

    def _add(self, kind: str, name: str, sources: list[str], **config: Any) -> str:
        nodes = [[[source, 0, 0, {}] for source in sources]] if sources else []
        entry = {"class_name": kind, "name": name, "config": config | {"name": name}, "inbound_nodes": nodes}
        self.layers.append(entry)
        return name


def write_vxm_dense_config(path: Path, features: tuple[list[int], list[int]], **config: Any) -> Path:
    """A VxmDense file with random weights of this shape, as Keras writes it but for its lists of names."""
    config = {"inshape": [160, 160, 192], "nb_unet_features": features, "int_steps": 5} | config
    levels = len(features[0])
    joined = levels - (1 if config.get("svf_resolution") == 2 else 0)
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "VxmDense", "config": config})

        def add(name: str, channels: int, width: int) -> int:
            kernel = random.standard_normal((3, 3, 3, channels, width), np.float32)
            kernel *= np.float32((2 / (27 * channels)) ** 0.5)
            file[f"model_weights/{name}/{name}/kernel:0"] = kernel
            file[f"model_weights/{name}/{name}/bias:0"] = random.standard_normal(width, np.float32) / 10
            return width

        channels, kept = 2, []
        for level, width in enumerate(features[0]):
            channels = add(f"vxm_dense_unet_enc_conv_{level}_0", channels, width)
            kept.append(channels)
        for number, width in enumerate(features[1]):
            place = f"conv_{levels - 1 - number}_0" if number < levels else f"final_conv_{number - levels}"
            channels = add(f"vxm_dense_unet_dec_{place}", channels, width)
            channels += kept.pop() if number < joined else 0
        add("vxm_dense_flow", channels, 3)
    return path


class _Storage:
    def __init__(self, array: Any) -> None:
        self.array = np.ascontiguousarray(array, np.float32)


def save_torch(path: Path, content: Any) -> Path:
    """What ``torch.save`` writes, each NumPy array as a tensor of floats."""
    storages: list[_Storage] = []
    names = {"torch": types.ModuleType("torch"), "torch._utils": types.ModuleType("torch._utils")}

    def rebuild() -> None:
        """Stands for torch._utils._rebuild_tensor_v2, which is named in the pickle only."""

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    float_storage = type("FloatStorage", (), {"__module__": "torch"})
    vars(names["torch"])["FloatStorage"] = float_storage
    vars(names["torch._utils"])["_rebuild_tensor_v2"] = rebuild

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            if not isinstance(obj, _Storage):
                return None
            storages.append(obj)
            return ("storage", float_storage, str(len(storages) - 1), "cpu", obj.array.size)

        def reducer_override(self, obj: Any) -> Any:
            if not isinstance(obj, np.ndarray):
                return NotImplemented
            storage = _Storage(obj)
            strides = tuple(stride // 4 for stride in storage.array.strides)
            return rebuild, (storage, 0, obj.shape, strides, False, OrderedDict())

    pickled = io.BytesIO()
    with mock.patch.dict(sys.modules, names):
        Pickler(pickled, 2).dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled.getvalue())
        for number, storage in enumerate(storages):
            archive.writestr(f"archive/data/{number}", storage.array.tobytes())
    return path
