"""A check of any transform of the scene: nodes to a job, and what was found to nodes.

Three steps, of which the first and the last touch nodes and belong in the main thread: `check_job`, the job itself in
the background process, `write_check`. `check_nodes` does all of them and waits, for scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.pipeline.quality.check_job import CheckJob
from VoxelMorphRegistrationLib.pipeline.quality.results import CheckResult
from VoxelMorphRegistrationLib.pipeline.quality.table import all_rows
from VoxelMorphRegistrationLib.pipeline.report.page import check_report_path
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge.background import events_without_input, reading_worker
from VoxelMorphRegistrationLib.slicer_bridge.checked_nodes import (
    labels_from_node,
    numbered_alike,
    points_from_node,
    transform_from_node,
)
from VoxelMorphRegistrationLib.slicer_bridge.console_calls import console_call
from VoxelMorphRegistrationLib.slicer_bridge.map_display import show_inverse_error, show_jacobian, show_magnitude
from VoxelMorphRegistrationLib.slicer_bridge.volumes import (
    frame_below,
    image_from_volume_node,
    is_node,
    mask_from_node,
    set_volume,
    vtk_image,
)


@dataclass(frozen=True)
class CheckNodes:
    """What is to be checked, and the nodes for what is found; None for what is not there or not asked for.

    Fixed things lie in the world; moving ones may lie under ``transform`` already, or not. ``fixed_labels`` and
    ``moving_labels`` are segmentation or labelmap nodes, ``fixed_points`` and ``moving_points`` markups, ``inverse`` a
    transform that moves the fixed volume onto the moving one. The last four are written: volumes on the fixed one's
    voxels and a table.
    """

    fixed: Any
    moving: Any
    transform: Any
    fixed_labels: Any = None
    moving_labels: Any = None
    fixed_points: Any = None
    moving_points: Any = None
    inverse: Any = None
    fixed_mask: Any = None
    jacobian: Any = None
    magnitude: Any = None
    inverse_error: Any = None
    table: Any = None


_SHOWN = {
    "jacobian": ("jacobian", show_jacobian),
    "magnitude": ("magnitude_mm", show_magnitude),
    "inverse_error": ("inverse_error_mm", show_inverse_error),
}
"""Output of `CheckNodes`: its name in `CheckMaps`, and how it is shown."""


def check_job(nodes: CheckNodes, report: Path | None = None) -> CheckJob:
    """Reads the nodes. ``report``: where a report is to be written, too.

    Raises InputError for what cannot be used, OutputError for a place where no report can be.
    """
    _check(nodes)
    report = None if report is None else check_report_path(report).absolute()
    transform = nodes.transform
    fixed = image_from_volume_node(nodes.fixed, "fixed volume", frame=frame_below(nodes.fixed, transform))
    moving = image_from_volume_node(nodes.moving, "moving volume", frame=frame_below(nodes.moving, transform))
    given, note = transform_from_node(transform, fixed.grid)
    notes = [note]
    job = CheckJob(
        fixed, moving, given, str(transform.GetName()), report=report, command=_call(nodes, report) if report else ""
    )
    if nodes.inverse is not None:
        inverse, note = transform_from_node(nodes.inverse, moving.grid)
        notes.append(note)
        job = replace(job, inverse=inverse)
    if nodes.fixed_labels is not None:
        labels, names, note = labels_from_node(nodes.fixed_labels, fixed.grid, "fixed segmentation", transform)
        notes.append(note)
        job = replace(job, fixed_labels=labels)
        if nodes.moving_labels is not None:
            there, called, note = labels_from_node(nodes.moving_labels, moving.grid, "moving segmentation", transform)
            notes.append(note)
            there, names = numbered_alike(names, there, called)
            job = replace(job, moving_labels=there)
        job = replace(job, label_names=tuple(sorted(names.items())))
    if nodes.fixed_points is not None:
        job = replace(
            job,
            fixed_points=points_from_node(nodes.fixed_points, "fixed landmarks", transform),
            moving_points=points_from_node(nodes.moving_points, "moving landmarks", transform),
        )
    if nodes.fixed_mask is not None:
        mask = mask_from_node(
            nodes.fixed_mask, fixed.grid, "fixed mask", frame=frame_below(nodes.fixed_mask, transform)
        )
        job = replace(job, fixed_mask=mask)
    maps = tuple(kept for output, (kept, _) in _SHOWN.items() if getattr(nodes, output) is not None)
    return replace(job, maps=maps, notes=tuple(filter(None, notes)))


def write_check(found: CheckResult, nodes: CheckNodes) -> CheckNodes:
    """Put the maps into the volumes that were asked for and the numbers into a table, a new one where none is given.

    Outputs that were deleted meanwhile are left out. Returns the nodes, with the table.
    """
    import slicer

    for output, (kept, show) in _SHOWN.items():
        node, image = getattr(nodes, output), getattr(found.maps, kept)
        if node is not None and node.GetScene() is not None and image is not None:
            set_volume(node, vtk_image(image.array), image.grid)
            show(node, image.array)
    table = nodes.table
    if table is None:
        name = slicer.mrmlScene.GenerateUniqueName(f"Check of {found.transform}")
        table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    if table.GetScene() is not None:
        _fill_table(table, found)
    return replace(nodes, table=table)


def check_nodes(
    nodes: CheckNodes, progress: Progress | None = None, report: Path | None = None
) -> tuple[CheckNodes, CheckResult]:
    """The same, waited for, with Slicer kept alive meanwhile. Raises a RegistrationError, the scene as it was.

    ``report``: where a report is to be written.
    """
    say = progress or Progress()
    say("Reading the volumes", 0.0)
    job = check_job(nodes, report)
    found = reading_worker().run_blocking(job, progress=say.part(0.05, 0.95), process_events=events_without_input())
    say("Writing the results", 0.95)
    written = write_check(found, nodes)
    say.report("Done", 1.0)
    return written, found


def _call(nodes: CheckNodes, report: Path) -> str:
    """What checks the same nodes, for the report."""
    given = {
        "fixedVolume": nodes.fixed,
        "movingVolume": nodes.moving,
        "transformNode": nodes.transform,
        "fixedSegmentation": nodes.fixed_labels,
        "movingSegmentation": nodes.moving_labels,
        "fixedMarkups": nodes.fixed_points,
        "movingMarkups": nodes.moving_points,
        "inverseTransform": nodes.inverse,
        "fixedMask": nodes.fixed_mask,
    }
    return console_call("checkRegistration", given, {"report": str(report)})


def _check(nodes: CheckNodes) -> None:
    if nodes.transform is None:
        raise InputError("There is no transform to check; select one.")
    if nodes.fixed is not None and nodes.fixed is nodes.moving:
        raise InputError("The fixed and the moving volume are the same; select two volumes.")
    if nodes.moving_labels is not None and nodes.fixed_labels is None:
        raise InputError("The moving segmentation has nothing to be compared with; select the fixed one, too.")
    if (nodes.fixed_points is None) != (nodes.moving_points is None):
        raise InputError("Landmarks are needed on both sides; select the fixed and the moving ones.")
    for output in _SHOWN:
        node = getattr(nodes, output)
        if node is not None and not is_node(node, "vtkMRMLScalarVolumeNode"):
            raise InputError(f"The output for {output} is not a scalar volume; select another.")
        if node is not None and any(node is volume for volume in (nodes.fixed, nodes.moving)):
            raise InputError("A map would replace the fixed or the moving volume; select another output.")
    if nodes.inverse_error is not None and nodes.inverse is None:
        raise InputError("The inverse consistency needs an inverse transform; select it.")
    if nodes.table is not None and not is_node(nodes.table, "vtkMRMLTableNode"):
        raise InputError("The output for the numbers is not a table; select another.")


def _fill_table(node: Any, found: CheckResult) -> None:
    """Columns measure, structure, before, after; the verdict and the remarks are the node's description."""
    rows = all_rows(found)
    columns: Sequence[tuple[str, str, list[Any]]] = (
        ("measure", "vtkStringArray", [row[0] for row in rows]),
        ("of", "vtkStringArray", [row[1] for row in rows]),
        ("before", "vtkDoubleArray", [float("nan") if row[2] is None else row[2] for row in rows]),
        ("after", "vtkDoubleArray", [float("nan") if row[3] is None else row[3] for row in rows]),
    )
    import vtk

    modifying = node.StartModify()
    try:
        node.RemoveAllColumns()
        for title, kind, values in columns:
            array = getattr(vtk, kind)()
            array.SetName(title)
            for value in values:
                array.InsertNextValue(value)
            node.AddColumn(array)
        node.SetDescription("\n".join([found.verdict, *(remark.message for remark in found.further_remarks)]))
    finally:
        node.EndModify(modifying)
