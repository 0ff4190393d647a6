"""The official model on two people: quality, intensities, geometry and inverse, at half the resolution.

The pair of ``../shared/docs/anchors.md``: test_scan (moving) to subject_1 (fixed), Dice over 30 structures 0.522
before. At full resolution Testing/benchmarks measures; here the volumes are given at 2 mm, which takes a second.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shared_data import shared
from spatial.anatomy import load, seen_through, shrunk
from spatial.geometry import AXIS_ORDERS, affine, grid_of, rotation
from VoxelMorphRegistrationLib.network.engines import available_engines
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, RegistrationResult, register
from VoxelMorphRegistrationLib.spatial import Deformation, Grid, Image


class Pair:
    """Both volumes at 2 mm and, for the measurement, every other voxel of the labels."""

    def __init__(self) -> None:
        if not available_engines():
            pytest.skip("no inference engine is installed")
        self.weights = shared("weights/vxm_dense_brain_T1_3D_mse.h5")
        self.fixed, self.moving = (self._volume(name) for name in ("subject_1", "test_scan"))
        labels = load(shared("vxm_pair/subject_1_aseg.nii.gz"))
        every_other = affine(labels.grid.axes * 2, labels.grid.origin)
        array = labels.array[::2, ::2, ::2]
        self.fixed_labels = Image(array, Grid(array.shape, every_other))
        self.moving_labels = load(shared("vxm_pair/test_scan_aseg.nii.gz"))
        self.structures = np.load(shared("vxm_pair/labels.npz"))["labels"].ravel()
        self.points = self.fixed_labels.grid.to_ras(np.argwhere(array > 0)[::40])

    @staticmethod
    def _volume(name: str) -> Image:
        return shrunk(load(shared(f"vxm_pair/{name}_t1.nii.gz")), 2)

    def register(
        self, fixed: Image | None = None, moving: Image | None = None, **options: object
    ) -> RegistrationResult:
        chosen = {"model": str(self.weights), "resolution": "half", "pre_align": "none"} | options
        return register(fixed or self.fixed, moving or self.moving, RegistrationOptions(**chosen))

    def dice(self, deformation: Deformation) -> float:
        a = self.fixed_labels.array
        b = deformation.warp_labels(self.moving_labels, self.fixed_labels.grid).array
        return float(
            np.mean([2 * ((a == s) & (b == s)).sum() / ((a == s).sum() + (b == s).sum()) for s in self.structures])
        )


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair()


@pytest.fixture(scope="module")
def reference(pair) -> RegistrationResult:
    return pair.register(inverse=True)


def test_half_the_resolution_reaches_its_target(pair, reference):
    """The issue asks for 0.70 at half resolution (best of the peers' at 2 mm: 0.714)."""
    assert pair.dice(reference.deformation) >= 0.70
    assert reference.similarity_before < 0.65
    assert reference.similarity_after > 0.85
    assert reference.folded_percent == 0
    assert reference.warnings == ()


def test_pre_alignment_does_no_harm_to_an_aligned_pair(pair):
    assert pair.dice(pair.register(pre_align="affine").deformation) >= 0.70


def test_the_inverse_brings_points_back(pair, reference):
    deformation = reference.deformation
    assert np.linalg.norm(deformation.map_points(pair.points) - pair.points, axis=-1).mean() > 3
    error = np.linalg.norm(deformation.map_points_back(deformation.map_points(pair.points)) - pair.points, axis=-1)
    assert error.mean() < 0.3  # as good as a field of 4 mm voxels can be: its best inverse leaves 0.23
    assert np.quantile(error, 0.99) < 1.8


def test_swapped_volumes_register_as_well(pair):
    result = pair.register(pair.moving, pair.fixed)
    assert result.similarity_after > 0.85
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("change", "both"),
    [
        (lambda a: a // 2, True),
        (lambda a: a // 2, False),
        (lambda a: a.astype(np.float32) * 17 + 1000, True),
        (lambda a: a.astype(np.float32) * 17 + 1000, False),
        (lambda a: a / np.float32(255), False),
        (lambda a: 255 * (a / 255.0) ** 0.8, False),
    ],
    ids=[
        "half",
        "moving at half",
        "gain and offset",
        "moving with gain and offset",
        "moving in 0..1",
        "another contrast",
    ],
)
def test_intensities_are_prepared_whatever_they_were(pair, change, both):
    """Each loses at most 0.005 of 0.708: the values in the file do not matter."""
    moving = pair.moving.with_array(change(pair.moving.array))
    fixed = pair.fixed.with_array(change(pair.fixed.array)) if both else pair.fixed
    assert pair.dice(pair.register(fixed, moving).deformation) >= 0.70


def test_without_preparation_values_of_0_to_255_ruin_it_and_it_is_said(pair):
    """engine-facts.md: Dice 0.04 at full resolution."""
    result = pair.register(intensity="none")
    assert pair.dice(result.deformation) < 0.2
    assert any("do not use this result" in warning for warning in result.warnings)
    assert any("is folded" in warning for warning in result.warnings)


GEOMETRIES = {  # and how far, in mm, the deformation may be from the reference's: mean over the brain
    "LPS": ({"axes": np.diag([-1, -1, 1])}, 0.01),
    "left-handed, permuted": ({"axes": AXIS_ORDERS[14]}, 0.01),
    "anisotropic": ({"spacing": (1.2, 2.6, 1.6)}, 0.5),
    "left-handed, anisotropic": ({"spacing": (1.5, 2, 2.5), "axes": np.diag([-1, 1, 1])}, 0.5),
    "oblique by 30 degrees": ({"turned": rotation((1, 2, 3), 30)}, 1.0),  # the network itself sees a tilted brain
}


def resampled(image: Image, spacing: object = (2, 2, 2), **geometry: object) -> Image:
    """The volume on another grid; with 2 mm and no rotation, its own voxels in another order."""
    shape = tuple(2 * round(110 / s) for s in spacing)
    half_voxel = np.where(np.array(image.grid.shape) % 2 == 0, 0.0, 0.5)
    centre = image.grid.to_ras((np.array(image.grid.shape) - 1) / 2 + half_voxel)
    grid = grid_of(shape, spacing=spacing, centre=centre, **geometry)
    return Image(np.round(seen_through(image, np.eye(4), grid).array).astype(np.uint8), grid, image.name)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_same_brains_on_another_grid_give_the_same_deformation(pair, reference, name):
    geometry, tolerance = GEOMETRIES[name]
    result = pair.register(resampled(pair.fixed, **geometry), resampled(pair.moving, **geometry))
    difference = result.deformation.map_points(pair.points) - reference.deformation.map_points(pair.points)
    assert np.linalg.norm(difference, axis=-1).mean() < tolerance
    assert pair.dice(result.deformation) >= 0.70


def test_fixed_and_moving_may_lie_on_different_grids(pair, reference):
    moving = resampled(pair.moving, spacing=(1.5, 2, 2.5), turned=rotation((1, 2, 3), 30), axes=np.diag([-1, 1, 1]))
    result = pair.register(pair.fixed, moving)
    difference = result.deformation.map_points(pair.points) - reference.deformation.map_points(pair.points)
    assert np.linalg.norm(difference, axis=-1).mean() < 0.5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_constant_shift_has_the_right_vector_in_mm(pair, axis):
    """fixed(x) = moving(x + 4 voxels along an axis), anisotropic and left-handed; the network finds most of it."""
    moving = resampled(pair.moving, spacing=(1.5, 2, 2.5), axes=AXIS_ORDERS[14])
    assert np.linalg.det(moving.grid.axes) < 0
    fixed = moving.with_array(np.roll(moving.array, -4, axis))
    found = pair.register(fixed, moving).deformation.displacement.at(
        fixed.grid.to_ras(np.argwhere(fixed.array > 30)[::50])
    )
    expected = 4 * moving.grid.axes[:, axis]
    np.testing.assert_allclose(np.median(found, axis=0), expected, atol=0.2 * np.linalg.norm(expected))


def test_unaligned_people_under_segmentations_as_masks(pair):
    """bert in native position: 0.372 before; the affine alone reaches 0.58, SyN at full resolution 0.725."""
    fixed = shrunk(load(shared("bert/bert_norm.nii.gz")), 2)
    labels = load(shared("bert/bert_aseg.nii.gz"))
    head = fixed.with_array(np.where(fixed.array > 0, fixed.array, 90))  # no background at all
    result = register(
        head,
        pair.moving,
        RegistrationOptions(model=str(pair.weights), resolution="half"),
        fixed_mask=labels,  # any label counts, on its own grid of 1 mm
        moving_mask=pair.moving_labels,
    )
    array = labels.array[::2, ::2, ::2]
    grid = Grid(array.shape, affine(labels.grid.axes * 2, labels.grid.origin))
    moved = result.deformation.warp_labels(pair.moving_labels, grid).array
    dice = [
        2 * ((array == s) & (moved == s)).sum() / ((array == s).sum() + (moved == s).sum()) for s in pair.structures
    ]
    assert np.mean(dice) > 0.69
    assert result.folded_percent == 0


def test_the_model_is_found_by_name_where_its_file_is_at_hand(pair, reference, tmp_path):
    """By the catalogue, as a user names it; the weights are copied into a cache folder, nothing is downloaded."""
    from VoxelMorphRegistrationLib.network.catalogue import BRAIN_MODEL, Catalogue

    catalogue = Catalogue(cache_folder=tmp_path)
    Path(tmp_path / catalogue.card(BRAIN_MODEL).file_name).write_bytes(pair.weights.read_bytes())
    options = RegistrationOptions(BRAIN_MODEL, resolution="half", pre_align="none")
    result = register(pair.fixed, pair.moving, options, catalogue=catalogue)
    assert result.model == BRAIN_MODEL
    np.testing.assert_allclose(
        result.deformation.map_points(pair.points), reference.deformation.map_points(pair.points), atol=1e-3
    )
