"""What training pairs are made of: volumes painted with random contrasts, from shapes, label maps and images.

Every anatomy is a painting of one or more subjects in the same colours, so that two subjects of one anatomy can be
compared voxel by voxel once they are registered. The recipe is SynthMorph's (Hoffmann et al., IEEE TMI 41(3), 2022),
with texture, without which a network of this size does not begin to learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.volumes import read_labels, read_volume
from VoxelMorphRegistrationLib.pipeline.training.random_fields import FloatArray, Shape, smooth_noise
from VoxelMorphRegistrationLib.spatial import Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

Labels = NDArray[np.uint8]

_SPACING_MM = 1.5
_SHAPE_OF_SHAPES: Shape = (112, 112, 112)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Subjects painted alike: ``subjects`` are (I, J, K) uint8 volumes, 0 to 255.

    Where there are several, they hold no texture that would belong to one of them only.
    """

    subjects: tuple[NDArray[np.uint8], ...]


def random_anatomy(rng: np.random.Generator, label_maps: Sequence[Labels], images: Sequence[FloatArray]) -> Anatomy:
    """Random shapes, a painted label map (one with texture, or several together) or a recoloured image."""
    kind = rng.choice(("shapes", "together", "together", "map", "image"))
    if kind == "together" and len(label_maps) > 1:
        return paint_subjects(rng, label_maps, texture=False)
    if kind == "map" and label_maps:
        return paint_subjects(rng, [label_maps[int(rng.integers(len(label_maps)))]], texture=True)
    if kind == "image" and images:
        return recoloured(rng, images[int(rng.integers(len(images)))])
    return paint_subjects(rng, [random_shapes(rng)], texture=True)


def random_shapes(rng: np.random.Generator) -> Labels:
    """A label map of blobs of many sizes, mostly inside a body (label 0 around it)."""
    count = int(rng.integers(6, 24))
    best = np.full(_SHAPE_OF_SHAPES, -np.inf, np.float32)
    labels = np.zeros(_SHAPE_OF_SHAPES, np.uint8)
    for label in range(1, count + 1):
        score = smooth_noise(rng, _SHAPE_OF_SHAPES, float(np.exp(rng.uniform(np.log(6), np.log(40)))))
        score += np.float32(rng.normal(0, 0.5))
        won = score > best
        best[won], labels[won] = score[won], label
    if rng.random() < 0.8:
        labels[~_body(rng)] = 0
    return labels


def _body(rng: np.random.Generator) -> NDArray[np.bool_]:
    radii = rng.uniform(0.6, 1.05, 3)
    axes = [(np.linspace(-1, 1, size) / radius) ** 2 for size, radius in zip(_SHAPE_OF_SHAPES, radii, strict=True)]
    distance = axes[0][:, None, None] + axes[1][:, None] + axes[2]
    wobble = smooth_noise(rng, _SHAPE_OF_SHAPES, 30.0) * np.float32(0.1)
    inside: NDArray[np.bool_] = distance + wobble < 1
    return inside


def paint_subjects(rng: np.random.Generator, subjects: Sequence[Labels], *, texture: bool) -> Anatomy:
    """Label maps in one set of random colours, blurred to a partial volume; ``texture`` is each subject's own."""
    import scipy.ndimage

    colours = rng.uniform(0, 1, 256).astype(np.float32)
    if rng.random() < 0.5:  # fewer tissues than labels: neighbouring structures may be indistinguishable
        colours = colours[rng.integers(0, int(rng.integers(4, 12)), 256)]
    if rng.random() < 0.8:
        colours[0] = 0.0
    strength = rng.uniform(0.04, 0.2) if texture else 0.0
    painted = []
    for labels in subjects:
        image = colours[labels]
        image = scipy.ndimage.gaussian_filter(image, float(rng.uniform(0.3, 0.9)))
        if strength:
            waves = np.exp(rng.uniform(np.log(1.5), np.log(14), 3))
            pattern = sum(smooth_noise(rng, labels.shape, float(wave)) for wave in waves) / np.float32(3**0.5)
            image = image + np.float32(strength) * pattern * (labels > 0)
        painted.append(_to_bytes(image))
    return Anatomy(tuple(painted))


def recoloured(rng: np.random.Generator, image: FloatArray) -> Anatomy:
    """A real volume under a random smooth intensity curve: real texture in contrasts that were never acquired."""
    return Anatomy((_to_bytes(random_curve(rng, image, float(rng.uniform(0, 1)))),))


def random_curve(rng: np.random.Generator, image: FloatArray, strength: float) -> FloatArray:
    """Values 0..1 through a random curve: 0 leaves them, 1 may invert them and fold tissues onto one another."""
    knots = np.linspace(0, 1, 6)
    curve = (1 - strength) * knots + strength * rng.uniform(0, 1, knots.size)
    fine = np.linspace(0, 1, 257)
    table = np.interp(fine, knots, curve).astype(np.float32)
    return table[np.clip(image * 256, 0, 256).astype(np.int32)]


def read_label_maps(paths: Sequence[Path]) -> list[Labels]:
    """Label maps of one anatomy, each affinely aligned with the first, on its content at about 1.5 mm.

    Labels are numbered alike in all of them, from 0 (the background).
    """
    if not paths:
        return []
    volumes = [read_labels(path) for path in paths]
    values = np.unique(np.concatenate([np.unique(volume.array) for volume in volumes]))
    if values.size > 256:
        raise InputError(f"{paths[0].parent} holds {values.size} different labels; at most 256 can be used.")
    numbered = [volume.with_array(np.searchsorted(values, volume.array).astype(np.uint8)) for volume in volumes]
    grid = _coarser(numbered[0])
    places = [_label_centres(volume, values.size) for volume in numbered]
    maps = []
    for volume, centres in zip(numbered, places, strict=True):
        moved = bridge.resample(
            bridge.scalar_to_sitk(volume.array, volume.grid),
            grid,
            bridge.affine_to_sitk(_affine_between(places[0], centres)),
            interpolator=sitk.sitkNearestNeighbor,
        )
        maps.append(np.ascontiguousarray(bridge.scalar_from_sitk(moved)))
    return maps


def _label_centres(labels: Image, count: int) -> NDArray[np.float64]:
    """(count, 3) centres of mass in RAS mm, NaN for labels that are not there and for the background."""
    flat = labels.array.ravel()
    sizes = np.bincount(flat, minlength=count).astype(np.float64)
    sizes[0] = 0
    sums = [np.bincount(flat, index.ravel(), count) for index in np.indices(labels.grid.shape, np.float32)]
    with np.errstate(invalid="ignore", divide="ignore"):
        centres = np.where(sizes[:, None] > 0, np.stack(sums, -1) / sizes[:, None], np.nan)
    return np.asarray(labels.grid.to_ras(centres), np.float64)


def _affine_between(centres: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 4x4 map that takes centres to the others', least squares over the labels that both have.

    Labels that lie elsewhere than the rest say (odd pieces of neck or skull) are left out in turn.
    """
    used = np.isfinite(centres).all(1) & np.isfinite(others).all(1)
    matrix = np.eye(4)
    points = np.column_stack([centres, np.ones(len(centres))])
    for _ in range(6):
        if used.sum() < 12:
            break  # too few for an affine map
        matrix[:3] = np.linalg.lstsq(points[used], others[used], rcond=None)[0].T
        distance = np.linalg.norm(points @ matrix[:3].T - others, axis=1)
        used &= distance <= 2.5 * np.median(distance[used])
    return matrix


def _coarser(image: Image) -> Grid:
    """A grid of 1.5 mm over the image's content and a rim."""
    start, stop = image.content_window()
    step = _SPACING_MM / image.grid.spacing
    rim = 8
    matrix = image.grid.ijk_to_ras.copy()
    matrix[:3, :3] = image.grid.axes * step
    matrix[:3, 3] = image.grid.to_ras(start - rim * step)
    i, j, k = (int(n) for n in np.ceil((stop - start) / step) + 2 * rim)
    return Grid((i, j, k), matrix)


def read_image(path: Path) -> FloatArray:
    """A volume on about 1.5 mm voxels, cut to its content, from its minimum (0) to its 99.9th percentile (1)."""
    import scipy.ndimage

    volume = read_volume(path)
    if volume.array.min() == volume.array.max():
        raise InputError(f"{path.name} holds one value only, so nothing can be learned from it.")
    image = _content(volume.array).astype(np.float32)
    fine = scipy.ndimage.zoom(image, volume.grid.spacing / _SPACING_MM, order=1)
    low, high = float(fine.min()), float(np.quantile(fine, 0.999))
    return np.asarray(np.clip((fine - low) / (high - low), 0, 1), np.float32)


def _content(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The part above the minimum, with a rim of background."""
    inside = array > array.min()
    window = []
    for axis in range(3):
        used = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        window.append(slice(max(int(used[0]) - 8, 0), int(used[-1]) + 9))
    return array[tuple(window)]


def _to_bytes(image: FloatArray) -> Labels:
    return np.asarray(np.clip(image * 255 + 0.5, 0, 255), np.uint8)
