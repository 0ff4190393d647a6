"""Volume and segmentation nodes to and from library images.

Slicer's volumes are indexed [k, j, i] by ``slicer.util.arrayFromVolume`` and placed by
``GetIJKToRASMatrix``; here the array is turned to [i, j, k]. Parent transforms, which ``arrayFromVolume``
ignores, are taken into account.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.spatial import Grid, Image


def image_from_volume_node(node: Any, role: str = "volume", *, frame: Any = None) -> Image:
    """The volume as it lies in the world, its parent transforms applied.

    ``node`` is a scalar or labelmap volume node, ``role`` is what messages call it ("fixed volume"). Under
    linear transforms the voxels are the node's own (a view, not a copy: do not change them) on a grid that
    is moved; under a non-linear one they are resampled in the world as Slicer does on hardening, at the
    node's spacing and axes, linearly, or to the nearest for a labelmap.

    ``frame`` is a transform node: positions are then those below it, before it is applied, instead of the
    world's. Raises InputError for what is not a scalar volume with voxels; what the voxels hold is looked
    at by whoever uses them.
    """
    _check_volume_node(node, role)
    return _placed(node, transform_to_frame(node, frame))


def image_of_data_node(node: Any, role: str, to_world: npt.NDArray[np.float64]) -> Image:
    """An item of a volume sequence, called ``role``; its voxels are a view, as in `image_from_volume_node`.

    An item lies in a scene of its own: ``to_world`` is the `world_matrix` of the node that shows it. Raises InputError
    for what is not a scalar volume with voxels.
    """
    _check_volume_node(node, role)
    return Image(_voxels(node), _own_grid(node).moved_by(to_world), role)


def world_matrix(node: Any, *, frame: Any = None) -> npt.NDArray[np.float64] | None:
    """The 4x4 matrix from the node's own coordinates to the world (or below ``frame``); None where it is not linear."""
    return matrix_of(transform_to_frame(node, frame))


def mask_from_node(node: Any, like: Grid, role: str = "mask", *, frame: Any = None) -> Image:
    """A labelmap or segmentation node as a mask, on a grid of its own: more than 0 inside any label or segment.

    ``like`` is the grid of the image it belongs to; segments that are surfaces are sampled as finely.
    ``frame`` as in `image_from_volume_node`. Raises InputError for other nodes and for a segmentation that
    holds nothing.
    """
    labelmap = node
    if is_node(node, "vtkMRMLSegmentationNode"):
        labelmap = _labelmap_of_segmentation(node, like, role)
    else:
        _check_volume_node(node, role)
    return _placed(labelmap, transform_to_frame(node, frame))


def frame_below(node: Any, transform: Any) -> Any:
    """``transform`` if the node lies under it, else None: the ``frame`` in which the transform has not moved it yet."""
    parent = node.GetParentTransformNode() if hasattr(node, "GetParentTransformNode") else None
    while parent is not None and parent is not transform:
        parent = parent.GetParentTransformNode()
    return parent


def volume_node_from_image(image: Image, node: Any = None, name: str | None = None) -> Any:
    """Write an image in world space into a scalar volume node, and return the node.

    Without ``node`` one is added to the scene, called ``name`` (default: the image's name). The node gets
    voxels of its own, the image's geometry, no parent transform (its position is the world's already) and a
    display node.
    """
    import slicer

    voxels = vtk_image(image.array)
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name or image.name)
    set_volume(node, voxels, image.grid)
    return node


def set_volume(node: Any, voxels: Any, grid: Grid, *, like: Any = None) -> None:
    """Give a scalar volume node these voxels, a vtkImageData, on this grid in world space; it gets a display node.

    It is shown with the window, level and colors of the volume node ``like``, unless the user has chosen others for it
    before. Without ``like``, Slicer looks for a window itself, which takes longer than all the rest.
    """
    import slicer

    modifying = node.StartModify()
    try:
        node.SetAndObserveTransformNodeID(None)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.array(grid.ijk_to_ras)))
        _show_like(node, like)
        node.SetAndObserveImageData(voxels)
        if node.GetDisplayNode() is None:
            node.CreateDefaultDisplayNodes()
    finally:
        node.EndModify(modifying)


def _show_like(node: Any, like: Any) -> None:
    model = like.GetDisplayNode() if like is not None else None
    if model is None:
        return
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetAndObserveColorNodeID(model.GetColorNodeID())
    display = node.GetDisplayNode()
    if display.GetAutoWindowLevel():
        display.AutoWindowLevelOff()
        display.SetWindowLevel(model.GetWindow(), model.GetLevel())


def grid_of_volume_node(node: Any, role: str = "reference volume", *, frame: Any = None) -> Grid:
    """Where the voxels of a volume node lie in the world (or below ``frame``).

    Raises InputError where there are no voxels, or where a non-linear parent transform leaves no regular
    grid.
    """
    _check_volume_node(node, role)
    matrix = matrix_of(transform_to_frame(node, frame))
    if matrix is None:
        raise InputError(
            f"The {role} '{node.GetName()}' lies under a non-linear transform, so that its voxels form no regular "
            "grid; harden the transform or take the volume out of it."
        )
    return _own_grid(node).moved_by(matrix)


def is_quick_to_read(node: Any) -> bool:
    """Whether reading the node copies nothing: false for a segmentation and for what a non-linear transform moves."""
    return not is_node(node, "vtkMRMLSegmentationNode") and matrix_of(transform_to_frame(node, None)) is not None


def is_node(node: Any, class_name: str) -> bool:
    """Whether it is a MRML node of this class or one derived from it."""
    return hasattr(node, "IsA") and bool(node.IsA(class_name))


def _check_volume_node(node: Any, role: str) -> None:
    if node is None:
        raise InputError(f"There is no {role}; choose one.")
    if not is_node(node, "vtkMRMLScalarVolumeNode"):
        kind = node.GetNodeTagName() if is_node(node, "vtkMRMLNode") else type(node).__name__
        raise InputError(f"The {role} is not a scalar volume node but a {kind}; choose a volume.")
    name, voxels = node.GetName(), node.GetImageData()
    if voxels is None or voxels.GetPointData().GetScalars() is None or voxels.GetNumberOfPoints() == 0:
        raise InputError(f"The {role} '{name}' has no voxels; load its image first.")
    components = voxels.GetNumberOfScalarComponents()
    if components != 1:
        raise InputError(
            f"The {role} '{name}' has {components} values per voxel (a color, vector or 4-D volume); "
            "choose a scalar volume, or extract one component or frame first."
        )


def _own_grid(node: Any) -> Grid:
    import slicer
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return Grid(node.GetImageData().GetDimensions(), slicer.util.arrayFromVTKMatrix(matrix))


def transform_to_frame(node: Any, frame: Any) -> Any:
    """The vtkGeneralTransform from the node's own coordinates to the world, or to those below ``frame``."""
    import slicer
    import vtk

    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), frame, transform)
    return transform


def matrix_of(transform: Any) -> npt.NDArray[np.float64] | None:
    """A vtkGeneralTransform as a 4x4 matrix; None where it is not linear."""
    import slicer
    import vtk

    linear = vtk.vtkTransform()
    if not slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(transform, linear):
        return None
    matrix: npt.NDArray[np.float64] = slicer.util.arrayFromVTKMatrix(linear.GetMatrix())
    return matrix


def _placed(node: Any, transform: Any) -> Image:
    """The volume carried by a vtkGeneralTransform: its grid is moved, or its voxels resampled."""
    matrix = matrix_of(transform)
    if matrix is not None:
        return Image(_voxels(node), _own_grid(node).moved_by(matrix), node.GetName())
    hardened = _hardened(node, transform)
    return Image(_voxels(hardened), _own_grid(hardened), node.GetName())


def _hardened(node: Any, transform: Any) -> Any:
    """A copy of the volume with a transform applied to its voxels by Slicer itself; the node is not touched.

    In a scene of its own, because Slicer finds how large the result must be only below a parent transform.
    """
    import slicer

    scene = slicer.vtkMRMLScene()
    parent = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    parent.SetAndObserveTransformToParent(transform)
    copy = scene.AddNewNodeByClass(node.GetClassName())
    copy.CopyContent(node, False)  # shares the voxels until they are replaced
    copy.SetAndObserveTransformNodeID(parent.GetID())
    copy.HardenTransform()
    return copy


def _voxels(node: Any) -> npt.NDArray[Any]:
    """A view of the voxels as [i, j, k]. Unlike slicer.util.arrayFromVolume it knows subclasses, too."""
    from vtk.util.numpy_support import vtk_to_numpy

    image = node.GetImageData()
    array: npt.NDArray[Any] = vtk_to_numpy(image.GetPointData().GetScalars())
    return array.reshape(image.GetDimensions()[::-1]).T


def vtk_image(array_ijk: npt.NDArray[Any]) -> Any:
    """A vtkImageData with a copy of the voxels, of no node yet; any thread may make it.

    Raises InputError for a type of voxels that Slicer cannot show.
    """
    import vtk
    from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

    _check_writable(array_ijk)
    image = vtk.vtkImageData()
    image.SetDimensions(*array_ijk.shape)
    image.AllocateScalars(get_vtk_array_type(array_ijk.dtype), 1)
    vtk_to_numpy(image.GetPointData().GetScalars()).reshape(array_ijk.shape[::-1])[:] = array_ijk.T
    return image


def _check_writable(array: npt.NDArray[Any]) -> None:
    """Slicer shows no bool, half or 64-bit integer volumes."""
    if array.dtype.kind not in "iuf" or array.dtype in (np.int64, np.uint64, np.float16):
        raise InputError(f"Slicer cannot show voxels of type {array.dtype}; convert them, for instance to float32.")


def _labelmap_of_segmentation(node: Any, like: Grid, role: str) -> Any:
    """All segments merged, as a labelmap node outside the scene in the segmentation's own coordinates."""
    import slicer

    copy = slicer.vtkMRMLSegmentationNode()  # merging may make a labelmap representation, which is not ours to add
    segmentation = copy.GetSegmentation()
    segmentation.DeepCopy(node.GetSegmentation())
    if segmentation.GetNumberOfSegments() == 0:
        raise InputError(f"The {role} '{node.GetName()}' has no segments; draw one or clear the mask.")
    if not segmentation.ContainsRepresentation("Binary labelmap"):  # surfaces are sampled like the image
        converter = slicer.vtkSegmentationConverter
        geometry = converter.SerializeImageGeometry(oriented_geometry(like))
        segmentation.SetConversionParameter(converter.GetReferenceImageGeometryParameterName(), geometry)
        segmentation.CreateRepresentation("Binary labelmap")
    merged, labelmap = slicer.vtkOrientedImageData(), slicer.vtkMRMLLabelMapVolumeNode()
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if (
        not copy.GenerateMergedLabelmapForAllSegments(merged)
        or merged.IsEmpty()
        or not logic.CreateLabelmapVolumeFromOrientedImageData(merged, labelmap)
    ):
        raise InputError(f"The {role} '{node.GetName()}' is empty; draw a region or clear the mask.")
    labelmap.SetName(node.GetName())
    return labelmap


def oriented_geometry(grid: Grid) -> Any:
    """A vtkOrientedImageData on these voxels, without any values."""
    import slicer

    geometry = slicer.vtkOrientedImageData()
    geometry.SetExtent(0, grid.shape[0] - 1, 0, grid.shape[1] - 1, 0, grid.shape[2] - 1)
    geometry.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(np.array(grid.ijk_to_ras)))
    return geometry
