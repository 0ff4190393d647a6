"""What the colours of a report's maps mean. A map lies over a dimmed grey picture: what is usual is transparent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.pipeline.report.images import Pixels

Rgb = tuple[int, int, int]

_SHRINKS: tuple[Rgb, Rgb] = ((49, 104, 214), (134, 205, 255))
_GROWS: tuple[Rgb, Rgb] = ((214, 92, 20), (255, 214, 120))
_FAR: tuple[Rgb, ...] = ((96, 40, 190), (226, 70, 90), (255, 226, 100))
FOLDED: Rgb = (255, 38, 190)
GRID: Rgb = (64, 224, 208)

JACOBIAN_LIMIT = 2.0
"""Colours are strongest where a volume doubles or halves."""


@dataclass(frozen=True)
class Stop:
    """A point of a colour bar: ``at`` from 0 to 1, and the colour there."""

    at: float
    rgb: Rgb
    opacity: float


def jacobian_pixels(determinant: npt.NDArray[np.floating]) -> Pixels:
    """(rows, columns) determinants to (rows, columns, 4): blue shrinks, orange grows, pink folds (0 or less)."""
    folded = determinant <= 0
    change = np.log(np.maximum(determinant, 1e-6)) / np.log(JACOBIAN_LIMIT)
    strength = np.clip(np.abs(change), 0, 1)[..., None]
    rgb = np.where(change[..., None] > 0, _mixed(_GROWS, strength), _mixed(_SHRINKS, strength))
    rgb = np.where(folded[..., None], np.array(FOLDED), rgb)
    opacity = np.where(folded[..., None], 1.0, _jacobian_opacity(strength))
    return _pixels(rgb, opacity)


def jacobian_stops(count: int = 17) -> list[Stop]:
    """The colour bar of `jacobian_pixels` from halved to doubled, in logarithmic steps."""
    places = np.linspace(-1, 1, count)
    pixels = jacobian_pixels((JACOBIAN_LIMIT**places)[None])[0]
    return [_stop(n / (count - 1), pixel) for n, pixel in enumerate(pixels)]


def magnitude_pixels(length_mm: npt.NDArray[np.floating], most_mm: float) -> Pixels:
    """(rows, columns) lengths to (rows, columns, 4): violet, red, and yellow at ``most_mm``."""
    strength = np.clip(length_mm / max(most_mm, 1e-6), 0, 1)[..., None]
    rgb = np.stack([np.interp(strength[..., 0], (0, 0.5, 1), channel) for channel in zip(*_FAR, strict=True)], axis=-1)
    return _pixels(rgb, 0.9 * strength**0.75)


def magnitude_stops(count: int = 17) -> list[Stop]:
    """The colour bar of `magnitude_pixels` from 0 to the most."""
    pixels = magnitude_pixels(np.linspace(0, 1, count)[None], 1.0)[0]
    return [_stop(n / (count - 1), pixel) for n, pixel in enumerate(pixels)]


def line_pixels(ink: npt.NDArray[np.floating]) -> Pixels:
    """(rows, columns) ink from 0 to 1 to lines of the grid's colour."""
    return _pixels(np.broadcast_to(np.array(GRID, np.float64), (*ink.shape, 3)), ink[..., None])


def _jacobian_opacity(strength: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return 0.95 * strength**0.7


def _mixed(between: tuple[Rgb, Rgb], part: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    first, last = (np.array(colour, np.float64) for colour in between)
    return first + (last - first) * part


def _pixels(rgb: npt.NDArray[np.floating], opacity: npt.NDArray[np.floating]) -> Pixels:
    pixels: Pixels = np.rint(np.concatenate([rgb, 255 * opacity], axis=-1)).astype(np.uint8)
    return pixels


def _stop(at: float, pixel: Pixels) -> Stop:
    red, green, blue, opacity = map(int, pixel)
    return Stop(at, (red, green, blue), opacity / 255)
