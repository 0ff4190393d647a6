"""Many small real cases: smooth volumes, a small network of real layers, and a cases file that names them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from pipeline.known_networks import write_vxm_dense
from VoxelMorphRegistrationLib.files.volumes import write_labels, write_volume
from VoxelMorphRegistrationLib.spatial import Grid, Image

SHAPE = (32, 32, 32)
MODEL = "tiny.h5"
_SPACING = 2.5
_DIFFERENT = 8


def small_image(shift_mm: float) -> Image:
    """A ball of 27 mm with a lump in it, on 32^3 voxels of 2.5 mm."""
    matrix = np.diag([_SPACING, _SPACING, _SPACING, 1.0])
    matrix[:3, 3] = -_SPACING * (np.array(SHAPE) - 1) / 2
    grid = Grid(SHAPE, matrix)
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    x = grid.to_ras(index) - [shift_mm, 0, 0]
    ball = np.linalg.norm(x, axis=-1) < 27
    lump = np.exp(-np.sum((x - [8, 4, 0]) ** 2, axis=-1) / 72)
    return Image((ball * (400 + 300 * lump)).astype(np.int16), grid, f"shifted {shift_mm}")


def write_small_cases(folder: Path, number: int, extra: dict[str, str] | None = None) -> Path:
    """A cases file of ``number`` pairs, case-0000 and so on, that takes a few hundredths of a second each.

    ``extra`` is put into each row. There are eight moving volumes, used in turn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_vxm_dense(folder / MODEL, kernel=0.02)
    write_volume(small_image(0.0), folder / "fixed.nii.gz")
    for each in range(_DIFFERENT):
        moving = small_image(1.0 + each)
        write_volume(moving, folder / f"moving{each}.nii.gz")
        write_labels(moving.with_array((moving.array > 0).astype(np.uint8)), folder / f"labels{each}.nii.gz")
    rows = [
        {
            "name": f"case-{each:04}",
            "fixed": "fixed.nii.gz",
            "moving": f"moving{each % _DIFFERENT}.nii.gz",
            "model": MODEL,
            "resolution": "quarter",
            "pre_align": "none",
            "grid": "network",
            **(extra or {}),
        }
        for each in range(number)
    ]
    return write_rows(folder / "cases.csv", rows)


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    """A cases file as a spreadsheet writes it."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path
