"""VxmDense files whose answer is known without running them, or that are quick: real files, run by the real engines."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from VoxelMorphRegistrationLib.network import vxm_writer
from VoxelMorphRegistrationLib.network.catalogue import BRAIN_MODEL, Catalogue
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense

_FEATURES = [[4, 4, 4, 4], [4, 4, 4, 4, 4]]
_VELOCITY = {"unet_half_res": True, "int_downsize": 2, "int_steps": 7}
_DISPLACEMENT = {"unet_half_res": False, "int_downsize": 1, "int_steps": 0}


def write_vxm_dense(
    path: Path,
    *,
    bias: tuple[float, float, float] = (0, 0, 0),
    kernel: float = 0.0,
    kind: str = "velocity",
    card: dict[str, Any] | None = None,
) -> Path:
    """A small VxmDense network with random weights but for its last layer, and its card beside it.

    ``bias`` is what it answers everywhere while ``kernel`` is 0, in voxels of its field along its axes (for a velocity:
    of twice its input's voxels); ``kernel`` scales what depends on the images. The card is that of the T1 model, with
    ``card`` instead where given.
    """
    config = (_VELOCITY if kind == "velocity" else _DISPLACEMENT) | {"inshape": [32] * 3, "nb_unet_features": _FEATURES}
    levels, upsamplings = len(_FEATURES[0]), 3 if kind == "velocity" else 4
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "VxmDense", "config": config})

        def add(name: str, channels_in: int, channels_out: int) -> int:
            weights = random.normal(0, np.sqrt(2 / (27 * channels_in)), (3, 3, 3, channels_in, channels_out))
            file[f"model_weights/{name}/{name}/kernel:0"] = weights.astype(np.float32)
            file[f"model_weights/{name}/{name}/bias:0"] = np.zeros(channels_out, np.float32)
            return channels_out

        channels, skips = 2, []
        for level, width in enumerate(_FEATURES[0]):
            channels = add(f"vxm_dense_unet_enc_conv_{level}_0", channels, width)
            skips.append(channels)
        for level in range(levels):
            channels = add(f"vxm_dense_unet_dec_conv_{levels - 1 - level}_0", channels, _FEATURES[1][level])
            channels += skips.pop() if level < upsamplings else 0
        for number, width in enumerate(_FEATURES[1][levels:]):
            channels = add(f"vxm_dense_unet_dec_final_conv_{number}", channels, width)
        add("vxm_dense_flow", channels, 3)
        flow = file["model_weights/vxm_dense_flow/vxm_dense_flow"]
        flow["kernel:0"][...] *= np.float32(kernel)
        flow["bias:0"][...] = bias
    words = {
        "name": path.stem,
        "title": f"Test model {path.stem}",
        "field_kind": kind,
        "file_name": path.name,
        "sha256": "",
        "size_bytes": path.stat().st_size,
        "source_url": "",
    }
    described = dataclasses.replace(Catalogue().card(BRAIN_MODEL), **(words | (card or {})))
    path.with_suffix(".json").write_text(described.to_json(), encoding="utf-8")
    return path


def as_keras_reads_it(path: Path) -> Path:
    """The same file with the list of layers that Keras needs, as `models add` writes it."""
    vxm_writer.write_vxm_dense(read_vxm_dense(path), path)
    return path
