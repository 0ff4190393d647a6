"""A model file of any family becomes one that the engines run, and is shown to be the same network."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from VoxelMorphRegistrationLib.errors import FileError, ModelError
from VoxelMorphRegistrationLib.network.engines import available_engines, load_engine
from VoxelMorphRegistrationLib.network.families import Original, read_original
from VoxelMorphRegistrationLib.network.vxm_writer import write_vxm_dense
from VoxelMorphRegistrationLib.progress import Progress

_TOLERANCE = 1e-4  # of the field's largest vector; engines differ by some 2e-6 in the order of their sums

_LARGE = 2_000_000  # parameters; VoxelMorph's networks have 0.3 million, SynthMorph's 21


@dataclass(frozen=True)
class ImportedModel:
    """A converted model file and what is known of the network from its file alone.

    ``family`` is what the original was, a noun; ``check`` is a sentence about the comparison of the two.
    """

    weights_path: Path
    family: str
    parameters: int
    field_kind: Literal["velocity", "displacement"]
    shape_multiple: int
    check: str


def import_model(path: Path, folder: Path, progress: Progress | None = None) -> ImportedModel:
    """Write the model file's network into ``folder`` as ``STEM.h5``, and compare the fields of the two.

    The original is evaluated in NumPy on a small volume of noise, the file written by the fastest engine that is
    installed. Raises ModelError for a file of no known family or whose conversion gives another field, EngineError
    where h5py is missing or the engine fails, FileError where the folder cannot be written; then nothing is left.
    """
    progress = progress or Progress()
    progress("Reading the model file", 0.0)
    original = read_original(path)
    destination = folder / f"{path.stem}.h5"
    if destination.exists() and path.exists() and os.path.samefile(destination, path):
        raise FileError(f"{path} cannot be converted into its own folder; choose another one.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_vxm_dense(original.model, destination)
        progress("Comparing the converted model with the original", 0.2)
        check = _compared(path.name, original, destination)
    except BaseException as error:
        with suppress(OSError):
            destination.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, FileError):
            raise FileError(f"{destination} cannot be written ({error.strerror or error}).") from error
        raise
    progress("Comparing the converted model with the original", 1.0)
    model = original.model
    return ImportedModel(
        destination,
        original.family,
        model.parameters,
        "velocity" if model.integration_steps else "displacement",
        model.shape_multiple,
        check,
    )


def _compared(name: str, original: Original, converted: Path) -> str:
    if not available_engines():
        return "No engine is installed, so the converted file was not compared with the original."
    multiple = original.model.shape_multiple
    large = multiple > 16 or original.model.parameters > _LARGE
    shape = (multiple, 2 * multiple, multiple) if large else (2 * multiple, 3 * multiple, 2 * multiple)
    moving, fixed = np.random.default_rng(0).random((2, *shape), np.float32)
    engine = load_engine("auto", converted)
    found = engine.predict(moving, fixed).vectors
    expected = original.model.to_field_resolution(original.evaluate(moving, fixed), shape)
    largest = float(np.abs(expected).max())
    difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
    if not difference <= _TOLERANCE * largest:
        raise ModelError(
            f"{name} cannot be converted: its field and that of the converted file in the {engine.name} engine differ "
            f"by up to {difference:.2g} of {largest:.2g} voxels; please report this with the file."
        )
    if largest == 0:
        raise ModelError(f"{name} predicts no displacement at all, so it was not trained; choose a trained model.")
    return (
        f"The converted file gives the original's field in the {engine.name} engine: on a volume of noise the two "
        f"differ by at most {difference:.1g} of {largest:.2g} voxels."
    )
