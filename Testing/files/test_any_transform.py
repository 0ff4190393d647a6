"""Maps in files of every kind: where a point goes is asked of SimpleITK, which reads the same file, or known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from spatial.maps import bump_field, positions
from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files.any_transform import on_grid, read_transform, read_transforms
from VoxelMorphRegistrationLib.files.transforms import write_affine, write_field
from VoxelMorphRegistrationLib.spatial import Grid
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

MATRIX = np.array([[0.95, -0.1, 0.02, 4], [0.1, 1.02, 0.05, -3], [0, -0.05, 1.01, 7], [0, 0, 0, 1.0]])


@pytest.fixture(scope="module")
def grid() -> Grid:
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) * [2.0, 3.0, 4.0]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, (5, -20, 12)
    return Grid((24, 20, 16), matrix)


def inner_points(grid: Grid, count: int = 50):
    return grid.to_ras(np.random.default_rng(0).uniform(3, np.array(grid.shape) - 4, (count, 3)))


def by_itk(path: Path, points):
    transform = sitk.ReadTransform(str(path))
    flip = np.array([-1, -1, 1])
    return np.array([transform.TransformPoint((p * flip).tolist()) for p in points]) * flip


def b_spline(grid: Grid) -> sitk.Transform:
    like = bridge.place_on_grid(sitk.Image(grid.shape, sitk.sitkUInt8), grid)
    transform = sitk.BSplineTransformInitializer(like, [4, 4, 4])
    random = np.random.default_rng(1)
    transform.SetParameters(random.normal(0, 3, len(transform.GetParameters())).tolist())
    return transform


@pytest.mark.parametrize("suffix", [".h5", ".nrrd", ".mha", ".nii.gz", ".nii"])
def test_fields_are_kept_as_they_are(grid, tmp_path, suffix):
    field = bump_field(grid, 6.0, 12.0)
    write_field(field, tmp_path / f"field{suffix}")
    found = on_grid(read_transform(tmp_path / f"field{suffix}", grid), grid)
    assert found.vectors == pytest.approx(field.vectors, abs=1e-4)


@pytest.mark.parametrize("suffix", [".tfm", ".h5", ".txt", ".mat"])
def test_linear_transforms_are_exact_everywhere(grid, tmp_path, suffix):
    path = tmp_path / f"linear{suffix}"
    write_affine(MATRIX, path)
    found = read_transform(path, grid)
    far = np.array([[500.0, -300, 200], [0, 0, 0]])
    assert found.map_points(far) == pytest.approx(far @ MATRIX[:3, :3].T + MATRIX[:3, 3], abs=1e-6)
    points = positions(grid)
    exact = points @ MATRIX[:3, :3].T + MATRIX[:3, 3] - points
    assert on_grid(found, grid).vectors == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("kind", ["spline", "spline after linear", "field after linear"])
def test_other_transforms_of_itk_are_sampled(grid, tmp_path, kind):
    path = tmp_path / "made.h5"
    linear = bridge.affine_to_sitk(MATRIX)
    transform = {
        "spline": lambda: b_spline(grid),
        "spline after linear": lambda: sitk.CompositeTransform([b_spline(grid), linear]),
        "field after linear": lambda: sitk.CompositeTransform([bump_field(grid, 6.0, 12.0).transform(), linear]),
    }[kind]()
    sitk.WriteTransform(transform, str(path))
    found = read_transform(path, grid)
    voxels = grid.to_ras(np.random.default_rng(0).integers(0, grid.shape, (50, 3)))
    assert found.map_points(voxels) == pytest.approx(by_itk(path, voxels), abs=2e-3)


def test_files_in_ants_order(grid, tmp_path):
    """A fixed point goes through the first file first: warp, then affine, as antsApplyTransforms takes them."""
    field = bump_field(grid, 6.0, 12.0)
    write_field(field, tmp_path / "1Warp.nii.gz")
    write_affine(MATRIX, tmp_path / "0GenericAffine.mat")
    points = inner_points(grid)
    warp_first = read_transforms([tmp_path / "1Warp.nii.gz", tmp_path / "0GenericAffine.mat"], grid)
    expected = field.map_points(points) @ MATRIX[:3, :3].T + MATRIX[:3, 3]
    assert warp_first.map_points(points) == pytest.approx(expected, abs=1e-4)
    linear_first = read_transforms([tmp_path / "0GenericAffine.mat", tmp_path / "1Warp.nii.gz"], grid)
    voxels = grid.to_ras(np.random.default_rng(2).integers(0, grid.shape, (50, 3)))
    expected = field.map_points(voxels @ MATRIX[:3, :3].T + MATRIX[:3, 3])
    assert linear_first.map_points(voxels) == pytest.approx(expected, abs=1e-3)
    twice = read_transforms([tmp_path / "0GenericAffine.mat"] * 2, grid)
    square = MATRIX @ MATRIX
    assert twice.map_points(points) == pytest.approx(points @ square[:3, :3].T + square[:3, 3], abs=1e-4)


def test_a_modeling_field_is_inverted(grid, tmp_path):
    field = bump_field(grid, 6.0, 14.0)
    write_field(field, tmp_path / "to parent.nrrd", "modeling")
    found = read_transform(tmp_path / "to parent.nrrd", grid)
    points = inner_points(grid)
    assert np.linalg.norm(field.map_points(found.map_points(points)) - points, axis=-1).max() < 0.5


def test_what_is_no_transform_is_said_in_one_sentence(grid, tmp_path):
    folding = bump_field(grid, 40.0, 6.0)
    write_field(folding, tmp_path / "folding.nrrd", "modeling")
    sitk.WriteTransform(sitk.Euler2DTransform(), str(tmp_path / "flat.tfm"))
    (tmp_path / "words.tfm").write_text("hello")
    (tmp_path / "notes.doc").write_text("hello")
    (tmp_path / "empty.h5").write_bytes(b"")
    for name, error, sentence in (
        ("folding.nrrd", InputError, "cannot be inverted"),
        ("flat.tfm", InputError, "2-D transform"),
        ("words.tfm", FileError, "cannot be read"),
        ("notes.doc", FileError, "no known transform file"),
        ("empty.h5", FileError, "cannot be read"),
        ("missing.h5", FileError, "does not exist"),
    ):
        with pytest.raises(error, match=sentence):
            read_transform(tmp_path / name, grid)
