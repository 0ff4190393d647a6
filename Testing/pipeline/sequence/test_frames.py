"""Frames out of every kind of sequence that users bring: the same voxels, in the same place, one at a time."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pipeline.sequence.breathing import breathing_phantom
from shared_data import shared
from VoxelMorphRegistrationLib.errors import FileError, InputError, RegistrationError
from VoxelMorphRegistrationLib.files.frames import ImageFrames, open_frames
from VoxelMorphRegistrationLib.files.frames.writing import write_sequence
from VoxelMorphRegistrationLib.files.volumes import write_volume
from VoxelMorphRegistrationLib.spatial import Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

COUNT = 3


@pytest.fixture(scope="module")
def images() -> list[Image]:
    """Oblique, anisotropic, flipped, with 16-bit values; every axis of another length."""
    matrix = np.eye(4)
    angle = 0.2
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    matrix[:3, :3] = turn @ np.diag([-1.5, 2.0, 3.0])
    matrix[:3, 3] = [10, -20, 35]
    grid = Grid((9, 10, 11), matrix)
    random = np.random.default_rng(0)
    return [Image(random.integers(-900, 2000, grid.shape).astype(np.int16), grid, f"t{n}") for n in range(COUNT)]


def joined(images: list[Image]) -> sitk.Image:
    return sitk.JoinSeries([bridge.scalar_to_sitk(image.array, image.grid) for image in images])


def require_same(frames, images: list[Image]) -> None:
    assert len(frames) == len(images)
    for n in reversed(range(len(images))):  # any order
        frame = frames.read(n)
        np.testing.assert_array_equal(frame.array, images[n].array)
        assert frame.grid.is_same(images[n].grid)
        assert frame.array.dtype == images[n].array.dtype
    frames.close()


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd", "nhdr", "mha", "mhd"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_4d_file_of_itk(images, tmp_path, ending, compressed):
    path = tmp_path / f"four.{ending}"
    sitk.WriteImage(joined(images), str(path), useCompression=compressed)
    require_same(open_frames(path), images)


@pytest.mark.parametrize("list_first", [False, True], ids=["list last", "list first"])
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_slicers_sequence_files_of_both_kinds(images, tmp_path, list_first, encoding):
    """Slicer wrote the frames as the first axis, interleaved, until 5.8, and as the last one since."""
    stacked = np.stack([image.array for image in images], axis=0 if list_first else 3)
    lps = np.diag([-1, -1, 1]) @ images[0].grid.ijk_to_ras[:3]
    vectors = [f"({','.join(map(repr, map(float, lps[:, axis])))})" for axis in range(4)]
    directions, kinds = vectors[:3], ["domain"] * 3
    directions.insert(0 if list_first else 3, "none")
    kinds.insert(0 if list_first else 3, "list")
    header = (
        f"NRRD0005\n# a comment\ntype: short\ndimension: 4\nspace: left-posterior-superior\n"
        f"sizes: {' '.join(map(str, stacked.shape))}\nspace directions: {' '.join(directions)}\n"
        f"kinds: {' '.join(kinds)}\nendian: big\nencoding: {encoding}\nspace origin: {vectors[3]}\n"
        "axis 0 index type:=numeric\n\n"
    )
    values = stacked.astype(">i2").tobytes(order="F")
    path = tmp_path / "s.seq.nrrd"
    path.write_bytes(header.encode() + (gzip.compress(values) if encoding == "gzip" else values))
    require_same(open_frames(path), images)


def test_a_sequence_written_here_is_read_here_and_by_itk(images, tmp_path):
    path = tmp_path / "s.seq.nrrd"
    write_sequence(iter(images), COUNT, path, "vtkMRMLScalarVolumeNode")
    require_same(open_frames(path), images)
    seen = sitk.ReadImage(str(path))
    assert seen.GetNumberOfComponentsPerPixel() == COUNT
    np.testing.assert_array_equal(sitk.GetArrayFromImage(seen)[..., 1].T, images[1].array)
    other = Image(np.zeros((2, 2, 2), np.int16), Grid((2, 2, 2), np.eye(4)))
    with pytest.raises(InputError, match="other voxels than the first frame"):
        write_sequence(iter([images[0], other]), 2, path, "vtkMRMLScalarVolumeNode")


def test_a_folder_of_volumes_in_natural_order(images, tmp_path):
    for n, number in enumerate((2, 9, 10)):
        write_volume(images[n], tmp_path / f"phase{number}.nii.gz")
    (tmp_path / "notes.txt").write_text("not a volume")
    require_same(open_frames(tmp_path), images)


@pytest.mark.parametrize("tag", ["0020|0100", "0018|1060", "0020|0012", "0008|0032", ""])
def test_a_dicom_series_with_time_points(tmp_path, tag):
    images = dicom_images()
    write_dicom(tmp_path, images, tag, series=False)
    require_same_dicom(open_frames(tmp_path), images)


def test_dicom_series_in_one_folder_or_in_folders_of_their_own(tmp_path):
    images = dicom_images()
    write_dicom(tmp_path / "one", images, "0020|0012", series=True)
    require_same_dicom(open_frames(tmp_path / "one"), images)
    for n, image in enumerate(images):
        write_dicom(tmp_path / "many" / f"phase {10 * n}", [image], "", series=False)
    require_same_dicom(open_frames(tmp_path / "many"), images)


def test_a_dicom_time_point_without_a_slice_is_said_and_the_others_are_read(tmp_path):
    images = dicom_images()
    write_dicom(tmp_path, images, "0020|0100", series=False)
    (tmp_path / "1-02.dcm").unlink()
    frames = open_frames(tmp_path)
    assert len(frames) == COUNT
    with pytest.raises(InputError, match="evenly spaced"):
        frames.read(1)
    for n in (0, 2):
        np.testing.assert_array_equal(frames.read(n).array, images[n].array)


def dicom_images() -> list[Image]:
    grid = Grid((8, 9, 5), np.diag([-1.0, -1.0, 2.5, 1.0]))
    random = np.random.default_rng(1)
    return [Image(random.integers(0, 1000, grid.shape).astype(np.int16), grid) for _ in range(COUNT)]


def require_same_dicom(frames, images: list[Image]) -> None:
    assert len(frames) == len(images)
    for n, image in enumerate(images):
        np.testing.assert_array_equal(frames.read(n).array, image.array)
        assert frames.read(n).grid.is_same(image.grid)


def write_dicom(folder: Path, images: list[Image], tag: str, *, series: bool) -> None:
    """Real DICOM slices by GDCM; ``tag`` tells the time points apart, ``series``: each is a series of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for n, image in enumerate(images):
        volume = bridge.scalar_to_sitk(image.array, image.grid)
        for k in range(image.grid.shape[2]):
            one = volume[:, :, k : k + 1]
            identity = f"1.2.826.0.1.3680043.2.1125.{n if series else 0}"
            tags = {
                "0008|0060": "CT",
                "0020|000e": identity,
                "0020|000d": "1.2.826.0.1.3680043.2.1125.99",
                "0008|0018": f"1.2.826.0.1.3680043.2.1125.{n}.{k}",
                "0020|0011": str(n + 3 if series else 3),
                "0020|0013": str(n * 100 + k + 1),
                "0020|0032": "\\".join(map(str, volume.TransformIndexToPhysicalPoint((0, 0, k)))),
                "0020|0037": "1\\0\\0\\0\\1\\0",
            }
            if tag:
                tags[tag] = {"0018|1060": str(250.5 * n), "0008|0032": f"10150{n}.00"}.get(tag, str(n + 1))
            for key, value in tags.items():
                one.SetMetaData(key, value)
            writer.SetFileName(str(folder / f"{n}-{k:02d}.dcm"))
            writer.Execute(one)


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd"])
def test_of_a_truncated_file_the_whole_frames_are_read(images, tmp_path, ending):
    path = tmp_path / f"four.{ending}"
    sitk.WriteImage(joined(images), str(path), useCompression=False)
    if ending == "nii.gz":
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()))[:-1500])
    else:
        path.write_bytes(path.read_bytes()[:-1000])
    frames = open_frames(path)
    np.testing.assert_array_equal(frames.read(0).array, images[0].array)
    with pytest.raises(FileError, match=f"ends before frame {COUNT - 1} does"):
        frames.read(COUNT - 1)


def test_what_is_no_sequence_is_one_sentence(images, tmp_path):
    write_volume(images[0], tmp_path / "one.nrrd")
    with pytest.raises(InputError, match="one frame only"):
        open_frames(tmp_path / "one.nrrd")
    sitk.WriteImage(sitk.Compose([bridge.scalar_to_sitk(i.array, i.grid) for i in images]), str(tmp_path / "v.mha"))
    with pytest.raises(RegistrationError):
        open_frames(tmp_path / "v.mha")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="neither volumes nor DICOM"):
        open_frames(tmp_path / "empty")
    with pytest.raises(FileError, match="does not exist"):
        open_frames(tmp_path / "nowhere.nii")
    (tmp_path / "text.nrrd").write_text("NRRD0004\ntype: short\n\nxx")
    with pytest.raises(FileError, match="has no 'sizes'"):
        open_frames(tmp_path / "text.nrrd")
    sitk.WriteImage(joined(images), str(tmp_path / "four.nii"))
    frames = open_frames(tmp_path / "four.nii")
    with pytest.raises(InputError, match="counted from 0 to 2"):
        frames.read(3)


def test_scaled_nifti_values_are_those_of_nibabel(images, tmp_path):
    import nibabel

    stored = np.stack([image.array for image in images], axis=3)
    image = nibabel.Nifti1Image(stored, images[0].grid.ijk_to_ras, dtype=np.int16)
    image.header.set_slope_inter(0.5, -3)
    nibabel.save(image, tmp_path / "scaled.nii")
    frames = open_frames(tmp_path / "scaled.nii")
    np.testing.assert_allclose(frames.read(1).array, nibabel.load(tmp_path / "scaled.nii").get_fdata()[..., 1])


def test_the_shared_ultrasound_lies_where_itk_says():
    path = shared("fourD/greedy_img4d.nii.gz")
    frames, whole = open_frames(path), sitk.ReadImage(str(path))
    assert len(frames) == 7
    frame = frames.read(4)
    np.testing.assert_array_equal(frame.array, sitk.GetArrayFromImage(whole)[4].T)
    point = whole.TransformIndexToPhysicalPoint((3, 5, 7, 4))
    np.testing.assert_allclose(frame.grid.to_ras([3, 5, 7]), np.array(point[:3]) * [-1, -1, 1], atol=1e-4)


def test_frames_in_memory():
    seq = breathing_phantom(2, (16, 16, 16))
    frames = ImageFrames([seq.image(0), seq.image(1)], "mine")
    assert (len(frames), frames.name, frames.read(1).name, frames.stamp(0)) == (2, "mine", "frame 1", "")
