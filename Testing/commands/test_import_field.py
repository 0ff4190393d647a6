"""``import-field`` and ``diagnose``: exit codes, evidence as table and JSON, files that mean the same to others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pipeline.conventions import cases
from pipeline.conventions.matrix import RIGHT
from VoxelMorphRegistrationLib.commands.main import main
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.fields import read_raw_field
from VoxelMorphRegistrationLib.files.transforms import read_affine
from VoxelMorphRegistrationLib.files.volumes import read_volume, write_volume
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention, letters
from VoxelMorphRegistrationLib.pipeline.conventions.diagnosis import identify
from VoxelMorphRegistrationLib.pipeline.conventions.writing import SUFFIXES, write_as, write_with_sidecar
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    pytest.importorskip("openvino", reason="the fields are made with the OpenVINO engine, which is not installed")
    pair, folder = cases.case("vxm oblique"), tmp_path_factory.mktemp("pair")
    write_volume(pair.fixed, folder / "fixed.nii")
    write_volume(pair.moving, folder / "moving.nii")
    np.save(folder / "warp.npy", cases.stored(pair, "VoxelMorph torch")[0][None])
    return {name: str(folder / name) for name in ("fixed.nii", "moving.nii", "warp.npy")}


def inputs(files: dict[str, str], *more: str, moving: bool = True) -> list[str]:
    given = [files["warp.npy"], "--fixed", files["fixed.nii"]]
    return [*given, *(["--moving", files["moving.nii"]] if moving else []), *more]


@pytest.mark.parametrize("suffix", [".h5", ".nrrd", ".mha", ".nii.gz"])
def test_what_is_imported_is_applied_alike_by_simpleitk(files, tmp_path, capsys, suffix):
    pair, out = cases.case("vxm oblique"), tmp_path / f"t{suffix}"
    assert main(["import-field", *inputs(files, "--transform", str(out), "--moved", str(tmp_path / "m.nii"))]) == 0
    assert "Accepted: displacements in voxels along i j k" in capsys.readouterr().out
    if suffix == ".h5":
        transform = sitk.ReadTransform(str(out))
    else:
        transform = sitk.DisplacementFieldTransform(sitk.ReadImage(str(out), sitk.sitkVectorFloat64))
    moving = sitk.ReadImage(files["moving.nii"])
    theirs = sitk.GetArrayFromImage(sitk.Resample(moving, sitk.ReadImage(files["fixed.nii"]), transform)).T
    ours = pair.forward.warp(pair.moving).array
    assert np.abs(theirs - ours).mean() < 1e-3 * ours.max()
    moved = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "m.nii"))).T
    assert np.abs(moved - ours).mean() < 1e-3 * ours.max()
    sidecar = json.loads((tmp_path / f"t{suffix}.json").read_text())
    assert sidecar["source"] == "warp.npy"
    assert sidecar["convention"]["units"] == "mm"


def test_without_the_moving_volume_it_asks_and_writes_nothing(files, tmp_path, capsys):
    out = tmp_path / "t.nrrd"
    assert main(["import-field", *inputs(files, "--transform", str(out), moving=False)]) == 2
    said = capsys.readouterr()
    assert "What would settle it:" in said.out
    assert "the moving volume" in said.out
    assert "Not accepted" in said.err
    assert not list(tmp_path.iterdir())


def test_options_settle_it(files, tmp_path):
    out = tmp_path / "t.npz"
    options = ["--units", "voxel", "--components", "ijk", "--transform", str(out)]
    assert main(["import-field", *inputs(files, *options, moving=False)]) == 0
    pair = cases.case("vxm oblique")
    found = identify(read_raw_field(out), pair.fixed)  # the sidecar tells all
    assert found.accepted
    assert pair.error(found.field(), pair.forward) < 1e-3


def test_the_model_is_noted_beside_the_field_and_stays_so(files, tmp_path):
    first, second = tmp_path / "t.npz", tmp_path / "again.npz"
    options = ["--units", "voxel", "--components", "ijk", "--transform", str(first), "--model", "my network"]
    assert main(["import-field", *inputs(files, *options, moving=False)]) == 0
    assert main(["import-field", str(first), "--fixed", files["fixed.nii"], "--transform", str(second)]) == 0
    assert json.loads((tmp_path / "again.npz.json").read_text())["model"] == "my network"


def test_the_way_back_to_voxelmorph_from_the_command_line(files, tmp_path):
    out, back = tmp_path / "t.nrrd", tmp_path / "warp.npz"
    options = ["--units", "voxel", "--components", "ijk", "--transform", str(out), "--voxelmorph", str(back)]
    assert main(["import-field", *inputs(files, *options, moving=False)]) == 0
    np.testing.assert_allclose(np.load(back)["vol"], np.load(files["warp.npy"])[0], atol=1e-3)
    sidecar = json.loads((tmp_path / "warp.npz.json").read_text())
    assert (
        sidecar["convention"] | {"units": "voxel", "layout": "first", "direction": "resampling"}
        == sidecar["convention"]
    )
    assert sidecar["grid"]["shape"] == list(cases.case("vxm oblique").fixed.grid.shape)
    assert {"VoxelMorphRegistration", "numpy"} <= set(sidecar["written_by"])
    assert main(["import-field", *inputs(files, *options[:-1], str(tmp_path / "warp.mat"), moving=False)]) == 5


def test_a_listed_candidate_can_be_taken(files, tmp_path):
    out = tmp_path / "t.nrrd"
    assert main(["import-field", *inputs(files, "--take", "1", "--transform", str(out), moving=False)]) == 0
    assert out.exists()
    assert main(["import-field", *inputs(files, "--take", "99", "--transform", str(out), moving=False)]) == 2


def test_json_is_one_object(files, tmp_path, capsys):
    assert main(["diagnose", *inputs(files, "--json")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["accepted"]
    assert report["ok"]
    assert report["taken"]["units"] == "voxel"
    assert report["candidates"][0]["similarity"] > report["similarity_before"]
    assert len(report["candidates"]) > 3
    assert main(["diagnose", *inputs(files, "--json", moving=False)]) == 2
    assert not json.loads(capsys.readouterr().out)["ok"]


def test_a_wrong_option_is_said(files, capsys):
    assert main(["diagnose", *inputs(files, "--components", "xyz")]) == 2
    assert "'xyz' names no three axes" in capsys.readouterr().err


def test_repairs_are_done_and_reported(files, tmp_path, capsys):
    out, affine = tmp_path / "t.nrrd", tmp_path / "a.tfm"
    options = ["--split-affine", str(affine), "--taper", "10", "--unfold", "--transform", str(out)]
    assert main(["import-field", *inputs(files, *options)]) == 0
    said = capsys.readouterr().out
    assert "linear part split off" in said
    assert "faded to zero over 10 mm" in said
    assert np.linalg.det(read_affine(affine)[:3, :3]) > 0.5


def small_field() -> DisplacementField:
    grid = Grid((9, 8, 7), np.array([[0, -1.5, 0, 10], [1.2, 0, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1.0]]))
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    waves = [np.sin(index @ np.array(way) + n) * (n + 1) for n, way in enumerate(np.eye(3) / 3 + 0.05)]
    return DisplacementField(np.stack(waves, -1).astype(np.float32), grid)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_we_write_with_a_sidecar_is_read_without_guessing(tmp_path, suffix):
    field = small_field()
    write_with_sidecar(field, tmp_path / f"w{suffix}", source="test", model="none")
    raw = read_raw_field(tmp_path / f"w{suffix}")
    assert all(raw.hint(about).sure for about in ("components", "units", "content", "direction"))
    fixed = bridge.scalar_to_sitk(np.ones(field.grid.shape, np.float32), field.grid)
    sitk.WriteImage(fixed, tmp_path / "fixed.nrrd")
    assert main(["diagnose", str(tmp_path / f"w{suffix}"), "--fixed", str(tmp_path / "fixed.nrrd")]) == 0
    found = identify(raw, read_volume(tmp_path / "fixed.nrrd"))
    assert found.accepted
    np.testing.assert_allclose(found.field().resampled(field.grid).vectors, field.vectors, atol=1e-4)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".nii.gz", ".nii"])
@pytest.mark.parametrize(
    "convention",
    [Convention(layout="first"), Convention(), Convention(letters("kji"), axes=letters("kji"), layout="first")],
)
def test_the_way_back_to_voxelmorph(tmp_path, suffix, convention):
    """VoxelMorph's own array, by hand: voxels, u_voxel = M^-1 u_ras."""
    field = small_field()
    if convention.axes != ("i", "j", "k") and suffix.startswith(".nii"):
        pytest.skip("NIfTI files have the array order of their grid")
    write_as(field, tmp_path / f"warp{suffix}", convention)
    voxels = field.vectors @ np.linalg.inv(field.grid.axes).T
    raw = read_raw_field(tmp_path / f"warp{suffix}")
    array = raw.array if convention.layout == "last" else np.moveaxis(raw.array, 0, -1)
    if convention.axes[0] == "k":
        voxels = voxels.transpose(2, 1, 0, 3)[..., ::-1]
    np.testing.assert_allclose(array, voxels, atol=1e-5)
    back = Convention.from_text({h.about: h.value for h in raw.hints} | {"placement": "fixed"})
    np.testing.assert_allclose(back.apply(raw, field.grid).vectors, field.vectors, atol=1e-4)


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(InputError, match="are written to"):
        write_as(small_field(), tmp_path / "w.nrrd", Convention())
    assert not list(Path(tmp_path).iterdir())


def test_right_is_strict_enough():
    """The bar of the matrix lies well below what the mildest wrong convention does."""
    assert RIGHT < 0.15
