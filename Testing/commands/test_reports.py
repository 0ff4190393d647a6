"""``--report`` of the commands: what is written where, and what happens where it cannot be."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from pipeline.batch.small_cases import write_small_cases
from pipeline.known_networks import write_vxm_dense
from pipeline.sequence.breathing import breathing_phantom
from VoxelMorphRegistrationLib.commands.main import main
from VoxelMorphRegistrationLib.files.transforms import write_affine
from VoxelMorphRegistrationLib.files.volumes import write_labels, write_volume
from VoxelMorphRegistrationLib.network.engines import available_engines
from VoxelMorphRegistrationLib.network.weights import file_sha256

COUNT = 3


@pytest.fixture(scope="module", autouse=True)
def _an_engine() -> None:
    if not available_engines():
        pytest.skip("no inference engine is installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Frames of a small phantom that breathes, its labels, and a network."""
    made = tmp_path_factory.mktemp("reports")
    breath = breathing_phantom(COUNT, (32, 32, 32), 6.0)
    (made / "frames").mkdir()
    for n in range(COUNT):
        write_volume(breath.image(n), made / "frames" / f"{n}.nrrd")
    write_labels(breath.labels, made / "labels.nrrd")
    write_vxm_dense(made / "model.h5", kernel=0.02)
    return made


def pair(folder: Path, *more: str) -> list[str]:
    volumes = ["--fixed", str(folder / "frames" / "0.nrrd"), "--moving", str(folder / "frames" / "1.nrrd")]
    model = ["--model", str(folder / "model.h5"), "--resolution", "quarter", "--pre-align", "none"]
    return ["register", *volumes, *model, *more]


def test_a_report_of_a_pair(folder, tmp_path, capsys):
    report = tmp_path / "a & b.html"
    assert main(pair(folder, "--report", str(report), "--json")) == 0
    assert json.loads(capsys.readouterr().out)["outputs"] == {"report": str(report)}
    page = report.read_text(encoding="utf-8")
    for source in ("frames/0.nrrd", "frames/1.nrrd", "model.h5"):
        assert file_sha256(folder / source) in page, source
    command = re.search(r"<pre>(.*?)</pre>", page, re.DOTALL)
    assert command is not None
    assert command[1].startswith("voxelmorph-registration register --fixed ")
    assert command[1].endswith("a &amp; b.html' --json")
    assert page.count('href="data:image/png') == 18


def test_a_report_that_cannot_be_written_stops_before_anything_is_done(folder, tmp_path, capsys):
    assert main(pair(folder, "--report", str(tmp_path / "nowhere" / "r.html"))) == 5
    said = capsys.readouterr().err
    assert "does not exist; make it first" in said
    assert "Reading" not in said
    assert main(["sequence", str(folder / "frames"), "--output", str(tmp_path / "s"), "--report", str(tmp_path)]) == 5
    assert "Looking at the sequence" not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_report_of_a_check(folder, tmp_path, capsys):
    matrix = np.eye(4)
    matrix[0, 3] = 4.0
    write_affine(matrix, tmp_path / "t.tfm")
    labels = ["--fixed-labels", str(folder / "labels.nrrd"), "--moving-labels", str(folder / "labels.nrrd")]
    volumes = pair(folder)[1:5]
    asked = ["check", *volumes, "--transform", str(tmp_path / "t.tfm"), *labels, "--report", str(tmp_path / "r.html")]
    assert main(asked) == 0
    assert "r.html" in capsys.readouterr().out
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Mean Dice" in page
    assert file_sha256(tmp_path / "t.tfm") in page


def test_a_report_of_a_sequence(folder, tmp_path, capsys):
    labels = ["--reference", "0", "--labels", str(folder / "labels.nrrd")]
    model = ["--model", str(folder / "model.h5"), "--resolution", "quarter"]
    assert main(["sequence", str(folder / "frames"), "--output", str(tmp_path / "out"), *model, *labels]) == 0
    assert "report.html" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for told in (
        "Volume of the structures",
        "Similarity to the reference",
        "Frame 1: similarity",
        "Frame 2: similarity",
    ):
        assert told in page, told
    assert page.count("<circle") == COUNT * (2 + 2 + 1 + 3)
    assert page.count('class="viewer') == 2


def test_reports_of_a_batch(tmp_path, capsys):
    pytest.importorskip("distributed", reason="needs Dask (pip install distributed)")
    cases = write_small_cases(tmp_path, 2, {"outputs": "transform.h5 report.html"})
    with cases.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    (tmp_path / "broken.nii.gz").write_bytes(b"nothing")
    rows[1]["moving"] = "broken.nii.gz"
    with cases.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert main(["batch", str(cases), "--output", str(tmp_path / "out"), "--workers", "1", "--quiet"]) == 6
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert 'href="cases/case-0000/report.html"' in page
    assert (tmp_path / "out" / "cases" / "case-0000" / "report.html").exists()
    assert page.index("case-0001") < page.index("case-0000")  # the failed one first
    assert "1 of 2 cases have no whole result" in page
    assert "broken.nii.gz" in page
