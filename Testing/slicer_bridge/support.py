"""Geometries, fields and comparisons that the tests of this room share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid

SHAPE = (24, 20, 22)


def _geometry(axes: np.ndarray, spacing: tuple[float, float, float], centre: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = axes * spacing
    matrix[:3, 3] = centre - matrix[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return matrix


def rotation(degrees: float, axis: tuple[float, float, float]) -> np.ndarray:
    """3x3 rotation about an axis (Rodrigues)."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


GEOMETRIES = {
    "ras": _geometry(np.eye(3), (2.0, 2.0, 2.0), (0, 0, 0)),
    "lps": _geometry(np.diag([-1, -1, 1]), (2.0, 2.0, 2.0), (5, -9, 31)),
    "anisotropic": _geometry(np.eye(3), (1.0, 1.5, 4.0), (20, 3, -7)),
    "left-handed": _geometry(np.diag([-1, 1, 1]), (1.2, 2.0, 1.7), (-4, 12, 8)),
    "oblique": _geometry(rotation(30, (0.3, 1.0, 0.5)), (2.0, 1.5, 2.5), (11, -6, 40)),
    # all at once: 30 degrees, anisotropic, left-handed, axes swapped as in a sagittal scan
    "oblique left-handed": _geometry(
        rotation(30, (1, 2, 3)) @ np.diag([1, -1, 1]) @ np.eye(3)[:, [1, 2, 0]], (1.1, 2.3, 1.8), (-30, 22, 9)
    ),
}


def grid(name: str = "oblique left-handed") -> Grid:
    return Grid(SHAPE, GEOMETRIES[name])


def smooth_field(on: Grid, peak_mm: float = 4.0, seed: int = 0, waves: float = 3.0) -> DisplacementField:
    """A smooth, invertible field that is different along each axis: a sum of two waves per component.

    ``waves`` is about how many radians they turn over the grid.
    """
    random = np.random.default_rng(seed)
    points = on.to_ras(np.stack(np.meshgrid(*map(np.arange, on.shape), indexing="ij"), axis=-1))
    size = on.extent_mm.mean()
    vectors = np.zeros((*on.shape, 3))
    for component in range(3):
        for _ in range(2):
            wave = random.normal(size=3) * waves / size
            vectors[..., component] += np.sin(points @ wave + random.uniform(0, 6)) / 2
    return DisplacementField((vectors * peak_mm).astype(np.float32), on)


def inside(on: Grid, count: int = 200, seed: int = 1) -> np.ndarray:
    """(count, 3) random RAS positions well inside a grid, between its voxels."""
    size = np.array(on.shape)
    return on.to_ras(np.random.default_rng(seed).uniform(0.15 * size, 0.85 * size, (count, 3)))


def add_volume(array_ijk: np.ndarray, on: Grid, name: str = "volume", class_name: str | None = None) -> Any:
    """A volume node of an [i, j, k] array, made by Slicer's own function."""
    import slicer

    return slicer.util.addVolumeFromArray(np.ascontiguousarray(array_ijk.T), np.array(on.ijk_to_ras), name, class_name)


def add_transform(class_name: str = "vtkMRMLGridTransformNode", name: str = "transform") -> Any:
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass(class_name, name)


def texture(on: Grid, seed: int = 0) -> np.ndarray:
    """An [i, j, k] float32 image with something to see everywhere."""
    random = np.random.default_rng(seed)
    image = sitk.GetImageFromArray(random.normal(size=on.shape[::-1]))
    return (100 + 200 * sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, 1.5)).T).astype(np.float32)


def through_sitk(transform: sitk.Transform, points_ras: np.ndarray) -> np.ndarray:
    """RAS points through a SimpleITK transform, which works in LPS."""
    flip = np.array([-1.0, -1.0, 1.0])
    return np.array([np.array(transform.TransformPoint((p * flip).tolist())) * flip for p in points_ras])


def read_by_sitk(path: Path) -> sitk.Transform:
    """A displacement field file as SimpleITK takes it: a transform file, or a vector image."""
    if path.suffix in (".h5", ".tfm"):
        return sitk.ReadTransform(str(path))
    return sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest distance between corresponding points, mm."""
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b), axis=-1).max())


def scene_content(scene: Any) -> list[tuple[str, str, str | None]]:
    """What a failed job must not have changed: every node's ID, name and parent transform or references."""
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    return [
        (n.GetID(), n.GetName(), n.GetTransformNodeID() if hasattr(n, "GetTransformNodeID") else None) for n in nodes
    ]
