"""A registration from files to files: what is read for a pair, and what can be written of its result."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.output import all_or_nothing
from VoxelMorphRegistrationLib.files.transforms import AFFINE_SUFFIXES, FIELD_WRITERS, write_affine, write_field
from VoxelMorphRegistrationLib.files.volumes import (
    VOLUME_WRITERS,
    read_labels,
    read_volume,
    write_labels,
    write_volume,
)
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationResult
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image


@dataclass(frozen=True)
class OutputKind:
    """A file that a registration can be written to."""

    endings: tuple[str, ...]
    what: str
    hint: str
    """What the file is for, to a user of Slicer."""


PAIR_OUTPUTS: dict[str, OutputKind] = {
    "transform": OutputKind(tuple(FIELD_WRITERS), "transform", "in Slicer, put it over the moving volume"),
    "affine": OutputKind(
        tuple(AFFINE_SUFFIXES), "linear transform", "in Slicer, put it under the transform, over the moving volume"
    ),
    "inverse": OutputKind(
        tuple(FIELD_WRITERS), "transform", "takes moving points to fixed ones; in Slicer, put it over the fixed volume"
    ),
    "moved": OutputKind(tuple(VOLUME_WRITERS), "volume", "the moving volume on the fixed volume's grid"),
    "moved_labels": OutputKind(
        tuple(VOLUME_WRITERS), "labelmap", "the moving volume's labels on the fixed volume's grid"
    ),
    "report": OutputKind((".html", ".htm"), "report", "pictures and measures; open it in a browser"),
}
"""In the order in which they are told."""


@dataclass(frozen=True)
class PairInputs:
    """The volumes of one registration."""

    fixed: Image
    moving: Image
    fixed_mask: Image | None = None
    moving_mask: Image | None = None
    labels: Image | None = None

    @classmethod
    def read(
        cls,
        fixed: str | os.PathLike[str],
        moving: str | os.PathLike[str],
        fixed_mask: str | os.PathLike[str] | None = None,
        moving_mask: str | os.PathLike[str] | None = None,
        labels: str | os.PathLike[str] | None = None,
    ) -> PairInputs:
        """From files; raises as `read_volume` and `read_labels`."""

        def optional(path: str | os.PathLike[str] | None) -> Image | None:
            return read_labels(path) if path else None

        return cls(
            read_volume(fixed), read_volume(moving), optional(fixed_mask), optional(moving_mask), optional(labels)
        )


def write_pair_outputs(
    outputs: Mapping[str, Path],
    inputs: PairInputs,
    result: RegistrationResult,
    *,
    compact: bool = False,
    report: Callable[[Path], None] | None = None,
) -> None:
    """Write the ``outputs`` (kind, as in `PAIR_OUTPUTS`, to file), all or none of them.

    ``compact``: fields on the network's own grid, else on the volumes'. Where the affine goes into a file of its own,
    the transform is the deformable part alone. ``report`` writes the report, which needs to know more than this.
    Raises OutputError; InputError for labels that were not given.
    """
    deformation = result.deformation
    writers: dict[str, Callable[[Path], None]] = {
        "transform": lambda path: write_field(
            _forward_field(result, inputs.fixed.grid, compact, apart="affine" in outputs), path
        ),
        "affine": lambda path: write_affine(deformation.affine, path),
        "inverse": lambda path: write_field(
            deformation.modeling_field(_inverse_grid(result, inputs.moving.grid, compact)), path
        ),
        "moved": lambda path: write_volume(_as_stored(result.moved, inputs.moving), path),
        "moved_labels": lambda path: write_labels(
            deformation.warp_labels(_given(inputs.labels), inputs.fixed.grid), path
        ),
    }
    if report is not None:
        writers["report"] = report
    with all_or_nothing():
        for name in in_order(outputs):
            writers[name](outputs[name])


def in_order(names: Iterable[str]) -> list[str]:
    """Kinds of output in the order of `PAIR_OUTPUTS`."""
    names = set(names)
    return [name for name in PAIR_OUTPUTS if name in names]


def _forward_field(result: RegistrationResult, fixed: Grid, compact: bool, *, apart: bool) -> DisplacementField:
    """The field for the transform's file: with the affine in it, unless that goes into a file of its own."""
    deformation = result.deformation
    if apart:
        return deformation.displacement if compact else deformation.displacement.resampled(fixed)
    return deformation.resampling_field(deformation.compact_grid(fixed) if compact else fixed)


def _inverse_grid(result: RegistrationResult, moving: Grid, compact: bool) -> Grid:
    """The moving volume's grid, or one over the same place with about the network's voxel size."""
    if not compact:
        return moving
    coarse = np.maximum(np.ceil(moving.extent_mm / result.deformation.displacement.grid.spacing.max()), 2).astype(int)
    shape = np.minimum(coarse, moving.shape)
    return moving.with_shape((int(shape[0]), int(shape[1]), int(shape[2])))


def _as_stored(moved: Image, moving: Image) -> Image:
    """The moved volume in the moving volume's number type, so that Hounsfield units stay whole numbers."""
    kept = moving.array.dtype
    if not np.issubdtype(kept, np.integer):
        return moved
    limits = np.iinfo(kept)
    return moved.with_array(np.clip(np.rint(moved.array), limits.min, limits.max).astype(kept))


def _given(labels: Image | None) -> Image:
    if labels is None:
        raise InputError("There are no labels to be moved; give a segmentation of the moving volume.")
    return labels
