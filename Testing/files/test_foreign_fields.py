"""Fields of other programs are read as they are stored, with all their containers say; nothing in them is ever run."""

from __future__ import annotations

import gzip
import io
import struct

import h5py
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from files.foreign_files import AFFINE, FIRST, SHAPE, VECTORS, nifti, tensor_pickle, torch_file, vector_image
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.fields import RawField, read_raw_field

# ---- arrays ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt", ".pth", ".mat", ".h5"])
def test_the_numbers_come_as_they_are_stored(tmp_path, suffix):
    path = tmp_path / f"warp{suffix}"
    if suffix == ".npy":
        np.save(path, FIRST[None])
    elif suffix == ".npz":
        np.savez(path, vol=FIRST, affine=AFFINE)
    elif suffix in (".pt", ".pth"):
        torch_file(path)
    elif suffix == ".mat":
        from scipy.io import savemat

        savemat(path, {"D": FIRST})
    else:
        with h5py.File(path, "w") as file:
            file["a/flow"] = FIRST
    raw = read_raw_field(path)
    np.testing.assert_array_equal(raw.array, FIRST)
    assert raw.hint("units") is None
    if suffix == ".npz":
        np.testing.assert_allclose(raw.grid.ijk_to_ras, AFFINE)
        assert raw.grid.shape == SHAPE


def test_matlab_7_3_keeps_matlabs_axes(tmp_path):
    with h5py.File(tmp_path / "warp.mat", "w") as file:
        file["D"] = VECTORS.T  # MATLAB writes its arrays so
    np.testing.assert_array_equal(read_raw_field(tmp_path / "warp.mat").array, VECTORS)


def test_three_volumes_are_the_three_components(tmp_path):
    """As a user of t/21224 had them."""
    from scipy.io import savemat

    savemat(tmp_path / "dvf.mat", {"ux": VECTORS[..., 0], "uy": VECTORS[..., 1], "uz": VECTORS[..., 2]})
    raw = read_raw_field(tmp_path / "dvf.mat")
    np.testing.assert_array_equal(raw.array, VECTORS)
    assert "ux, uy, uz were taken as x, y, z" in raw.notes[0]


def test_torch_dictionaries_half_precision_and_bfloat16(tmp_path):
    torch_file(tmp_path / "a.pt", payload=tensor_pickle((3, *SHAPE), "FloatStorage", key="flow"))
    np.testing.assert_array_equal(read_raw_field(tmp_path / "a.pt").array, FIRST)
    half = FIRST.astype(np.float16)
    torch_file(tmp_path / "b.pt", payload=tensor_pickle((3, *SHAPE), "HalfStorage"), data=half.tobytes())
    np.testing.assert_array_equal(read_raw_field(tmp_path / "b.pt").array, half)
    brain = (FIRST.view(np.uint32) >> 16).astype(np.uint16)
    torch_file(tmp_path / "c.pt", payload=tensor_pickle((3, *SHAPE), "BFloat16Storage"), data=brain.tobytes())
    np.testing.assert_allclose(read_raw_field(tmp_path / "c.pt").array, FIRST, rtol=0.01)


def test_several_arrays_need_a_name(tmp_path):
    np.savez(tmp_path / "w.npz", one=FIRST, two=2 * FIRST)
    with pytest.raises(InputError, match=r"several arrays that could be the field \(one, two\)"):
        read_raw_field(tmp_path / "w.npz")
    np.testing.assert_array_equal(read_raw_field(tmp_path / "w.npz", "two").array, 2 * FIRST)
    with pytest.raises(InputError, match="no array 'three', but one, two"):
        read_raw_field(tmp_path / "w.npz", "three")


def test_six_components_are_a_velocity_and_its_variance():
    raw = RawField(np.concatenate([VECTORS, VECTORS], -1), "vm")
    assert raw.array.shape == (*SHAPE, 3)
    assert raw.log_variance
    assert raw.hint("content").value == "velocity"


# ---- medical files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "intent", "components", "sure"),
    [
        (VECTORS[:, :, :, None], 1006, "RAS", True),
        (VECTORS[:, :, :, None], 1007, "LPS", False),
        (VECTORS[:, :, :, None], 2003, None, None),
        (VECTORS, 0, None, None),
        (VECTORS, 1006, "RAS", True),
        (FIRST, 0, None, None),
        (VECTORS, 1007, "LPS", False),
    ],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_in_every_variant(tmp_path, suffix, array, intent, components, sure):
    nifti(tmp_path / f"w{suffix}", array, intent)
    raw = read_raw_field(tmp_path / f"w{suffix}")
    np.testing.assert_array_equal(raw.array, array.reshape(raw.array.shape))
    assert raw.grid.shape == SHAPE
    np.testing.assert_allclose(raw.grid.ijk_to_ras, AFFINE, atol=1e-5)
    said = raw.hint("components")
    assert (said and said.value, said and said.sure) == (components, sure)
    assert (intent == 1006 and array.ndim == 5) or raw.notes


FREESURFER = {
    0: ("ijk", "voxel", "positions"),
    1: ("ijk", "voxel", "displacement"),
    2: ("RAS", "mm", "positions"),
    3: ("RAS", "mm", "displacement"),
}


@pytest.mark.parametrize("kind", FREESURFER)
@pytest.mark.parametrize("with_length", [False, True])
def test_freesurfer_warps_say_what_they_are(tmp_path, kind, with_length):
    """The tags and the version number that surfa and mri_warp_convert write."""
    plain = io.BytesIO()
    image = nibabel.MGHImage(VECTORS, AFFINE)
    image.to_file_map({"image": nibabel.FileHolder(fileobj=plain)})
    data = bytearray(plain.getvalue())
    data[2] = 3  # the intent, in the second byte of the version
    meta = struct.pack(">iif", kind, 1, 0.0)
    data += struct.pack(">iq", 13, 12) + meta if with_length else struct.pack(">i", 13) + meta
    with gzip.open(tmp_path / "warp.mgz", "wb") as file:
        file.write(bytes(data))
    raw = read_raw_field(tmp_path / "warp.mgz")
    np.testing.assert_array_equal(raw.array, VECTORS)
    assert tuple(raw.hint(about).value for about in ("components", "units", "content")) == FREESURFER[kind]
    np.testing.assert_allclose(raw.grid.ijk_to_ras, AFFINE, atol=1e-4)


def test_freesurfers_nifti_extension_says_what_it_is(tmp_path):
    image = nibabel.Nifti1Image(VECTORS, AFFINE)
    tags = struct.pack(">iq", 13, 12) + struct.pack(">iif", 2, 1, 0.0) + struct.pack(">iq", -1, 1)
    content = b">\x00\x03\x01" + tags
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("ignore", content + b"*"))
    nibabel.save(image, tmp_path / "warp.nii.gz")
    raw = read_raw_field(tmp_path / "warp.nii.gz")
    assert (raw.hint("content").value, raw.hint("units").value, raw.hint("units").sure) == ("positions", "mm", True)


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd", ".nii.gz", ".nii"])
def test_vector_images_of_simpleitk(tmp_path, suffix):
    sitk.WriteImage(vector_image(), tmp_path / f"w{suffix}")
    raw = read_raw_field(tmp_path / f"w{suffix}")
    np.testing.assert_array_equal(raw.array.reshape(VECTORS.shape), VECTORS)
    np.testing.assert_allclose(raw.grid.origin, (10, -20, 30))
    np.testing.assert_allclose(np.diag(raw.grid.axes), (-1.2, -1.5, 2.5), atol=1e-6)
    assert raw.hint("components").value == "LPS"
    assert not raw.hint("components").sure


@pytest.mark.parametrize("direction", ["resampling", "modeling"])
def test_nrrd_transforms_of_slicer_say_which_way_they_lead(tmp_path, direction):
    image = vector_image()
    image.SetMetaData("displacement field type", direction)
    sitk.WriteImage(image, tmp_path / "w.nrrd")
    said = read_raw_field(tmp_path / "w.nrrd").hint("direction")
    assert (said.value, said.sure) == (direction, True)


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".h5"])
def test_itk_transforms_and_composites(tmp_path, suffix):
    image = sitk.Cast(vector_image(), sitk.sitkVectorFloat64)
    transform = sitk.DisplacementFieldTransform(sitk.Image(image))
    sitk.WriteTransform(transform, tmp_path / f"t{suffix}")
    raw = read_raw_field(tmp_path / f"t{suffix}")
    np.testing.assert_allclose(raw.array, VECTORS, atol=1e-5)
    assert all(hint.sure for hint in raw.hints)

    affine = sitk.AffineTransform(3)
    affine.Translate((3.0, -2.0, 5.0))
    for order in ([affine, transform], [transform, affine]):  # the field first, and last
        sitk.WriteTransform(sitk.CompositeTransform(order), tmp_path / f"c{suffix}")
        raw = read_raw_field(tmp_path / f"c{suffix}")
        point = image.TransformIndexToPhysicalPoint((2, 3, 4))
        expected = np.array(sitk.CompositeTransform(order).TransformPoint(point)) - point
        np.testing.assert_allclose(raw.array[2, 3, 4], expected, atol=1e-4)
        assert "joined" in raw.notes[0]


def test_transforms_without_a_field(tmp_path):
    sitk.WriteTransform(sitk.AffineTransform(3), tmp_path / "a.tfm")
    with pytest.raises(InputError, match="no displacement field but only an affine"):
        read_raw_field(tmp_path / "a.tfm")
