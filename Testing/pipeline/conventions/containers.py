"""Arrays written to every container, by the libraries that people use for it."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np
import SimpleITK as sitk
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid


def _npz(array: np.ndarray, grid: Grid, path: Path) -> None:
    np.savez(path, warp=array)


def _pt(array: np.ndarray, grid: Grid, path: Path) -> None:
    """As torch.save of a tensor with a batch axis."""

    def integer(n: int) -> bytes:
        return b"J" + struct.pack("<i", n)

    def text(s: str) -> bytes:
        return b"X" + struct.pack("<I", len(s)) + s.encode()

    size = (1, *array.shape)
    stride = [int(np.prod(size[n + 1 :])) for n in range(len(size))]
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + integer(array.size) + b"tQ"
    numbers = b"(" + b"".join(map(integer, size)) + b"t(" + b"".join(map(integer, stride)) + b"t"
    rebuilt = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + integer(0)
        + numbers
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/data.pkl", b"\x80\x02" + rebuilt + b".")
        archive.writestr("w/data/0", np.ascontiguousarray(array, "<f4").tobytes())


def _mat(array: np.ndarray, grid: Grid, path: Path) -> None:
    from scipy.io import savemat

    savemat(path, {"warp": array})


def _mat73(array: np.ndarray, grid: Grid, path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["warp"] = array.T


def _h5(array: np.ndarray, grid: Grid, path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["warp"] = array


def _nifti(intent: int, five: bool = False) -> Callable[[np.ndarray, Grid, Path], None]:
    def write(array: np.ndarray, grid: Grid, path: Path) -> None:
        shaped = array[:, :, :, None] if five and array.shape[3] == 3 else array
        image = nibabel.Nifti1Image(shaped, np.array(grid.ijk_to_ras))
        image.header.set_intent(intent, allow_unknown=True)
        nibabel.save(image, path)

    return write


def _mgz(array: np.ndarray, grid: Grid, path: Path) -> None:
    buffer = io.BytesIO()
    image = nibabel.MGHImage(array, np.array(grid.ijk_to_ras))
    image.to_file_map({"image": nibabel.FileHolder(fileobj=buffer)})
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(buffer.getvalue())


# Nothing in these says what the numbers mean: arrays of any convention go into any of them.
SILENT: dict[str, tuple[str, Callable[[np.ndarray, Grid, Path], None]]] = {
    "npy": (".npy", lambda array, grid, path: np.save(path, array)),
    "npz": (".npz", _npz),
    "pt": (".pt", _pt),
    "mat 5": (".mat", _mat),
    "mat 7.3": (".mat", _mat73),
    "HDF5": (".h5", _h5),
    "NIfTI 4-D": (".nii", _nifti(0)),
    "NIfTI 5-D, no intent": (".nii", _nifti(0, five=True)),
    "NIfTI intent 2003": (".nii.gz", _nifti(2003)),
    "mgz": (".mgz", _mgz),
}


def _sitk_image(vectors: np.ndarray, grid: Grid) -> sitk.Image:
    """(I, J, K, 3) numbers as they are, on the grid."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(vectors.transpose(2, 1, 0, 3)), isVector=True)
    lps = np.diag([-1.0, -1, 1, 1]) @ grid.ijk_to_ras
    image.SetOrigin(lps[:3, 3])
    image.SetSpacing(grid.spacing)
    image.SetDirection((lps[:3, :3] / grid.spacing).ravel())
    return image


def _itk(field: DisplacementField, moving: Grid, path: Path) -> None:
    sitk.WriteImage(_sitk_image(field.vectors * np.array([-1, -1, 1], np.float32), field.grid), path)


def _itk_transform(field: DisplacementField, moving: Grid, path: Path) -> None:
    image = _sitk_image(field.vectors * np.array([-1, -1, 1], np.float32), field.grid)
    sitk.WriteTransform(sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64)), path)


def _itk_composite(field: DisplacementField, moving: Grid, path: Path) -> None:
    image = _sitk_image(field.vectors * np.array([-1, -1, 1], np.float32), field.grid)
    shift = sitk.TranslationTransform(3, (0.0, 0.0, 0.0))
    warp = sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))
    sitk.WriteTransform(sitk.CompositeTransform([shift, warp]), path)


def _slicer_nrrd(field: DisplacementField, moving: Grid, path: Path) -> None:
    image = _sitk_image(field.vectors * np.array([-1, -1, 1], np.float32), field.grid)
    image.SetMetaData("displacement field type", "resampling")
    image.SetMetaData("intent_code", "1006")
    sitk.WriteImage(image, path)


def _nifti_1006(field: DisplacementField, moving: Grid, path: Path) -> None:
    _nifti(1006, five=True)(np.ascontiguousarray(field.vectors), field.grid, path)


def _surfa(kind: int) -> Callable[[DisplacementField, Grid, Path], None]:
    def write(field: DisplacementField, moving: Grid, path: Path) -> None:
        index = np.stack(np.meshgrid(*[np.arange(n) for n in field.grid.shape], indexing="ij"), -1)
        ras = field.grid.to_ras(index)
        position = ras + field.vectors
        numbers = [moving.to_ijk(position), moving.to_ijk(position) - index, position, field.vectors][kind]
        buffer = io.BytesIO()
        image = nibabel.MGHImage(np.asarray(numbers, np.float32), np.array(field.grid.ijk_to_ras))
        image.to_file_map({"image": nibabel.FileHolder(fileobj=buffer)})
        data = bytearray(buffer.getvalue())
        data[2] = 3
        data += struct.pack(">i", 13) + struct.pack(">iif", kind, 1, 0.0)
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(bytes(data))

    return write


# These say what their numbers mean, surely or by custom; they take the forward field.
SPEAKING: dict[str, tuple[str, Callable[[DisplacementField, Grid, Path], None]]] = {
    "NIfTI intent 1006": (".nii.gz", _nifti_1006),
    "ITK NIfTI (intent 1007)": (".nii.gz", _itk),
    "NRRD of Slicer": (".nrrd", _slicer_nrrd),
    "NRRD of ITK": (".nrrd", _itk),
    "MetaImage (elastix)": (".mha", _itk),
    "ITK .tfm": (".tfm", _itk_transform),
    "ITK .h5": (".h5", _itk_transform),
    "ITK composite .h5": (".h5", _itk_composite),
    "surfa abs_crs": (".mgz", _surfa(0)),
    "surfa disp_crs": (".mgz", _surfa(1)),
    "surfa abs_ras": (".mgz", _surfa(2)),
    "surfa disp_ras": (".mgz", _surfa(3)),
}
