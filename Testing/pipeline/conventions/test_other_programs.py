"""Files that ANTs, elastix and ITK write are read as they mean them, and they apply ours as we do.

They run in processes of their own, in this Python or in that of VOXELMORPH_BENCH_PYTHON.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pipeline.conventions import cases
from VoxelMorphRegistrationLib.files.fields import read_raw_field
from VoxelMorphRegistrationLib.files.transforms import read_affine
from VoxelMorphRegistrationLib.files.volumes import read_volume, write_volume
from VoxelMorphRegistrationLib.pipeline.conventions.diagnosis import Diagnosis, identify
from VoxelMorphRegistrationLib.pipeline.conventions.writing import write_with_sidecar
from VoxelMorphRegistrationLib.spatial import Deformation

HERE = Path(__file__).parent
PYTHON = os.environ.get("VOXELMORPH_BENCH_PYTHON", sys.executable)
OURS = (".nii.gz", ".nii", ".nrrd", ".mha", ".h5")
MOVED = {"ants": "warped.nii", "elastix": "moved.nii"}
WRITTEN = {
    "ants": ("field.nii.gz", "field.nrrd", "field.mha", "ants_joined*.nii.gz", "ants_wholeComposite.h5"),
    "elastix": (
        "deformationField.mha",
        "deformationField.nii.gz",
        "deformationField.nrrd",
        "transform.h5",
        "transform.tfm",
    ),
}


@pytest.fixture(scope="module")
def case() -> cases.Case:
    pytest.importorskip("openvino", reason="the fields are made with the OpenVINO engine, which is not installed")
    return cases.case("vxm coarse")


@pytest.fixture(scope="module", params=["ants", "elastix"])
def program(request, case, tmp_path_factory) -> tuple[str, Path]:
    """A program's name, and the folder in which it registered the case and applied our files of its true field."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    write_volume(case.fixed, folder / "fixed.nii")
    write_volume(case.moving, folder / "moving.nii")
    for suffix in OURS:
        write_with_sidecar(case.forward, folder / f"ours{suffix}")
    arguments = [PYTHON, str(HERE / f"with_{name}.py"), str(folder / "fixed.nii"), str(folder / "moving.nii")]
    arguments += [str(folder), *(str(folder / f"ours{suffix}") for suffix in OURS)]
    environment = os.environ | {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    done = subprocess.run(
        arguments, check=False, capture_output=True, text=True, timeout=900, env=environment, cwd=folder
    )
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"{name} is not installed in {PYTHON}")
    assert done.returncode == 0, done.stderr[-2000:]
    return name, folder


def alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one[2:-2, 2:-2, 2:-2].ravel(), other[2:-2, 2:-2, 2:-2].ravel())[0, 1])


def warped(case: cases.Case, diagnosis: Diagnosis, affine: np.ndarray | None = None) -> np.ndarray:
    assert diagnosis.best.stated
    assert diagnosis.best.convention.components == ("L", "P", "S")
    matrix = np.eye(4) if affine is None else affine
    return Deformation(matrix, diagnosis.field()).warp(case.moving, case.fixed.grid).array


def read(case: cases.Case, path: Path) -> Diagnosis:
    """What the file itself says or its format has for a custom; the volumes are not asked."""
    return identify(read_raw_field(path), case.fixed)


def accepted(case: cases.Case, path: Path) -> Diagnosis:
    diagnosis = identify(read_raw_field(path), case.fixed, case.moving)
    assert diagnosis.accepted, diagnosis.table()
    return diagnosis


def test_their_files_are_read_as_they_mean_them(case, program):
    name, folder = program
    theirs = read_volume(folder / MOVED[name]).array
    first, *others = WRITTEN[name]
    assert alike(warped(case, accepted(case, folder / first)), theirs) > 0.9995
    for other in others:
        (path,) = folder.glob(other)
        assert alike(warped(case, read(case, path)), theirs) > 0.9995, other
    if name == "ants":  # as it writes them: the field is followed by an affine
        affine = read_affine(folder / "ants_0GenericAffine.mat")
        assert alike(warped(case, read(case, folder / "ants_1Warp.nii.gz"), affine), theirs) > 0.9995


@pytest.mark.parametrize("suffix", OURS)
def test_our_files_are_applied_alike(case, program, suffix):
    """By ``ants.apply_transforms``; by transformix, and for .h5, which it does not read, by ITK."""
    name, folder = program
    ours = case.forward.warp(case.moving, case.fixed.grid).array
    theirs = read_volume(folder / f"ours{suffix}.{name}.nii").array
    assert alike(ours, theirs) > 0.9999
    assert np.abs(ours - theirs)[2:-2, 2:-2, 2:-2].mean() < 2e-3 * ours.max()
