"""Values on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.spatial.grid import Grid


@dataclass(frozen=True, eq=False)
class Image:
    """A scalar volume: ``array`` is (I, J, K), indexed ``[i, j, k]``, in any memory order; ``name`` is for messages.

    Raises InputError where array and grid do not fit.
    """

    array: npt.NDArray[Any]
    grid: Grid
    name: str = "volume"

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            raise InputError(
                f"{self.name}: the array has shape {self.array.shape}, its grid {self.grid.shape}; "
                "arrays are indexed [i, j, k] here, the reverse of slicer.util.arrayFromVolume."
            )

    def with_array(self, array: npt.NDArray[Any]) -> Image:
        """The same grid with other values."""
        return Image(array, self.grid, self.name)

    def content_window(self, above: float | None = None) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.int_]]:
        """First index and one past the last index, per axis, of the voxels above a value (default: the minimum)."""
        threshold = self.array.min() if above is None else above
        inside = self.array > threshold
        start, stop = np.zeros(3, int), np.array(self.grid.shape)
        for axis in range(3):
            used = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
            if used.size:
                start[axis], stop[axis] = used[0], used[-1] + 1
        return start, stop
