"""Give two images of different contrast one contrast, so that an inverted pair is the same pair to the network.

Once two images roughly overlap, the mean of one at each intensity of the other is a curve that carries one contrast
over to the other, whatever the two are (the intensity transfer of Guimond et al., IEEE TMI 20(1), 2001; its quality is
the correlation ratio of Roche et al., MICCAI 1998). That decides, too, which of the two is carried over: of a CT and an
MRI it is the CT, whose every value means one tissue.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from VoxelMorphRegistrationLib.network.histogram import match_histogram

FloatArray = NDArray[np.float32]

_BINS = 64
_ALIKE = 0.8  # of the explainable variance that is explained as the images are: one contrast, more or less


def shared_contrast(fixed: FloatArray, moving: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Both (I, J, K) images, scaled to about 0..1, in the contrast of the one that the other can be carried over to."""
    a, b = _smoothed(fixed), _smoothed(moving)
    inside = (a > 0) | (b > 0)
    a, b = a[inside], b[inside]
    if a.size < 100 or min(a.std(), b.std()) < 1e-6:
        return fixed, moving
    onto_fixed, quality_fixed = _transfer(b, a)
    onto_moving, quality_moving = _transfer(a, b)
    correlation = float(np.corrcoef(a, b)[0, 1])
    alike = correlation > 0 and correlation**2 >= _ALIKE * max(quality_fixed, quality_moving)
    if quality_fixed >= quality_moving:
        return fixed, _carried(moving, onto_fixed, None if alike else fixed)
    return _carried(fixed, onto_moving, None if alike else moving), moving


def _smoothed(image: FloatArray) -> FloatArray:
    """At a coarser scale the images still overlap where their details do not."""
    import SimpleITK as sitk

    coarse = sitk.BinShrink(sitk.GetImageFromArray(image), [max(1, min(3, n // 16)) for n in image.shape[::-1]])
    array: FloatArray = sitk.GetArrayFromImage(sitk.DiscreteGaussian(coarse, 0.5))
    return array


def _transfer(source: FloatArray, target: FloatArray) -> tuple[FloatArray, float]:
    """The mean of ``target`` in each of 64 intensities of ``source`` (0..1), and the share of variance it explains."""
    bins = np.clip(source * _BINS, 0, _BINS - 1).astype(np.int32)
    counts = np.bincount(bins, minlength=_BINS).astype(np.float64)
    sums = np.bincount(bins, target, minlength=_BINS)
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
    curve = (np.convolve(sums, kernel, "same") + target.mean()) / (np.convolve(counts, kernel, "same") + 1)
    explained = float(np.var(curve[bins]) / max(float(np.var(target)), 1e-12))
    return curve.astype(np.float32), explained


def _carried(image: FloatArray, curve: FloatArray, like: FloatArray | None) -> FloatArray:
    """The image through the curve. Where the images do not quite overlap yet, means are paler than what they are the
    means of, so the result is then given the histogram of ``like``."""
    position = np.clip(image * _BINS - 0.5, 0, _BINS - 1)
    carried = np.interp(position, np.arange(_BINS), curve).astype(np.float32)
    return carried if like is None else match_histogram(carried - carried.min(), like)
