"""``check``: the table that a person reads, the JSON for machines, maps as files, bad input in one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pipeline.small_pair import small_volume
from VoxelMorphRegistrationLib.commands.main import main
from VoxelMorphRegistrationLib.files.transforms import write_affine, write_field
from VoxelMorphRegistrationLib.files.volumes import read_volume, write_labels, write_volume
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid

SHIFT = np.array([12.0, 0, 0])


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pair")
    fixed, moving = small_volume("fixed"), small_volume("moving", SHIFT[0])
    write_volume(fixed, folder / "fixed.nii")
    write_volume(moving, folder / "moving.nii")
    for volume, name in ((fixed, "fixed_labels.nii"), (moving, "moving_labels.nii")):
        write_labels(volume.with_array((volume.array > 600).astype(np.uint8) * 17), folder / name)
    (folder / "names.txt").write_text("17 Hippocampus 220 216 20 0\n")
    matrix = np.eye(4)
    matrix[:3, 3] = SHIFT
    write_affine(matrix, folder / "shift.tfm")
    write_affine(np.linalg.inv(matrix), folder / "back.tfm")
    coarse = Grid((4, 4, 4), np.diag([60.0, 60, 60, 1]) + np.array([[0, 0, 0, -90]] * 3 + [[0, 0, 0, 0]]))
    write_field(
        DisplacementField(np.zeros((4, 4, 4, 3), np.float32) + SHIFT.astype(np.float32), coarse), folder / "f.h5"
    )
    write_field(
        DisplacementField(np.zeros((4, 4, 4, 3), np.float32) - SHIFT.astype(np.float32), coarse), folder / "w.h5"
    )
    (folder / "fixed.csv").write_text("r,a,s,label\n0,0,0,top\n20,10,5,nose\n")
    (folder / "moving.csv").write_text("label,r,a,s\nnose,32,10,5\ntop,13,0,0\n")
    return {path.name: str(path) for path in folder.iterdir()}


def arguments(files: dict[str, str], transform: str = "shift.tfm", **more: str) -> list[str]:
    given = ["check", "--fixed", files["fixed.nii"], "--moving", files["moving.nii"], "--transform", files[transform]]
    for name, value in more.items():
        given += [f"--{name.replace('_', '-')}", files.get(value, value)]
    return given


def everything(files: dict[str, str], **more: str) -> list[str]:
    return arguments(
        files,
        fixed_labels="fixed_labels.nii",
        moving_labels="moving_labels.nii",
        label_names="names.txt",
        fixed_points="fixed.csv",
        moving_points="moving.csv",
        inverse="back.tfm",
        **more,
    )


def test_a_person_reads_the_verdict_first(files, capsys):
    assert main(everything(files)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("GOOD, as far as was measured: Nothing that was measured speaks against")
    text = "\n".join(lines)
    assert "moving.nii (moving) to fixed.nii (fixed) by shift.tfm" in text
    assert "Nothing folds" in text
    (structure,) = (line.split() for line in lines if line.strip().startswith("Hippocampus"))
    assert structure[2] == "12.00"
    (nose,) = (line.split() for line in lines if line.strip().startswith("nose"))
    assert nose == ["nose", "12.00", "0.00"]
    (top,) = (line.split() for line in lines if line.strip().startswith("top"))
    assert top == ["top", "13.00", "1.00"]
    assert "Not measured" not in text
    assert all(len(line) <= 180 for line in lines)


def test_a_machine_reads_json(files, capsys):
    assert main([*everything(files), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"]
    assert found["level"] == "good"
    assert found["structures"][0]["name"] == "Hippocampus"
    assert found["structures"][0]["overlap"]["dice"]["after"] > 0.9
    assert found["landmarks"]["max_mm"]["after"] == pytest.approx(1, abs=1e-6)
    assert found["inverse_consistency"]["max_mm"] == pytest.approx(0, abs=1e-4)
    assert main([*arguments(files, "w.h5"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["level"] == "bad"
    assert "diagnose" in found["verdict"]
    assert found["structures"] == []


def test_what_was_not_measured_is_said(files, capsys):
    assert main([*arguments(files, "f.h5"), "--quiet"]) == 0
    out = capsys.readouterr()
    assert "Not measured: overlap of structures (needs labels of both volumes); landmark error" in out.out
    assert out.err == ""


def test_maps_lie_on_the_fixed_volume(files, tmp_path):
    maps = {name: str(tmp_path / f"{name}.nii.gz") for name in ("jacobian", "magnitude", "inverse_error")}
    assert main(everything(files, **maps)) == 0
    fixed = read_volume(files["fixed.nii"])
    for name, value in (("jacobian", 1.0), ("magnitude", 12.0)):
        image = read_volume(maps[name])
        assert image.grid.is_same(fixed.grid)
        assert image.array == pytest.approx(value, abs=1e-3)
    error = read_volume(maps["inverse_error"]).array
    assert error.max() < 1e-3
    assert error.min() in (-1, pytest.approx(0, abs=1e-3))


def test_several_transforms_in_ants_order(files, capsys):
    given = [*arguments(files), files["shift.tfm"], "--json"]
    given.insert(given.index("--transform") + 1, given.pop(-2))
    assert main(given) == 0
    assert json.loads(capsys.readouterr().out)["displacement"]["mean_mm"] == pytest.approx(24, abs=1e-3)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"inverse_error": "e.nii"}, "--inverse-error needs --inverse"),
        ({"fixed_points": "fixed.csv"}, "needed on both sides"),
        ({"moving_labels": "moving_labels.nii"}, "give the fixed labels, too"),
        ({"fixed_labels": "fixed.csv"}, "no known format"),
        ({"fixed_labels": "nowhere.nii"}, "does not exist"),
        ({"jacobian": "nowhere/j.nii"}, "does not exist"),
        ({"jacobian": "j.xyz"}, "cannot be written in this format"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(files, tmp_path, monkeypatch, capsys, more, sentence):
    monkeypatch.chdir(tmp_path)
    assert main(arguments(files, magnitude="m.nii", **more)) in (2, 5)
    error = capsys.readouterr().err.splitlines()
    assert sentence in error[-1]
    assert list(tmp_path.iterdir()) == []
