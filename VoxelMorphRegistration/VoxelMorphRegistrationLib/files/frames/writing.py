"""Writing a sequence as one .seq.nrrd, frame by frame, as Slicer 5.10 and later do (the axis of the frames last)."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.spatial import Grid, Image

_TYPES = {
    "int8": "signed char",
    "uint8": "unsigned char",
    "int16": "short",
    "uint16": "unsigned short",
    "int32": "int",
    "uint32": "unsigned int",
    "int64": "longlong",
    "uint64": "unsigned longlong",
    "float32": "float",
    "float64": "double",
}


def write_sequence(images: Iterable[Image], count: int, path: Path, node_class: str) -> None:
    """Write ``count`` images of one grid and number type; ``node_class``: what Slicer makes of each frame.

    Such as "vtkMRMLLabelMapVolumeNode". One image is held at a time. Raises InputError where one does not fit the
    first, and OSError where it cannot be written.
    """
    first: Image | None = None
    with path.open("wb") as file:
        stream: gzip.GzipFile | None = None
        for image in images:
            if first is None or stream is None:
                first = image
                file.write(_header(image.array.dtype, image.grid, count, node_class).encode())
                stream = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, filename="")
            if image.array.dtype != first.array.dtype or not image.grid.is_same(first.grid):
                raise InputError(f"{image.name} has other voxels than the first frame; write the frames apart.")
            little = image.array.astype(image.array.dtype.newbyteorder("<"), copy=False)
            stream.write(np.ascontiguousarray(little.T).data)
        if stream is not None:
            stream.close()


def _header(dtype: np.dtype[np.generic], grid: Grid, count: int, node_class: str) -> str:
    lps = np.diag([-1, -1, 1]) @ grid.ijk_to_ras[:3] + 0.0  # no minus zeros
    directions = " ".join(_vector(lps[:, axis]) for axis in range(3))
    return "\n".join(
        [
            "NRRD0004",
            f"type: {_TYPES[dtype.name]}",
            "dimension: 4",
            "space: left-posterior-superior",
            f"sizes: {' '.join(map(str, grid.shape))} {count}",
            f"space directions: {directions} none",
            "kinds: domain domain domain list",
            "endian: little",
            "encoding: gzip",
            f"space origin: {_vector(lps[:, 3])}",
            f"DataNodeClassName:={node_class}",
            "axis 3 index type:=numeric",
            f"axis 3 index values:={' '.join(map(str, range(count)))}",
            "\n",
        ]
    )


def _vector(values: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> str:
    return "(" + ",".join(f"{value:.15g}" for value in values) + ")"
