"""Everything that a training needs to go on as if it had never stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from VoxelMorphRegistrationLib.errors import InputError, shortened

Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """The state after ``step`` steps. The random numbers of a step follow from the seed and its number."""

    step: int
    seconds: float
    """Training time so far, over all the runs."""
    settings: str
    """What the training was started with, as text; going on with other settings is another training."""
    weights: Arrays
    averaged: Arrays
    optimiser: Arrays

    def write(self, path: Path) -> None:
        """Save it, the older file whole until the new one is."""
        arrays = {
            f"{name}_{number:03d}": array
            for name in ("weights", "averaged", "optimiser")
            for number, array in enumerate(getattr(self, name))
        }
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as file:
            np.savez(file, step=self.step, seconds=self.seconds, settings=self.settings, **arrays)
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Raises InputError for a file that is none."""
        try:
            with np.load(path) as file:
                parts = {
                    name: [file[key] for key in sorted(file.files) if key.startswith(f"{name}_")]
                    for name in ("weights", "averaged", "optimiser")
                }
                return cls(int(file["step"]), float(file["seconds"]), str(file["settings"]), **parts)
        except Exception as error:  # a damaged zip may raise anything
            raise InputError(
                f"The checkpoint {path} cannot be read ({shortened(error)}); remove it to start the training anew."
            ) from error
