"""One judge for all methods: what a total displacement field makes of the moving scan and its labels.

It uses SimpleITK and numpy and nothing of the library that it judges. Fields lie on the fixed grid, in LPS mm:
``moved(x) = moving(x + u(x))``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from benchmarks.pairs import Pair, labels_that_count

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Quality:
    """How well a field fits; "content" is the fixed volume without the air around it."""

    dice: float | None
    """Mean over the labels that count, warped by nearest neighbour; None where there are none."""
    ncc: float
    """Correlation of the fixed volume with the moving one, warped linearly, in the fixed content. The moving one in
    its own contrast, where that was changed for the registration."""
    folded_voxels: int
    """In the fixed content: where the Jacobian determinant is 0 or less."""
    folded_percent: float
    own_moved_ncc: float | None
    """Correlation of the warped volume with the method's own moved volume: far from 1 means a misread field."""
    error_mm: float | None = None
    """Mean distance to the true displacement in the fixed content, where that is known."""


class Judge:
    """Holds a pair's images, so that several methods are judged on the same ones."""

    def __init__(self, pair: Pair) -> None:
        self.fixed = sitk.ReadImage(str(pair.fixed), sitk.sitkFloat32)
        self.moving = sitk.ReadImage(str(pair.moving), sitk.sitkFloat32)
        self.plain_moving = self.moving
        if pair.plain_moving is not None:
            self.plain_moving = sitk.ReadImage(str(pair.plain_moving), sitk.sitkFloat32)
        self.fixed_labels = self.moving_labels = self.truth = None
        self.labels: Sequence[int] = ()
        if pair.fixed_labels is not None and pair.moving_labels is not None:
            self.fixed_labels = sitk.ReadImage(str(pair.fixed_labels))
            self.moving_labels = sitk.ReadImage(str(pair.moving_labels))
            self.labels = pair.labels or labels_that_count()
        if pair.truth is not None:
            self.truth = sitk.ReadImage(str(pair.truth), sitk.sitkVectorFloat32)
        self.content = content(self.fixed)

    def before(self) -> Quality:
        """Without any registration."""
        zero = sitk.Image(self.fixed.GetSize(), sitk.sitkVectorFloat32)
        zero.CopyInformation(self.fixed)
        return self.quality(zero)

    def quality_of_files(self, field: Path, moved: Path) -> Quality:
        """Of a field (an image, or any transform file that SimpleITK reads) and the method's own moved volume."""
        return self.quality(self._read_field(field), sitk.ReadImage(str(moved), sitk.sitkFloat32))

    def quality(self, field: sitk.Image, own_moved: sitk.Image | None = None) -> Quality:
        """Of a total field on the fixed grid."""
        folded = int(np.count_nonzero(jacobian_determinant(field)[self.content] <= 0))
        return Quality(
            dice=self._dice(field),
            ncc=correlation(self.fixed, warp(self.plain_moving, field, sitk.sitkLinear), self.content),
            folded_voxels=folded,
            folded_percent=100.0 * folded / int(np.count_nonzero(self.content)),
            own_moved_ncc=self._agreement(field, own_moved),
            error_mm=self._error_mm(field),
        )

    def _dice(self, field: sitk.Image) -> float | None:
        if self.fixed_labels is None or self.moving_labels is None:
            return None
        labels = warp(self.moving_labels, field, sitk.sitkNearestNeighbor, outside=0.0)
        return float(np.mean(dice(self.fixed_labels, labels, self.labels)))

    def _agreement(self, field: sitk.Image, own_moved: sitk.Image | None) -> float | None:
        """Within the moving image only: tools differ in what they put outside it. Elastix interpolates by cubic
        B-splines, which make another image of a sharp one: so the better of two interpolations counts."""
        if own_moved is None:
            return None
        everywhere = sitk.Image(self.moving.GetSize(), sitk.sitkUInt8) + 1
        everywhere.CopyInformation(self.moving)
        inside = sitk.GetArrayFromImage(warp(everywhere, field, sitk.sitkNearestNeighbor, outside=0.0)) > 0
        mask = self.content & inside
        return max(
            correlation(own_moved, warp(self.moving, field, interpolator), mask)
            for interpolator in (sitk.sitkLinear, sitk.sitkBSpline)
        )

    def _error_mm(self, field: sitk.Image) -> float | None:
        if self.truth is None:
            return None
        found, true = (sitk.GetArrayViewFromImage(each)[self.content] for each in (field, self.truth))
        return float(np.linalg.norm(found.astype(np.float64) - true, axis=-1).mean())

    def _read_field(self, path: Path) -> sitk.Image:
        if path.suffix == ".h5":
            grid = (self.fixed.GetOrigin(), self.fixed.GetSpacing(), self.fixed.GetDirection())
            return sitk.TransformToDisplacementField(
                sitk.ReadTransform(str(path)), sitk.sitkVectorFloat32, self.fixed.GetSize(), *grid
            )
        field = sitk.ReadImage(str(path), sitk.sitkVectorFloat32)
        if field.GetSize() != self.fixed.GetSize() or not np.allclose(
            field.GetOrigin(), self.fixed.GetOrigin(), atol=1e-3
        ):
            raise ValueError(f"{path.name} does not lie on the fixed grid.")
        return field


def content(image: sitk.Image) -> Mask:
    """The volume without the air around it: above its lowest value, in a CT above air; indexed [k, j, i]."""
    values = sitk.GetArrayViewFromImage(image)
    lowest = float(values.min())
    found: Mask = values > (lowest + 300 if lowest < -500 else lowest)
    return found


def warp(image: sitk.Image, field: sitk.Image, interpolator: int, outside: float | None = None) -> sitk.Image:
    """``image(x + u(x))`` on the field's grid; outside the image its lowest value, if nothing else is said."""
    # The cast makes the copy that the transform swallows.
    transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    if outside is None:
        outside = float(sitk.GetArrayViewFromImage(image).min())
    return sitk.Resample(image, _scalar_like(field), transform, interpolator, outside, image.GetPixelID())


def dice(fixed: sitk.Image, moved: sitk.Image, labels: Sequence[int]) -> npt.NDArray[np.float64]:
    """Overlap of each label on a common grid: 1 is perfect, NaN where neither has the label."""
    a, b = (sitk.GetArrayViewFromImage(image).ravel() for image in (fixed, moved))
    size = max(int(a.max()), int(b.max()), *labels) + 1
    both = np.bincount(a[a == b], minlength=size)
    total = np.bincount(a, minlength=size) + np.bincount(b, minlength=size)
    with np.errstate(invalid="ignore"):
        overlap: npt.NDArray[np.float64] = 2 * both / total
    return overlap[list(labels)]


def correlation(a: sitk.Image, b: sitk.Image, mask: Mask) -> float:
    """Pearson's, over the voxels of the mask."""
    values = [sitk.GetArrayViewFromImage(image)[mask].astype(np.float64) for image in (a, b)]
    return float(np.corrcoef(*values)[0, 1])


def jacobian_determinant(field: sitk.Image) -> npt.NDArray[np.float64]:
    """det(d(x + u)/dx) by central differences, indexed [k, j, i].

    ITK's filter differentiates along the array axes but takes the vectors as they are, which is wrong on any grid
    whose directions are not the identity; so it gets the vectors on the array axes and no directions.
    """
    directions = np.reshape(field.GetDirection(), (3, 3))
    on_axes = sitk.GetImageFromArray(sitk.GetArrayViewFromImage(field) @ directions, isVector=True)
    on_axes.SetSpacing(field.GetSpacing())
    determinant: npt.NDArray[np.float64] = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(on_axes))
    return determinant


def _scalar_like(field: sitk.Image) -> sitk.Image:
    image = sitk.Image(field.GetSize(), sitk.sitkUInt8)
    image.CopyInformation(field)
    return image
