"""A registration's inputs from nodes and its result to nodes, apart from each other.

``read_inputs`` and ``write_result`` touch nodes and belong in the main thread. What is done between them,
``prepared_outputs`` too, knows no node, and may be done in any thread. ``write_result`` checks everything before it
touches the first node, so that the scene is as it was if something fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from VoxelMorphRegistrationLib.errors import InputError, TransformError
from VoxelMorphRegistrationLib.network.tensor import (
    AxisOrder,
    Layout,
    displacement_from_tensor,
    voxels_to_ras,
)
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationResult
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import (
    Direction,
    chain,
    check_direction,
    check_transform_node,
    checked_grid_transform,
    set_grid_transform,
    write_linear_transform,
)
from VoxelMorphRegistrationLib.slicer_bridge.volumes import (
    grid_of_volume_node,
    image_from_volume_node,
    mask_from_node,
    set_volume,
    vtk_image,
)
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image
from VoxelMorphRegistrationLib.spatial.grid import Floats

OutputGrid = Literal["full", "network"]
FieldKind = Literal["displacement", "velocity"]


@dataclass(frozen=True)
class RegistrationNodes:
    """The nodes of a registration; None is what is not given or not asked for.

    ``fixed`` and ``moving`` are scalar volumes, their masks labelmaps or segmentations. Outputs:

    - ``transform``: moves the moving volume onto the fixed one. With ``direction`` "resampling" it is
      stored from parent on the fixed volume's geometry, with "modeling" to parent on the moving volume's.
    - ``affine_transform``: takes the pre-alignment apart from the field; it is put under ``transform``, and
      the moving volume goes under it. None: the field holds both.
    - ``inverse_transform``: moves the fixed volume onto the moving one.
    - ``volume``: the moving volume on the fixed one's grid.

    ``output_grid`` "network" stores the fields at the network's resolution, about 8 times smaller.
    """

    fixed: Any
    moving: Any
    fixed_mask: Any = None
    moving_mask: Any = None
    transform: Any = None
    affine_transform: Any = None
    inverse_transform: Any = None
    volume: Any = None
    direction: Direction = "resampling"
    output_grid: OutputGrid = "full"

    @property
    def needs_inverse(self) -> bool:
        """Whether the registration must compute the map from moving to fixed, too."""
        return self.direction == "modeling" or self.inverse_transform is not None


@dataclass(frozen=True, eq=False)
class RegistrationInputs:
    """What `read_inputs` gives: images and masks in world space, each on its own grid."""

    fixed: Image
    moving: Image
    fixed_mask: Image | None
    moving_mask: Image | None


def read_inputs(nodes: RegistrationNodes) -> RegistrationInputs:
    """Library images of the input nodes, in world space.

    A moving volume that lies under the output transform, as after an earlier registration, is taken as it
    lies below that transform, whose content will be replaced. Raises InputError for nodes that cannot be
    used.
    """
    _check(nodes)
    back = (nodes.inverse_transform,)  # a transform that may move the fixed volume, and those for the moving one
    forth = (nodes.transform, nodes.affine_transform)
    _check_not_under(nodes.fixed, "fixed volume", forth)
    _check_not_under(nodes.moving, "moving volume", back)
    fixed = image_from_volume_node(nodes.fixed, "fixed volume", frame=_first_above(nodes.fixed, back))
    moving = image_from_volume_node(nodes.moving, "moving volume", frame=_first_above(nodes.moving, forth))
    fixed_mask = moving_mask = None
    if nodes.fixed_mask is not None:
        frame = _first_above(nodes.fixed_mask, back)
        fixed_mask = mask_from_node(nodes.fixed_mask, fixed.grid, "fixed mask", frame=frame)
    if nodes.moving_mask is not None:
        frame = _first_above(nodes.moving_mask, forth)
        moving_mask = mask_from_node(nodes.moving_mask, moving.grid, "moving mask", frame=frame)
    return RegistrationInputs(fixed, moving, fixed_mask, moving_mask)


@dataclass(frozen=True, eq=False)
class _Field:
    """A field to be stored, and the exact map that its node must give at the voxels (None: the field's own)."""

    field: DisplacementField
    expected: Callable[[Floats], Floats] | None = None


@dataclass(frozen=True, eq=False)
class Outputs:
    """What the output nodes will hold: vtkOrientedGridTransforms and a vtkImageData, checked; None: not asked for."""

    forward: Any
    backward: Any
    voxels: Any


def prepared_outputs(result: RegistrationResult, inputs: RegistrationInputs, nodes: RegistrationNodes) -> Outputs:
    """What `write_result` will put into the nodes.

    Looks at no node, only at which are given, so that any thread may do it: it takes longer than a view may wait.
    Raises TransformError where Slicer's transform disagrees with the library's.
    """
    deformation = result.deformation

    def checked(wanted: _Field) -> Any:
        return checked_grid_transform(wanted.field, wanted.expected)

    nothing_asked = nodes.volume is None and nodes.inverse_transform is None
    forward = nodes.transform is not None or nodes.affine_transform is not None or nothing_asked
    return Outputs(
        forward=checked(_forward_field(deformation, inputs, nodes)) if forward else None,
        backward=checked(_backward_field(deformation, inputs, nodes)) if nodes.inverse_transform is not None else None,
        voxels=vtk_image(result.moved.array) if nodes.volume is not None else None,
    )


def write_result(
    result: RegistrationResult,
    inputs: RegistrationInputs,
    nodes: RegistrationNodes,
    outputs: Outputs | None = None,
) -> RegistrationNodes:
    """Write a registration's result into the output nodes, and return all nodes.

    A transform node is added to the scene where no output was given, or only the affine. ``outputs`` are those of
    `prepared_outputs`, if they were made already. An input may have been deleted meanwhile, an output not. Raises
    InputError or TransformError, the scene as it was.
    """
    import slicer

    _check(nodes)  # again: nodes may have been deleted while the registration ran
    outputs = outputs or prepared_outputs(result, inputs, nodes)
    direction = nodes.direction

    fixed, moving = (node if node.GetScene() is not None else None for node in (nodes.fixed, nodes.moving))
    if outputs.forward is not None:
        if nodes.transform is None:
            name = f"{nodes.moving.GetName()} to {nodes.fixed.GetName()}"
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", name)
            nodes = replace(nodes, transform=node)
        set_grid_transform(outputs.forward, nodes.transform, direction, moving=moving, fixed=fixed)
        if nodes.affine_transform is not None:
            write_linear_transform(result.deformation.affine, nodes.affine_transform, moving=moving, fixed=fixed)
            chain(nodes.affine_transform, nodes.transform)
    if outputs.backward is not None:  # it moves the fixed volume: the roles are swapped
        set_grid_transform(outputs.backward, nodes.inverse_transform, direction, moving=fixed, fixed=moving)
    if nodes.volume is not None:
        set_volume(nodes.volume, outputs.voxels, result.moved.grid, like=moving)
    return nodes


def write_tensor(
    tensor: object,
    reference: Any,
    node: Any = None,
    direction: Direction = "resampling",
    *,
    axis_order: AxisOrder = "ijk",
    kind: FieldKind = "displacement",
    layout: Layout | Literal["auto"] = "auto",
) -> Any:
    """Write the displacement tensor of a network into a transform node (a new one for None), and return the node.

    ``reference`` is the volume on whose voxels the tensor lies: the fixed one for a resampling field, the
    moving one for a modeling field. The tensor's conventions are those of
    `network.tensor.displacement_from_tensor`. Raises InputError for a tensor or node that cannot be used
    and TransformError, the scene as it was, where Slicer's transform disagrees with the library's.
    """
    import slicer

    role = "fixed" if check_direction(direction) == "resampling" else "moving"
    if node is not None:
        _check_output_transform(node)
    if role == "fixed":
        _check_not_under(reference, "reference volume", (node,))
    grid = grid_of_volume_node(reference, "reference volume", frame=_first_above(reference, (node,)))
    voxels = displacement_from_tensor(tensor, grid.shape, layout=layout, axis_order=axis_order, kind=kind)
    field = DisplacementField(voxels_to_ras(voxels, grid.ijk_to_ras), grid)
    transform = checked_grid_transform(field)
    if node is None:
        name = f"{reference.GetName()} {direction} transform"
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", name)
    set_grid_transform(transform, node, direction, **{role: reference})
    return node


def _forward_field(deformation: Deformation, inputs: RegistrationInputs, nodes: RegistrationNodes) -> _Field:
    """The map phi from fixed to moving space, or with the affine apart the field alone."""
    apart, full = nodes.affine_transform is not None, nodes.output_grid == "full"
    if nodes.direction == "resampling":
        if not apart:
            grid = inputs.fixed.grid if full else deformation.compact_grid(inputs.fixed.grid)
            return _Field(deformation.resampling_field(grid), deformation.map_points)
        field = deformation.displacement
        return _Field(field.resampled(inputs.fixed.grid) if full else field)
    if not apart:
        field = deformation.modeling_field(_modeling_grid(deformation, inputs, nodes))
        return _Field(field, deformation.map_points_back)
    # Between the affine and the field lies neither the fixed nor the moving grid: the network's lattice
    # holds all.
    inverse = deformation.inverse_displacement
    if inverse is None:
        raise TransformError("The registration was run without its inverse, which a modeling transform needs.")
    return _Field(inverse)


def _backward_field(deformation: Deformation, inputs: RegistrationInputs, nodes: RegistrationNodes) -> _Field:
    """The map phi^-1, which moves what lies in fixed space onto the moving volume."""
    if nodes.direction == "resampling":
        field = deformation.modeling_field(_modeling_grid(deformation, inputs, nodes))
        return _Field(field, deformation.map_points_back)
    full = nodes.output_grid == "full"
    grid = inputs.fixed.grid if full else deformation.compact_grid(inputs.fixed.grid)
    return _Field(deformation.resampling_field(grid), deformation.map_points)


def _modeling_grid(deformation: Deformation, inputs: RegistrationInputs, nodes: RegistrationNodes) -> Grid:
    """The moving volume's grid, or one over the same extent about as coarse as the network's."""
    grid = inputs.moving.grid
    if nodes.output_grid == "full":
        return grid
    length = grid.spacing * (np.array(grid.shape) - 1)
    finer = np.ceil(length / deformation.displacement.grid.spacing.mean()).astype(int) + 1
    i, j, k = np.clip(finer, 2, grid.shape)
    return grid.with_shape((int(i), int(j), int(k)))


def _check(nodes: RegistrationNodes) -> None:
    """Raises InputError for choices that cannot work, whatever the volumes hold."""
    check_direction(nodes.direction)
    if nodes.output_grid not in get_args(OutputGrid):
        raise InputError(f"Unknown output grid '{nodes.output_grid}'; choose one of {', '.join(get_args(OutputGrid))}.")
    if nodes.fixed is not None and nodes.fixed is nodes.moving:
        raise InputError("The fixed and the moving volume are the same; choose two volumes.")
    outputs = [nodes.transform, nodes.affine_transform, nodes.inverse_transform]
    for node in outputs:
        if node is not None:
            _check_output_transform(node)
    if nodes.volume is not None:
        outputs.append(nodes.volume)
        _check_output_volume(nodes.volume)
        _check_in_scene(nodes.volume)
        if nodes.volume in (nodes.fixed, nodes.moving, nodes.fixed_mask, nodes.moving_mask):
            raise InputError(
                f"The output volume '{nodes.volume.GetName()}' is one of the inputs; choose another, so that it is "
                "not overwritten."
            )
    given = [node for node in outputs if node is not None]
    if len({id(node) for node in given}) < len(given):
        raise InputError("Two outputs go to the same transform node; choose different ones.")


def _check_output_transform(node: Any) -> None:
    check_transform_node(node)
    _check_in_scene(node)


def _check_in_scene(node: Any) -> None:
    if node.GetScene() is None:
        raise InputError(f"The output '{node.GetName()}' is not in the scene; choose another.")


def _check_output_volume(node: Any) -> None:
    if not (hasattr(node, "IsA") and node.IsA("vtkMRMLScalarVolumeNode")):
        raise InputError(f"The output volume is not a volume node but a {type(node).__name__}; choose another.")
    if type(node).__name__ != "vtkMRMLScalarVolumeNode":  # labelmaps and vector volumes are scalar volumes, too
        raise InputError(
            f"The output volume '{node.GetName()}' is a {node.GetNodeTagName()} node, which cannot show the moved "
            "volume; choose a scalar volume."
        )


def _parents(node: Any) -> list[Any]:
    parents = []
    while (node := node.GetParentTransformNode()) is not None:
        parents.append(node)
    return parents


def _first_above(node: Any, transforms: tuple[Any, ...]) -> Any:
    """The first of the transforms that the node lies under; None where it lies under none of them."""
    if not hasattr(node, "GetParentTransformNode"):
        return None  # what is wrong with it is said where it is read
    return next((parent for parent in _parents(node) if parent in transforms), None)


def _check_not_under(node: Any, role: str, transforms: tuple[Any, ...]) -> None:
    above = _first_above(node, transforms)
    if above is not None:
        raise InputError(
            f"The {role} '{node.GetName()}' lies under the output transform '{above.GetName()}', which is not meant "
            "to move it; take it out of the transform or choose another output."
        )
