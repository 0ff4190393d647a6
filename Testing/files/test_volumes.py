"""Volumes come from and go to files with their values, number types and places unchanged."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared_data import shared
from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files.volumes import (
    VOLUME_READERS,
    VOLUME_WRITERS,
    read_labels,
    read_volume,
    write_labels,
    write_volume,
)
from VoxelMorphRegistrationLib.spatial import Grid, Image

WRITTEN = sorted(VOLUME_WRITERS)


def grid_from(random: np.random.Generator, shape: tuple[int, int, int]) -> Grid:
    """Any rotation, handedness, spacing and place."""
    directions, _ = np.linalg.qr(random.normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = directions * random.uniform(0.3, 5, 3)
    matrix[:3, 3] = random.uniform(-200, 200, 3)
    return Grid(shape, matrix)


def a_volume(dtype: str = "int16", seed: int = 0, shape: tuple[int, int, int] = (7, 6, 5)) -> Image:
    random = np.random.default_rng(seed)
    info = np.iinfo(dtype) if np.issubdtype(dtype, np.integer) else None
    values = (
        random.integers(max(info.min, -30000), min(info.max, 30000), shape)
        if info
        else random.normal(size=shape) * 1000
    )
    return Image(values.astype(dtype), grid_from(random, shape), "a volume")


@given(
    seed=st.integers(0, 2**31),
    suffix=st.sampled_from(WRITTEN),
    dtype=st.sampled_from(["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"]),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_volume_comes_back(tmp_path, seed, suffix, dtype):
    random = np.random.default_rng(seed)
    image = a_volume(dtype, seed, tuple(int(n) for n in random.integers(2, 9, 3)))
    path = tmp_path / f"v-{suffix[1:]}{suffix}"
    write_volume(image, path)
    read = read_volume(path)
    if suffix == ".mgz" and dtype not in ("uint8", "int16", "int32", "float32"):
        assert read.array.dtype == (np.float32 if dtype == "float64" else np.int32)
        assert np.allclose(read.array, image.array, rtol=1e-6)
    else:
        assert read.array.dtype == image.array.dtype
        assert np.array_equal(read.array, image.array)
    assert read.grid.is_same(image.grid, 2e-3)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".nhdr", ".mhd"])
def test_a_volume_lies_where_slicer_shows_it(scene, tmp_path, suffix):
    """The library and Slicer's reader find the same value at the same RAS position."""
    import slicer
    from host.scene import read_node_file

    image, path = a_volume("int16", 4), tmp_path / f"v{suffix}"
    if suffix in VOLUME_WRITERS:
        write_volume(image, path)
    else:
        from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

        sitk.WriteImage(bridge.scalar_to_sitk(image.array, image.grid), str(path))
    ours, node = read_volume(path), read_node_file(path)
    array = slicer.util.arrayFromVolume(node)
    ras_to_ijk = slicer.util.arrayFromVTKMatrix(_ras_to_ijk(node))
    for index in np.ndindex(ours.grid.shape):
        i, j, k = np.rint((ras_to_ijk @ [*ours.grid.to_ras(index), 1])[:3]).astype(int)
        assert array[k, j, i] == ours.array[index] == image.array[index]


def _ras_to_ijk(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    return matrix


class TestRealFiles:
    def test_nifti_and_nibabel_agree(self):
        path = shared("vxm_pair/test_scan_t1.nii.gz")
        image, expected = read_volume(path), nibabel.load(path)
        assert image.array.dtype == np.uint8
        assert image.array.flags.writeable
        assert np.array_equal(image.array, np.asarray(expected.dataobj))
        assert np.allclose(image.grid.ijk_to_ras, expected.affine, atol=1e-4)
        assert image.grid.orientation == "LIA"
        assert image.name == "test_scan_t1.nii.gz"

    def test_a_ct_keeps_its_hounsfield_units(self):
        image = read_volume(shared("ct/example_ct.nii.gz"))
        assert image.array.dtype.kind in "if"
        assert image.array.min() <= -1000
        assert image.grid.spacing == pytest.approx([3, 3, 3], abs=0.01)

    def test_labels_stay_whole_numbers(self, tmp_path):
        labels = read_labels(shared("vxm_pair/test_scan_aseg.nii.gz"))
        assert labels.array.dtype.kind in "iu"
        assert {17, 53} <= set(np.unique(labels.array))  # the hippocampi
        for suffix in WRITTEN:
            write_labels(labels, tmp_path / f"l-{suffix[1:]}{suffix}")
            again = read_labels(tmp_path / f"l-{suffix[1:]}{suffix}")
            assert np.array_equal(again.array, labels.array)

    def test_a_cine_series_is_refused_with_its_frames(self):
        with pytest.raises(InputError, match=r"has 7 frames .*save one frame"):
            read_volume(shared("fourD/greedy_img4d.nii.gz"))


class TestNifti:
    def save(self, path: Path, array: np.ndarray, affine: np.ndarray | None = None, **header) -> Path:
        image = nibabel.Nifti1Image(array, np.diag([2.0, 3, 4, 1]) if affine is None else affine)
        for key, value in header.items():
            image.header[key] = value
        nibabel.save(image, path)
        return path

    def test_one_frame_of_four_axes_is_a_volume(self, tmp_path):
        array = np.arange(120, dtype=np.int16).reshape(4, 5, 6, 1)
        image = read_volume(self.save(tmp_path / "v.nii.gz", array))
        assert np.array_equal(image.array, array[..., 0])

    def test_several_frames_are_refused_before_they_are_read(self, tmp_path):
        array = np.zeros((4, 5, 6, 9), np.int16)
        path = self.save(tmp_path / "v.nii", array)
        path.write_bytes(path.read_bytes()[:400])  # would be incomplete, had it got so far
        with pytest.raises(InputError, match="has 9 frames"):
            read_volume(path)

    @pytest.mark.parametrize("shape", [(40, 50), (40, 50, 1), (1, 40, 50)])
    def test_two_dimensions_are_refused(self, tmp_path, shape):
        with pytest.raises(InputError, match=r"is 2-D .*takes 3-D volumes"):
            read_volume(self.save(tmp_path / "v.nii", np.ones(shape, np.int16)))

    def test_slope_and_intercept(self, tmp_path):
        array = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
        path = self.save(tmp_path / "v.nii", array)
        content = bytearray(path.read_bytes())
        content[112:120] = np.array([0.5, -1000], "<f4").tobytes()
        path.write_bytes(content)
        image = read_volume(path)
        assert image.array.dtype == np.float32
        assert np.array_equal(image.array, array * 0.5 - 1000)
        assert np.array_equal(image.array, sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T)

    def test_big_endian(self, tmp_path):
        array = np.arange(120).reshape(4, 5, 6).astype(">i2")
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4), nibabel.Nifti1Header(endianness=">")), tmp_path / "v.nii")
        image = read_volume(tmp_path / "v.nii")
        assert np.array_equal(image.array, array)
        assert image.array.dtype.isnative

    def test_a_sheared_sform_is_refused(self, tmp_path):
        affine = np.diag([2.0, 2, 2, 1])
        affine[0, 1] = 0.6
        image = nibabel.Nifti1Image(np.ones((4, 5, 6), np.int16), affine)
        image.set_sform(affine, 2)
        image.set_qform(None, 0)
        nibabel.save(image, tmp_path / "v.nii")
        with pytest.raises(InputError, match=r"axes are not perpendicular .*resample"):
            read_volume(tmp_path / "v.nii")

    def test_two_places_are_said(self, tmp_path, caplog):
        first, second = np.diag([2.0, 3, 4, 1]), np.diag([2.0, 3, 4, 1])
        second[:3, 3] = 50, 0, 0
        image = nibabel.Nifti1Image(np.ones((4, 5, 6), np.int16), first)
        image.set_sform(first, 1)
        image.set_qform(second, 1)
        nibabel.save(image, tmp_path / "v.nii")
        used = read_volume(tmp_path / "v.nii").grid
        assert "up to 50 mm apart; the sform is used" in caplog.text
        assert np.allclose(used.ijk_to_ras, first)

    def test_one_place_is_not_talked_about(self, caplog):
        read_volume(shared("vxm_pair/test_scan_t1.nii.gz"))
        assert caplog.text == ""

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_values_that_are_not_finite(self, tmp_path, value):
        array = np.ones((4, 5, 6), np.float32)
        array[1, 2, 3:5] = value
        with pytest.raises(InputError, match="holds 2 values that are not finite"):
            read_volume(self.save(tmp_path / "v.nii.gz", array))

    def test_colours_and_vectors_and_complex_numbers(self, tmp_path):
        colours = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
        with pytest.raises(InputError, match="holds colours"):
            read_volume(self.save(tmp_path / "v.nii", colours))
        with pytest.raises(InputError, match="holds vectors"):
            read_volume(self.save(tmp_path / "w.nii", np.zeros((4, 5, 6, 1, 3), np.float32), intent_code=1007))
        with pytest.raises(InputError, match="complex numbers or vectors"):
            read_volume(self.save(tmp_path / "x.nii", np.zeros((4, 5, 6), np.complex64)))

    def test_the_values_are_those_of_the_file_asked_for(self, tmp_path):
        """ITK takes those of v.nii, if it lies beside v.nii.gz."""
        self.save(tmp_path / "v.nii.gz", np.full((4, 5, 6), 7, np.int16))
        self.save(tmp_path / "v.nii", np.full((4, 5, 6), 99, np.int16))
        assert read_volume(tmp_path / "v.nii.gz").array.max() == 7


class TestArrays:
    @pytest.mark.parametrize("key", ["vol", "vol_data", "anything"])
    def test_voxelmorph_arrays_lie_as_freesurfer_lays_them(self, tmp_path, caplog, key):
        array = np.random.default_rng(0).random((16, 20, 24)).astype(np.float32)
        np.savez(tmp_path / "v.npz", **{key: array})
        image = read_volume(tmp_path / "v.npz")
        assert np.array_equal(image.array, array)
        assert image.grid.orientation == "LIA"
        assert image.grid.spacing == pytest.approx([1, 1, 1])
        assert "brings no geometry" in caplog.text
        # FreeSurfer, mriio.c: without a valid RAS flag a volume is coronal, c_ras 0, the centre at voxel n/2.
        assert np.allclose(image.grid.to_ras(np.array(array.shape) / 2), 0)
        assert np.allclose(image.grid.axes, [[-1, 0, 0], [0, 0, 1], [0, -1, 0]])
        assert np.allclose(image.grid.directions, read_volume(shared("bert/bert_norm.nii.gz")).grid.directions)

    def test_an_affine_is_used(self, tmp_path, caplog):
        image = a_volume("float32")
        np.savez(tmp_path / "v.npz", vol=image.array, affine=image.grid.ijk_to_ras)
        assert read_volume(tmp_path / "v.npz").grid.is_same(image.grid)
        assert caplog.text == ""

    @pytest.mark.parametrize("shape", [(1, 6, 7, 8, 1), (6, 7, 8, 1), (1, 6, 7, 8)])
    def test_batch_and_channel_axes_go(self, tmp_path, shape):
        np.save(tmp_path / "v.npy", np.ones(shape, np.float16))
        image = read_volume(tmp_path / "v.npy")
        assert image.grid.shape == (6, 7, 8)
        assert image.array.dtype == np.float32

    def test_what_is_no_volume(self, tmp_path):
        np.savez(tmp_path / "two.npz", a=np.ones(3), b=np.ones(3))
        with pytest.raises(InputError, match="no array named vol or vol_data, but a, b"):
            read_volume(tmp_path / "two.npz")
        np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
        with pytest.raises(FileError, match="cannot be read"):
            read_volume(tmp_path / "pickle.npy")
        np.save(tmp_path / "text.npy", np.array([[["a"]]]))
        with pytest.raises(InputError, match="needs real numbers"):
            read_volume(tmp_path / "text.npy")
        np.save(tmp_path / "field.npy", np.ones((6, 7, 8, 3)))
        with pytest.raises(InputError, match="has 3 frames"):
            read_volume(tmp_path / "field.npy")


class TestDicom:
    def write_series(self, folder: Path, volume: sitk.Image, uid: str = "1", **changes) -> list[Path]:
        """One file per slice, as a scanner writes them, from a real CT."""
        folder.mkdir(exist_ok=True)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        direction = volume.GetDirection()
        paths = []
        for k in range(volume.GetDepth()):
            if k in changes.get("missing", ()):
                continue
            piece = volume[:, :, k]
            position = np.array(volume.TransformIndexToPhysicalPoint((0, 0, k)))
            position[1] += changes.get("tilt", 0.0) * k
            tags = {
                "0008|0060": "CT",
                "0008|103e": changes.get("description", "Trunk"),
                "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
                "0008|0018": f"1.2.826.0.1.3680043.2.1125.{uid}.{k + 1}",
                "0020|000e": f"1.2.826.0.1.3680043.2.1125.{uid}",
                "0020|000d": "1.2.826.0.1.3680043.2.1125.99",
                "0020|0011": uid,
                "0020|0013": str(k + 1),
                "0020|0032": "\\".join(f"{x:.6f}" for x in position),
                "0020|0037": "\\".join(f"{direction[i]:.8f}" for i in (0, 3, 6, 1, 4, 7)),
                "0018|0050": str(volume.GetSpacing()[2]),
            }
            for key, value in tags.items():
                piece.SetMetaData(key, value)
            path = folder / f"IM{uid}{(k * 7) % 1000:04d}"  # names in another order than the slices
            writer.SetFileName(str(path.with_suffix(".dcm")))
            writer.Execute(piece)
            path.with_suffix(".dcm").rename(path)
            paths.append(path)
        return paths

    @pytest.fixture
    def ct(self) -> sitk.Image:
        image = sitk.Cast(sitk.ReadImage(str(shared("ct/example_ct.nii.gz"))), sitk.sitkInt16)[20:60, 20:50, 40:52]
        turn = sitk.Euler3DTransform((0, 0, 0), 0.3, 0.2, 0.1).GetMatrix()
        image.SetDirection(turn)
        image.SetSpacing((1.5, 2.0, 3.0))
        return image

    def test_a_folder_is_the_volume(self, tmp_path, ct):
        files = self.write_series(tmp_path / "s", ct)
        for path in (tmp_path / "s", files[3]):
            image = read_volume(path)
            assert np.array_equal(image.array, sitk.GetArrayFromImage(ct).T)
            index = np.array([5, 7, 9])
            expected = np.array(ct.TransformIndexToPhysicalPoint(index.tolist())) * [-1, -1, 1]
            assert image.grid.to_ras(index) == pytest.approx(expected, abs=1e-3)

    def test_several_series_are_listed_and_one_can_be_chosen(self, tmp_path, ct):
        self.write_series(tmp_path / "s", ct, "1", description="Trunk native")
        second = self.write_series(tmp_path / "s", ct + 1000, "2", description="Trunk contrast")
        with pytest.raises(InputError, match=r"2 DICOM series.*Trunk native, 12 images.*Trunk contrast, 12 images"):
            read_volume(tmp_path / "s")
        assert np.array_equal(read_volume(second[0]).array, sitk.GetArrayFromImage(ct).T + 1000)

    def test_missing_slices_are_refused(self, tmp_path, ct):
        self.write_series(tmp_path / "s", ct, missing=(5,))
        with pytest.raises(InputError, match=r"not evenly spaced \(3.00 to 6.00 mm\)"):
            read_volume(tmp_path / "s")

    def test_gantry_tilt_is_refused(self, tmp_path, ct):
        self.write_series(tmp_path / "s", ct, tilt=0.7)
        with pytest.raises(InputError, match=r"tilt|not evenly spaced"):
            read_volume(tmp_path / "s")

    def test_time_points_in_one_series_are_refused(self, tmp_path, ct):
        self.write_series(tmp_path / "s", ct)
        for path in list((tmp_path / "s").iterdir()):
            path.with_name("B" + path.name).write_bytes(path.read_bytes())
        with pytest.raises(InputError, match="24 images at 12 slice positions"):
            read_volume(tmp_path / "s")

    def test_one_slice_is_two_dimensional(self, tmp_path, ct):
        self.write_series(tmp_path / "s", ct[:, :, 3:4])
        with pytest.raises(InputError, match="2-D"):
            read_volume(tmp_path / "s")

    def test_a_folder_without_images(self, tmp_path):
        (tmp_path / "readme.txt").write_text("nothing")
        with pytest.raises(FileError, match="holds no DICOM images"):
            read_volume(tmp_path)


class TestRefusals:
    def test_a_missing_file(self, tmp_path):
        with pytest.raises(FileError, match=r"brain\.nii\.gz does not exist; check"):
            read_volume(tmp_path / "brain.nii.gz")

    @pytest.mark.parametrize("name", ["brain.docx", "brain", "brain.123"])
    def test_an_unknown_format(self, tmp_path, name):
        (tmp_path / name).write_text("hello")
        with pytest.raises(FileError, match=r"no known format; volumes are read from \.nii\.gz.*DICOM folders"):
            read_volume(tmp_path / name)

    @pytest.mark.parametrize("suffix", sorted(VOLUME_READERS))
    def test_garbage(self, tmp_path, suffix):
        for content in (b"", b"not a volume at all" * 100, bytes(1000)):
            (tmp_path / f"v{suffix}").write_bytes(content)
            with pytest.raises(FileError, match=r"cannot be read|holds no DICOM"):
                read_volume(tmp_path / f"v{suffix}")

    @pytest.mark.parametrize("suffix", [*WRITTEN, ".npz", ".npy"])
    @pytest.mark.parametrize("part", [0.001, 0.3, 0.9, 0.999])
    def test_a_truncated_file(self, tmp_path, suffix, part):
        path = tmp_path / f"v{suffix}"
        image = a_volume("int16", shape=(20, 30, 40))
        if suffix == ".npz":
            np.savez_compressed(path, vol=image.array)
        elif suffix == ".npy":
            np.save(path, image.array)
        else:
            write_volume(image, path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(FileError, match="incomplete"):
            read_volume(path)

    def test_damage_inside_a_compressed_file(self, tmp_path):
        write_volume(a_volume("int16", shape=(20, 30, 40)), tmp_path / "v.nii.gz")
        content = bytearray((tmp_path / "v.nii.gz").read_bytes())
        content[len(content) // 2] ^= 0xFF
        (tmp_path / "v.nii.gz").write_bytes(content)
        with pytest.raises(FileError, match="damaged"):
            read_volume(tmp_path / "v.nii.gz")

    def test_a_header_without_its_data_file(self, tmp_path):
        for name in ("v.nhdr", "v.mhd"):
            sitk.WriteImage(sitk.Image((4, 5, 6), sitk.sitkInt16), str(tmp_path / name))
        for data in [*tmp_path.glob("*.raw*"), *tmp_path.glob("*.zraw")]:
            data.unlink()
        for name in ("v.nhdr", "v.mhd"):
            with pytest.raises(FileError, match="cannot be read"):
                read_volume(tmp_path / name)

    @pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
    def test_vectors_frames_slices_and_nan_of_other_formats(self, tmp_path, suffix):
        path = tmp_path / f"v{suffix}"
        sitk.WriteImage(sitk.Image((4, 5, 6), sitk.sitkVectorFloat32), str(path))
        with pytest.raises(InputError, match="holds vectors"):
            read_volume(path)
        sitk.WriteImage(sitk.Image((4, 5, 6), sitk.sitkVectorUInt8, 3), str(path))
        with pytest.raises(InputError, match="holds colours"):
            read_volume(path)
        sitk.WriteImage(sitk.Image((4, 5), sitk.sitkInt16), str(path))
        with pytest.raises(InputError, match=r"is 2-D"):
            read_volume(path)
        image = sitk.Image((4, 5, 6), sitk.sitkFloat32)
        image[1, 2, 3] = float("nan")
        sitk.WriteImage(image, str(path))
        with pytest.raises(InputError, match="not finite"):
            read_volume(path)

    def test_an_image_is_no_labelmap(self, tmp_path):
        write_volume(a_volume("float32"), tmp_path / "v.nii.gz")
        with pytest.raises(InputError, match=r"not a labelmap: it holds values such as"):
            read_labels(tmp_path / "v.nii.gz")
        with pytest.raises(InputError, match="not a labelmap"):
            write_labels(a_volume("float32"), tmp_path / "l.nii.gz")

    def test_whole_numbers_kept_as_floats_are_labels(self, tmp_path):
        labels = a_volume("int16")
        write_volume(labels.with_array(labels.array.astype(np.float64)), tmp_path / "l.nii.gz")
        read = read_labels(tmp_path / "l.nii.gz")
        assert read.array.dtype == np.int16
        assert np.array_equal(read.array, labels.array)

    def test_booleans_are_written_as_bytes(self, tmp_path):
        mask = Image(np.eye(5)[..., None].repeat(4, 2) > 0, Grid((5, 5, 4), np.eye(4)))
        for suffix in WRITTEN:
            write_labels(mask, tmp_path / f"m-{suffix[1:]}{suffix}")
            assert np.array_equal(read_labels(tmp_path / f"m-{suffix[1:]}{suffix}").array, mask.array)


FUZZ = """
import resource, sys
import numpy as np
from pathlib import Path
from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files.volumes import read_volume
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
for path in map(Path, sys.argv[1:]):
    whole, random, counts = path.read_bytes(), np.random.default_rng(7), {"read": 0, "refused": 0}
    for trial in range(100):
        content = bytearray(whole)
        for place in random.integers(0, 400, 1 + trial % 4):
            content[place] = int(random.integers(0, 256))
        path.write_bytes(content)
        try:
            read_volume(path)
            counts["read"] += 1
        except (FileError, InputError) as error:
            assert "\\n" not in str(error), error
            counts["refused"] += 1
    print(path.name, counts)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="memory limits are POSIX")
def test_a_damaged_header_is_a_sentence_or_another_volume(tmp_path):
    """In a process of its own, limited in memory, since a parser that crashes would take the tests with it."""
    image = a_volume("int16", shape=(12, 10, 8))
    paths = [tmp_path / f"v{suffix}" for suffix in (".nrrd", ".mha", ".mgz", ".npz", ".nii.gz", ".nii")]
    for path in paths[:-1]:
        np.savez(path, vol=image.array) if path.suffix == ".npz" else write_volume(image, path)
    write_volume(image, paths[-1])
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, *map(str, paths)],
        cwd=Path(__file__).resolve().parents[2] / "VoxelMorphRegistration",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == len(paths)
    assert "'refused': 0" not in done.stdout


def test_a_large_volume_is_not_blown_up(tmp_path):
    """The stored number type is what is held: bytes stay bytes."""
    path = tmp_path / "v.nii.gz"
    with gzip.open(path, "wb", 1) as stream:
        image = nibabel.Nifti1Image(np.zeros((1, 1, 1), np.uint8), np.eye(4))
        image.header.set_data_shape((200, 200, 200))
        image.header["vox_offset"] = 352
        stream.write(image.header.binaryblock + b"\0" * 4 + b"\1" * 200**3)
    assert read_volume(path).array.nbytes == 200**3
