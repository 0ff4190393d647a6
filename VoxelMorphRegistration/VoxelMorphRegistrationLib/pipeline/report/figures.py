"""The pictures of a registered pair: what both volumes and the transform between them look like on three planes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.pipeline.planes import DIRECTIONS, Cube, Picture, grey
from VoxelMorphRegistrationLib.pipeline.report import colours
from VoxelMorphRegistrationLib.pipeline.report.images import Pixels
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

_MARGIN = 1.08
_MOST_PIXELS = 400
_LEAST_PIXELS = 320
_GRID_LINES = 20
_LINE_WIDTH = 0.7
"""Half of it, in pixels."""


@dataclass(frozen=True, eq=False)
class PlanePictures:
    """One plane, each picture a square of as many pixels. Greys are those of the volumes, each with its own window."""

    name: str
    """Of `planes.DIRECTIONS`."""
    fixed: Picture
    before: Picture
    """The moving volume as it lies."""
    after: Picture
    """The moving volume through the transform."""
    jacobian: Pixels
    magnitude: Pixels
    grid: Pixels
    """A regular grid drawn into the moving volume, through the transform."""


@dataclass(frozen=True, eq=False)
class PairPictures:
    """Three planes through the middle of what the fixed volume shows."""

    planes: tuple[PlanePictures, ...]
    pixels: int
    pixel_mm: float
    grid_mm: float
    """From line to line of the grid."""
    largest_mm: float
    """The displacement at which the map of magnitudes ends."""


def pair_pictures(
    fixed: Image,
    moving: Image,
    field: DisplacementField,
    *,
    jacobian: Image | None = None,
    most_pixels: int = _MOST_PIXELS,
) -> PairPictures:
    """Take the pictures. ``field`` is the whole map, fixed to moving (resampling), on any grid.

    ``jacobian`` is its determinant, where it is known already.
    """
    content = Cube.around_content(fixed)
    cube = replace(content, side=_MARGIN * content.side)
    pixels = int(np.clip(cube.side / float(fixed.grid.spacing.min()), _LEAST_PIXELS, most_pixels))
    jacobian = jacobian or field.jacobian_determinant()
    views = [_View.of(cube.plane(name, pixels), fixed, moving, field, jacobian) for name in DIRECTIONS]
    fixed_window = _window([view.fixed for view in views])
    moving_window = _window([view.before for view in views] + [view.after for view in views])
    largest = max(float(np.percentile([view.length for view in views], 99.5)), 0.1)
    grid_mm = _round_step(cube.side / _GRID_LINES)
    return PairPictures(
        planes=tuple(
            PlanePictures(
                name=name,
                fixed=grey(view.fixed, fixed_window),
                before=grey(view.before, moving_window),
                after=grey(view.after, moving_window),
                jacobian=colours.jacobian_pixels(view.jacobian),
                magnitude=colours.magnitude_pixels(view.length, largest),
                grid=colours.line_pixels(_grid_ink(view.reached, name, grid_mm, cube.centre)),
            )
            for name, view in zip(DIRECTIONS, views, strict=True)
        ),
        pixels=pixels,
        pixel_mm=cube.side / pixels,
        grid_mm=grid_mm,
        largest_mm=largest,
    )


@dataclass(frozen=True, eq=False)
class _View:
    """What is to be seen on a plane: (rows, columns); ``reached`` (rows, columns, 3): RAS in the moving volume."""

    fixed: npt.NDArray[np.floating]
    before: npt.NDArray[np.floating]
    after: npt.NDArray[np.floating]
    jacobian: npt.NDArray[np.floating]
    length: npt.NDArray[np.floating]
    reached: npt.NDArray[np.floating]

    @classmethod
    def of(cls, plane: Grid, fixed: Image, moving: Image, field: DisplacementField, jacobian: Image) -> _View:
        here = field.resampled(plane)
        columns, rows, _ = plane.shape
        index = np.stack(np.meshgrid(np.arange(columns), np.arange(rows), [0], indexing="ij"), axis=-1)
        return cls(
            fixed=_seen(fixed, plane),
            before=_seen(moving, plane),
            after=_seen(moving, plane, here),
            jacobian=_seen(jacobian, plane, outside=1.0),
            length=here.magnitude()[..., 0].T,
            reached=(plane.to_ras(index) + here.vectors)[:, :, 0].transpose(1, 0, 2),
        )


def _seen(
    image: Image, plane: Grid, through: DisplacementField | None = None, outside: float | None = None
) -> npt.NDArray[np.floating]:
    """(rows, columns) of an image on a plane; its minimum beyond it."""
    seen = bridge.resample(
        bridge.scalar_to_sitk(image.array, image.grid),
        plane,
        through.transform() if through else None,
        outside=float(image.array.min()) if outside is None else outside,
        pixel_type=sitk.sitkFloat32,
    )
    return np.asarray(bridge.scalar_from_sitk(seen)[..., 0].T)


def _window(views: list[npt.NDArray[np.floating]]) -> tuple[float, float]:
    low, high = np.percentile(np.stack(views), (2, 99.5))
    if high <= low:  # something small in a large empty volume
        low, high = min(float(view.min()) for view in views), max(float(view.max()) for view in views)
    return float(low), float(high)


def _grid_ink(
    reached: npt.NDArray[np.floating], plane: str, step_mm: float, centre: npt.NDArray[np.floating]
) -> npt.NDArray[np.floating]:
    """(rows, columns) ink of lines that are straight, and ``step_mm`` apart, in the moving volume."""
    ink = np.zeros(reached.shape[:2])
    for direction in DIRECTIONS[plane]:
        place = (reached - centre) @ np.array(direction) / step_mm
        slope = np.hypot(*np.gradient(place))
        away = np.abs(place - np.rint(place)) / np.maximum(slope, 1e-6)  # in pixels
        ink = np.maximum(ink, np.clip(_LINE_WIDTH + 0.5 - away, 0, 1))
    return ink


def _round_step(value: float) -> float:
    """The nearest of 1, 2, 5, 10, 20, 50 ..."""
    steps = np.array([1, 2, 5]) * 10.0 ** np.arange(-3, 4)[:, None]
    return float(min(steps.ravel(), key=lambda step: abs(np.log(step / value))))
