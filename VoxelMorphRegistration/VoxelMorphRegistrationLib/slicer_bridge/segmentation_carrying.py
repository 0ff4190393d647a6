"""A segmentation of the reference frame, as it is in every other frame."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.errors import InputError, TransformError
from VoxelMorphRegistrationLib.pipeline.sequence.labels import LabelCarrier
from VoxelMorphRegistrationLib.slicer_bridge.sequence_carrying import (
    Carrier,
    FrameMap,
    LabelmapCarrier,
    PointsCarrier,
    showable,
)
from VoxelMorphRegistrationLib.slicer_bridge.volumes import is_node, oriented_geometry
from VoxelMorphRegistrationLib.spatial import Grid, Image

_LABELMAP, _SURFACE = "Binary labelmap", "Closed surface"


def carrier_for(node: Any, grid: Grid, *, closed_surface: bool | None = None) -> Carrier:
    """The carrier for a node of the reference frame, whose voxels are ``grid``. Raises InputError for other kinds."""
    if is_node(node, "vtkMRMLSegmentationNode"):
        return SegmentationCarrier(node, grid, closed_surface=closed_surface)
    if is_node(node, "vtkMRMLLabelMapVolumeNode"):
        return LabelmapCarrier(node)
    if is_node(node, "vtkMRMLModelNode"):
        if node.GetMesh() is None or node.GetMesh().GetNumberOfPoints() == 0:
            raise InputError(f"The model '{node.GetName()}' has no points; choose another.")
        return PointsCarrier(node)
    if is_node(node, "vtkMRMLMarkupsNode"):
        if node.GetNumberOfDefinedControlPoints() == 0:
            raise InputError(f"The markup '{node.GetName()}' has no points; place some.")
        return PointsCarrier(node)
    kind = node.GetNodeTagName() if is_node(node, "vtkMRMLNode") else type(node).__name__
    raise InputError(f"A {kind} cannot be carried; choose a segmentation, labelmap, model or markup.")


class SegmentationCarrier(Carrier):
    """A segmentation: its labelmaps are resampled; closed surfaces, if it has some or is to have, move as surfaces.

    Segments keep their IDs, names, colors and tags; those that overlap lie in several labelmaps, as in Slicer.
    """

    def __init__(self, node: Any, grid: Grid, *, closed_surface: bool | None = None) -> None:
        """``grid`` is that of the reference frame, on which surfaces without labelmaps are sampled.

        ``closed_surface``: whether each frame's segmentation has surfaces; None: where this one has.
        """
        super().__init__(node)
        segmentation = self._resting.GetSegmentation()
        if segmentation.GetNumberOfSegments() == 0:
            raise InputError(f"The segmentation '{self.name}' has no segments; draw one.")
        if not segmentation.ContainsRepresentation(_LABELMAP):
            _set_geometry(segmentation, grid)
            segmentation.CreateRepresentation(_LABELMAP)
        if closed_surface and not segmentation.ContainsRepresentation(_SURFACE):
            segmentation.CreateRepresentation(_SURFACE)
        if closed_surface is False:
            segmentation.RemoveRepresentation(_SURFACE)
        segmentation.SetSourceRepresentationName(_LABELMAP)
        self._segments = [segmentation.GetNthSegment(n) for n in range(segmentation.GetNumberOfSegments())]
        self._ids = [segmentation.GetSegmentIdBySegment(segment) for segment in self._segments]
        self._layers = [_layer(segmentation, n, self.name) for n in range(segmentation.GetNumberOfLayers(_LABELMAP))]
        if not any(layer is not None for layer in self._layers):
            raise InputError(f"The segmentation '{self.name}' is empty; draw a region.")
        self._layer_of = [segmentation.GetLayerIndex(segment_id, _LABELMAP) for segment_id in self._ids]
        self.needs_fields = len(self._layers) > 1
        if len(self._layers) == 1:  # no segments overlap
            self.labels = self._layers[0]
            self.label_names = {int(s.GetLabelValue()): str(s.GetName()) for s in self._segments}
            self.label_colors = {str(s.GetName()): tuple(s.GetColor()) for s in self._segments}

    def prepared(self, frame_map: FrameMap, labels: Image | None = None) -> Any:
        """See `Carrier`."""
        if labels is not None and len(self._layers) == 1:
            carried: list[Image | None] = [labels]
        else:
            to_reference, target = frame_map.to_reference, frame_map.target
            carried = [None if each is None else each.carried(to_reference, target) for each in self._carriers]
        grid = next(layer.grid for layer in carried if layer is not None)
        points_transform = frame_map.points_transform() if self._has_surfaces else None
        return [_cropped(layer, grid) for layer in carried], grid, points_transform

    def data_node(self, prepared: Any) -> Any:
        """See `Carrier`."""
        return _node(self.name, zip(self._segments, self._ids, self._layer_of, strict=True), *prepared)

    @property
    def _has_surfaces(self) -> bool:
        return any(segment.GetRepresentation(_SURFACE) is not None for segment in self._segments)

    @cached_property
    def _carriers(self) -> list[LabelCarrier | None]:
        return [None if layer is None else LabelCarrier(layer) for layer in self._layers]


class StoredLabels(Carrier):
    """Labels that a registration has carried, whose reference is not in the scene: a segmentation for each frame."""

    needs_fields = False

    def __init__(
        self, name: str, reference: Image, names: Mapping[int, str], colors: Mapping[str, Sequence[float]]
    ) -> None:
        """``reference`` are the labels on the reference; ``names`` what they are called, ``colors`` by name."""
        import slicer

        self.node, self.name, self._reference = None, name, reference
        values = np.unique(reference.array)
        self.label_names = {int(v): names.get(int(v)) or f"label {int(v)}" for v in values[values != 0]}
        self.label_colors = dict(colors)
        self._segments = []
        for value, label in self.label_names.items():
            segment = slicer.vtkSegment()
            segment.SetName(label)
            segment.SetLabelValue(value)
            segment.SetColor(*colors.get(label, _color(value)))
            self._segments.append((segment, f"label_{value}", 0))

    def prepared(self, frame_map: FrameMap, labels: Image | None = None) -> Any:
        """See `Carrier`."""
        if labels is None:
            raise TransformError("there are no labels of this frame.")
        return [_cropped(labels, labels.grid)], labels.grid, None

    def data_node(self, prepared: Any) -> Any:
        """See `Carrier`."""
        return _node(self.name, self._segments, *prepared)

    def resting(self) -> Any:
        """See `Carrier`."""
        return self.data_node(([_cropped(self._reference, self._reference.grid)], self._reference.grid, None))


def _node(
    name: str, segments: Iterable[tuple[Any, str, int]], layers: Sequence[Any], grid: Grid, points_transform: Any
) -> Any:
    """A segmentation node of segments like these, with their IDs and the numbers of their layers; in no scene.

    Their surfaces, if they have some, go through ``points_transform``.
    """
    import slicer

    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(name)
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(_LABELMAP)
    for segment, segment_id, layer in segments:
        moved = slicer.vtkSegment()
        moved.DeepCopyMetadata(segment)
        moved.SetLabelValue(segment.GetLabelValue())
        moved.AddRepresentation(_LABELMAP, layers[layer])
        surface = segment.GetRepresentation(_SURFACE)
        if surface is not None and points_transform is not None:
            moved.AddRepresentation(_SURFACE, _moved(surface, points_transform))
        segmentation.AddSegment(moved, segment_id)
    _set_geometry(segmentation, grid)
    return node


def _color(value: int) -> tuple[float, float, float]:
    """Colors far from each other for labels that have none: steps of the golden ratio around the hue circle."""
    return colorsys.hsv_to_rgb(value * 0.618034 % 1, 0.6, 0.9)


def _layer(segmentation: Any, n: int, name: str) -> Image | None:
    """A labelmap of the segmentation, a view; None where nothing is drawn in it."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    stored = segmentation.GetLayerDataObject(n, _LABELMAP)
    if stored is None or stored.GetNumberOfPoints() == 0 or stored.GetPointData().GetScalars() is None:
        return None
    matrix = vtk.vtkMatrix4x4()
    stored.GetImageToWorldMatrix(matrix)
    first = stored.GetExtent()[::2]
    array = vtk_to_numpy(stored.GetPointData().GetScalars()).reshape(stored.GetDimensions()[::-1]).T
    if not array.any():
        return None
    whole = Grid(array.shape, slicer.util.arrayFromVTKMatrix(matrix))
    return Image(array, whole.window(first, array.shape), name)


def _cropped(labels: Image | None, grid: Grid) -> Any:
    """A vtkOrientedImageData of the part of a labelmap that is not empty; one empty voxel where all is."""
    from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

    if labels is None or not labels.array.any():
        labels = Image(np.zeros((1, 1, 1), np.uint8), grid.window((0, 0, 0), (1, 1, 1)))
        start, stop = np.zeros(3, int), np.ones(3, int)
    else:
        start, stop = labels.content_window(0)
    array = showable(labels)[tuple(map(slice, start, stop))]
    image = oriented_geometry(labels.grid)
    image.SetExtent(*np.stack([start, stop - 1], axis=1).ravel().tolist())
    image.AllocateScalars(get_vtk_array_type(array.dtype), 1)
    vtk_to_numpy(image.GetPointData().GetScalars()).reshape(array.shape[::-1])[:] = array.T
    return image


def _moved(surface: Any, transform: Any) -> Any:
    import vtk

    mover = vtk.vtkTransformPolyDataFilter()
    mover.SetInputData(surface)
    mover.SetTransform(transform)
    mover.Update()
    return mover.GetOutput()


def _set_geometry(segmentation: Any, grid: Grid) -> None:
    """The voxels on which a surface becomes a labelmap, and on which the user draws."""
    import slicer

    converter = slicer.vtkSegmentationConverter
    text = converter.SerializeImageGeometry(oriented_geometry(grid))
    segmentation.SetConversionParameter(converter.GetReferenceImageGeometryParameterName(), text)
