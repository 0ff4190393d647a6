"""Files that ANTs and elastix write are read as they mean them, and they apply ours as we do.

They live in an environment of their own (``make bench`` makes ``.venv-bench``, or name its Python in
VOXELMORPH_BENCH_PYTHON); without it these tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pipeline.conventions import cases
from VoxelMorphRegistrationLib.files.fields import read_raw_field
from VoxelMorphRegistrationLib.files.transforms import read_affine
from VoxelMorphRegistrationLib.files.volumes import read_volume, write_volume
from VoxelMorphRegistrationLib.pipeline.conventions.diagnosis import Diagnosis, identify
from VoxelMorphRegistrationLib.pipeline.conventions.writing import write_with_sidecar
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField

HERE = Path(__file__).parent
PYTHON = Path(os.environ.get("VOXELMORPH_BENCH_PYTHON", HERE.parents[2] / ".venv-bench" / "bin" / "python"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[cases.Case, Path]:
    if not PYTHON.exists():
        pytest.skip(f"needs antspyx and itk-elastix in an environment of their own; {PYTHON} is not there")
    pytest.importorskip("openvino", reason="the fields are made with the OpenVINO engine, which is not installed")
    folder, case = tmp_path_factory.mktemp("programs"), cases.case("vxm oblique")
    write_volume(case.fixed, folder / "fixed.nii")
    write_volume(case.moving, folder / "moving.nii")
    return case, folder


def run(program: str, command: str, folder: Path, *rest: str) -> None:
    script = HERE / f"with_{program}.py"
    arguments = [str(PYTHON), str(script), command, str(folder / "fixed.nii"), str(folder / "moving.nii"), *rest]
    environment = os.environ | {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "2"}
    done = subprocess.run(
        arguments, check=False, capture_output=True, text=True, timeout=300, env=environment, cwd=folder
    )
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"{program} is not installed in {PYTHON}")
    assert done.returncode == 0, done.stderr[-2000:]


def alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one[2:-2, 2:-2, 2:-2].ravel(), other[2:-2, 2:-2, 2:-2].ravel())[0, 1])


def diagnosed(case: cases.Case, path: Path) -> Diagnosis:
    return identify(read_raw_field(path), case.fixed, case.moving)


def test_fields_of_ants(pair):
    case, folder = pair
    run("ants", "register", folder, str(folder / "ants_"))
    theirs = read_volume(folder / "ants_warped.nii").array
    diagnosis = diagnosed(case, folder / "ants_1Warp.nii.gz")
    assert diagnosis.accepted, diagnosis.table()
    assert diagnosis.best.convention.components == ("L", "P", "S")
    joined = Deformation(read_affine(folder / "ants_0GenericAffine.mat"), diagnosis.field())
    ours = joined.warp(case.moving, case.fixed.grid).array
    assert alike(ours, theirs) > 0.9995
    composite = diagnosed(case, next(folder.glob("ants_composite*")))
    assert composite.accepted, composite.table()
    assert alike(composite.field().warp(case.moving, case.fixed.grid).array, theirs) > 0.9995


def test_fields_of_elastix(pair):
    case, folder = pair
    run("elastix", "register", folder, str(folder))
    theirs = read_volume(folder / "moved.nii").array
    for name in ("deformationField.mha", "deformationField.nii.gz"):
        diagnosis = diagnosed(case, folder / name)
        assert diagnosis.accepted, diagnosis.table()
        assert diagnosis.best.convention.components == ("L", "P", "S")
        ours = diagnosis.field().warp(case.moving, case.fixed.grid).array
        assert alike(ours, theirs) > 0.998  # elastix interpolates with B-splines


@pytest.mark.parametrize(("program", "suffix"), [("ants", ".nii.gz"), ("ants", ".h5"), ("elastix", ".h5")])
def test_our_files_are_applied_alike(pair, tmp_path, program, suffix):
    case, folder = pair
    path, out = tmp_path / f"ours{suffix}", tmp_path / "moved.nii"
    write_with_sidecar(case.forward, path)
    run(program, "apply", folder, str(path), str(out))
    ours = DisplacementField(case.forward.vectors, case.forward.grid).warp(case.moving, case.fixed.grid).array
    theirs = read_volume(out).array
    assert alike(ours, theirs) > 0.9999
    assert np.abs(ours - theirs)[2:-2, 2:-2, 2:-2].mean() < 2e-3 * ours.max()
