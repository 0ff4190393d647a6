"""Fields in transform nodes as scripts leave them: also those that Slicer itself does not see, cannot save or chains.

`grid_transforms.read_grid_transform` reads what Slicer takes for a field; here the mistakes of scripts are undone, each
with a finding that names it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.files.transforms import Direction
from VoxelMorphRegistrationLib.pipeline.conventions.findings import Finding
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import (
    check_transform_node,
    field_of_grid_transform,
    map_points,
    read_grid_transform,
)
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid

_VECTORS = Finding(
    "vectors for scalars",
    "The displacements were set with SetVectors where VTK wants SetScalars, so the transform moves nothing; they are "
    "all there and are put in their place.",
    16,
    "apply convention",
)
_NOT_ORIENTED = Finding(
    "not oriented",
    "The transform is a vtkGridTransform, which knows no directions of its axes and which Slicer cannot save; it is "
    "replaced by a vtkOrientedGridTransform.",
    16,
    "apply convention",
)


def read_scripted_transform(node: Any) -> tuple[DisplacementField, Direction, tuple[Finding, ...]]:
    """The field in a transform node, for which direction, and what is wrong with how it lies there.

    A chain of transforms with a field in it is joined into one on the voxels of that field. Raises InputError for a
    node without a field.
    """
    check_transform_node(node)
    read: dict[Direction, Any] = {
        "resampling": node.GetTransformFromParentAs,
        "modeling": node.GetTransformToParentAs,
    }
    for direction, transform_as in read.items():
        transform = transform_as("vtkGridTransform", False, True)  # oriented ones are of this kind, too
        if transform is None or transform.GetDisplacementGrid() is None:
            continue
        return _with_findings(transform, direction) if _is_unusual(transform) else (*read_grid_transform(node), ())
    if joined := _joined(node):
        return joined
    return *read_grid_transform(node), ()  # which says what is missing


def _is_unusual(transform: Any) -> bool:
    data = transform.GetDisplacementGrid().GetPointData()
    lies_as_vectors = data.GetScalars() is None and data.GetVectors() is not None
    return lies_as_vectors or not transform.IsA("vtkOrientedGridTransform")


def _with_findings(transform: Any, direction: Direction) -> tuple[DisplacementField, Direction, tuple[Finding, ...]]:
    found = []
    data = transform.GetDisplacementGrid().GetPointData()
    if data.GetScalars() is None:
        found.append(_VECTORS)
    if not transform.IsA("vtkOrientedGridTransform"):
        found.append(_NOT_ORIENTED)
    return field_of_grid_transform(transform), direction, tuple(found)


def _joined(node: Any) -> tuple[DisplacementField, Direction, tuple[Finding, ...]] | None:
    """A chain that holds a field, as one field from parent."""
    import slicer
    import vtk

    parts = vtk.vtkCollection()
    node.FlattenGeneralTransform(parts, node.GetTransformFromParent())
    every = [parts.GetItemAsObject(n) for n in range(parts.GetNumberOfItems())]
    grids = [part for part in every if part.IsA("vtkGridTransform") and part.GetDisplacementGrid() is not None]
    if not grids or len(every) < 2:
        return None
    grid = field_of_grid_transform(grids[0]).grid
    for part in reversed(every[: every.index(grids[0])]):  # what comes before leads to the field's voxels
        if part.IsA("vtkLinearTransform"):
            grid = grid.moved_by(np.linalg.inv(slicer.util.arrayFromVTKMatrix(part.GetMatrix())))
    moved = np.empty((*grid.shape, 3), np.float32)
    for i in range(grid.shape[0]):
        points = _plane(grid, i)
        moved[i] = (map_points(node, points) - points).reshape(*grid.shape[1:], 3)
    names = ", ".join(part.GetClassName().removeprefix("vtk") for part in every)
    finding = Finding(
        "chain",
        f"The transform is a chain of {len(every)} ({names}), which Slicer before 5.10 clones in the wrong order; it "
        "is joined into one field.",
        16,
        "apply convention",
        serious=False,
    )
    return DisplacementField(moved, grid), "resampling", (finding,)


def _plane(grid: Grid, i: int) -> Any:
    j, k = np.meshgrid(*[np.arange(n) for n in grid.shape[1:]], indexing="ij")
    return grid.to_ras(np.stack([np.full_like(j, i), j, k], -1).reshape(-1, 3))
