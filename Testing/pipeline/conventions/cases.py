"""Real fields on real pairs, and every convention in which somebody may have stored them.

The pairs are registered by the library at half resolution (OpenVINO, else TensorFlow) and put on other grids by
resampling: 2 mm voxels, 1.5 x 1.5 x 3 mm, and oblique by 25 degrees; "small" keeps a fifth of the motion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from shared_data import shared
from VoxelMorphRegistrationLib.files.volumes import read_volume
from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.network.engines import load_engine
from VoxelMorphRegistrationLib.network.intensity import prepare_pair
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention, letters
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, register
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

WEIGHTS = "weights/vxm_dense_brain_T1_3D_mse.h5"
FIXED = "vxm_pair/subject_1_t1.nii.gz"
MOVING = {"vxm": "vxm_pair/test_scan_t1.nii.gz", "bert": "bert/bert_norm.nii.gz"}


@dataclass(frozen=True, eq=False)
class Case:
    """A pair and its true fields: ``forward`` on the fixed grid, ``backward`` on the moving grid."""

    name: str
    fixed: Image
    moving: Image
    forward: DisplacementField
    backward: DisplacementField

    def error(self, found: DisplacementField, truth: DisplacementField) -> float:
        """rms difference to the truth inside the fixed content, as a share of the true rms displacement."""
        inside = np.argwhere(self.fixed.array[::3, ::3, ::3] > self.fixed.array.min()) * 3
        points = self.fixed.grid.to_ras(inside)
        true = truth.at(points)
        return float(np.sqrt(((found.at(points) - true) ** 2).sum(1).mean() / (true**2).sum(1).mean()))


@lru_cache
def _registered(pair: str) -> tuple[Image, Image, Deformation]:
    fixed, moving = read_volume(shared(FIXED)), read_volume(shared(MOVING[pair]))
    options = RegistrationOptions(
        model=str(shared(WEIGHTS)),
        pre_align="none" if pair == "vxm" else "affine",
        resolution="half",
        inverse=True,
    )
    return fixed, moving, register(fixed, moving, options).deformation


@lru_cache
def case(name: str) -> Case:
    """'vxm', 'bert', with ' 2mm' (1 mm voxels otherwise), ' thick', ' oblique', ' coarse' (oblique too), ' cube' or
    ' small' behind.
    """
    pair, _, kind = name.partition(" ")
    fixed, moving, deformation = _registered(pair)
    grids = {
        "": fixed.grid,
        "2mm": _spaced(fixed.grid, (2, 2, 2)),
        "small": _spaced(fixed.grid, (2, 2, 2)),
        "thick": _spaced(fixed.grid.reoriented("LPS"), (1.5, 1.5, 4)),
        "cube": fixed.grid.with_shape((88, 88, 88)),
        "coarse": _turned(_spaced(fixed.grid.reoriented("RAS"), (3.2, 4.8, 4))),
        "oblique": _turned(_spaced(fixed.grid.reoriented("RAS"), (1.6, 2.4, 2))),
    }
    grid = grids[kind]
    moving_grid = grid if pair == "vxm" else _spaced(moving.grid, tuple(grid.spacing)) if kind else moving.grid
    f, m = _on(fixed, grid), _on(moving, moving_grid)
    forward, backward = deformation.resampling_field(grid), deformation.modeling_field(moving_grid)
    if kind == "small":
        moved = forward.warp(m, outside=float(m.array.min()))
        forward = DisplacementField(0.2 * forward.vectors, grid)
        backward = forward.inverse(tolerance_mm=0.3)
        m = backward.warp(moved, outside=float(m.array.min()))
    return Case(name, f, m, forward, backward)


def _on(image: Image, grid: Grid) -> Image:
    if grid.is_same(image.grid):
        return image
    seen = bridge.resample(
        bridge.scalar_to_sitk(image.array, image.grid),
        grid,
        outside=float(image.array.min()),
        pixel_type=bridge.FLOAT32,
    )
    return Image(bridge.scalar_from_sitk(seen), grid, image.name)


def _spaced(grid: Grid, spacing: tuple[float, ...]) -> Grid:
    shape = np.rint(grid.extent_mm / spacing).astype(int)
    return grid.with_shape((int(shape[0]), int(shape[1]), int(shape[2])))


def _turned(grid: Grid) -> Grid:
    a = np.deg2rad(25)
    turn = np.eye(4)
    turn[:3, :3] = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, np.cos(a / 2), -np.sin(a / 2)], [0, np.sin(a / 2), np.cos(a / 2)]]
    )
    to, back = np.eye(4), np.eye(4)
    to[:3, 3], back[:3, 3] = grid.centre_ras, -grid.centre_ras
    return grid.moved_by(to @ turn @ back)


def _c(components: str, units: str, content: str = "displacement", **more: str) -> Convention:
    if "axes" in more:
        more["axes"] = letters(more["axes"])  # type: ignore[assignment]
    return Convention(letters(components), units, content, **more)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Stored:
    """How somebody stored a field: a convention and perhaps another resolution."""

    convention: Convention
    factor: int = 1
    reshaped: bool = field(default=False)


CONVENTIONS: dict[str, Stored] = {
    "VoxelMorph torch": Stored(_c("ijk", "voxel", layout="first")),
    "VoxelMorph TF": Stored(_c("ijk", "voxel")),
    "VoxelMorph on kji arrays": Stored(_c("kji", "voxel", axes="kji", layout="first")),
    "kji arrays: xyz voxels": Stored(_c("ijk", "voxel", axes="kji")),
    "LPS mm (ITK)": Stored(_c("LPS", "mm")),
    "RAS mm": Stored(_c("RAS", "mm")),
    "mm along the grid": Stored(_c("ijk", "mm")),
    "normalised (grid_sample)": Stored(_c("kji", "normalised", layout="first")),
    "voxel positions": Stored(_c("ijk", "voxel", "positions")),
    "RAS positions": Stored(_c("RAS", "mm", "positions")),
    "LPS positions": Stored(_c("LPS", "mm", "positions")),
    "normalised positions": Stored(_c("kji", "normalised", "positions")),
    "modeling: voxels": Stored(_c("ijk", "voxel", direction="modeling", placement="moving")),
    "modeling: LPS mm": Stored(_c("LPS", "mm", direction="modeling", placement="moving")),
    "half resolution": Stored(_c("ijk", "voxel", layout="first"), 2),
    "half resolution: full voxels": Stored(_c("ijk", "full voxel"), 2),
    "velocity": Stored(_c("ijk", "voxel", "velocity", layout="first"), 2),
    "reoriented to RAS": Stored(_c("ijk", "voxel", axes="ijk", layout="first")),
    "odd order": Stored(_c("-jki", "voxel")),
    "reshaped": Stored(_c("ijk", "voxel"), reshaped=True),
}


@lru_cache
def _predicted(name: str) -> tuple[np.ndarray, DisplacementField]:
    """The network's own velocity (3, I/2, J/2, K/2) for a case, and the displacement it integrates to."""
    pair = case(name)
    engine = load_engine("auto", shared(WEIGHTS))
    card = Catalogue().card("voxelmorph-brain-t1")
    images = (np.asarray(pair.fixed.array, np.float32), np.asarray(pair.moving.array, np.float32))
    prediction = engine.predict(*prepare_pair(*images, card.intensity)[::-1])
    voxels = prediction.displacement_on(pair.fixed.grid.shape)
    truth = DisplacementField(voxels @ pair.fixed.grid.axes.T.astype(np.float32), pair.fixed.grid)
    return np.ascontiguousarray(np.moveaxis(prediction.vectors, -1, 0)), truth


def stored(pair: Case, name: str) -> tuple[np.ndarray, DisplacementField]:
    """The array of a case in a convention, and the true forward field that it can hold.

    "velocity" is what the network predicts for the case itself, and needs its grid to be a multiple of 16.
    """
    how = CONVENTIONS[name]
    convention, fixed, moving = how.convention, pair.fixed.grid, pair.moving.grid
    if name == "velocity":
        return _predicted(pair.name)
    if name == "reoriented to RAS":
        turned = fixed.reoriented("RAS")
        return convention.store(pair.forward.resampled(turned), turned, None), pair.forward
    base = moving if convention.placement == "moving" else fixed
    shape = tuple(int(-(-n // how.factor)) for n in base.shape)
    source = pair.backward if convention.direction == "modeling" else pair.forward
    array = convention.store(source, fixed, moving, shape)
    if how.reshaped:
        array = np.ascontiguousarray(np.moveaxis(array, -1, 0)).reshape(array.shape)
    truth = pair.forward if how.factor == 1 else pair.forward.resampled(base.with_shape(shape))
    return array, truth


def can_store(pair: Case, name: str) -> bool:
    suits_network = all(n % 16 == 0 for n in pair.fixed.grid.shape) and pair.moving.grid.is_same(pair.fixed.grid)
    return name != "velocity" or suits_network
