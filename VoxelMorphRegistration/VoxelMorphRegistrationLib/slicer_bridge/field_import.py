"""Foreign displacement fields to transform nodes, and what is wrong with a transform that is in the scene already.

For the panel: `diagnose_field` or `diagnose_transform` (neither touches the scene), `Diagnosis.preview` of the first
candidates for checkerboards, then `write_candidate` with the chosen one. For the console: `import_displacement_field`.
Reading nodes belongs in the main thread; `identify` itself touches none and may run elsewhere (`read_images`,
`raw_field`, `raw_field_of_node` and `identify` are its parts).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.fields import Hint, RawField, read_raw_field
from VoxelMorphRegistrationLib.network.tensor import as_numpy
from VoxelMorphRegistrationLib.pipeline.conventions import mistakes, repairs
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention
from VoxelMorphRegistrationLib.pipeline.conventions.diagnosis import Diagnosis, identify
from VoxelMorphRegistrationLib.pipeline.conventions.findings import Finding, RepairName
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import (
    check_transform_node,
    checked_grid_transform,
    read_grid_transform,
    set_grid_transform,
)
from VoxelMorphRegistrationLib.slicer_bridge.volumes import image_from_volume_node
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image


def import_displacement_field(
    source: object,
    fixed: Any,
    moving: Any = None,
    node: Any = None,
    *,
    given: Mapping[str, object] | None = None,
    key: str | None = None,
    repair: Sequence[RepairName] = (),
) -> tuple[Any, Diagnosis]:
    """A field file, NumPy array, PyTorch or TensorFlow tensor as a grid transform node (a new one for None).

    ``fixed`` and ``moving`` are volume nodes; without the moving one nothing can be tried, so that only what the file
    states, or ``given`` (values of a `Convention`), is accepted. Raises InputError with the verdict where no convention
    is accepted: then give more, or let somebody choose among ``diagnose_field(...).candidates``.
    """
    diagnosis = diagnose_field(source, fixed, moving, given=given, key=key, node=node)
    if not diagnosis.accepted:
        raise InputError(" ".join([diagnosis.verdict, *_sentences(diagnosis)]))
    written = write_candidate(diagnosis, diagnosis.best.convention, node, fixed=fixed, moving=moving, repair=repair)
    return written, diagnosis


def diagnose_field(
    source: object,
    fixed: Any,
    moving: Any = None,
    *,
    given: Mapping[str, object] | None = None,
    key: str | None = None,
    node: Any = None,
) -> Diagnosis:
    """What a file's or an array's numbers mean for two volume nodes. ``node`` is the output, under which the moving
    volume may lie already. The scene is left as it is.
    """
    raw = raw_field(source, key)
    return identify(raw, *read_images(fixed, moving, node), given=given)


def diagnose_transform(node: Any, fixed: Any, moving: Any = None) -> Diagnosis:
    """What is wrong with a transform that is in the scene: what its numbers mean, and what they were used as.

    The moving volume may lie under the transform. `Diagnosis.findings` name the mistakes; `write_candidate` with the
    best convention is the repair. Raises InputError for a transform that holds no grid.
    """
    raw, used_as = raw_field_of_node(node)
    return identify(raw, *read_images(fixed, moving, node), used_as=used_as)


def is_right(diagnosis: Diagnosis) -> bool:
    """Whether a transform of the scene was used as what it is."""
    return diagnosis.accepted and not any(finding.serious for finding in diagnosis.findings)


def write_candidate(
    diagnosis: Diagnosis,
    convention: Convention | None = None,
    node: Any = None,
    *,
    fixed: Any = None,
    moving: Any = None,
    repair: Sequence[RepairName] = (),
) -> Any:
    """Write the field, as one of the candidates has it, into a transform node (a new one for None); returns it.

    From parent (resampling), on the fixed volume's voxels. ``repair`` names repairs of `findings` to do besides. Raises
    TransformError, the scene as it was, where Slicer's transform disagrees or a repair fails.
    """
    import slicer

    if node is not None:
        check_transform_node(node)
    field = repaired(diagnosis, convention, repair)
    transform = checked_grid_transform(field)
    if node is None:
        name = Path(diagnosis.raw.name).name.partition(".")[0] or "Imported field"
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", name)
    set_grid_transform(transform, node, "resampling", moving=moving, fixed=fixed)
    return node


def repaired(
    diagnosis: Diagnosis, convention: Convention | None = None, repair: Sequence[RepairName] = ()
) -> DisplacementField:
    """The field of a candidate on the fixed volume's voxels, with the named repairs done."""
    field = repairs.on_grid(diagnosis.field(convention), diagnosis.fixed.grid)
    if "unfold" in repair:
        field = repairs.unfold(field).field
    if "taper border" in repair:
        field = repairs.taper(field)
    return field


def findings_of(diagnosis: Diagnosis, convention: Convention | None = None) -> list[Finding]:
    """Folds, a linear part or a cliff in a candidate's field (about a second at full size)."""
    return mistakes.in_field(diagnosis.field(convention))


def raw_field(source: object, key: str | None = None) -> RawField:
    """The field in a file, or in a NumPy array, PyTorch or TensorFlow tensor, as it is stored."""
    if isinstance(source, (str, os.PathLike)):
        return read_raw_field(source, key)
    return RawField(as_numpy(source), type(source).__name__)


def raw_field_of_node(node: Any) -> tuple[RawField, Convention]:
    """The numbers that a grid transform node holds, as ``slicer.util.arrayFromGridTransform`` shows them [k, j, i],
    and what Slicer takes them for: RAS mm.
    """
    field, direction = read_grid_transform(node)
    own = field.grid
    matrix = own.ijk_to_ras.copy()
    matrix[:3, :3] = own.axes[:, ::-1]
    grid = Grid((own.shape[2], own.shape[1], own.shape[0]), matrix)
    array = np.ascontiguousarray(field.vectors.transpose(2, 1, 0, 3))
    hints = (
        Hint("components", "RAS", "a transform of the scene"),
        Hint("units", "mm", "a transform of the scene"),
        Hint("content", "displacement", "a transform of the scene"),
        Hint("direction", direction, "a transform of the scene"),
    )
    used_as = Convention(("R", "A", "S"), "mm", direction=direction, placement="own")
    return RawField(array, str(node.GetName()), grid, hints), used_as


def read_images(fixed: Any, moving: Any = None, transform: Any = None) -> tuple[Image, Image | None]:
    """Both volume nodes as images in world space; the moving one as it lies below ``transform``."""
    image = image_from_volume_node(fixed, "fixed volume", frame=_frame(fixed, transform))
    if moving is None:
        return image, None
    return image, image_from_volume_node(moving, "moving volume", frame=_frame(moving, transform))


def _frame(node: Any, transform: Any) -> Any:
    parent = node.GetParentTransformNode() if hasattr(node, "GetParentTransformNode") else None
    while parent is not None and parent is not transform:
        parent = parent.GetParentTransformNode()
    return parent


def _sentences(diagnosis: Diagnosis) -> list[str]:
    found = [f"Not told apart: {'; '.join(diagnosis.ambiguous[:2])}."] if diagnosis.ambiguous else []
    return [*found, *([f"What would settle it: {diagnosis.settled_by[0]}."] if diagnosis.settled_by else [])]
