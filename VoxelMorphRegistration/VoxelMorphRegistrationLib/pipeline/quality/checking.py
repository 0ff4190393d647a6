"""A whole check of a registration: any transform, two volumes, and what else there is to compare."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.any_transform import SpatialMap, on_grid
from VoxelMorphRegistrationLib.files.points import Points
from VoxelMorphRegistrationLib.pipeline.input_check import check_volume, on_grid_of
from VoxelMorphRegistrationLib.pipeline.quality import field_measures as measures
from VoxelMorphRegistrationLib.pipeline.quality import structures as drawn_structures
from VoxelMorphRegistrationLib.pipeline.quality import thresholds, verdict
from VoxelMorphRegistrationLib.pipeline.quality.landmarks import landmark_errors
from VoxelMorphRegistrationLib.pipeline.quality.results import CheckMaps, CheckResult, Distances, Remark
from VoxelMorphRegistrationLib.pipeline.quality.similarity import similarity
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

_MOST_VOXELS = 20_000_000
"""Of larger volumes every 2nd (3rd ...) voxel is measured along each axis: a field of more takes gigabytes."""


def check_registration(
    fixed: Image,
    moving: Image,
    deformation: SpatialMap,
    *,
    fixed_labels: Image | None = None,
    moving_labels: Image | None = None,
    label_names: Mapping[int, str] | None = None,
    fixed_points: Points | None = None,
    moving_points: Points | None = None,
    inverse: SpatialMap | None = None,
    fixed_mask: Image | None = None,
    name: str = "transform",
    progress: Progress | None = None,
) -> CheckResult:
    """Measure a registration, whoever made it.

    ``deformation`` takes fixed to moving positions (a resampling field, what moves the moving image onto the fixed
    one); ``inverse`` moving to fixed; the deformation's own where it has one and none is given. Labels are whole
    numbers, 0 for nothing, ``label_names`` what they are called. Of the volume, what lies inside ``fixed_mask`` counts,
    or without one what is above the fixed image's minimum. ``name`` is what messages call the transform.

    Takes about ten times the fixed volume's voxels as single-precision numbers. Raises InputError, in one sentence,
    for volumes, labels or points that cannot be used, and CancelledError where ``progress`` says so.
    """
    say = progress or Progress()
    check_volume(fixed, "fixed")
    check_volume(moving, "moving")
    points = _both(fixed_points, moving_points)
    drawn = _drawn(_on_less(fixed_labels, fixed.grid), _on_less(moving_labels, moving.grid), label_names or {})
    tolerance = max(thresholds.LEAST_TOLERANCE_MM, float(fixed.grid.spacing.max()))
    say("Bringing the transform to the fixed volume", 0.0)
    grid = _measured(fixed.grid)
    field = on_grid(deformation, grid)
    transform = field.transform()
    content = _content(fixed, fixed_mask, grid)

    say("Comparing the volumes", 0.15)
    seen = [_seen(moving, grid, through) for through in (None, transform)]
    alike = similarity(_seen(fixed, grid, None), seen[0], seen[1], content)
    del seen

    say("Measuring the deformation", 0.4)
    jacobian, magnitude = field.jacobian_determinant(), Image(field.magnitude(), grid, "Displacement magnitude")
    moves = _known(measures.distances(magnitude.array[content]))
    volumes = measures.jacobian_summary(jacobian.array[content])
    remarks: list[Remark] = [
        *verdict.of_similarity(alike),
        *verdict.of_displacement(moves, fixed.grid),
        *verdict.of_jacobian(volumes),
    ]

    back, returned, consistency = _back(deformation, inverse, moving.grid), None, None
    if back is not None:
        say("Going there and back", 0.55)
        returned = measures.inverse_error(field, back)
        consistency = measures.distances(returned.array[content])
        remarks += verdict.of_inverse(consistency, tolerance)
        returned = returned.with_array(np.nan_to_num(returned.array, copy=False, nan=-1.0))

    say("Looking at the structures", 0.7)
    structures = () if drawn is None else drawn_structures.measured(drawn, transform, jacobian, magnitude)
    if drawn is not None:
        remarks += verdict.of_structures(structures)
        remarks += verdict.of_unmatched(drawn.only_fixed, "fixed")
        remarks += verdict.of_unmatched(drawn.only_moving, "moving")

    landmarks = None
    if points is not None:
        landmarks = landmark_errors(*points, deformation.map_points)
        remarks += verdict.of_landmarks(landmarks, tolerance)
        remarks += verdict.of_points_outside(_outside(points[0], fixed.grid))

    level, sentence = verdict.verdict(remarks)
    maps = CheckMaps(*(_on(fixed.grid, each) for each in (jacobian, magnitude, returned)))
    say.report("Done", 1.0)
    return CheckResult(
        fixed.name, moving.name, name, level, sentence, verdict.worst_first(remarks),
        alike, moves, volumes, consistency, structures, landmarks, maps,
    )  # fmt: skip


def _both(fixed: Points | None, moving: Points | None) -> tuple[Points, Points] | None:
    if fixed is not None and moving is not None:
        return fixed, moving
    if fixed is not None or moving is not None:
        raise InputError("Landmarks are needed on both sides: give the fixed and the moving ones.")
    return None


def _drawn(fixed: Image | None, moving: Image | None, names: Mapping[int, str]) -> drawn_structures.Drawn | None:
    if fixed is not None:
        return drawn_structures.Drawn.of(fixed, moving, names)
    if moving is not None:
        raise InputError("The moving labels have nothing to be compared with; give the fixed labels, too.")
    return None


def _on_less(labels: Image | None, grid: Grid) -> Image | None:
    """Labels of very many voxels on those of their volume: a segmentation may be much finer than that."""
    if labels is None or labels.array.size <= _MOST_VOXELS or labels.array.size <= math.prod(grid.shape):
        return labels
    source = bridge.scalar_to_sitk(labels.array, labels.grid)
    seen = bridge.resample(source, grid, interpolator=sitk.sitkNearestNeighbor)
    return Image(bridge.scalar_from_sitk(seen), grid, labels.name)


def _outside(points: Points, grid: Grid) -> list[str]:
    inside = grid.contains(points.positions)
    return [name for name, here in zip(points.names, inside, strict=True) if not here]


def _back(deformation: SpatialMap, inverse: SpatialMap | None, moving: Grid) -> DisplacementField | None:
    """The total field from moving to fixed, on the grid on which it is given, or the moving volume's."""
    grid = _measured(moving)
    if inverse is not None:
        return inverse if isinstance(inverse, DisplacementField) else on_grid(inverse, grid)
    if isinstance(deformation, Deformation) and deformation.inverse_displacement is not None:
        return deformation.modeling_field(grid)
    return None


def _measured(grid: Grid) -> Grid:
    """The grid, or of a large one a coarser one with the same corners."""
    step = math.ceil((math.prod(grid.shape) / _MOST_VOXELS) ** (1 / 3))
    if step <= 1:
        return grid
    shape = [max(2, -(-n // step)) for n in grid.shape]
    return grid.with_shape((shape[0], shape[1], shape[2]))


def _seen(image: Image, grid: Grid, through: sitk.Transform | None) -> npt.NDArray[np.float32]:
    """An image on a grid, float32, its minimum outside."""
    if through is None and image.grid.is_same(grid):
        return np.asarray(image.array, np.float32)
    seen = bridge.resample(
        bridge.scalar_to_sitk(image.array, image.grid),
        grid,
        through,
        outside=float(image.array.min()),
        pixel_type=bridge.FLOAT32,
    )
    return np.asarray(bridge.scalar_from_sitk(seen), np.float32)


def _content(fixed: Image, mask: Image | None, grid: Grid) -> npt.NDArray[np.bool_]:
    """The part of the fixed image that counts."""
    given = on_grid_of(fixed, mask, "fixed")
    inside = fixed.array > fixed.array.min() if given is None else given.array > 0
    if fixed.grid.is_same(grid):
        return inside
    source = bridge.scalar_to_sitk(inside, fixed.grid)
    return np.asarray(bridge.scalar_from_sitk(bridge.resample(source, grid, interpolator=sitk.sitkNearestNeighbor)) > 0)


def _on(grid: Grid, image: Image | None) -> Image | None:
    if image is None or image.grid.is_same(grid):
        return image
    return Image(_seen(image, grid, None), grid, image.name)


def _known(found: Distances | None) -> Distances:
    if found is None:
        raise InputError("The transform has nothing to move: nothing of the fixed volume counts.")
    return found
