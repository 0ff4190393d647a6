"""What is said about masks before a run: one of two is a likely mistake where it hides what the other volume shows."""

from __future__ import annotations

import numpy as np
import pytest
from VoxelMorphRegistrationLib.network.catalogue import EMBEDDED_MODEL, Catalogue
from VoxelMorphRegistrationLib.pipeline.input_check import misfits
from VoxelMorphRegistrationLib.spatial import Grid, Image

GRID = Grid((40, 40, 40), np.diag([4.0, 4.0, 4.0, 1.0]))
RADIUS = np.linalg.norm(np.stack(np.indices(GRID.shape), axis=-1) - 19.5, axis=-1)
HEAD = Image(np.where(RADIUS < 18, 300 + RADIUS, 0).astype(np.float32), GRID, "head")
BRAIN = Image(np.where(RADIUS < 13, 300 + RADIUS, 0).astype(np.float32), GRID, "brain")
BRAIN_MASK = Image((RADIUS < 13).astype(np.uint8), GRID, "mask")


@pytest.mark.parametrize(
    ("fixed", "moving", "masks", "is_said"),
    [
        (HEAD, HEAD, (BRAIN_MASK, None), "Only the fixed volume has a mask: the moving volume head still shows"),
        (HEAD, HEAD, (None, BRAIN_MASK), "Only the moving volume has a mask: the fixed volume head still shows"),
        (HEAD, HEAD, (BRAIN_MASK, BRAIN_MASK), ""),
        (HEAD, HEAD, (None, None), ""),
        (HEAD, BRAIN, (BRAIN_MASK, None), ""),  # the other one's skull was removed already
        (BRAIN, HEAD, (BRAIN_MASK, None), ""),  # a mask that hides nothing
    ],
)
def test_one_mask_of_two(fixed, moving, masks, is_said):
    said = misfits(fixed, moving, Catalogue().card(EMBEDDED_MODEL), "half", *masks)
    assert said[0].startswith(is_said) if is_said else said == [], said
