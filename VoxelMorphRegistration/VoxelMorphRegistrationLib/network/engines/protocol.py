"""What every inference engine is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network.integration import integrate, upsample

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Prediction:
    """What a network says about a pair, before any integration.

    ``vectors`` is (d, h, w, 3) float32 on the network's own field grid: component n points along array axis
    n, in voxels of that grid, and a displacement says where in the moving image to sample,
    ``moved(x) = moving(x + u(x))``. One voxel of the field grid spans ``scale`` voxels of the input, corner
    voxels coinciding (VoxelMorph's align-corners resizing). ``kind`` "velocity" is a stationary velocity to
    be integrated with ``integration_steps`` squarings; its negative integrates to the inverse displacement.
    """

    vectors: FloatArray
    kind: Literal["velocity", "displacement"]
    integration_steps: int
    scale: float

    def faded(self) -> Prediction:
        """The same prediction, going smoothly to zero over the outermost voxels of its grid.

        Outside the network's grid nothing is known, and a field that ends in a cliff folds there and has no inverse.
        """
        vectors = self.vectors.copy()
        ramp = np.array([0.0, 0.5], np.float32)
        for axis in range(3):
            weights = np.ones(vectors.shape[axis], np.float32)
            width = min(len(ramp), len(weights) // 2)
            weights[:width], weights[len(weights) - width :] = ramp[:width], ramp[:width][::-1]
            vectors *= weights.reshape([-1 if a == axis else 1 for a in range(4)])
        return replace(self, vectors=vectors)

    def displacement(self, *, reverse: bool = False) -> FloatArray:
        """The displacement on the field grid, in its voxels; ``reverse`` gives the inverse map's.

        Raises InputError for the inverse of a displacement, which no velocity gives.
        """
        if self.kind == "velocity":
            return integrate(-self.vectors if reverse else self.vectors, self.integration_steps)
        if reverse:
            raise InputError(
                "This model predicts a displacement and no velocity, so its inverse has to be computed by "
                "inverting the displacement field."
            )
        return self.vectors

    def displacement_on(self, shape: tuple[int, int, int], *, reverse: bool = False) -> FloatArray:
        """The displacement at the input's full resolution ``shape``, in voxels of the input."""
        return upsample(self.displacement(reverse=reverse), shape)


class Engine(Protocol):
    """A loaded network that runs on one machine's hardware."""

    name: str
    shape_multiple: int  # every input axis has to be a multiple of it

    def predict(self, moving: FloatArray, fixed: FloatArray) -> Prediction:
        """Predict for two (D, H, W) images in the network's axis order, spacing and intensity scale.

        Raises InputError for images the network cannot take, EngineError if running it fails.
        """
        ...


def checked_pair(moving: FloatArray, fixed: FloatArray, shape_multiple: int) -> tuple[FloatArray, FloatArray]:
    """Both images as C-ordered float32; raises InputError where a network could not run on them."""
    for role, image in (("moving", moving), ("fixed", fixed)):
        if image.ndim != 3:
            raise InputError(f"The {role} image given to the network has {image.ndim} axes instead of 3.")
        if not np.isfinite(image).all():
            raise InputError(f"The {role} image given to the network holds NaN or infinite values.")
    if moving.shape != fixed.shape:
        raise InputError(
            f"The network needs both images on one grid, but the moving image is {_by(moving.shape)} "
            f"and the fixed image {_by(fixed.shape)} voxels."
        )
    if any(size % shape_multiple or size == 0 for size in moving.shape):
        raise InputError(
            f"The network needs every axis to be a multiple of {shape_multiple}, "
            f"but the images are {_by(moving.shape)} voxels; pad or crop them."
        )
    return np.ascontiguousarray(moving, np.float32), np.ascontiguousarray(fixed, np.float32)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
