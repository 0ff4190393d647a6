"""A node of the reference frame, as it is in every other frame: labelmaps, models and markups (see also
`segmentation_carrying`).

Each kind of node is a `Carrier`. What takes long is done by ``prepared``, in any thread; ``data_node`` makes the node,
hardened and in no scene, in the main thread. Labels are resampled by the library, points moved by Slicer's own classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.pipeline.sequence.labels import LabelCarrier
from VoxelMorphRegistrationLib.pipeline.sequence.options import Direction
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import checked_grid_transform
from VoxelMorphRegistrationLib.slicer_bridge.volumes import image_from_volume_node, is_node, vtk_image
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image


@dataclass(frozen=True, eq=False)
class FrameMap:
    """How the reference lies on a frame.

    ``total`` is the whole map, phi(x) - x, from the fixed to the moving volume (direction "carry": from the frame to
    the reference; "hold": from the reference to the frame); None where no field was kept. ``grid`` are the frame's
    voxels; None where they are unknown, and only what was carried already can be shown.
    """

    frame: int
    direction: Direction
    grid: Grid | None
    total: DisplacementField | None

    @cached_property
    def to_reference(self) -> DisplacementField:
        """From the frame to the reference, for resampling labels: inverted to a quarter of a voxel where it has to be.

        Raises TransformError where it cannot be.
        """
        total = self._kept()
        if self.direction == "carry":
            return total
        return total.inverse(tolerance_mm=0.25 * float(self.target.spacing.max()))

    @property
    def target(self) -> Grid:
        """The frame's voxels. Raises InputError where they are unknown."""
        if self.grid is None:
            raise InputError("The frames are not in the scene; load them first.")
        return self.grid

    @cached_property
    def transform(self) -> Any:
        """The map as a vtkOrientedGridTransform that was seen to map points as the library does."""
        return checked_grid_transform(self._kept())

    def points_transform(self) -> Any:
        """Takes points of the reference to the frame."""
        return self.transform.GetInverse() if self.direction == "carry" else self.transform

    def _kept(self) -> DisplacementField:
        if self.total is None:
            raise InputError("The fields were not kept, so that only labels are carried; keep the fields.")
        return self.total


class Carrier(ABC):
    """One node of the reference. Making one reads the node, in the main thread."""

    needs_fields = True
    """Whether it cannot be carried by what a registration that keeps no fields gives."""
    labels: Image | None = None
    """What the registration can carry and measure: all labels of the node in one image."""
    label_names: Mapping[int, str] = MappingProxyType({})
    label_colors: Mapping[str, Sequence[float]] = MappingProxyType({})

    def __init__(self, node: Any) -> None:
        self.node = node
        self.name = str(node.GetName())
        self._resting = _in_world(node)

    def prepared(self, frame_map: FrameMap, labels: Image | None = None) -> Any:
        """What `data_node` needs, made in any thread. Raises a RegistrationError where it cannot be carried there.

        ``labels`` are this node's own on the frame, if the registration has carried them.
        """
        return frame_map.points_transform()

    @abstractmethod
    def data_node(self, prepared: Any) -> Any:
        """The node as it lies in the frame; in no scene."""

    def resting(self) -> Any:
        """The node as it lies in the reference."""
        return self._resting


class PointsCarrier(Carrier):
    """Models and markups."""

    def data_node(self, prepared: Any) -> Any:
        """See `Carrier`."""
        moved = _copy(self._resting)
        moved.ApplyTransform(prepared)
        return moved


class LabelmapCarrier(Carrier):
    """A labelmap volume."""

    needs_fields = False

    def __init__(self, node: Any) -> None:
        super().__init__(node)
        image = image_from_volume_node(node, "labelmap")
        self._labels = self.labels = Image(image.array, image.grid, self.name)
        values = np.unique(image.array)
        self.label_names = {int(value): self._label_name(int(value)) for value in values[values != 0]}

    def prepared(self, frame_map: FrameMap, labels: Image | None = None) -> Any:
        """See `Carrier`."""
        carried = labels or self._carrier.carried(frame_map.to_reference, frame_map.target)
        return vtk_image(showable(carried)), carried.grid

    def data_node(self, prepared: Any) -> Any:
        """See `Carrier`."""
        import slicer

        voxels, grid = prepared
        node = slicer.vtkMRMLLabelMapVolumeNode()
        node.SetName(self.name)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.array(grid.ijk_to_ras)))
        node.SetAndObserveImageData(voxels)
        return node

    def resting(self) -> Any:
        """On its own voxels, which may be others than the frames'."""
        return self.data_node((vtk_image(showable(self._labels)), self._labels.grid))

    @cached_property
    def _carrier(self) -> LabelCarrier:
        return LabelCarrier(self._labels)

    def _label_name(self, value: int) -> str:
        display = self.node.GetDisplayNode()
        colors = display.GetColorNode() if display is not None else None
        return str(colors.GetColorName(value) if colors is not None else "") or f"label {value}"


def _in_world(node: Any) -> Any:
    """A copy of the node, in no scene, where it lies in the world."""
    import slicer
    import vtk

    copy = _copy(node)
    parent = node.GetParentTransformNode()
    if parent is not None and not is_node(node, "vtkMRMLVolumeNode"):
        to_world = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(parent, None, to_world)
        copy.ApplyTransform(to_world)
    return copy


def _copy(node: Any) -> Any:
    copy = node.CreateNodeInstance()
    copy.UnRegister(None)
    copy.CopyContent(node, True)
    copy.SetName(node.GetName())
    return copy


def showable(labels: Image) -> Any:
    """In a type that Slicer shows: labels of 64 bits become 32."""
    array = labels.array
    return array.astype(np.int32) if array.dtype.itemsize > 4 or array.dtype.kind not in "iu" else array
