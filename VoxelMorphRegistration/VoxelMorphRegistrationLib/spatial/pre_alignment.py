"""Affine pre-alignment: the coarse part of a registration, in a fraction of a second.

VoxelMorph's networks expect images that are already affinely aligned. SimpleITK does it here on images of about
25 and then 50 voxels along the longest side: finer levels cost most of the time of classical affine stages and
gain nothing that the network would not correct (``Testing/benchmarks`` compares).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge
from VoxelMorphRegistrationLib.spatial.grid import Floats
from VoxelMorphRegistrationLib.spatial.image import Image

Kind = Literal["none", "centre", "rigid", "affine"]
KINDS: tuple[Kind, ...] = ("none", "centre", "rigid", "affine")

_COARSE, _FINE = 25, 50  # voxels along the longest side of the fixed image's content
_COARSE_ITERATIONS, _FINE_ITERATIONS = 100, 50
_SAMPLES = 0.25  # of the voxels, for correlation
_BINS, _HISTOGRAM_SAMPLES = 20, 25_000  # for mutual information: fewer leave its histogram too noisy to climb
_ALIKE = 0.8  # of what one image's values say about the other's, this much as a straight line: one contrast
_LARGEST_SCALE = 1.6  # heads, livers and lungs of adults differ by less


@dataclass(frozen=True)
class PreAlignment:
    """``matrix`` (4x4, RAS mm, fixed to moving) and which kind was kept: "none", "centre", "rigid" or "affine".

    ``similarity`` is the metric of the last level, higher is better; only comparable within one pair.
    """

    matrix: Floats
    kind: Kind
    similarity: float


def pre_align(
    fixed: Image,
    moving: Image,
    kind: Kind = "affine",
    *,
    same_contrast: bool | None = True,
    fixed_mask: Image | None = None,
    moving_mask: Image | None = None,
) -> PreAlignment:
    """The linear map from fixed to moving space that aligns two volumes.

    ``same_contrast`` compares by correlation, otherwise by mutual information; None finds out. Masks limit what is
    compared.
    What is found is kept only where it is better than centring alone, and that only where it is better than
    the volumes as they lie, so the result never makes them worse: ``kind`` of the result says what was kept.
    The same volumes give the same result at every run. Raises InputError where the volumes cannot be compared.
    """
    if kind not in KINDS:
        raise InputError(f"Unknown pre-alignment '{kind}'; choose one of {', '.join(KINDS)}.")
    if kind == "none":
        return PreAlignment(np.eye(4), "none", 0.0)
    start, stop = (fixed if fixed_mask is None else fixed_mask).content_window()
    side = float((fixed.grid.spacing * (stop - start)).max())
    pair = _Pair(fixed, moving, fixed_mask, moving_mask)
    try:
        if same_contrast is None:
            same_contrast = pair.is_of_one_contrast(side / _COARSE)
        coarse, fine = (pair.at(side / voxels, same_contrast) for voxels in (_COARSE, _FINE))
        start_at, start_kind = coarse.best_start()
        best = _Found(start_at, start_kind, fine.similarity(start_at))
        if kind in ("rigid", "affine"):
            transform = coarse.optimised(start_at, _COARSE_ITERATIONS)[0]
            if kind == "affine":
                transform = coarse.optimised(_as_affine(transform), _COARSE_ITERATIONS)[0]
            transform, similarity = fine.optimised(transform, _FINE_ITERATIONS)
            if similarity > best.similarity and _is_plausible(transform):
                best = _Found(transform, kind, similarity)
    except RuntimeError as error:
        raise InputError(
            f"{fixed.name} and {moving.name} cannot be pre-aligned (they have too little in common, or a mask "
            "leaves too little); check that they show the same anatomy, or choose pre-alignment 'none'."
        ) from error
    if best.kind == "none" and not np.isfinite(best.similarity):
        raise InputError(
            f"{fixed.name} and {moving.name} do not overlap and could not be brought together; "
            "check that both volumes show the same anatomy."
        )
    return PreAlignment(bridge.affine_from_sitk(best.transform), best.kind, best.similarity)


@dataclass(frozen=True)
class _Found:
    transform: sitk.Transform
    kind: Kind
    similarity: float


class _Pair:
    """Both images for SimpleITK, and the levels of resolution made from them."""

    def __init__(
        self,
        fixed: Image,
        moving: Image,
        fixed_mask: Image | None,
        moving_mask: Image | None,
    ) -> None:
        self.fixed, self.moving = _to_sitk(fixed), _to_sitk(moving)
        self.fixed_mask = None if fixed_mask is None else _to_sitk(fixed_mask)
        self.moving_mask = None if moving_mask is None else _to_sitk(moving_mask)

    def at(self, spacing_mm: float, same_contrast: bool) -> _Level:
        return _Level(
            _shrunk(self.fixed, spacing_mm),
            _shrunk(self.moving, spacing_mm),
            None if self.fixed_mask is None else _shrunk(self.fixed_mask, spacing_mm) > 0.5,
            None if self.moving_mask is None else _shrunk(self.moving_mask, spacing_mm) > 0.5,
            same_contrast,
            spacing_mm,
        )

    def is_of_one_contrast(self, spacing_mm: float) -> bool:
        """Whether the two are better compared by correlation.

        Judged once they roughly overlap. A rigid map is all that mutual information is asked for: a free affine one
        may go astray on a pair that correlation would have aligned.
        """
        level = self.at(spacing_mm, same_contrast=False)
        return _values_rise_together(
            self.fixed, self.moving, level.optimised(level.best_start()[0], _COARSE_ITERATIONS)[0]
        )


@dataclass
class _Level:
    """The pair at one resolution."""

    fixed: sitk.Image
    moving: sitk.Image
    fixed_mask: sitk.Image | None
    moving_mask: sitk.Image | None
    same_contrast: bool
    spacing_mm: float

    def best_start(self) -> tuple[sitk.Transform, Kind]:
        """The volumes as they lie, or the better way to centre one on the other."""
        starts: list[tuple[sitk.Transform, Kind]] = [(sitk.Euler3DTransform(), "none")]
        starts += [(centred, "centre") for centred in self._centred()]
        return max(starts, key=lambda start: self.similarity(start[0]))

    def _centred(self) -> list[sitk.Transform]:
        """Translations that put the moving image's middle, of mass and of the field of view, on the fixed one's."""
        fixed = self.fixed if self.fixed_mask is None else sitk.Mask(self.fixed, self.fixed_mask)
        moving = self.moving if self.moving_mask is None else sitk.Mask(self.moving, self.moving_mask)
        modes = (
            sitk.CenteredTransformInitializerFilter.MOMENTS,
            sitk.CenteredTransformInitializerFilter.GEOMETRY,
        )
        # Moments need intensities that do not sum to zero or less (CT has air at -1000).
        fixed, moving = (_from_zero(image) for image in (fixed, moving))
        return [
            sitk.Euler3DTransform(sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), mode))
            for mode in modes
        ]

    def optimised(self, start: sitk.Transform, iterations: int) -> tuple[sitk.Transform, float]:
        """``start`` improved within its own kind (rigid stays rigid), and its similarity."""
        method = self._method()
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=self.spacing_mm / 8,
            minStep=self.spacing_mm / (400 if self.same_contrast else 1600),
            numberOfIterations=iterations,
            relaxationFactor=0.6,
            gradientMagnitudeTolerance=1e-6,
        )
        method.SetOptimizerScalesFromPhysicalShift(smallParameterVariation=0.01)
        transform = type(start)(start)
        method.SetInitialTransform(transform, inPlace=True)
        method.Execute(self.fixed, self.moving)
        return transform, -float(method.GetMetricValue())

    def similarity(self, transform: sitk.Transform) -> float:
        """Higher is better; minus infinity where the images do not overlap."""
        method = self._method()
        method.SetInitialTransform(transform)
        warns = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)  # no overlap is an answer here, and nothing to print
        try:
            return -float(method.MetricEvaluate(self.fixed, self.moving))
        except RuntimeError:
            return -np.inf
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(warns)

    def _method(self) -> sitk.ImageRegistrationMethod:
        method = sitk.ImageRegistrationMethod()
        samples = _SAMPLES
        if self.same_contrast:
            method.SetMetricAsCorrelation()
        else:
            method.SetMetricAsMattesMutualInformation(_BINS)
            samples = min(1.0, _HISTOGRAM_SAMPLES / self.fixed.GetNumberOfPixels())
        # ITK shifts even regular samples at random: without a seed each run would give another result.
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(samples, seed=1)
        method.SetInterpolator(sitk.sitkLinear)
        if self.fixed_mask is not None:
            method.SetMetricFixedMask(self.fixed_mask)
        if self.moving_mask is not None:
            method.SetMetricMovingMask(self.moving_mask)
        return method


def _values_rise_together(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> bool:
    """Whether the values of two volumes that about overlap do: then correlation aligns them better.

    The square of their correlation is compared with the correlation ratio (Roche et al., MICCAI 1998), which knows no
    straight line, on about 50 voxels along each side, where there is something in either.
    """
    side = max(spacing * size for spacing, size in zip(fixed.GetSpacing(), fixed.GetSize(), strict=True))
    coarse = _shrunk(fixed, side / _FINE)
    lowest = float(sitk.GetArrayViewFromImage(moving).min())
    seen = sitk.Resample(moving, coarse, transform, sitk.sitkLinear, lowest)
    a, b = (sitk.GetArrayFromImage(image).astype(np.float64) for image in (coarse, seen))
    inside = (a > a.min()) | (b > lowest)
    a, b = a[inside], b[inside]
    if not a.size or not a.std() or not b.std():
        return True
    correlation = float(np.corrcoef(a, b)[0, 1])
    brighter = a > a.mean()  # in a CT, the body: a body and the air around it rise together in any two contrasts
    if np.cov(a[brighter], b[brighter])[0, 1] <= 0:
        return False
    return correlation > 0 and correlation**2 >= _ALIKE * max(_correlation_ratio(a, b), _correlation_ratio(b, a))


def _correlation_ratio(values: Floats, given: Floats) -> float:
    """The share of the variance of ``values`` that is explained by ``given``, whatever the relation."""
    bins = np.digitize(given, np.linspace(given.min(), given.max(), 33)[1:-1])
    counts = np.maximum(np.bincount(bins, minlength=32), 1)
    return float(np.var((np.bincount(bins, values, 32) / counts)[bins]) / np.var(values))


def _to_sitk(image: Image) -> sitk.Image:
    return sitk.Cast(bridge.scalar_to_sitk(image.array, image.grid), sitk.sitkFloat32)


def _shrunk(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    factors = [
        max(1, min(round(spacing_mm / spacing), size // 4))
        for spacing, size in zip(image.GetSpacing(), image.GetSize(), strict=True)
    ]
    return sitk.BinShrink(image, factors)


def _from_zero(image: sitk.Image) -> sitk.Image:
    return image - float(sitk.GetArrayViewFromImage(image).min())


def _as_affine(transform: sitk.Transform) -> sitk.AffineTransform:
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(transform.GetMatrix())
    affine.SetTranslation(transform.GetTranslation())
    affine.SetCenter(transform.GetCenter())
    return affine


def _is_plausible(transform: sitk.Transform) -> bool:
    """Neither much larger or smaller, nor a mirror image, which of a head is nearly as good."""
    matrix = np.reshape(transform.GetMatrix(), (3, 3))
    scales = np.linalg.svd(matrix, compute_uv=False)
    return bool(scales.max() < _LARGEST_SCALE and scales.min() > 1 / _LARGEST_SCALE and np.linalg.det(matrix) > 0)
