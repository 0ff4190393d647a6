"""pre_align on real anatomy: what is known is recovered, and nothing is ever made worse."""

from __future__ import annotations

import numpy as np
import pytest
from shared_data import shared
from spatial.anatomy import load, mni_brain, seen_through
from spatial.geometry import AXIS_ORDERS, affine, grid_of, rotation
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image, pre_align

RIGID = affine(rotation((1, 2, -1), 12), (18, -9, 14))
AFFINE = affine(rotation((1, 2, 0), 8) @ np.array([[1.06, 0.04, 0], [0, 0.94, -0.03], [0.02, 0, 1.03]]), (8, -10, 5))


@pytest.fixture(scope="module")
def brain() -> Image:
    return mni_brain()


def grid_over(moving: Image, matrix: np.ndarray, turned: float = 0, axes: np.ndarray | None = None) -> Grid:
    """A grid in fixed space on which the whole of ``moving(matrix x)`` can be seen."""
    centre = np.linalg.solve(matrix, np.append(moving.grid.centre_ras, 1))[:3]
    return grid_of((104, 108, 110), spacing=(2, 2.2, 1.8), turned=rotation((1, 1, 0), turned), axes=axes, centre=centre)


def error_mm(found: np.ndarray, true: np.ndarray, fixed: Image) -> float:
    """Mean distance in the fixed brain between where two affines take its voxels."""
    voxels = np.argwhere(fixed.array > 0.2 * fixed.array.max())[::20]
    difference = found - true
    return float(np.linalg.norm(fixed.grid.to_ras(voxels) @ difference[:3, :3].T + difference[:3, 3], axis=-1).mean())


def correlation(fixed: Image, moving: Image, matrix: np.ndarray) -> float:
    moved = seen_through(moving, matrix, fixed.grid, float(moving.array.min()))
    return float(np.corrcoef(fixed.array.ravel(), moved.array.ravel())[0, 1])


@pytest.mark.parametrize(
    ("turned", "axes"), [(0, None), (30, AXIS_ORDERS[21]), (20, np.diag([-1, 1, 1])), (0, np.diag([-1, -1, 1]))]
)
def test_a_known_affine_is_recovered_on_any_grid(brain, turned, axes):
    fixed = seen_through(brain, AFFINE, grid_over(brain, AFFINE, turned, axes))
    found = pre_align(fixed, brain)
    assert found.kind == "affine"
    assert error_mm(np.eye(4), AFFINE, fixed) > 5
    assert error_mm(found.matrix, AFFINE, fixed) < 0.7


def test_a_known_rigid_motion_is_recovered_as_one(brain):
    fixed = seen_through(brain, RIGID, grid_over(brain, RIGID))
    found = pre_align(fixed, brain, "rigid")
    assert found.kind == "rigid"
    assert error_mm(found.matrix, RIGID, fixed) < 0.7
    np.testing.assert_allclose(found.matrix[:3, :3] @ found.matrix[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(found.matrix[:3, :3]) == pytest.approx(1)


def test_centring_is_a_translation_to_the_middle_of_mass(brain):
    shift = affine(np.eye(3), (40, -25, 30))
    fixed = seen_through(brain, shift, grid_over(brain, shift))
    found = pre_align(fixed, brain, "centre")
    assert found.kind == "centre"
    assert error_mm(found.matrix, shift, fixed) < 0.5
    np.testing.assert_allclose(found.matrix[:3, :3], np.eye(3), atol=1e-12)


def test_none_is_the_identity(brain):
    found = pre_align(brain, brain, "none")
    np.testing.assert_array_equal(found.matrix, np.eye(4))
    assert found.kind == "none"


def test_volumes_far_apart_are_brought_together(brain, capfd):
    """As from two scanners. Nothing is printed, though ITK would warn that the volumes do not overlap."""
    far = affine(np.eye(3), (1500, -900, 700)) @ AFFINE
    fixed = seen_through(brain, far, grid_over(brain, far))
    found = pre_align(fixed, brain)
    assert found.kind == "affine"
    assert error_mm(found.matrix, far, fixed) < 0.7
    assert "WARNING" not in "".join(capfd.readouterr())


def test_an_inverted_contrast_is_found_by_mutual_information(brain):
    fixed = seen_through(brain, AFFINE, grid_over(brain, AFFINE))
    inside = brain.array > 0
    inverted = brain.with_array(np.where(inside, 255 - brain.array, 0))
    found = pre_align(fixed, inverted, same_contrast=False)
    assert found.kind == "affine"
    assert error_mm(found.matrix, AFFINE, fixed) < 1


def test_a_ct_with_air_below_zero(brain):
    hounsfield = brain.with_array(brain.array.astype(np.int16) * 8 - 1000)
    fixed = seen_through(hounsfield, RIGID, grid_over(brain, RIGID), outside=-1000)
    found = pre_align(fixed, hounsfield, "rigid")
    assert error_mm(found.matrix, RIGID, Image(fixed.array + 1000, fixed.grid)) < 0.7


def test_a_real_ct_under_a_known_motion():
    ct = load(shared("ct/example_ct.nii.gz"))
    fixed = seen_through(ct, RIGID, ct.grid, outside=float(ct.array.min()))
    found = pre_align(fixed, ct, "rigid")
    assert error_mm(found.matrix, RIGID, Image(fixed.array + 1024, fixed.grid)) < 1


def test_masks_keep_what_is_no_brain_out_of_it(brain):
    """A bright bar on the fixed image, and another elsewhere on the moving one, mislead unless they are masked."""
    fixed = seen_through(brain, RIGID, grid_over(brain, RIGID))
    fixed_mask = fixed.with_array((fixed.array > 0).astype(np.uint8))
    moving_mask = brain.with_array((brain.array > 0).astype(np.uint8))
    fixed_array, moving_array = fixed.array.copy(), brain.array.copy()
    fixed_array[:16, :, :60] = np.where(fixed_mask.array[:16, :, :60] > 0, fixed_array[:16, :, :60], 1500)
    moving_array[-14:, 30:, :] = np.where(moving_mask.array[-14:, 30:, :] > 0, moving_array[-14:, 30:, :], 255)
    fixed, moving = fixed.with_array(fixed_array), brain.with_array(moving_array)
    assert error_mm(pre_align(fixed, moving, "rigid").matrix, RIGID, fixed_mask) > 3
    found = pre_align(fixed, moving, "rigid", fixed_mask=fixed_mask, moving_mask=moving_mask)
    assert error_mm(found.matrix, RIGID, fixed_mask) < 2


@pytest.mark.parametrize("kind", ["centre", "rigid", "affine"])
@pytest.mark.parametrize(
    "shift", [(0, 0, 0), (0.5, 0, -0.5), (70, 0, 0), (0, -130, 0)], ids=["aligned", "half a mm", "70 mm", "130 mm"]
)
def test_it_is_never_worse_than_the_volumes_as_they_lie(brain, kind, shift):
    moving = Image(brain.array, brain.grid.moved_by(affine(np.eye(3), shift)), "moving")
    found = pre_align(brain, moving, kind)
    before, after = correlation(brain, moving, np.eye(4)), correlation(brain, moving, found.matrix)
    assert after >= before - 1e-4
    if shift == (0, 0, 0):
        assert error_mm(found.matrix, np.eye(4), brain) < 0.1


def test_volumes_that_have_nothing_in_common_are_not_twisted(brain):
    """Noise against a brain: whatever is kept is a plausible map."""
    noise = brain.with_array(np.random.default_rng(0).normal(0, 1, brain.array.shape).astype(np.float32))
    found = pre_align(brain, noise)
    scales = np.linalg.svd(found.matrix[:3, :3], compute_uv=False)
    assert 1 / 1.6 < scales.min() <= scales.max() < 1.6


def test_the_same_volumes_give_the_same_result(brain):
    fixed = seen_through(brain, AFFINE, grid_over(brain, AFFINE))
    first, second = pre_align(fixed, brain), pre_align(fixed, brain)
    np.testing.assert_allclose(first.matrix, second.matrix, rtol=0, atol=1e-6)


def test_two_people_in_different_positions():
    """FreeSurfer's bert, in native position, to VoxelMorph's test scan; mean Dice over 30 structures.

    ``../shared/docs/anchors.md``: 0.37 before, 0.56 after itk-elastix' affine, 0.58 after ANTs'.
    """
    fixed, moving = load(shared("bert/bert_norm.nii.gz")), load(shared("vxm_pair/test_scan_t1.nii.gz"))
    fixed_labels, moving_labels = load(shared("bert/bert_aseg.nii.gz")), load(shared("vxm_pair/test_scan_aseg.nii.gz"))
    found = pre_align(fixed, moving)
    assert found.kind == "affine"
    grid = fixed.grid
    moved = Deformation(found.matrix, DisplacementField.zero(grid.with_shape((2, 2, 2)))).warp_labels(
        moving_labels, grid
    )
    structures = np.load(shared("vxm_pair/labels.npz"))["labels"].ravel()
    a, b = fixed_labels.array[::2, ::2, ::2], moved.array[::2, ::2, ::2]
    dice = [
        2 * np.count_nonzero((a == s) & (b == s)) / (np.count_nonzero(a == s) + np.count_nonzero(b == s))
        for s in structures
    ]
    assert np.mean(dice) > 0.56


def test_an_unknown_kind(brain):
    with pytest.raises(InputError, match="Unknown pre-alignment 'elastic'; choose one of none, centre, rigid, affine"):
        pre_align(brain, brain, "elastic")


@pytest.mark.parametrize("which", ["fixed_mask", "moving_mask"])
def test_a_mask_of_a_few_voxels(brain, which):
    array = np.zeros(brain.array.shape, np.uint8)
    array[50, 60, 50] = 1
    with pytest.raises(InputError, match=r"cannot be pre-aligned .*a mask leaves too little.*pre-alignment 'none'"):
        pre_align(brain, brain, **{which: brain.with_array(array)})


def _half_ellipsoids(inverted: bool) -> Image:
    """A body with organs that is nearly its own mirror image."""
    grid = Grid((48, 56, 52), np.diag([3.0, 3.0, 3.0, 1.0]))
    x, y, z = np.moveaxis(grid.to_ras(np.stack(np.indices(grid.shape), -1)) - grid.centre_ras, -1, 0)
    body = (x / 60) ** 2 + (y / 75) ** 2 + (z / 65) ** 2 < 1
    values = 100 + 60 * np.cos(x / 15) * np.cos(y / 18) + 40 * np.sin(z / 14) + 5 * np.sin(x / 20)
    return Image(np.where(body, 250 - values if inverted else values, 0).astype(np.float32), grid, "body")


@pytest.mark.parametrize("inverted", [False, True])
def test_contrast_is_found_out_and_nothing_is_mirrored(inverted: bool) -> None:
    fixed = _half_ellipsoids(False)
    shift = np.eye(4)
    shift[:3, 3] = (6, -9, 4)
    moving = _half_ellipsoids(inverted)
    moving = Image(moving.array, moving.grid.moved_by(shift), "moving")
    found = pre_align(fixed, moving, "affine", same_contrast=None).matrix
    assert np.linalg.det(found[:3, :3]) > 0
    points = fixed.grid.to_ras(np.argwhere(fixed.array > 0)[::500])
    mapped = points @ found[:3, :3].T + found[:3, 3]
    assert np.linalg.norm(mapped - (points + shift[:3, 3]), axis=-1).mean() < 3  # a voxel
