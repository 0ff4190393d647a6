"""Two smooth volumes and a small VxmDense network with random weights: a registration that needs no data."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
from VoxelMorphRegistrationLib.spatial import Grid, Image

_ENCODER, _DECODER = [4, 8], [8, 8, 4]


def write_small_model(path: Path, seed: int = 1) -> Path:
    """A VxmDense file as ``VxmDense.save`` of voxelmorph 0.2 lays it out, two levels deep, with a small field."""
    random = np.random.default_rng(seed)
    layers = {
        "enc_conv_0_0": (2, 4),
        "enc_conv_1_0": (4, 8),
        "dec_conv_1_0": (8, 8),
        "dec_conv_0_0": (8 + 8, 8),
        "dec_final_conv_0": (8 + 4, 4),
        "flow": (4, 3),
    }
    config = {
        "inshape": [64, 64, 64],
        "nb_unet_features": [_ENCODER, _DECODER],
        "int_steps": 5,
        "int_resolution": 2,
        "svf_resolution": 1,
    }
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "VxmDense", "config": config})
        for name, (channels_in, channels_out) in layers.items():
            group = file.create_group(f"model_weights/vxm_dense_{name}/vxm_dense_{name}")
            scale = 1 / np.sqrt(27 * channels_in)
            group["kernel:0"] = random.normal(0, scale, (3, 3, 3, channels_in, channels_out)).astype(np.float32)
            group["bias:0"] = random.normal(0, 0.1, channels_out).astype(np.float32)
    return path


def small_volume(name: str, shift_mm: float = 0.0, *, shape: tuple[int, int, int] = (40, 48, 44)) -> Image:
    """A head-sized ellipsoid with two lumps in it, on a flipped and shifted grid of 160 mm, in KJI memory order."""
    spacing = 160.0 / np.array(shape)
    matrix = np.diag([*(spacing * [-1, 1, 1]), 1.0])
    matrix[:3, 3] = [80.0, -80.0, -75.0]
    grid = Grid(shape, matrix)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    x = grid.to_ras(index) - [shift_mm, 0, 0]
    values = 500.0 * (np.linalg.norm(x / [60, 72, 55], axis=-1) < 1)
    for centre, width, height in (([20, 10, 0], 12.0, 300.0), ([-25, -20, 15], 9.0, -200.0)):
        values += height * np.exp(-np.sum((x - centre) ** 2, axis=-1) / (2 * width**2)) * (values > 0)
    array = np.asfortranarray(np.clip(values, 0, None).astype(np.int16))
    return Image(array, grid, name)
