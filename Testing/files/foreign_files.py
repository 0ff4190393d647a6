"""Small good files of fields in every container, for tests to read and to damage."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk

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


def nifti(path: Path, array: np.ndarray, intent: int = 0) -> None:
    image = nibabel.Nifti1Image(array, AFFINE)
    image.header.set_intent(intent, allow_unknown=True)
    nibabel.save(image, path)


def vector_image() -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(VECTORS.transpose(2, 1, 0, 3)), isVector=True)
    image.SetSpacing((1.2, 1.5, 2.5))
    image.SetOrigin((-10.0, 20.0, 30.0))
    return image


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
