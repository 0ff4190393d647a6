"""The steps that a registration of two volumes and each frame of a sequence have in common."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import ModelError
from VoxelMorphRegistrationLib.network.card import IntensityPreparation, ModelCard
from VoxelMorphRegistrationLib.network.engines import Engine, Prediction, load_engine
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge
from VoxelMorphRegistrationLib.spatial.grid import Floats


def warm_engine(name: str, weights: Path, threads: int | None = None) -> Engine:
    """The engine for a weights file. The last one is kept, so that the next registration starts at once."""
    return _engine(name, weights, _last_change(weights), threads)


@lru_cache(maxsize=1)
def _engine(name: str, weights: Path, last_change: int, threads: int | None) -> Engine:
    """``last_change`` is the file's, so that a model trained anew is loaded anew."""
    return load_engine(name, weights, threads=threads)


def _last_change(path: Path) -> int:
    """In nanoseconds; 0 for a file that is not there, of which the engine will speak."""
    return path.stat().st_mtime_ns if path.is_file() else 0


def intensity_preparation(card: ModelCard, choice: str) -> IntensityPreparation:
    """What the card asks for ("card"), or nothing ("none")."""
    if choice == "none":
        return IntensityPreparation(scaling="none", level=1.0, match="none")
    return card.intensity


def on_network_grid(image: Image, grid: Grid, through: Floats | Deformation) -> npt.NDArray[np.float32]:
    """The image seen through a 4x4 affine (fixed to moving) or a deformation; its own minimum outside."""
    lowest = float(image.array.min())
    if isinstance(through, Deformation):
        return through.warp(image, grid, outside=lowest).array
    seen = bridge.resample(
        bridge.scalar_to_sitk(image.array, image.grid),
        grid,
        bridge.affine_to_sitk(through),
        outside=lowest,
        pixel_type=bridge.FLOAT32,
    )
    return bridge.scalar_from_sitk(seen)


def predict(
    engine: Engine,
    card: ModelCard,
    moving: npt.NDArray[np.float32],
    fixed: npt.NDArray[np.float32],
    *,
    both_ways: bool = False,
) -> Prediction:
    """The network's answer for a prepared pair. Raises ModelError where it is not finite.

    With ``both_ways`` half of the difference between the answer and that for the exchanged pair: as the first
    velocity, which is the negative of the second, should be. It has no bias, and says nothing of equal images.
    """
    prediction = engine.predict(moving, fixed)
    if both_ways:
        back = engine.predict(fixed, moving)
        prediction = replace(prediction, vectors=(prediction.vectors - back.vectors) * np.float32(0.5))
    if not np.isfinite(prediction.vectors).all():
        raise ModelError(
            f"The model {card.title} answered with values that are not finite (NaN or infinity): its weights are "
            "damaged or its training failed; choose another model."
        )
    return prediction


def to_space(prediction: Prediction, grid: Grid, affine: Floats, inverse: bool) -> Deformation:
    """The network's field in RAS mm, fading to the pre-alignment at the border of the network's grid.

    It is faded before it is integrated, so that forward and inverse fields remain exact inverses of one another.
    """
    faded = prediction.faded()
    displacement = _ras_field(faded.displacement(), faded.scale, grid)
    back: DisplacementField | None = None
    if inverse:
        back = (
            _ras_field(faded.displacement(reverse=True), faded.scale, grid)
            if faded.kind == "velocity"
            else displacement.inverse()
        )
    return Deformation(affine, displacement, back)


def _ras_field(voxels: npt.NDArray[np.float32], scale: float, grid: Grid) -> DisplacementField:
    """u_ras = (3x3 part of the network grid's IJK-to-RAS) u_voxel, on the field's own coarser grid."""
    size = voxels.shape
    to_ras = (grid.axes * scale).astype(np.float32)
    return DisplacementField(voxels @ to_ras.T, grid.with_shape((size[0], size[1], size[2])))
