"""A field in a file means the same to Slicer, to SimpleITK and to the library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files.transforms import (
    AFFINE_SUFFIXES,
    FIELD_WRITERS,
    read_affine,
    read_field,
    write_affine,
    write_field,
)
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

FORMATS = sorted(FIELD_WRITERS)
TOLERANCE_MM = 1e-3


def oblique_grid(shape: tuple[int, int, int] = (18, 15, 12)) -> Grid:
    """30 degrees about two axes, anisotropic, left-handed, far from the origin."""
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([1.2, 0.9, -2.5])
    matrix[:3, 3] = 31.0, -47.0, 120.0
    assert np.linalg.det(matrix) < 0
    return Grid(shape, matrix)


def smooth_field(grid: Grid, size_mm: float = 4.0, seed: int = 0) -> DisplacementField:
    """Different in each component and along each axis, so that no swap or sign goes unseen."""
    random = np.random.default_rng(seed)
    index = np.stack(np.meshgrid(*[np.linspace(0, 1, n) for n in grid.shape], indexing="ij"), -1)
    phase = random.uniform(0, 3, (3, 3))
    waves = [np.sin(index @ phase[c] * 2 + c) * (c + 1) / 3 for c in range(3)]
    return DisplacementField((np.stack(waves, -1) * size_mm).astype(np.float32), grid)


def points_inside(grid: Grid, number: int = 300) -> np.ndarray:
    random = np.random.default_rng(5)
    return grid.to_ras(random.uniform(0.01, 0.99, (number, 3)) * (np.array(grid.shape) - 1))


def through_sitk(transform: sitk.Transform, points_ras: np.ndarray) -> np.ndarray:
    flip = np.array([-1, -1, 1])
    return np.array([transform.TransformPoint(p.tolist()) for p in points_ras * flip]) * flip


def sitk_transform(path: Path) -> sitk.Transform:
    """What a SimpleITK user gets from the file."""
    if path.suffix in (".h5", ".hdf5"):
        return sitk.ReadTransform(str(path))
    return sitk.DisplacementFieldTransform(sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkVectorFloat64))


def slicer_transform(path: Path):
    """What Slicer's own storage node makes of the file; linear between voxels, as the library is."""
    import slicer
    from host.scene import read_node_file

    node = read_node_file(path, "vtkMRMLTransformNode")
    for transform in (node.GetTransformFromParent(), node.GetTransformToParent()):
        if isinstance(transform, slicer.vtkOrientedGridTransform):
            transform.SetInterpolationModeToLinear()
    return node


def through_vtk(transform, points_ras: np.ndarray) -> np.ndarray:
    return np.array([transform.TransformPoint(p) for p in points_ras])


@pytest.mark.parametrize("suffix", FORMATS)
def test_simpleitk_maps_points_as_the_library_does(tmp_path, suffix):
    field = smooth_field(oblique_grid())
    write_field(field, tmp_path / f"t{suffix}")
    points = points_inside(field.grid)
    found = through_sitk(sitk_transform(tmp_path / f"t{suffix}"), points)
    assert np.abs(found - field.map_points(points)).max() < TOLERANCE_MM
    assert np.linalg.norm(field.at(points), axis=1).min() > 0.1  # the field is not nothing


@pytest.mark.parametrize("suffix", FORMATS)
def test_slicer_maps_points_as_the_library_does(scene, tmp_path, suffix):
    field = smooth_field(oblique_grid())
    write_field(field, tmp_path / f"t{suffix}")
    node = slicer_transform(tmp_path / f"t{suffix}")
    points = points_inside(field.grid)
    assert np.abs(through_vtk(node.GetTransformFromParent(), points) - field.map_points(points)).max() < TOLERANCE_MM
    assert not node.GetTransformFromParent().GetInverseFlag()  # stored from parent, the other side is computed


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_inverse_takes_moving_points_to_fixed_ones(scene, tmp_path, suffix):
    """As a resampling file: Slicer's node carries the fixed volume, SimpleITK's transform takes moving points."""
    moving_to_fixed = smooth_field(oblique_grid(), seed=3)
    write_field(moving_to_fixed, tmp_path / f"inverse{suffix}")
    points = points_inside(moving_to_fixed.grid)
    expected = moving_to_fixed.map_points(points)
    assert np.abs(through_sitk(sitk_transform(tmp_path / f"inverse{suffix}"), points) - expected).max() < TOLERANCE_MM
    to_parent = slicer_transform(tmp_path / f"inverse{suffix}").GetTransformToParent()
    back = through_vtk(to_parent, expected[: len(expected) // 10])  # fixed points under the node go to moving space
    inside = moving_to_fixed.grid.contains(back)
    assert inside.sum() > 10
    assert np.abs(back - points[: len(back)])[inside].max() < 0.02  # Slicer's own inverse: 0.01 mm


def test_a_modeling_field_loads_as_to_parent(scene, tmp_path):
    field = smooth_field(oblique_grid())
    write_field(field, tmp_path / "t.nrrd", "modeling")
    node = slicer_transform(tmp_path / "t.nrrd")
    points = points_inside(field.grid)
    assert np.abs(through_vtk(node.GetTransformToParent(), points) - field.map_points(points)).max() < TOLERANCE_MM
    assert not node.GetTransformToParent().GetInverseFlag()
    assert np.array_equal(read_field(tmp_path / "t.nrrd", "modeling").vectors, field.vectors)
    with pytest.raises(InputError, match="holds a modeling field, where a resampling one is needed"):
        read_field(tmp_path / "t.nrrd")


@pytest.mark.parametrize("suffix", [s for s in FORMATS if s != ".nrrd"])
def test_only_nrrd_can_say_modeling(tmp_path, suffix):
    with pytest.raises(InputError, match=r"only \.nrrd can say"):
        write_field(smooth_field(oblique_grid()), tmp_path / f"t{suffix}", "modeling")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_written_by_slicer_read_the_same(scene, tmp_path, suffix):
    import slicer
    import vtk
    from host.scene import write_node_file
    from vtk.util.numpy_support import numpy_to_vtk

    field = smooth_field(oblique_grid())
    grid = slicer.vtkOrientedGridTransform()
    image = vtk.vtkImageData()
    image.SetDimensions(*field.grid.shape)
    image.SetOrigin(*field.grid.origin)
    image.SetSpacing(*field.grid.spacing)
    flat = np.ascontiguousarray(field.vectors.transpose(2, 1, 0, 3)).reshape(-1, 3)
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
    direction = slicer.util.vtkMatrixFromArray(np.block([[field.grid.directions, np.zeros((3, 1))], [0, 0, 0, 1]]))
    grid.SetGridDirectionMatrix(direction)
    grid.SetDisplacementGridData(image)
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    node.SetAndObserveTransformFromParent(grid)
    write_node_file(node, tmp_path / f"t{suffix}")
    read = read_field(tmp_path / f"t{suffix}")
    assert np.abs(read.map_points(points_inside(field.grid)) - field.map_points(points_inside(field.grid))).max() < 1e-3


@pytest.mark.parametrize("suffix", [".h5", ".nrrd", ".mha", ".nii.gz"])
def test_a_volume_a_model_and_its_label_stay_together_under_the_loaded_node(scene, tmp_path, suffix):
    """A constant field of +10 mm along R: content and points under the node go 10 mm to the left (S8)."""
    shift = np.broadcast_to(np.array([10, 0, 0], np.float32), (18, 15, 12, 3)).copy()
    write_field(DisplacementField(shift, oblique_grid()), tmp_path / f"t{suffix}")
    node = slicer_transform(tmp_path / f"t{suffix}")
    point = oblique_grid().centre_ras
    assert np.allclose(node.GetTransformToParent().TransformPoint(point), point - (10, 0, 0), atol=0.02)


@given(seed=st.integers(0, 2**31), suffix=st.sampled_from(FORMATS))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_field_on_any_grid_comes_back(tmp_path, seed, suffix):
    random = np.random.default_rng(seed)
    directions, _ = np.linalg.qr(random.normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = directions * random.uniform(0.3, 5, 3)
    matrix[:3, 3] = random.uniform(-200, 200, 3)
    shape = tuple(int(n) for n in random.integers(2, 9, 3))
    vectors = random.normal(size=(*shape, 3)).astype(np.float32) * 30
    path = tmp_path / f"t-{suffix[1:]}{suffix}"  # no t.nii beside t.nii.gz: see files/nifti.py
    write_field(DisplacementField(vectors, Grid(shape, matrix)), path)
    read = read_field(path)
    assert np.array_equal(read.vectors, vectors)
    assert read.vectors.dtype == np.float32
    assert read.grid.is_same(Grid(shape, matrix), 1e-3)


@pytest.mark.parametrize("suffix", FORMATS)
def test_fields_take_single_precision_on_disk(tmp_path, suffix):
    field = smooth_field(oblique_grid((60, 50, 40)))
    write_field(field, tmp_path / f"t{suffix}")
    assert (tmp_path / f"t{suffix}").stat().st_size < field.vectors.nbytes + 20_000


@pytest.mark.parametrize("suffix", [".h5", ".tfm", ".mat", ".txt"])
def test_an_affine_carries_the_moving_volume_in_slicer_and_simpleitk(scene, tmp_path, suffix):
    matrix = np.eye(4)
    matrix[:3] = [[0.9, 0.2, 0, 12], [-0.2, 1.1, 0.1, -7], [0, 0.05, 1, 33]]
    write_affine(matrix, tmp_path / f"a{suffix}")
    points = np.random.default_rng(0).uniform(-100, 100, (20, 3))
    expected = points @ matrix[:3, :3].T + matrix[:3, 3]
    assert np.abs(through_sitk(sitk.ReadTransform(str(tmp_path / f"a{suffix}")), points) - expected).max() < 1e-3
    from host.scene import read_node_file

    node = read_node_file(tmp_path / f"a{suffix}", "vtkMRMLTransformNode")
    assert np.abs(through_vtk(node.GetTransformFromParent(), points) - expected).max() < 1e-3
    assert np.allclose(read_affine(tmp_path / f"a{suffix}"), matrix, atol=1e-9)


def test_every_affine_ending_can_be_written(tmp_path):
    for suffix in AFFINE_SUFFIXES:
        write_affine(np.eye(4), tmp_path / f"a{suffix}")
    assert len(list(tmp_path.iterdir())) == len(AFFINE_SUFFIXES)


def test_a_composite_h5_reads_as_its_total_field(tmp_path):
    affine = np.eye(4)
    affine[:3] = [[1.05, 0.1, 0, 5], [-0.1, 0.95, 0, -3], [0, 0.02, 1, 8]]
    deformation = Deformation(affine, smooth_field(oblique_grid()))
    sitk.WriteTransform(deformation.transform(), str(tmp_path / "c.h5"))
    points = points_inside(oblique_grid())
    assert np.abs(read_field(tmp_path / "c.h5").map_points(points) - deformation.map_points(points)).max() < 1e-3


def test_a_vector_nifti_of_itk_reads_as_lps(tmp_path):
    """ITK and ANTs write intent 1007 with LPS components."""
    field = smooth_field(oblique_grid())
    sitk.WriteImage(bridge.vectors_to_sitk(field.vectors, field.grid), str(tmp_path / "1Warp.nii.gz"))
    assert np.allclose(read_field(tmp_path / "1Warp.nii.gz").vectors, field.vectors, atol=1e-6)


class TestRefusals:
    def test_a_missing_file(self, tmp_path):
        with pytest.raises(FileError, match=r"t\.h5 does not exist"):
            read_field(tmp_path / "t.h5")

    def test_an_unknown_ending(self, tmp_path):
        with pytest.raises(FileError, match=r"end the file name with one of .*\.h5"):
            write_field(smooth_field(oblique_grid()), tmp_path / "t.xyz")
        (tmp_path / "t.xyz").write_text("")
        with pytest.raises(FileError, match="no known transform file"):
            read_field(tmp_path / "t.xyz")

    @pytest.mark.parametrize("suffix", FORMATS)
    @pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
    def test_a_truncated_file(self, tmp_path, suffix, part):
        path = tmp_path / f"t{suffix}"
        write_field(smooth_field(oblique_grid()), path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(FileError, match="incomplete"):
            read_field(path)

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_garbage(self, tmp_path, suffix):
        (tmp_path / f"t{suffix}").write_bytes(b"not a transform at all" * 100)
        with pytest.raises(FileError, match="cannot be read"):
            read_field(tmp_path / f"t{suffix}")

    def test_a_volume_is_no_field(self, tmp_path):
        for name in ("v.nrrd", "v.mha", "v.nii.gz"):
            sitk.WriteImage(sitk.Image((4, 5, 6), sitk.sitkFloat32), str(tmp_path / name))
            with pytest.raises(InputError, match="holds no displacement field"):
                read_field(tmp_path / name)

    def test_a_nifti_that_does_not_say_what_its_vectors_mean(self, tmp_path):
        import nibabel

        nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 6, 1, 3), np.float32), np.eye(4)), tmp_path / "v.nii")
        with pytest.raises(InputError, match="does not say what its vectors mean"):
            read_field(tmp_path / "v.nii")

    def test_an_affine_is_no_field(self, tmp_path):
        write_affine(np.eye(4), tmp_path / "a.h5")
        with pytest.raises(InputError, match="holds no displacement field but AffineTransform"):
            read_field(tmp_path / "a.h5")

    def test_a_field_is_no_affine(self, tmp_path):
        write_field(smooth_field(oblique_grid()), tmp_path / "t.h5")
        with pytest.raises(InputError, match="not linear"):
            read_affine(tmp_path / "t.h5")

    def test_a_to_parent_grid_that_slicer_saved_as_h5(self, scene, tmp_path):
        from host.scene import write_node_file

        write_field(smooth_field(oblique_grid()), tmp_path / "t.nrrd", "modeling")
        write_node_file(slicer_transform(tmp_path / "t.nrrd"), tmp_path / "t.h5")
        with pytest.raises(InputError, match="stored from its other side"):
            read_field(tmp_path / "t.h5")

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_values_that_are_not_finite(self, tmp_path, suffix):
        vectors = np.zeros((4, 5, 6, 3), np.float32)
        field = DisplacementField(vectors, Grid((4, 5, 6), np.eye(4)))
        vectors[1, 2, 3] = np.nan
        write_field(field, tmp_path / f"t{suffix}")
        with pytest.raises(InputError, match="not finite"):
            read_field(tmp_path / f"t{suffix}")

    def test_a_compressed_nifti_beside_an_uncompressed_one(self, tmp_path):
        """ITK reads the values of the latter when asked for the former."""
        field, other = smooth_field(oblique_grid()), smooth_field(oblique_grid(), seed=9)
        write_field(field, tmp_path / "t.nii.gz")
        write_field(other, tmp_path / "t.nii")
        assert np.array_equal(read_field(tmp_path / "t.nii.gz").vectors, field.vectors)
        with pytest.raises(FileError, match=r"t\.nii lies beside"):
            write_field(field, tmp_path / "t.nii.gz")
