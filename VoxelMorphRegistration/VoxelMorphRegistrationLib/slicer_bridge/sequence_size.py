"""How much room the results of a sequence will take, before it is registered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.pipeline.model_grid import plan_model_grid
from VoxelMorphRegistrationLib.pipeline.sequence.options import Keep
from VoxelMorphRegistrationLib.pipeline.sequence.store import predicted_bytes
from VoxelMorphRegistrationLib.spatial import Image

_BYTES_OF_A_VECTOR = 12


@dataclass(frozen=True)
class PredictedSize:
    """In bytes, without what is carried, which is small."""

    on_disk: int
    in_scene: int


def predicted_size(reference: Image, frames: int, card: ModelCard, resolution: str, keep: Keep) -> PredictedSize:
    """For fields on the network's grid; a network that predicts a velocity gives them at half its resolution."""
    shape = np.array(plan_model_grid(reference, card, resolution).grid.shape)
    if card.field_kind == "velocity":
        shape = shape // 2
    field = (int(shape[0]), int(shape[1]), int(shape[2]))
    in_scene = 0 if keep == "results" else frames * _BYTES_OF_A_VECTOR * int(np.prod(field))
    return PredictedSize(predicted_bytes(field, keep, frames), in_scene)
