"""What is measured and written for each frame."""

from __future__ import annotations

import numpy as np

from VoxelMorphRegistrationLib.files.volumes import VOLUME_WRITERS
from VoxelMorphRegistrationLib.pipeline.sequence import motion
from VoxelMorphRegistrationLib.pipeline.sequence.finder import Found
from VoxelMorphRegistrationLib.pipeline.sequence.labels import LabelCarrier
from VoxelMorphRegistrationLib.pipeline.sequence.options import SequenceOptions
from VoxelMorphRegistrationLib.pipeline.sequence.quality import judge
from VoxelMorphRegistrationLib.pipeline.sequence.records import FrameRecord, StructureMotion
from VoxelMorphRegistrationLib.pipeline.sequence.solver import FrameSolver, PreparedFrame
from VoxelMorphRegistrationLib.pipeline.sequence.store import SequenceStore
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image


class FrameOutputs:
    """Measures and writes one frame's results; the record itself is written by the caller, last."""

    def __init__(
        self, store: SequenceStore, options: SequenceOptions, solver: FrameSolver, carrier: LabelCarrier | None
    ) -> None:
        """``carrier``: the reference's labels, if there are any."""
        self._store, self._options, self._solver, self._carrier = store, options, solver, carrier

    def of_reference(self, n: int, name: str, stamp: str, content: str) -> FrameRecord:
        """The reference's own record: nothing moves, its labels are its labels."""
        files: list[tuple[str, int]] = []
        structures: tuple[StructureMotion, ...] = ()
        if self._carrier is not None:
            grid = self._solver.reference.image.grid
            nothing = DisplacementField.zero(Grid((2, 2, 2), grid.ijk_to_ras))
            if self._options.direction == "carry":
                carried = self._carrier.carried(nothing, grid)
                files.append(self._write_image("labels", n, carried))
                structures = motion.in_carried_labels(carried, nothing, self._carrier.values)
            else:
                structures = motion.in_held_labels(self._carrier.labels, Deformation(np.eye(4), nothing))
        return FrameRecord(
            frame=n,
            name=name,
            status="reference",
            stamp=stamp,
            content=content,
            similarity_before=1.0,
            similarity_after=1.0,
            folded_percent=0.0,
            mean_displacement_mm=0.0,
            max_displacement_mm=0.0,
            structures=structures,
            files=tuple(files),
        )

    def of_frame(self, n: int, name: str, frame: PreparedFrame, found: Found) -> FrameRecord:
        """Raises OutputError where something cannot be written."""
        carry = self._options.direction == "carry"
        fixed, moving = (frame, self._solver.reference) if carry else (self._solver.reference, frame)
        deformation = found.deformation
        straight = np.allclose(deformation.affine, np.eye(4))
        total = deformation.displacement if straight else deformation.compact_field(fixed.image.grid)
        files, rounding = [], 0.0
        if self._keeps_field(found):
            path, rounding = self._store.write_field(n, total, self._options.keep)
            if self._options.keep != "results":
                files.append(self._store.size_of(path))
        structures: tuple[StructureMotion, ...] = ()
        if self._carrier is not None and carry:
            carried = self._carrier.carried(total, frame.image.grid)
            files.append(self._write_image("labels", n, carried))
            structures = motion.in_carried_labels(carried, total, self._carrier.values)
        elif self._carrier is not None:
            structures = motion.in_held_labels(self._carrier.labels, deformation)
        if self._options.moved:
            outside = float(moving.image.array.min())
            moved = total.warp(moving.image, fixed.image.grid, outside=outside)
            files.append(self._write_image("moved", n, _like(moved, moving.image)))
        quality = judge(fixed, moving.image, deformation, total, self._solver.grid)
        return FrameRecord(
            frame=n,
            name=name,
            status=found.status,
            built_on=found.built_on,
            affine=tuple(tuple(map(float, row)) for row in deformation.affine),
            similarity_before=quality.similarity_before,
            similarity_after=quality.similarity_after,
            folded_percent=quality.folded_percent,
            mean_displacement_mm=quality.mean_displacement_mm,
            max_displacement_mm=quality.max_displacement_mm,
            largest_rounding_mm=rounding,
            structures=structures,
            files=tuple(files),
            warnings=(
                *found.warnings,
                *self._warnings(frame.image, quality.similarity_before, quality.similarity_after),
            ),
        )

    def _keeps_field(self, found: Found) -> bool:
        """Where only results are kept, a field is still needed by the frames that build on it."""
        builds = self._options.mode in ("warm", "chain", "keyframes") and found.status == "registered"
        return self._options.keep != "results" or builds

    def _warnings(self, frame: Image, before: float, after: float) -> list[str]:
        told = []
        if not frame.grid.is_same(self._solver.reference.image.grid):
            told.append(
                f"it has other voxels than the reference ({' x '.join(map(str, frame.grid.shape))} of "
                f"{' x '.join(f'{s:.3g}' for s in frame.grid.spacing)} mm); it was registered as it lies in space."
            )
        if after < before - 0.01:
            told.append(
                f"it is less like the reference after the registration ({after:.3f}) than before ({before:.3f}); "
                "do not use this frame."
            )
        return told

    def _write_image(self, kind: str, n: int, image: Image) -> tuple[str, int]:
        path = self._store.path(kind, n)
        with self._store.writing(path) as temporary:
            VOLUME_WRITERS[".nrrd"](image, temporary)
        return self._store.size_of(path)


def _like(moved: Image, source: Image) -> Image:
    """In the source's number type."""
    kept = source.array.dtype
    if not np.issubdtype(kept, np.integer):
        return moved
    limits = np.iinfo(kept)
    return moved.with_array(np.clip(np.rint(moved.array), limits.min, limits.max).astype(kept))
