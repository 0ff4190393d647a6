"""Other families of VoxelMorph networks, each read by a module of its own into the one structure of `vxm_model`."""

from __future__ import annotations

from pathlib import Path

from VoxelMorphRegistrationLib.network.families import keras_graph, numpy_layers, torch_model
from VoxelMorphRegistrationLib.network.families.original import Original
from VoxelMorphRegistrationLib.network.keras_file import read_keras_file
from VoxelMorphRegistrationLib.network.vxm_file import GRAPHS, read_vxm_dense

__all__ = ["SUFFIXES", "Original", "read_original"]

SUFFIXES = (".h5", ".hdf5", ".pt", ".pth")


def read_original(path: Path) -> Original:
    """Read a model file of any family that is known.

    Raises ModelError, in one sentence, for every other file, EngineError where h5py is missing, and FileError for a
    PyTorch file that names code to be run.
    """
    if path.suffix.lower() in (".pt", ".pth"):
        return torch_model.read(path)
    file = read_keras_file(path)
    if file.class_name in GRAPHS:
        return keras_graph.read(file)
    model = read_vxm_dense(path)
    return Original(
        "a VxmDense network of VoxelMorph for TensorFlow",
        model,
        lambda moving, fixed: numpy_layers.evaluate(model, moving, fixed),
    )
