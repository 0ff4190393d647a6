"""Foreign displacement fields to transform nodes, and what is wrong with a transform that is in the scene already.

Three steps, of which the first and the last touch nodes and belong in the main thread:

1. `field_diagnosis_job` or `transform_diagnosis_job` reads the nodes; the job itself runs in the background process.
2. `field_job` is the field that a candidate means, which runs there too; `prepared` makes Slicer's transform of it, in
   any thread.
3. `write_meant_field` puts it into a node.

`field_running` does all of them and waits, for scripts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.fields import Hint, RawField
from VoxelMorphRegistrationLib.network.tensor import as_numpy
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention, letters
from VoxelMorphRegistrationLib.pipeline.conventions.diagnosis import Evidence
from VoxelMorphRegistrationLib.pipeline.conventions.findings import Finding
from VoxelMorphRegistrationLib.pipeline.field_jobs import (
    REPAIRS,
    FieldDiagnosis,
    FieldDiagnosisJob,
    FieldJob,
    MeantField,
)
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import (
    chain,
    check_transform_node,
    checked_grid_transform,
    set_grid_transform,
    write_linear_transform,
)
from VoxelMorphRegistrationLib.slicer_bridge.scripted_transforms import read_scripted_transform
from VoxelMorphRegistrationLib.slicer_bridge.transform_content import restored_on_failure
from VoxelMorphRegistrationLib.slicer_bridge.volumes import frame_below, image_from_volume_node, mask_from_node
from VoxelMorphRegistrationLib.spatial import Grid

Choice = int | Convention | None
"""Which candidate: its number in the list, from 1, a convention, or None for the first, if it was accepted."""


def field_diagnosis_job(
    source: object,
    fixed: Any,
    moving: Any = None,
    node: Any = None,
    *,
    given: Mapping[str, object] | None = None,
    key: str | None = None,
    fill: bool = False,
    pictures: int = 0,
    masks: tuple[Any, Any] = (None, None),
) -> FieldDiagnosisJob:
    """What a file's or an array's numbers mean for two volume nodes.

    ``source`` is a path, NumPy array, PyTorch or TensorFlow tensor. ``node`` is the output, under which the moving
    volume may lie already. ``given``: values of a `Convention`, as text or letters. ``masks`` are labelmap or
    segmentation nodes of the parts of the fixed and the moving volume that count. Raises InputError.
    """
    images = _read(fixed, moving, node, masks)
    path, raw = None, None
    if isinstance(source, (str, os.PathLike)):
        path = Path(source).expanduser()
    else:
        raw = RawField(as_numpy(source), type(source).__name__)
    return FieldDiagnosisJob(
        **images, path=path, key=key or None, raw=raw, given=_as_text(given or {}), fill=fill, pictures=pictures
    )


def transform_diagnosis_job(
    node: Any, fixed: Any, moving: Any = None, *, pictures: int = 0, masks: tuple[Any, Any] = (None, None)
) -> FieldDiagnosisJob:
    """What the numbers of a transform in the scene mean, and what they were used as.

    The moving volume may lie under the transform. Raises InputError for a transform that holds no grid.
    """
    raw, used_as, seen = raw_field_of_node(node)
    images = _read(fixed, moving, node, masks)
    return FieldDiagnosisJob(**images, raw=raw, used_as=used_as, fill=True, pictures=pictures, seen=seen)


def field_job(
    job: FieldDiagnosisJob, diagnosis: FieldDiagnosis, choice: Choice = None, repair: Sequence[str] = ()
) -> FieldJob:
    """The field that a candidate of a diagnosis means. Raises InputError where none was accepted or chosen."""
    if unknown := set(repair) - set(REPAIRS):
        raise InputError(f"There is no repair '{min(unknown)}'; choose among {', '.join(REPAIRS)}.")
    convention = _chosen(diagnosis, choice)
    moving = None if job.moving is None else job.moving.grid
    return FieldJob(diagnosis.raw, convention, job.fixed.grid, moving, tuple(repair))


def repairs_for(diagnosis: Evidence) -> tuple[str, ...]:
    """What a one-click repair does besides reading the numbers rightly."""
    return tuple(
        r for r in ("fill not finite", "unfold") if any(f.repair == r and f.serious for f in diagnosis.findings)
    )


def is_right(diagnosis: Evidence) -> bool:
    """Whether a transform of the scene was used as what it is, and nothing in it has to be mended."""
    return diagnosis.accepted and not any(f.serious and f.repair != "split affine" for f in diagnosis.findings)


@dataclass(frozen=True)
class Prepared:
    """A field as Slicer's transform, seen to map points as the library does, and the linear part split off it."""

    transform: Any
    affine: Any


def prepared(meant: MeantField) -> Prepared:
    """In any thread. Raises TransformError where Slicer's transform disagrees with the library."""
    return Prepared(checked_grid_transform(meant.field), meant.affine)


def write_meant_field(
    field: Prepared, node: Any = None, *, name: str = "", fixed: Any = None, moving: Any = None, affine_node: Any = None
) -> tuple[Any, Any]:
    """Put a field into a transform node (a new one called ``name`` for None); returns it, and the linear one or None.

    From parent (resampling), on the fixed volume's voxels. A linear part that was split off goes into ``affine_node``
    (a new one for None), which is put under it. Where anything fails, all nodes are as they were.
    """
    import slicer

    if node is not None:
        check_transform_node(node)
    made: list[Any] = []

    def new(class_name: str, called: str) -> Any:
        made.append(slicer.mrmlScene.AddNewNodeByClass(class_name, slicer.mrmlScene.GenerateUniqueName(called)))
        return made[-1]

    try:
        with restored_on_failure(node), restored_on_failure(affine_node):
            written = node if node is not None else new("vtkMRMLGridTransformNode", name or "Imported field")
            set_grid_transform(field.transform, written, "resampling", moving=moving, fixed=fixed)
            linear = affine_node if field.affine is not None else None
            if field.affine is not None:
                if linear is None:
                    linear = new("vtkMRMLLinearTransformNode", f"{written.GetName()} linear part")
                write_linear_transform(field.affine, linear, moving=moving, fixed=fixed)
                chain(linear, written)
    except BaseException:
        for node_made in made:
            slicer.mrmlScene.RemoveNode(node_made)
        raise
    return written, linear


def raw_field_of_node(node: Any) -> tuple[RawField, Convention, tuple[Finding, ...]]:
    """The numbers that a grid transform node holds, as ``slicer.util.arrayFromGridTransform`` shows them [k, j, i],
    what Slicer takes them for (RAS mm), and what is wrong with how they lie there.
    """
    field, direction, seen = read_scripted_transform(node)
    own = field.grid
    matrix = own.ijk_to_ras.copy()
    matrix[:3, :3] = own.axes[:, ::-1]
    grid = Grid((own.shape[2], own.shape[1], own.shape[0]), matrix)
    array = field.vectors.transpose(2, 1, 0, 3)
    hints = (
        Hint("components", "RAS", "a transform of the scene"),
        Hint("units", "mm", "a transform of the scene"),
        Hint("content", "displacement", "a transform of the scene"),
        Hint("direction", direction, "a transform of the scene"),
    )
    used_as = Convention(("R", "A", "S"), "mm", direction=direction, placement="own")
    return RawField(array, str(node.GetName()), grid, hints), used_as, seen


def name_for(source: object) -> str:
    """What a node made of a file or an array is called."""
    if isinstance(source, (str, os.PathLike)):
        return Path(source).name.partition(".")[0] or "Imported field"
    return "Imported field"


def _read(fixed: Any, moving: Any, transform: Any, masks: tuple[Any, Any]) -> dict[str, Any]:
    """The volumes and masks that are given, in world space, by the job's names; as they lie below ``transform``."""
    if moving is not None and moving is fixed:
        raise InputError("The fixed and the moving volume are the same; select two volumes.")
    images: dict[str, Any] = {}
    for name, volume, mask in (("fixed", fixed, masks[0]), ("moving", moving, masks[1])):
        if volume is None and name == "moving":
            continue
        images[name] = image = image_from_volume_node(volume, f"{name} volume", frame=frame_below(volume, transform))
        if mask is not None:
            images[f"{name}_mask"] = mask_from_node(
                mask, image.grid, f"{name} mask", frame=frame_below(mask, transform)
            )
    return images


def _as_text(given: Mapping[str, object]) -> dict[str, str]:
    text = {name: value if isinstance(value, str) else "".join(map(str, value)) for name, value in given.items()}  # type: ignore[call-overload]
    for name in {"components", "axes"} & set(text):
        letters(text[name])
    return text


def _chosen(diagnosis: FieldDiagnosis, choice: Choice) -> Convention:
    if isinstance(choice, Convention):
        return choice
    if choice is None:
        if not diagnosis.accepted:
            raise InputError(refusal(diagnosis))
        return diagnosis.best.convention
    if not 1 <= choice <= len(diagnosis.candidates):
        raise InputError(f"There is no candidate {choice}; choose one of 1 to {len(diagnosis.candidates)}.")
    return diagnosis.candidates[choice - 1].convention


def refusal(diagnosis: Evidence, listed: int = 3) -> str:
    """Why nothing was accepted, what would settle it, and what may be chosen: the text of an error."""
    found = [diagnosis.verdict]
    if diagnosis.ambiguous:
        found.append(f"Not told apart: {'; '.join(diagnosis.ambiguous[:2])}.")
    if diagnosis.settled_by:
        found.append(f"What would settle it: {diagnosis.settled_by[0]}.")
    likely = [
        f"{number} = {c.convention.describe()}"
        + (f" (similarity {c.similarity:.3f})" if c.similarity is not None else "")
        for number, c in enumerate(diagnosis.candidates[:listed], 1)
    ]
    return " ".join([*found, f"Or choose a candidate: {'; '.join(likely)}."])
