"""How well structures that were drawn on both sides lie on one another.

Surface distances are between the voxels at the surfaces, in mm, from SimpleITK's distance maps, as in SimpleITK's own
notebook on evaluating segmentations. The 95 % Hausdorff distance is the larger of the two directed ones (as MONAI and
DeepMind's surface-distance have it), the average symmetric surface distance the mean over both surfaces' voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.pipeline.quality.results import BeforeAfter, Overlap
from VoxelMorphRegistrationLib.spatial import Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

Box = tuple[slice, ...]
Mask = npt.NDArray[np.bool_]


def overlaps(fixed: Image, as_they_lie: Image, moved: Image, labels: Sequence[int]) -> dict[int, Overlap]:
    """Of some labels in three labelmaps on one grid: the fixed one, the moving one as it lies, and moved."""
    boxes = [_boxes(image) for image in (fixed, as_they_lie, moved)]
    found = {}
    for label in labels:
        box = _around([own[label] for own in boxes if label in own])
        target = _Structure(fixed, label, box)
        compared = [target.compared_with(_Structure(image, label, box)) for image in (as_they_lie, moved)]
        found[label] = Overlap(*(BeforeAfter(before, after) for before, after in zip(*compared, strict=True)))
    return found


class _Structure:
    """One label within a box that holds all of it."""

    def __init__(self, image: Image, label: int, box: Box) -> None:
        self.mask: Mask = np.pad(image.array[box] == label, 1)  # ITK sees no surface at an image's border
        self._image = bridge.scalar_to_sitk(self.mask, image.grid.window([s.start - 1 for s in box], self.mask.shape))

    def compared_with(self, other: _Structure) -> tuple[float, float | None, float | None]:
        """Dice, 95 % Hausdorff distance and average symmetric surface distance."""
        total = int(self.mask.sum()) + int(other.mask.sum())
        dice = 2.0 * int((self.mask & other.mask).sum()) / total if total else 0.0
        if not self.mask.any() or not other.mask.any():
            return dice, None, None
        there, back = self._distance_map[other._surface], other._distance_map[self._surface]
        hausdorff = max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))
        return dice, hausdorff, float((there.sum() + back.sum()) / (there.size + back.size))

    @cached_property
    def _distance_map(self) -> npt.NDArray[np.float32]:
        """How far each voxel of the box lies from the nearest voxel at the surface, in mm."""
        signed = sitk.SignedMaurerDistanceMap(self._image, squaredDistance=False, useImageSpacing=True)
        return np.asarray(np.abs(bridge.scalar_from_sitk(signed)), np.float32)

    @cached_property
    def _surface(self) -> Mask:
        """Voxels of the structure with a neighbour that is none: where its own distance map is 0."""
        return np.asarray(bridge.scalar_from_sitk(sitk.LabelContour(self._image, fullyConnected=True)) != 0)


def _boxes(labels: Image) -> dict[int, Box]:
    """Where each label lies."""
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.ComputePerimeterOff()
    shape.Execute(bridge.scalar_to_sitk(_countable(labels.array), labels.grid))
    boxes = {}
    for label in shape.GetLabels():
        corner = shape.GetBoundingBox(label)
        boxes[int(label)] = tuple(slice(corner[a], corner[a] + corner[3 + a]) for a in range(3))
    return boxes


def _countable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """In a type that ITK's label filters know."""
    return array.astype(np.int32) if array.dtype.itemsize > 4 or array.dtype == np.bool_ else array


def _around(boxes: Sequence[Box]) -> Box:
    return tuple(slice(min(box[a].start for box in boxes), max(box[a].stop for box in boxes)) for a in range(3))
