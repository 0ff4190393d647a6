"""ITK transform files are looked at before ITK reads them: it makes room for whatever a damaged one announces."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import FileError
from VoxelMorphRegistrationLib.files.input import require_held

HDF5_SUFFIXES = (".h5", ".hdf5")
_ON_LATTICES = ("BSpline", "DisplacementField", "GaussianSmoothingOn", "TimeVaryingVelocity", "ConstantVelocity")
"""Kinds of transforms whose fixed parameters begin with the number of nodes along each axis."""
_VALUE_BYTES = {0: 8, 1: 4, 2: 4, 3: 2, 4: 2, 5: 1}
"""By the tens digit of a MATLAB 4 header's type."""


def read_itk_transform(source: Path) -> sitk.Transform:
    """The transform in a .h5, .tfm, .txt, .mat or .xfm file. Raises FileError where it announces more than it holds,
    and what SimpleITK raises."""
    suffix = source.suffix.lower()
    if suffix in (".tfm", ".txt"):
        _check(source, _in_text(source))
    elif suffix in HDF5_SUFFIXES and find_spec("h5py"):  # Slicer's own Python has none
        _check(source, _in_hdf5(source))
    elif suffix == ".mat":
        _check_matlab(source)
    return sitk.ReadTransform(str(source))


def kinds_in_hdf5(source: Path) -> list[str]:
    """The ITK class names of the transforms in a file, in order."""
    import h5py

    with h5py.File(source, "r") as file:
        group = file["TransformGroup"]
        return [_kind(group[key]) for key in sorted(group, key=int)]


def _check(source: Path, transforms: Iterator[tuple[str, list[float], int]]) -> None:
    """Of each transform: its kind, its first fixed parameters, and how many parameters it has."""
    for kind, fixed, count in transforms:
        if kind.startswith(_ON_LATTICES):
            dimensions = 2 if "_2_2" in kind else 3
            nodes = [max(number, 0.0) for number in fixed[:dimensions]]
            if not all(map(math.isfinite, nodes)) or math.prod(nodes) * dimensions > count:
                announced = " x ".join(f"{n:g}" for n in nodes)
                raise FileError(
                    f"{source} is damaged: its {kind.partition('_')[0]} announces {announced} nodes "
                    f"and holds {count} numbers; copy or export it again."
                )


def _in_text(source: Path) -> Iterator[tuple[str, list[float], int]]:
    kind, count = "", 0
    with source.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            key, _, value = line.partition(":")
            if key == "Transform":
                kind = value.strip()
            elif key == "Parameters":
                count = len(value.split())
            elif key == "FixedParameters":
                yield kind, [float(word) for word in value.split()[:3]], count


def _in_hdf5(source: Path) -> Iterator[tuple[str, list[float], int]]:
    import h5py

    held = os.path.getsize(source)
    with h5py.File(source, "r") as file:
        for one in file["TransformGroup"].values():
            fixed, values = (  # the second name of each is that of ITK 4
                next((one[name] for name in (wanted, wanted.replace("Transf", "Tranf")) if name in one), None)
                for wanted in ("TransformFixedParameters", "TransformParameters")
            )
            for each in (fixed, values):
                if each is not None:
                    require_held(each.nbytes, held, source)
            first = [] if fixed is None else [float(number) for number in np.ravel(fixed[:3])]
            yield _kind(one), first, 0 if values is None else values.size


def _kind(transform: Any) -> str:
    kind = transform["TransformType"][0]
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _check_matlab(source: Path) -> None:
    """MATLAB 4, which ITK writes: each matrix has a header of five numbers, a name and its values."""
    size = os.path.getsize(source)
    with source.open("rb") as stream:
        while len(header := stream.read(20)) == 20:
            kind, rows, columns, imaginary, name = (int(n) for n in np.frombuffer(header, "<i4"))
            if kind >= 1000 or kind < 0:  # another machine's order of bytes
                kind, rows, columns, imaginary, name = (int(n) for n in np.frombuffer(header, ">i4"))
            bytes_each = _VALUE_BYTES.get(kind // 10 % 10, 8) * (2 if imaginary else 1)
            if min(rows, columns, name) < 0 or stream.tell() + name + rows * columns * bytes_each > size:
                raise FileError(f"{source} is incomplete: it holds less than its header announces; copy it again.")
            stream.seek(name + rows * columns * bytes_each, os.SEEK_CUR)
