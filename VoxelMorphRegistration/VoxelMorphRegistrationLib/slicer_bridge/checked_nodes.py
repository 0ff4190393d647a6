"""What a check reads from a scene: any transform node as a map, structures with their names, landmarks.

Everything is read as it lies before the transform that is checked has moved it, whether it lies under it or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.any_transform import linear_map
from VoxelMorphRegistrationLib.files.points import Points
from VoxelMorphRegistrationLib.pipeline.quality.check_job import GivenTransform
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import check_transform_node, read_grid_transform
from VoxelMorphRegistrationLib.slicer_bridge.volumes import (
    frame_below,
    is_node,
    mask_from_node,
    matrix_of,
    transform_to_frame,
)
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image
from VoxelMorphRegistrationLib.spatial.grid import Floats

_SAMPLED_VOXELS = 250_000
"""Slicer maps so many points within a second, also through transforms that it must invert for each."""


def transform_from_node(node: Any, grid: Grid) -> tuple[GivenTransform, str]:
    """The map from the world to what lies under a transform node, and a note on it, "" if there is nothing to say.

    Linear transforms and a node's own displacement field are taken as they are; chains, B-splines, thin plates and
    fields below other transforms are sampled on a lattice over ``grid``. Raises InputError for other nodes.
    """
    check_transform_node(node)
    to_below = _from_world(node)
    matrix = matrix_of(to_below)
    if matrix is not None:
        linear = linear_map(matrix, grid)
        return GivenTransform(linear.displacement, linear.affine), ""
    if node.GetParentTransformNode() is None and _is_one_field(node):
        field, direction = read_grid_transform(node)
        return GivenTransform(field, is_inverse=direction == "modeling"), ""
    lattice = _lattice(grid)
    points = lattice.to_ras(np.moveaxis(np.indices(lattice.shape), 0, -1).reshape(-1, 3))
    vectors = (_mapped(to_below, points) - points).reshape(*lattice.shape, 3).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise InputError(
            f"The transform '{node.GetName()}' cannot be inverted by Slicer; convert it to a grid transform."
        )
    note = (
        f"{node.GetName()} is no single displacement field; it was looked at every {lattice.spacing.max():.1f} mm, so "
        "that smaller folds are not seen."
    )
    return GivenTransform(DisplacementField(vectors, lattice)), note


def labels_from_node(node: Any, like: Grid, role: str, transform: Any) -> tuple[Image, dict[int, str], str]:
    """Labels of a labelmap or segmentation node, their names, and a note on them, "" if there is nothing to say.

    ``like`` is the grid of the volume they belong to. Raises InputError for other nodes and empty ones.
    """
    image = mask_from_node(node, like, role, frame=frame_below(node, transform))
    if is_node(node, "vtkMRMLSegmentationNode"):
        segmentation = node.GetSegmentation()
        segments = [segmentation.GetNthSegment(n) for n in range(segmentation.GetNumberOfSegments())]
        overlapping = segmentation.GetNumberOfLayers("Binary labelmap") > 1
        note = f"Segments of {node.GetName()} may overlap; where they do, only the last one counted."
        return image, {n: str(s.GetName()) for n, s in enumerate(segments, 1)}, note if overlapping else ""
    display = node.GetDisplayNode()
    colours = display.GetColorNode() if display is not None else None
    values = [int(value) for value in np.unique(image.array) if value]
    names = {value: str(colours.GetColorName(value)) for value in values} if colours is not None else {}
    return image, {value: name for value, name in names.items() if name and name != "(none)"}, ""


def numbered_alike(fixed: Mapping[int, str], moving: Image, names: Mapping[int, str]) -> tuple[Image, dict[int, str]]:
    """The moving labels with the fixed ones' numbers where they have the same names, and all names.

    Labels of other names get numbers of their own; where no name is on both sides, numbers are left as they are.
    """
    number_of = {name: label for label, name in fixed.items()}
    if not set(number_of) & set(names.values()):
        return moving, {**names, **fixed}
    free = max([*fixed, *names, 0]) + 1
    table = np.arange(max(int(moving.array.max()), *names) + 1, dtype=np.int32)
    called = dict(fixed)
    for offset, (label, name) in enumerate(sorted(names.items())):
        table[label] = number_of.get(name, free + offset)
        called[int(table[label])] = name
    return moving.with_array(table[moving.array]), called


def points_from_node(node: Any, role: str, transform: Any) -> Points:
    """The defined control points of a markups node. Raises InputError for other nodes and empty ones."""
    if not is_node(node, "vtkMRMLMarkupsNode"):
        raise InputError(f"The {role} are no markups but a {type(node).__name__}; choose a point list.")
    defined = [
        n
        for n in range(node.GetNumberOfControlPoints())
        if node.GetNthControlPointPositionStatus(n) == node.PositionDefined
    ]
    if not defined:
        raise InputError(f"The {role} '{node.GetName()}' have no points; place some.")
    positions = np.array([node.GetNthControlPointPosition(n) for n in defined])
    placed = _mapped(transform_to_frame(node, frame_below(node, transform)), positions)
    return Points(placed, tuple(str(node.GetNthControlPointLabel(n)) or str(n + 1) for n in defined))


def _from_world(node: Any) -> Any:
    """A vtkGeneralTransform from the world to the coordinates of what lies under a transform node."""
    import slicer
    import vtk

    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, node, transform)
    return transform


def _is_one_field(node: Any) -> bool:
    stored = (
        node.GetTransformFromParentAs("vtkOrientedGridTransform", False, True),
        node.GetTransformToParentAs("vtkOrientedGridTransform", False, True),
    )
    return any(transform is not None for transform in stored)


def _mapped(transform: Any, points: Floats) -> Floats:
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    given, mapped = vtk.vtkPoints(), vtk.vtkPoints()
    mapped.SetDataTypeToDouble()
    given.SetData(numpy_to_vtk(np.ascontiguousarray(points, np.float64), deep=True))
    transform.TransformPoints(given, mapped)
    result: Floats = vtk_to_numpy(mapped.GetData()).copy()
    return result


def _lattice(grid: Grid) -> Grid:
    """At most so many voxels over the same place, about as far apart along each axis."""
    spacing = max(float(np.cbrt(np.prod(grid.extent_mm) / _SAMPLED_VOXELS)), float(grid.spacing.min()))
    shape = np.clip(np.ceil(grid.extent_mm / spacing).astype(int), 2, np.maximum(grid.shape, 2))
    return grid.with_shape((int(shape[0]), int(shape[1]), int(shape[2])))
