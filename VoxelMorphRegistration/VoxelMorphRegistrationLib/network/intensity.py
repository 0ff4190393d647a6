"""Bring the intensities of a pair to what a network was trained on.

It matters more than anything else: with VoxelMorph's T1 weights the same pair registers to a Dice of 0.04 with
values of 0..255, and to 0.75 when white matter lies at the training level and the contrasts are matched.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network.card import IntensityPreparation
from VoxelMorphRegistrationLib.network.contrast import shared_contrast
from VoxelMorphRegistrationLib.network.histogram import match_histogram, sample

Floats = npt.NDArray[np.float32]

_BINS = 256
_STEEPEST = 3.0


def prepare_pair(
    fixed: npt.NDArray[np.generic],
    moving: npt.NDArray[np.generic],
    preparation: IntensityPreparation,
) -> tuple[Floats, Floats]:
    """Both (I, J, K) arrays scaled, and matched to one another, as a model card asks; float32, C order.

    Voxels at the minimum are background and stay background; so mask a volume by setting the rest to its minimum.
    Raises InputError for an image that holds one value only.
    """
    fixed_scaled = _scaled(fixed, preparation, "fixed")
    moving_scaled = _scaled(moving, preparation, "moving")
    if preparation.match == "fixed_to_moving":
        fixed_scaled = match_histogram(fixed_scaled, moving_scaled)
    elif preparation.match == "contrast":
        fixed_scaled, moving_scaled = shared_contrast(fixed_scaled, moving_scaled)
    return fixed_scaled, moving_scaled


def white_matter_peak(values: npt.NDArray[np.generic]) -> float:
    """The intensity of the brightest large tissue, counted from the background (the minimum).

    In a skull-stripped T1 image that is white matter: the last maximum of the smoothed histogram that is at least
    a quarter as high as the highest one. Raises InputError for an image of one value.
    """
    above = _foreground(values)
    top = float(np.quantile(above, 0.999))
    counts, edges = np.histogram(above, bins=_BINS, range=(0.0, top))
    smooth = np.convolve(counts, np.hanning(15) / np.hanning(15).sum(), mode="same")
    inner = np.arange(_BINS // 10, _BINS - 1)  # the lowest tenth is noise and partial background
    peaks = inner[(smooth[inner] >= smooth[inner - 1]) & (smooth[inner] > smooth[inner + 1])]
    peaks = peaks[smooth[peaks] >= 0.25 * smooth[inner].max()]
    peak = peaks[-1] if peaks.size else int(inner[np.argmax(smooth[inner])])
    return float((edges[peak] + edges[peak + 1]) / 2)


def _scaled(values: npt.NDArray[np.generic], preparation: IntensityPreparation, role: str) -> Floats:
    image = np.array(values, dtype=np.float32, order="C")  # as the engines take it
    if preparation.scaling == "none":
        return image
    lowest = float(image.min())
    if not image.max() > lowest:
        raise InputError(f"The {role} volume holds one value only, so there is nothing to register in it.")
    if preparation.scaling == "unit_range":
        reach, level = float(image.max()) - lowest, 1.0
    elif preparation.scaling == "percentile":
        reach, level = float(np.quantile(_foreground(image), 0.999)), preparation.level
    elif preparation.scaling == "equalised":
        return equalised(image, lowest, preparation.level)
    else:
        reach, level = white_matter_peak(image), preparation.level
    image -= np.float32(lowest)
    image *= np.float32(level / reach)
    return image


def equalised(image: Floats, lowest: float = 0.0, level: float = 1.0) -> Floats:
    """Contrast-limited histogram equalisation (Pizer et al., CVGIP 39, 1987) of the whole image at once.

    No value is stretched more than _STEEPEST times as much as a linear scaling would; the background stays 0.
    """
    above = _foreground(image)
    top = float(np.quantile(above, 0.999))
    counts, edges = np.histogram(np.minimum(above, top), _BINS, (0.0, top))
    share = np.minimum(counts / above.size, _STEEPEST / _BINS)
    share += (1 - share.sum()) / _BINS
    curve = level * np.concatenate([[0.0], np.cumsum(share)])
    return np.asarray(np.interp(image - np.float32(lowest), edges, curve), np.float32)


def _foreground(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """A sample of what lies above the background, counted from it."""
    some = sample(values).astype(np.float64)
    above: npt.NDArray[np.float64] = some - some.min()
    above = above[above > 0]
    if not above.size:
        raise InputError("A volume that holds one value only cannot be registered.")
    return above
