"""Real reports of small volumes: a displacement that is known, checked and written as the commands do it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pipeline.small_pair import small_volume
from VoxelMorphRegistrationLib.pipeline.quality.checking import check_registration
from VoxelMorphRegistrationLib.pipeline.report.pair_report import write_pair_report
from VoxelMorphRegistrationLib.pipeline.report.provenance import Provenance, Source
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image

NASTY = "</title><script>alert('é 肺')</script> & \"co\" \x01"
"""What somebody might call a volume."""


def shifted_field(grid: Grid, shift_mm: float) -> DisplacementField:
    """Everything goes so far to the right (+R)."""
    vectors = np.zeros((*grid.shape, 3), np.float32)
    vectors[..., 0] = shift_mm
    return DisplacementField(vectors, grid)


def swelling_field(grid: Grid, factor: float) -> DisplacementField:
    """Everything goes away from the origin, to ``factor`` times its distance; a factor below 0 folds."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return DisplacementField(((factor - 1) * grid.to_ras(index)).astype(np.float32), grid)


def write_small_report(path: Path) -> None:
    """Of a volume and the same one 12 mm farther right, with the right field between them."""
    fixed, moving = small_volume("fixed"), small_volume(NASTY, 12.0)
    field = shifted_field(fixed.grid, 12.0)
    labels = Image((fixed.array > 400).astype(np.uint8), fixed.grid, "labels")
    moved = Image((moving.array > 400).astype(np.uint8), moving.grid, "labels")
    check = check_registration(
        fixed, moving, field, fixed_labels=labels, moving_labels=moved, label_names={1: NASTY}, name=NASTY
    )
    sources = (Source.of_image("fixed", fixed), Source.of_image("moving", moving))
    write_pair_report(path, fixed, moving, field, check, Provenance(sources, f"register {NASTY}"))
