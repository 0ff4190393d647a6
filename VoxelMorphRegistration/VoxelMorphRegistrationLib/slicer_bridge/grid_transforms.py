"""Displacement fields and affine matrices to and from Slicer's transform nodes.

Both sides are RAS mm. What differs is where the map is stored: a resampling field (fixed to moving, for
images) is a node's transform *from* parent on the fixed volume's geometry, a modeling field (moving to
fixed, for points and models) its transform *to* parent on the moving volume's geometry; Slicer computes the
other side by inversion (https://slicer.readthedocs.io/en/latest/developer_guide/modules/transforms.html).
Moving things go under the node.

A node is written with linear interpolation, as the library and ITK interpolate, so that all agree to 1e-3 mm. Slicer's
file reader makes every grid transform cubic, which is the same at the voxels and a little different between them (at
most 0.15 mm, in the median 0.02 mm, for a brain at full resolution). Outside its grid a node continues the displacement
of the edge, where ITK has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError, TransformError
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid
from VoxelMorphRegistrationLib.spatial.grid import Floats

Direction = Literal["resampling", "modeling"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

TOLERANCE_MM = 1e-3
_CHECKED_POINTS = 500


def write_grid_transform(
    field: DisplacementField,
    node: Any,
    direction: Direction = "resampling",
    *,
    moving: Any = None,
    fixed: Any = None,
) -> None:
    """Put a displacement field into a transform node, after checking it.

    ``node`` is any vtkMRMLTransformNode; what it held, its parent transform and its references to a moving
    and a fixed node are replaced (positions are the world's). ``moving`` and ``fixed`` are volume nodes or
    None. Raises TransformError, the node untouched, if Slicer maps points otherwise than the library, and
    InputError for another node or direction.
    """
    check_transform_node(node)
    check_direction(direction)
    set_grid_transform(checked_grid_transform(field), node, direction, moving=moving, fixed=fixed)


def checked_grid_transform(field: DisplacementField, expected: Callable[[Floats], Floats] | None = None) -> Any:
    """A float32 vtkOrientedGridTransform of the field that was seen to map points as the library does.

    Random points in and around the grid must go where ``field.map_points`` takes them; where ``expected``
    is given, random voxel centres must also go where that takes them (the field is exact there, an
    approximation between). The node through which it is written and mapped is in no scene and seen by nobody, so
    that any thread may call this. Raises TransformError where they disagree by more than 1e-3 mm.
    """
    import slicer

    transform = _empty_grid_transform(field.grid)
    node = slicer.vtkMRMLGridTransformNode()
    # From parent whatever the direction: Slicer before September 2026 gives no array of a to-parent node.
    node.SetAndObserveTransformFromParent(transform)
    slicer.util.arrayFromGridTransform(node)[:] = field.vectors.transpose(2, 1, 0, 3)
    slicer.util.arrayFromGridTransformModified(node)

    random = np.random.default_rng(0)
    size = np.array(field.grid.shape)
    anywhere = field.grid.to_ras(random.uniform(-0.1 * size, 1.1 * size, (_CHECKED_POINTS, 3)))
    centres = field.grid.to_ras(random.integers(0, size, (_CHECKED_POINTS, 3)))
    _check(map_points(node, anywhere), field.map_points(anywhere))
    if expected is not None:
        _check(map_points(node, centres), expected(centres))
    node.SetAndObserveTransformFromParent(None)
    return transform


def set_grid_transform(
    transform: Any, node: Any, direction: Direction, *, moving: Any = None, fixed: Any = None
) -> None:
    """Put a vtkOrientedGridTransform into a transform node; see `write_grid_transform`. Views are updated once."""
    modifying = node.StartModify()
    try:
        _set(node, transform, direction)
        _detach(node, moving, fixed)
    finally:
        node.EndModify(modifying)


def write_linear_transform(matrix: npt.ArrayLike, node: Any, *, moving: Any = None, fixed: Any = None) -> None:
    """Put a 4x4 RAS matrix, fixed to moving, into a transform node: as its transform from parent.

    What is under the node moves by the inverse, from moving to fixed. Raises InputError for another node.
    """
    import slicer
    import vtk

    check_transform_node(node)
    linear = vtk.vtkTransform()
    linear.SetMatrix(slicer.util.vtkMatrixFromArray(np.array(matrix, np.float64)))
    modifying = node.StartModify()
    try:
        node.SetAndObserveTransformFromParent(linear)  # SetMatrix... would refuse a node that holds a field
        _detach(node, moving, fixed)
    finally:
        node.EndModify(modifying)


def chain(linear: Any, grid: Any) -> None:
    """Put the affine node under the field's node: for affine and field apart, the moving volume goes under the first.

    A point x of fixed space then goes through the field, x + u(x), and on through the affine, A(x + u(x)).
    """
    linear.SetAndObserveTransformNodeID(grid.GetID())


def read_grid_transform(node: Any) -> tuple[DisplacementField, Direction]:
    """The field that a transform node stores (a copy), and for which direction.

    The node's own parent transform is not looked at. Raises InputError for a node that stores anything but
    one grid transform, such as an empty, linear, B-spline or composite one.
    """
    check_transform_node(node)
    direction: Direction = "resampling"
    transform = node.GetTransformFromParentAs("vtkOrientedGridTransform", False, True)
    if transform is None:
        direction, transform = (
            "modeling",
            node.GetTransformToParentAs("vtkOrientedGridTransform", False, True),
        )
    image = transform.GetDisplacementGrid() if transform is not None else None
    if image is None or image.GetNumberOfPoints() <= 1 or image.GetPointData().GetScalars() is None:
        raise InputError(
            f"The transform '{node.GetName()}' holds no displacement field; convert it to a grid transform in the "
            "Transforms module."
        )
    return field_of_grid_transform(transform), direction


def field_of_grid_transform(transform: Any) -> DisplacementField:
    """The displacements (a copy) of a vtkOrientedGridTransform, or of a vtkGridTransform, which has no directions.

    They may lie in the grid's scalars, where VTK looks for them, or in its vectors.
    """
    import slicer

    image, matrix, axes = transform.GetDisplacementGrid(), np.eye(4), np.eye(3)
    if transform.IsA("vtkOrientedGridTransform") and (directions := transform.GetGridDirectionMatrix()) is not None:
        axes = slicer.util.arrayFromVTKMatrix(directions)[:3, :3]
    matrix[:3, :3] = axes * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    vectors, scale, shift = _displacements(image), transform.GetDisplacementScale(), transform.GetDisplacementShift()
    if (scale, shift) != (1.0, 0.0):
        vectors = vectors * scale + shift
    return DisplacementField(np.array(vectors, np.float32), Grid(image.GetDimensions(), matrix))


def map_points(node: Any, points_ras: npt.ArrayLike, direction: Direction = "resampling") -> Floats:
    """(n, 3) points through the node's transform from parent (resampling) or to parent (modeling)."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    transform = node.GetTransformFromParent() if direction == "resampling" else node.GetTransformToParent()
    points, mapped = vtk.vtkPoints(), vtk.vtkPoints()
    mapped.SetDataTypeToDouble()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(points_ras, np.float64), deep=True))
    transform.TransformPoints(points, mapped)
    result: Floats = vtk_to_numpy(mapped.GetData()).copy()
    return result


def check_transform_node(node: Any) -> None:
    """Raises InputError for anything but a vtkMRMLTransformNode; subclasses are as good."""
    if not (hasattr(node, "IsA") and node.IsA("vtkMRMLTransformNode")):
        raise InputError(f"The output transform is not a transform node but a {type(node).__name__}; choose another.")


def check_direction(direction: str) -> Direction:
    """Raises InputError for an unknown direction."""
    for known in DIRECTIONS:
        if direction == known:
            return known
    raise InputError(f"Unknown direction '{direction}'; choose one of {', '.join(DIRECTIONS)}.")


def _empty_grid_transform(grid: Grid) -> Any:
    import slicer
    import vtk

    image = vtk.vtkImageData()
    image.SetDimensions(*grid.shape)
    image.SetSpacing(*grid.spacing)
    image.SetOrigin(*grid.origin)
    image.AllocateScalars(vtk.VTK_FLOAT, 3)
    directions = np.eye(4)
    directions[:3, :3] = grid.directions
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    transform.SetGridDirectionMatrix(slicer.util.vtkMatrixFromArray(directions))  # the image's own is ignored
    transform.SetDisplacementScale(1.0)
    transform.SetDisplacementShift(0.0)
    transform.SetInterpolationModeToLinear()
    return transform


def _displacements(image: Any) -> npt.NDArray[Any]:
    """A view of a displacement grid's vectors, [i, j, k] and component."""
    from vtk.util.numpy_support import vtk_to_numpy

    data = image.GetPointData()
    array: npt.NDArray[Any] = vtk_to_numpy(data.GetScalars() or data.GetVectors())
    return array.reshape(*image.GetDimensions()[::-1], 3).transpose(2, 1, 0, 3)


def _set(node: Any, transform: Any, direction: Direction) -> None:
    if direction == "resampling":
        node.SetAndObserveTransformFromParent(transform)
    else:
        node.SetAndObserveTransformToParent(transform)


def _detach(node: Any, moving: Any, fixed: Any) -> None:
    """No parent transform, and references to these two nodes only."""
    node.SetAndObserveTransformNodeID(None)
    for role, volume in ((node.GetMovingNodeReferenceRole(), moving), (node.GetFixedNodeReferenceRole(), fixed)):
        node.RemoveNodeReferenceIDs(role)
        if volume is not None:
            node.AddNodeReferenceID(role, volume.GetID())


def _check(by_node: Floats, by_library: Floats) -> None:
    error = float(np.max(np.linalg.norm(by_node - by_library, axis=-1)))
    if not error <= TOLERANCE_MM:  # also for NaN
        raise TransformError(
            f"Slicer's transform takes points {error:.3g} mm away from where the registration takes them, so it was "
            "not kept; please report this with the geometry of both volumes."
        )
