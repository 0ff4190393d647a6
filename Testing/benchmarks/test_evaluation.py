"""The benchmark's judge on fields whose effect is known, and its cost meter."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from shared_data import shared

from benchmarks import compare_with_peers, pairs
from benchmarks.evaluation import Judge, content, dice, jacobian_determinant, warp
from benchmarks.measure import measured

OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0, -0.6, 0.8, 0.0)
SPACING = (1.0, 2.0, 1.5)
SIZE = (12, 14, 16)


def on_grid(array_kji: np.ndarray, *, vectors: bool = False) -> sitk.Image:
    image = sitk.GetImageFromArray(array_kji, isVector=vectors)
    image.SetDirection(OBLIQUE)
    image.SetSpacing(SPACING)
    image.SetOrigin((10.0, -20.0, 5.0))
    return image


def linear_field(index_matrix: np.ndarray) -> sitk.Image:
    """u = (index_matrix - 1) x, in index space about voxel 0, on the oblique anisotropic grid, in LPS mm."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in SIZE[::-1]), indexing="ij")
    index = np.stack([i, j, k], axis=-1).astype(float)
    moved = index @ (index_matrix - np.eye(3)).T
    to_lps = np.reshape(OBLIQUE, (3, 3)) * SPACING
    return on_grid(moved @ to_lps.T, vectors=True)


def block(start: int) -> np.ndarray:
    """A 4x4x4 block of label 7, from voxel ``start`` along i."""
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[5:9, 5:9, start : start + 4] = 7
    return labels


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (1, 0.75), (2, 0.5), (4, 0.0)])
def test_dice_of_a_shifted_block(shift: int, expected: float) -> None:
    overlap = dice(on_grid(block(3)), on_grid(block(3 + shift)), [7, 9])
    assert overlap[0] == expected
    assert np.isnan(overlap[1])  # neither has label 9


def test_labels_come_from_where_the_field_points() -> None:
    axis_i_mm = np.reshape(OBLIQUE, (3, 3))[:, 0] * SPACING[0]
    two_voxels_on = on_grid(np.broadcast_to(2 * axis_i_mm, (*SIZE[::-1], 3)).copy(), vectors=True)
    fixed, moving = on_grid(block(3)), on_grid(block(5))
    assert dice(fixed, moving, [7])[0] == 0.5
    assert dice(fixed, warp(moving, two_voxels_on, sitk.sitkNearestNeighbor), [7])[0] == 1.0


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(3),
        np.diag([1.2, 0.9, 1.1]),
        np.diag([-0.5, 1.0, 1.0]),
        np.array([[1, 0.3, 0], [0.1, 1, 0.2], [0, 0, 0.8]]),
    ],
)
def test_jacobian_determinant_of_a_linear_map_on_an_oblique_grid(matrix: np.ndarray) -> None:
    inside = jacobian_determinant(linear_field(matrix))[1:-1, 1:-1, 1:-1]
    np.testing.assert_allclose(inside, np.linalg.det(matrix), atol=1e-5)


def test_identity_on_the_real_pair_is_what_was_measured_before() -> None:
    shared("vxm_pair/labels.npz")
    judge = Judge(pairs.PAIRS["main"])
    before = judge.before()
    assert before.dice == pytest.approx(0.522, abs=5e-4)  # anchors.md, section 1
    assert before.folded_voxels == 0
    assert judge.quality(_mirrored(judge.fixed)).folded_percent > 99.9


def test_a_pair_of_known_motion_is_judged_by_the_distance_to_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(-900, 400, SIZE[::-1]).astype(np.int16)
    values[:, :3] = -1024  # air
    truth = linear_field(np.diag([1.1, 1.0, 1.0]))
    moved = on_grid(values)
    for image, name in ((moved, "fixed.nrrd"), (moved, "moving.nrrd"), (truth, "truth.nrrd")):
        sitk.WriteImage(image, str(tmp_path / name))
    made = pairs.Pair(
        "made", "made", *(tmp_path / f"{name}.nrrd" for name in ("fixed", "moving")), truth=tmp_path / "truth.nrrd"
    )
    judge = Judge(made)
    assert judge.quality(truth).error_mm == pytest.approx(0.0, abs=1e-4)
    before = judge.before()
    inside = sitk.GetArrayFromImage(truth)[content(moved)]
    assert before.error_mm == pytest.approx(np.linalg.norm(inside, axis=-1).mean(), rel=1e-4)
    assert before.ncc == pytest.approx(1.0)
    assert before.dice is None
    for interpolator in (sitk.sitkLinear, sitk.sitkBSpline):  # a method's own moved volume may be of either
        own = judge.quality(truth, warp(moved, truth, interpolator)).own_moved_ncc
        assert own == pytest.approx(1.0, abs=1e-3)
    misread = judge.quality(linear_field(np.diag([0.9, 1.0, 1.0])), warp(moved, truth, sitk.sitkLinear)).own_moved_ncc
    assert misread is not None
    assert misread < 0.9
    assert not content(moved)[:, :3].any()  # air does not count
    assert content(moved)[:, 3:].sum() == (values[:, 3:] > -724).sum()


def _mirrored(fixed: sitk.Image) -> sitk.Image:
    """x -> -x about the grid's middle, along the first physical axis: folded everywhere."""
    mirror = sitk.AffineTransform(3)
    mirror.SetMatrix(np.diag([-1.0, 1.0, 1.0]).ravel().tolist())
    mirror.SetCenter(fixed.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in fixed.GetSize()]))
    grid = fixed.GetSize(), fixed.GetOrigin(), fixed.GetSpacing(), fixed.GetDirection()
    return sitk.TransformToDisplacementField(mirror, sitk.sitkVectorFloat32, *grid)


def test_cost_of_sleeping_working_and_filling_memory() -> None:
    _, asleep = measured(lambda: time.sleep(0.3))
    assert asleep.wall_s >= 0.3
    assert asleep.cpu_s < 0.2

    def work() -> float:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
        return float(np.ones(50_000_000 // 8).sum())

    _, busy = measured(work)
    assert busy.cpu_s >= 0.29
    assert busy.wall_s >= 0.29
    assert busy.peak_bytes >= 50_000_000


def test_without_the_data_one_sentence_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pairs, "WEIGHTS", tmp_path / "weights.h5")
    assert compare_with_peers.main(["--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "weights.h5") in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
