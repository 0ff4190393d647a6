"""The tensor a registration network returns, and its conventions: this module is their only border.

A VoxelMorph tensor is (1, 3, D, H, W) in PyTorch and (1, D, H, W, 3) in TensorFlow. Component n is a
displacement along array axis n, in voxels of the tensor's own grid, that says where in the moving image to
sample, ``moved(x) = moving(x + u(x))`` (voxelmorph.tf.utils.transform, indexing "ij"). The axes are those of
the volume that was given to the network: [i, j, k] for one read with nibabel, [k, j, i] for
``slicer.util.arrayFromVolume`` and SimpleITK. A tensor at half or quarter resolution (VoxelMorph's field
before the last resizing) covers the same extent with its corner voxels on the volume's.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network.integration import integrate, upsample

FloatArray = NDArray[np.float32]
Layout = Literal["channels_first", "channels_last"]
AxisOrder = Literal["ijk", "kji"]
Shape = tuple[int, int, int]

_RESOLUTIONS = (1, 2, 4)  # how many voxels of the grid one voxel of the tensor may span


def displacement_from_tensor(
    tensor: object,
    grid_shape: Shape,
    *,
    layout: Layout | Literal["auto"] = "auto",
    axis_order: AxisOrder = "ijk",
    kind: Literal["displacement", "velocity"] = "displacement",
    integration_steps: int = 7,
) -> FloatArray:
    """The (I, J, K, 3) displacements, in voxels along i, j, k, that a network's tensor means on a grid.

    ``tensor`` is a NumPy, PyTorch or TensorFlow tensor of (1, 3, D, H, W), (1, D, H, W, 3), (3, D, H, W) or
    (D, H, W, 3), at the grid's resolution, half or a quarter of it, of floats or signed integers.
    ``grid_shape`` is the grid's (I, J, K). ``axis_order`` says whether the tensor's D, H, W are i, j, k or
    k, j, i; axes and components are reordered together. A ``kind`` "velocity" is integrated first.

    Raises InputError where the tensor cannot be understood, or could be understood in two ways.
    """
    for name, value, choices in (
        ("layout", layout, ("auto", "channels_first", "channels_last")),
        ("axis_order", axis_order, ("ijk", "kji")),
        ("kind", kind, ("displacement", "velocity")),
    ):
        if value not in choices:
            raise InputError(f'{name} is "{value}" and has to be one of: {", ".join(choices)}.')
    if integration_steps < 0:
        raise InputError("integration_steps cannot be negative.")

    grid_shape = (int(grid_shape[0]), int(grid_shape[1]), int(grid_shape[2]))
    array = as_numpy(tensor)
    vectors = _channels_last(_without_batch(array), layout, grid_shape, axis_order)
    if axis_order == "kji":
        vectors = vectors.transpose(2, 1, 0, 3)[..., ::-1]
    with np.errstate(over="ignore"):
        field = np.array(vectors, np.float32, order="C")  # a copy: the caller's tensor stays its own
    if not np.isfinite(field).all():
        count = int((~np.isfinite(field)).any(axis=-1).sum())
        raise InputError(f"The tensor holds NaN or infinite values in {count} voxels; no transform can be made of it.")
    if kind == "velocity":
        field = integrate(field, integration_steps)
    return upsample(field, grid_shape)


def voxels_to_ras(displacement_ijk: FloatArray, ijk_to_ras: ArrayLike) -> FloatArray:
    """Displacements (..., 3) in voxels along i, j, k as RAS mm: u_ras = M u_ijk.

    M is the upper-left 3x3 of the grid's IJK-to-RAS matrix (3x3 or 4x4); a displacement knows no origin.
    """
    matrix = np.asarray(ijk_to_ras, np.float32)[:3, :3]
    return np.asarray(displacement_ijk @ matrix.T, np.float32)


def as_numpy(tensor: object) -> NDArray[Any]:
    """The tensor's values, whatever library it is from, without importing that library."""
    value: Any = tensor
    try:
        if hasattr(value, "detach"):  # PyTorch: off the graph and the GPU; NumPy knows no bfloat16
            value = value.detach().cpu()
            value = value.float() if value.is_floating_point() else value
        array: NDArray[Any] = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"The tensor ({type(tensor).__name__}) holds no values that can be read as an array of numbers."
        ) from error
    if array.dtype.kind in "fi":
        return array
    if array.dtype.name == "bfloat16":  # TensorFlow's, in NumPy's eyes a type of its own
        return np.asarray(array, np.float32)
    if array.dtype.kind in "ub":
        raise InputError(
            f"The tensor holds {array.dtype.name} values, which have no sign and so are no displacements; "
            "give the network's field and not a label map or an image."
        )
    raise InputError(f"The tensor holds {array.dtype.name} values, and displacements are real numbers.")


def _without_batch(array: NDArray[Any]) -> NDArray[Any]:
    """(1, a, b, c, d) or (a, b, c, d) as (a, b, c, d)."""
    if array.ndim == 5:
        if array.shape[0] != 1:
            raise InputError(
                f"The tensor {_by(array.shape)} holds a batch of {array.shape[0]} fields; give one of them."
            )
        first: NDArray[Any] = array[0]
        return first
    if array.ndim == 4:
        return array
    raise InputError(
        f"The tensor has {array.ndim} axes {_by(array.shape)} instead of the 4 or 5 of a 3-D displacement field, "
        "like (1, 3, D, H, W)."
    )


def _channels_last(
    array: NDArray[Any], layout: Layout | Literal["auto"], grid_shape: Shape, axis_order: AxisOrder
) -> NDArray[Any]:
    """(3, D, H, W) or (D, H, W, 3) as (D, H, W, 3), such that D, H, W belong to the grid."""
    axis_of: dict[str, int] = {"channels_first": 0, "channels_last": 3}
    choices = axis_of if layout == "auto" else [layout]
    layouts = [name for name in choices if array.shape[axis_of[name]] == 3]
    if not layouts:
        raise InputError(_wrong_channels(array.shape, layout))

    readings = [np.moveaxis(array, axis_of[name], -1) for name in layouts]
    fitting = [reading for reading in readings if _fits(reading.shape[:3], grid_shape, axis_order)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InputError(
            f"The tensor {_by(array.shape)} can be read with its components first or last; "
            'say which with layout="channels_first" or layout="channels_last".'
        )
    raise InputError(_another_grid([reading.shape[:3] for reading in readings], grid_shape, axis_order))


def _fits(spatial: tuple[int, ...], grid_shape: Shape, axis_order: AxisOrder) -> bool:
    """Whether a tensor's D, H, W are the grid's at one of the resolutions (rounded either way)."""
    grid = grid_shape if axis_order == "ijk" else grid_shape[::-1]
    return any(
        all(abs(size * factor - full) < factor for size, full in zip(spatial, grid, strict=True))
        for factor in _RESOLUTIONS
    )


def _wrong_channels(shape: tuple[int, ...], layout: str) -> str:
    sizes = {"channels_first": [shape[0]], "channels_last": [shape[3]]}.get(layout, [shape[0], shape[3]])
    if 6 in sizes and 3 not in shape:
        return (
            f"The tensor {_by(shape)} has 6 components, like the mean and variance of VoxelMorph's "
            "probabilistic models; give its first 3 (the mean), which are a velocity."
        )
    if 2 in sizes or shape[:2] == (1, 2):
        return f"The tensor {_by(shape)} has 2 components and belongs to a 2-D registration; 3 are needed."
    where = {"channels_first": "first", "channels_last": "last"}.get(layout, "first or last")
    return f"The tensor {_by(shape)} has no 3 components {where}, so it is no 3-D displacement field."


def _another_grid(spatials: list[tuple[int, ...]], grid_shape: Shape, axis_order: AxisOrder) -> str:
    spatial = _by(spatials[0])
    grid = _by(grid_shape if axis_order == "ijk" else grid_shape[::-1])
    other: AxisOrder = "kji" if axis_order == "ijk" else "ijk"
    if any(_fits(found, grid_shape, order) for found, order in product(spatials, (other,))):
        return (
            f"The tensor's axes {spatial} are those of the volume {grid} in reversed order; if the network "
            f'was given an array in [{", ".join(other)}] order, give the order of the axes as "{other}".'
        )
    return (
        f"The tensor {spatial} belongs to another grid: the volume is {grid}; choose the volume that was "
        "given to the network as the reference."
    )


def _by(shape: tuple[int, ...]) -> str:
    return "(" + " x ".join(map(str, shape)) + ")"
