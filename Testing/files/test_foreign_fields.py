"""Fields of other programs are read as they are stored, with all their containers say; nothing in them is ever run."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from VoxelMorphRegistrationLib.errors import FileError, InputError, RegistrationError
from VoxelMorphRegistrationLib.files.fields import FIELD_SUFFIXES, RawField, read_raw_field
from VoxelMorphRegistrationLib.spatial import Grid

SHAPE = (6, 7, 8)
RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.normal(size=(*SHAPE, 3)).astype(np.float32)
FIRST = np.ascontiguousarray(np.moveaxis(VECTORS, -1, 0))
AFFINE = np.array([[0, -1.5, 0, 10], [1.2, 0, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1]], float)


def torch_file(
    path: Path, *, payload: bytes | None = None, dtype: str = "FloatStorage", data: bytes | None = None
) -> None:
    """What torch.save((1, 3, D, H, W) tensor) writes; ``payload`` replaces the pickle."""
    if payload is None:
        payload = tensor_pickle((1, 3, *SHAPE), dtype)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", payload)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", data if data is not None else FIRST.tobytes())
        archive.writestr("archive/version", "3\n")


def tensor_pickle(size: tuple[int, ...], dtype: str, *, key: str = "") -> bytes:
    """A pickle as torch writes it: protocol 2, REDUCE of torch._utils._rebuild_tensor_v2 on a persistent storage."""

    def integer(n: int) -> bytes:
        return b"J" + struct.pack("<i", n)

    def text(s: str) -> bytes:
        return b"X" + struct.pack("<I", len(s)) + s.encode()

    stride = [int(np.prod(size[n + 1 :])) for n in range(len(size))]
    pid = b"(" + text("storage") + b"ctorch\n" + dtype.encode() + b"\n" + text("0") + text("cpu")
    pid += integer(int(np.prod(size))) + b"tQ"
    numbers = b"(" + b"".join(map(integer, size)) + b"t" + b"(" + b"".join(map(integer, stride)) + b"t"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid + integer(0) + numbers
    tensor += b"\x89" + b"ccollections\nOrderedDict\n)R" + b"tR"
    if key:
        tensor = b"}" + text(key) + tensor + b"s"
    return b"\x80\x02" + tensor + b"."


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


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


def nifti(path: Path, array: np.ndarray, intent: int = 0) -> None:
    image = nibabel.Nifti1Image(array, AFFINE)
    image.header.set_intent(intent, allow_unknown=True)
    nibabel.save(image, path)


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


def vector_image() -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(VECTORS.transpose(2, 1, 0, 3)), isVector=True)
    image.SetSpacing((1.2, 1.5, 2.5))
    image.SetOrigin((-10.0, 20.0, 30.0))
    return image


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


# ---- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
def test_hostile_pickles_are_refused_without_running_them(tmp_path, suffix):
    done, path = tmp_path / "ran", tmp_path / f"evil{suffix}"
    objects = np.array([Evil(done)], dtype=object)
    if suffix == ".npy":
        np.save(path, objects, allow_pickle=True)
    elif suffix == ".npz":
        np.savez(path, vol=objects)
    else:
        torch_file(path, payload=pickle.dumps(Evil(done), protocol=2))
    with pytest.raises(FileError, match=r"was not read: .* run"):
        read_raw_field(path)
    assert not done.exists()


@pytest.mark.parametrize(
    "payload",
    [
        b"cbuiltins\neval\n(X\x03\x00\x00\x001+1tR.",
        b"ctorch\nload\n(tR.",
        b"cnumpy\nload\n(tR.",
        pickle.dumps(os.system, protocol=4),
    ],
)
def test_any_name_but_tensors_is_refused(tmp_path, payload):
    torch_file(tmp_path / "w.pt", payload=payload)
    with pytest.raises(FileError, match="it asks for"):
        read_raw_field(tmp_path / "w.pt")


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    torch_file(tmp_path / "w.pt", payload=tensor_pickle((1, 3, 60, 70, 80), "FloatStorage"))
    with pytest.raises(FileError, match="damaged"):
        read_raw_field(tmp_path / "w.pt")


def written(folder: Path) -> list[Path]:
    """One good file of each format."""
    from scipy.io import savemat

    np.save(folder / "a.npy", VECTORS)
    np.savez(folder / "a.npz", vol=VECTORS)
    torch_file(folder / "a.pt")
    savemat(folder / "a.mat", {"D": VECTORS})
    nifti(folder / "a.nii", VECTORS[:, :, :, None], 1006)
    nifti(folder / "a.nii.gz", VECTORS[:, :, :, None], 1006)
    nibabel.save(nibabel.MGHImage(VECTORS, AFFINE), folder / "a.mgz")
    for suffix in (".nrrd", ".mha"):
        sitk.WriteImage(vector_image(), folder / f"a{suffix}")
    field = sitk.DisplacementFieldTransform(sitk.Cast(vector_image(), sitk.sitkVectorFloat64))
    for suffix in (".h5", ".tfm"):
        sitk.WriteTransform(field, folder / f"a{suffix}")
    return sorted(folder.glob("a.*"))


@pytest.fixture(scope="module")
def good_files(tmp_path_factory) -> list[Path]:
    return written(tmp_path_factory.mktemp("good"))


def test_every_truncated_file_is_refused_in_one_sentence(tmp_path, good_files):
    for path in good_files:
        data = path.read_bytes()
        for part in (0, 0.1, 0.5, 0.9):
            short = tmp_path / path.name
            short.write_bytes(data[: int(part * len(data))])
            with pytest.raises(RegistrationError) as caught:
                read_raw_field(short)
            assert str(caught.value).endswith(".")
            assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_headers_give_a_field_or_one_sentence(tmp_path, good_files, data):
    """Bytes of the headers changed at random: no other error, no code run.

    Not .mat and .h5: SciPy's and HDF5's native readers may crash the process on some of them (SciPy's was seen to).
    """
    path = data.draw(st.sampled_from([p for p in good_files if p.suffix not in (".tfm", ".mat", ".h5")]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(len(content), 512) - 1))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / path.name
    damaged.write_bytes(bytes(content))
    sentence = ""
    try:
        assert read_raw_field(damaged).array.ndim == 4
    except RegistrationError as error:
        sentence = str(error)
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((2, 2, 6, 7, 3), np.float32), "5 axes"),
        (np.zeros((4, 3, 6, 7, 8), np.float32), "batch of 4 fields"),
        (np.zeros((6, 7, 8), np.float32), "3 axes"),
        (np.zeros((9, 7, 8, 4), np.float32), "no axis of 3 components"),
        (np.zeros((1, 2, 16, 17), np.float32), "2-D registration"),
        (np.zeros((6, 7, 8, 3), np.uint8), "no sign"),
        (np.zeros((6, 7, 8, 3), complex), "real numbers"),
    ],
)
def test_arrays_that_are_no_field(array, sentence):
    with pytest.raises(InputError, match=sentence):
        RawField(array, "x")


def test_unknown_and_missing_files(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        read_raw_field(tmp_path / "w.npy")
    (tmp_path / "w.xyz").write_text("x")
    with pytest.raises(FileError, match="fields are read from"):
        read_raw_field(tmp_path / "w.xyz")
    assert ".pth" in FIELD_SUFFIXES


def test_a_damaged_sidecar_is_said(tmp_path):
    np.save(tmp_path / "w.npy", VECTORS)
    sidecar = tmp_path / "w.npy.json"
    sidecar.write_text(json.dumps({"format": "displacement-field-sidecar", "convention": {}}))
    with pytest.raises(FileError, match=r"w\.npy\.json is damaged"):
        read_raw_field(tmp_path / "w.npy")
    sidecar.write_text("[1, 2]")  # somebody else's
    assert read_raw_field(tmp_path / "w.npy").grid is None


def test_the_grid_of_a_sidecar_must_fit(tmp_path):
    np.save(tmp_path / "w.npy", VECTORS)
    content = {"format": "displacement-field-sidecar", "convention": {}, "grid": {
        "shape": [1, 2, 3], "ijk_to_ras": Grid((1, 2, 3), np.eye(4)).ijk_to_ras.tolist()}}  # fmt: skip
    (tmp_path / "w.npy.json").write_text(json.dumps(content))
    with pytest.raises(FileError, match="belongs to another field"):
        read_raw_field(tmp_path / "w.npy")
