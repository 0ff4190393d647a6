"""The command ``sequence``: a folder of frames in, results, tables and a summary out; exit codes and sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipeline.known_networks import write_vxm_dense
from pipeline.sequence.breathing import breathing_phantom
from VoxelMorphRegistrationLib.commands.main import main
from VoxelMorphRegistrationLib.files.volumes import write_labels, write_volume
from VoxelMorphRegistrationLib.network.engines import available_engines

COUNT = 4


@pytest.fixture(scope="module", autouse=True)
def _an_engine() -> None:
    if not available_engines():
        pytest.skip("no inference engine is installed")


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sequence")
    breath = breathing_phantom(COUNT, (32, 32, 32), 6.0)
    (folder / "frames").mkdir()
    for n in range(COUNT):
        write_volume(breath.image(n), folder / "frames" / f"{n}.nrrd")
    write_labels(breath.labels, folder / "labels.nrrd")
    write_vxm_dense(folder / "random.h5", kernel=1.0)
    return folder


def command(frames: Path, out: Path, *more: str) -> list[str]:
    model = ["--model", str(frames / "random.h5"), "--resolution", "quarter"]
    return ["sequence", str(frames / "frames"), "--output", str(out), *model, *more]


def test_a_summary_for_somebody_tired(frames, tmp_path, capsys):
    labels = ["--reference", "0", "--labels", str(frames / "labels.nrrd")]
    assert main(command(frames, tmp_path / "out", *labels)) == 0
    said = capsys.readouterr()
    for told in (
        "frames: 4 frames, reference frame 0 (frames are counted from 0).",
        "Asked to carry the reference's segmentation to every frame; every frame to the reference.",
        "3 done now, 0 before, 0 failed",
        "Labels (volume over the frames",
        "Look first at frames",
        "Written to",
    ):
        assert told in said.out
    assert "Frame 3 (3 of 3)" in said.err
    assert (tmp_path / "out" / "labels.seq.nrrd").exists()
    assert (tmp_path / "out" / "motion.csv").exists()
    assert main(command(frames, tmp_path / "out", *labels)) == 0
    assert "0 done now, 3 before, 0 failed" in capsys.readouterr().out
    assert main(command(frames, tmp_path / "out", *labels, "--mode", "chain")) == 2
    assert "made with other settings (mode: reference, now chain)" in capsys.readouterr().err


def test_json_with_a_frame_that_failed(frames, tmp_path, capsys):
    bad = tmp_path / "frames"
    bad.mkdir()
    for path in (frames / "frames").iterdir():
        (bad / path.name).write_bytes(path.read_bytes())
    (bad / "2.nrrd").write_bytes(b"NRRD0004\nnot a volume\n\n")
    arguments = command(frames, tmp_path / "out", "--direction", "hold", "--json", "--mode", "warm", "--reference", "1")
    arguments[1] = str(bad)
    assert main(arguments) == 6
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert (report["ok"], report["exit_code"], report["failed"], report["computed"]) == (False, 6, [2], [0, 3])
    assert "1 of 4 frames failed, the others are done; the same command tries them again. Frame 2:" in said.err
    assert report["frames"][2]["similarity_after"] is None
    assert (tmp_path / "out" / "moved" / "moved_0003.nrrd").exists()  # with hold, without being asked for


def test_what_cannot_be_done_at_all(frames, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command(frames, tmp_path / "a", "--labels", str(frames / "labels.nrrd")))
    assert ended.value.code == 2
    assert "--labels need --reference N" in capsys.readouterr().err
    assert main(command(frames, tmp_path / "b", "--reference", "4")) == 2
    assert "There is no frame 4 in frames; its 4 frames are counted from 0 to 3." in capsys.readouterr().err
    assert main(["sequence", str(tmp_path / "none.nii.gz"), "--output", str(tmp_path / "c")]) == 2
    assert "does not exist" in capsys.readouterr().err
