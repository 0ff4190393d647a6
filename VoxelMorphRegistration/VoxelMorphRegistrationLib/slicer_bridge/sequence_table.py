"""What moves in a sequence, as a table of the scene and charts of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.pipeline.sequence.records import FrameRecord, StructureMotion

_MOST_PLOTTED = 20
"""Structures that are drawn, the largest ones; the table has all."""

Columns = dict[str, list[Any]]


def motion_columns(
    records: Sequence[FrameRecord],
    index_values: Sequence[str],
    index_title: str,
    names: Mapping[int, str],
) -> Columns:
    """A row for each frame: how well it was registered, and volume, centroid and displacements of each structure.

    ``names`` are the labels'. Positions are RAS mm; "from reference" is how far a centroid lies from where it is in the
    reference frame. NaN where a frame failed.
    """
    columns: Columns = {
        "frame": [record.frame for record in records],
        index_title: [_number_or_text(index_values[record.frame]) for record in records],
        "status": [record.status for record in records],
        SIMILARITY_BEFORE: [record.similarity_before for record in records],
        SIMILARITY: [record.similarity_after for record in records],
        FOLDED: [record.folded_percent for record in records],
        MEAN: [record.mean_displacement_mm for record in records],
        LARGEST: [record.max_displacement_mm for record in records],
    }
    labels = sorted({structure.label for record in records for structure in record.structures})
    for label, name in _unlike(labels, names).items():
        followed = [_structure(record, label) for record in records]
        resting = next(
            (s for r, s in zip(records, followed, strict=True) if r.status == "reference"), _structure(None, label)
        )
        columns[f"{name} {VOLUME}"] = [structure.volume_ml for structure in followed]
        for axis, letter in enumerate("RAS"):
            columns[f"{name} {letter} (mm)"] = [structure.centroid_ras[axis] for structure in followed]
        columns[f"{name} {PATH}"] = [math.dist(s.centroid_ras, resting.centroid_ras) for s in followed]
        columns[f"{name} {MEAN}"] = [structure.mean_displacement_mm for structure in followed]
        columns[f"{name} {LARGEST}"] = [structure.max_displacement_mm for structure in followed]
    return columns


SIMILARITY_BEFORE, SIMILARITY = "similarity before", "similarity after"
FOLDED, MEAN, LARGEST = "folded (%)", "mean displacement (mm)", "largest displacement (mm)"
VOLUME, PATH = "volume (ml)", "from reference (mm)"

_CHARTS = {
    "volume": (VOLUME,),
    "centroids": (PATH,),
    "displacement": (LARGEST, MEAN),
    "similarity": (SIMILARITY, SIMILARITY_BEFORE),
    "folding": (FOLDED,),
}
"""Title of a chart: endings of the columns that are drawn in it."""


def add_table(columns: Columns, name: str) -> Any:
    """A vtkMRMLTableNode of the columns, added to the scene."""
    import slicer

    node = slicer.vtkMRMLTableNode()
    node.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    for title, values in columns.items():
        column = _column_array(values)
        column.SetName(title)
        for value in values:
            column.InsertNextValue(str(value) if column.IsA("vtkStringArray") else value)
        node.AddColumn(column)
    slicer.mrmlScene.AddNode(node)
    return node


def add_charts(table: Any, columns: Columns, name: str, colors: Mapping[str, Sequence[float]]) -> list[Any]:
    """Chart nodes of volumes, centroids, displacements, similarity and folding, with their series, in the scene.

    The nodes of one chart come after each other, the chart last. ``colors`` are the structures' by name.
    """
    import slicer

    titles = list(columns)
    horizontal = titles[1] if all(isinstance(value, float) for value in columns[titles[1]]) else titles[0]
    made: list[Any] = []
    for what, endings in _CHARTS.items():
        drawn = list(_drawn(columns, endings))
        if not drawn:
            continue
        chart = slicer.vtkMRMLPlotChartNode()
        chart.SetName(slicer.mrmlScene.GenerateUniqueName(f"{name} {what}"))
        for title, structure in drawn:
            series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", f"{name} {title}")
            series.SetAndObserveTableNodeID(table.GetID())
            series.SetXColumnName(horizontal)
            series.SetYColumnName(title)
            series.SetPlotType(series.PlotTypeScatter)
            series.SetMarkerStyle(series.MarkerStyleCircle)
            color = colors.get(structure)
            series.SetColor(*color) if color is not None else series.SetUniqueColor()
            chart.AddAndObservePlotSeriesNodeID(series.GetID())
            made.append(series)
        chart.SetTitle(f"{name}: {what}")
        chart.SetXAxisTitle(horizontal)
        chart.SetYAxisTitle(endings[0])
        slicer.mrmlScene.AddNode(chart)
        made.append(chart)
    return made


def _drawn(columns: Columns, endings: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Titles of the columns that are drawn, and the structure that each is of, "" for the frame as a whole."""
    largest = sorted(
        (title.removesuffix(f" {VOLUME}") for title in columns if title.endswith(f" {VOLUME}")),
        key=lambda structure: -np.nan_to_num(np.array(columns[f"{structure} {VOLUME}"], float)).max(),
    )
    for ending in endings:
        if ending in columns:
            yield ending, ""
    for structure in largest[:_MOST_PLOTTED]:
        title = f"{structure} {endings[0]}"
        if title in columns:
            yield title, structure


def _unlike(labels: Sequence[int], names: Mapping[int, str]) -> dict[int, str]:
    """A name for each label, no two alike."""
    given = {label: names.get(label) or f"label {label}" for label in labels}
    texts = list(given.values())
    return {label: f"{text} ({label})" if texts.count(text) > 1 else text for label, text in given.items()}


def _structure(record: FrameRecord | None, label: int) -> StructureMotion:
    found = next((s for s in record.structures if s.label == label), None) if record is not None else None
    missing = float("nan")
    return found or StructureMotion(label, missing, (missing,) * 3, missing, missing)


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _column_array(values: Sequence[Any]) -> Any:
    import vtk

    if all(isinstance(value, int) for value in values):
        return vtk.vtkIntArray()
    return vtk.vtkDoubleArray() if all(isinstance(value, float) for value in values) else vtk.vtkStringArray()
