"""The command line on real volumes: real runs, in this process where possible and as a command where not."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from shared_data import SHARED_DATA, shared
from VoxelMorphRegistrationLib import __version__
from VoxelMorphRegistrationLib.commands import exit_codes
from VoxelMorphRegistrationLib.commands.main import main
from VoxelMorphRegistrationLib.files.transforms import read_affine, read_field
from VoxelMorphRegistrationLib.files.volumes import read_labels, read_volume, write_volume
from VoxelMorphRegistrationLib.network.catalogue import BRAIN_MODEL, DEFAULT_MODEL
from VoxelMorphRegistrationLib.network.engines import available_engines
from VoxelMorphRegistrationLib.network.weights import file_sha256
from VoxelMorphRegistrationLib.pipeline.model_grid import RESOLUTIONS
from VoxelMorphRegistrationLib.spatial.pre_alignment import KINDS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "VoxelMorphRegistration"

pytestmark = pytest.mark.skipif(not available_engines(), reason="no inference engine is installed here")


def pair() -> list[str]:
    """The arguments of the main pair with the official weights."""
    return [
        *("--fixed", str(shared("vxm_pair/subject_1_t1.nii.gz"))),
        *("--moving", str(shared("vxm_pair/test_scan_t1.nii.gz"))),
        *("--model", str(shared("weights/vxm_dense_brain_T1_3D_mse.h5"))),
    ]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "VoxelMorphRegistrationLib", *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(PACKAGE)}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Path:
    """One real run at half resolution with every output."""
    folder = tmp_path_factory.mktemp("outputs")
    code = main(
        [
            "register",
            *pair(),
            *("--resolution", "half", "--quiet"),
            *("--labels", str(shared("vxm_pair/test_scan_aseg.nii.gz"))),
            *("--transform", str(folder / "t.h5"), "--inverse", str(folder / "inverse.nrrd")),
            *("--moved", str(folder / "moved.nii.gz"), "--moved-labels", str(folder / "labels.nrrd")),
        ]
    )
    assert code == 0
    return folder


def brain_points(number: int = 400) -> np.ndarray:
    """Random voxels of the fixed brain: there, a field on the full grid holds what the network's own says."""
    fixed = read_volume(shared("vxm_pair/subject_1_t1.nii.gz"))
    inside = np.argwhere(fixed.array > 60)
    return fixed.grid.to_ras(np.random.default_rng(1).choice(inside, number, replace=False))


def mean_dice(first: np.ndarray, second: np.ndarray) -> float:
    """Over the 30 structures of VoxelMorph's test script."""
    labels = np.load(shared("vxm_pair/labels.npz"))
    scores = []
    for label in np.unique(labels[labels.files[0]]):
        a, b = first == label, second == label
        if label and a.any():
            scores.append(2 * (a & b).sum() / (a.sum() + b.sum()))
    assert len(scores) == 30
    return float(np.mean(scores))


class TestResults:
    def test_the_anatomy_comes_together(self, outputs):
        fixed = read_labels(shared("vxm_pair/subject_1_aseg.nii.gz"))
        before = read_labels(shared("vxm_pair/test_scan_aseg.nii.gz"))
        moved = read_labels(outputs / "labels.nrrd")
        assert moved.grid.is_same(fixed.grid)
        assert np.isin(moved.array, before.array).all()  # nearest neighbour: no new labels
        assert mean_dice(fixed.array, moved.array) > 0.68 > mean_dice(fixed.array, before.array) + 0.05

    def test_simpleitk_moves_the_volume_as_we_did(self, outputs):
        fixed = sitk.ReadImage(str(shared("vxm_pair/subject_1_t1.nii.gz")))
        moving = sitk.ReadImage(str(shared("vxm_pair/test_scan_t1.nii.gz")))
        transform = sitk.ReadTransform(str(outputs / "t.h5"))
        seen = sitk.Resample(sitk.Cast(moving, sitk.sitkFloat32), fixed, transform, sitk.sitkLinear)
        resampled = np.rint(sitk.GetArrayFromImage(seen)).astype(int)
        moved = sitk.ReadImage(str(outputs / "moved.nii.gz"))
        assert moved.GetPixelID() == moving.GetPixelID()  # bytes stay bytes
        difference = np.abs(resampled - sitk.GetArrayFromImage(moved).astype(int))
        assert difference.mean() < 0.001
        assert difference.max() <= 1
        assert np.abs(resampled - sitk.GetArrayFromImage(moving).astype(int)).mean() > 2  # it did move

    def test_slicer_reads_the_same_meaning(self, scene, outputs):
        from host.scene import read_node_file

        node = read_node_file(outputs / "t.h5", "vtkMRMLTransformNode")
        grid_transform = node.GetTransformFromParent()
        grid_transform.SetInterpolationModeToLinear()
        points = brain_points(100)
        found = np.array([grid_transform.TransformPoint(p) for p in points])
        assert np.abs(found - read_field(outputs / "t.h5").map_points(points)).max() < 1e-3

    def test_the_inverse_takes_moving_points_back(self, outputs):
        points = brain_points()
        in_moving = read_field(outputs / "t.h5").map_points(points)
        assert np.linalg.norm(in_moving - points, axis=1).max() > 2
        inverse = read_field(outputs / "inverse.nrrd")
        assert inverse.grid.is_same(read_volume(shared("vxm_pair/test_scan_t1.nii.gz")).grid)
        error = np.linalg.norm(inverse.map_points(in_moving) - points, axis=1)
        assert np.median(error) < 0.2  # at half resolution the field is integrated on 4 mm voxels
        assert np.quantile(error, 0.98) < 1.0

    def test_the_affine_apart_and_the_network_grid_say_the_same(self, outputs, tmp_path):
        files = {name: tmp_path / name for name in ("t.nrrd", "a.tfm", "compact.nii.gz", "compact_inverse.mha")}
        common = ["register", *pair(), "--resolution", "half", "--quiet"]
        apart = ["--transform", str(files["t.nrrd"]), "--affine", str(files["a.tfm"])]
        assert main([*common, *apart]) == 0
        compact = ["--transform", str(files["compact.nii.gz"]), "--inverse", str(files["compact_inverse.mha"])]
        assert main([*common, "--grid", "network", *compact]) == 0
        points = brain_points()
        expected = read_field(outputs / "t.h5").map_points(points)
        affine = read_affine(files["a.tfm"])
        joined = read_field(files["t.nrrd"]).map_points(points) @ affine[:3, :3].T + affine[:3, 3]
        assert np.abs(joined - expected).max() < 0.01
        assert not np.allclose(affine, np.eye(4), atol=1e-3)
        small = read_field(files["compact.nii.gz"])
        assert np.abs(small.map_points(points) - expected).max() < 0.01
        assert small.vectors.size < read_field(outputs / "t.h5").vectors.size / 6
        back = read_field(files["compact_inverse.mha"]).map_points(small.map_points(points))
        error = np.linalg.norm(back - points, axis=1)
        assert np.median(error) < 0.3
        assert np.quantile(error, 0.98) < 1.2


def test_json_is_one_object_and_other_formats_give_the_same(tmp_path, capfd):
    engine = next(iter(available_engines()))
    fixed = read_volume(shared("vxm_pair/subject_1_t1.nii.gz"))
    moving = read_volume(shared("vxm_pair/test_scan_t1.nii.gz"))
    write_volume(fixed, tmp_path / "fixed.mgz")
    np.savez(tmp_path / "moving.npz", vol=moving.array, affine=moving.grid.ijk_to_ras)
    told = []
    for fixed_name, moving_name in (
        (shared("vxm_pair/subject_1_t1.nii.gz"), shared("vxm_pair/test_scan_t1.nii.gz")),
        (tmp_path / "fixed.mgz", tmp_path / "moving.npz"),
    ):
        arguments = ["--fixed", str(fixed_name), "--moving", str(moving_name), "--engine", engine, "--json"]
        model = ["--model", str(shared("weights/vxm_dense_brain_T1_3D_mse.h5")), "--resolution", "quarter"]
        assert main(["register", *arguments, *model, "--moved", str(tmp_path / "moved.nrrd")]) == 0
        told.append(json.loads(capfd.readouterr().out))
    first, second = told
    assert first["ok"] is True
    assert first["version"] == __version__
    assert first["engine"] == engine
    assert first["outputs"] == {"moved": str(tmp_path / "moved.nrrd")}
    assert first["similarity_after"] > first["similarity_before"] + 0.1
    assert second["similarity_after"] == pytest.approx(first["similarity_after"], abs=1e-3)
    assert {"reading", "network", "writing", "total"} <= set(first["seconds"])
    assert np.shape(first["affine_ras"]) == (4, 4)


class TestMessages:
    def arguments(self, tmp_path: Path) -> list[str]:
        return [
            "register",
            *pair(),
            "--resolution",
            "quarter",
            "--pre-align",
            "centre",
            "--moved",
            str(tmp_path / "m.mha"),
        ]

    def test_a_summary_for_somebody_in_a_hurry(self, tmp_path, capsys):
        assert main(self.arguments(tmp_path)) == 0
        told = capsys.readouterr()
        assert told.out.startswith("Registered test_scan_t1.nii.gz (moving) to subject_1_t1.nii.gz (fixed).")
        for word in ("Similarity", "more alike than before", "Folding", "Time", str(tmp_path / "m.mha")):
            assert word in told.out
        lines = told.err.splitlines()
        assert any(line.startswith("Network (") for line in lines)
        assert lines[-1] == "Writing the results"
        assert "Done" not in lines
        assert "\r" not in told.err
        assert len(lines) < 20

    def test_quiet(self, tmp_path, capsys):
        assert main([*self.arguments(tmp_path), "--quiet"]) == 0
        told = capsys.readouterr()
        assert told.out == ""
        assert "Network" not in told.err

    def test_warnings_are_told(self, tmp_path, capsys):
        """A labelmap in place of a scan: what the file brings along and what the model thinks of it."""
        moving = read_volume(shared("vxm_pair/test_scan_t1.nii.gz"))
        np.savez(tmp_path / "moving.npz", vol=moving.array)  # without its affine
        arguments = self.arguments(tmp_path)
        arguments[arguments.index("--moving") + 1] = str(tmp_path / "moving.npz")
        assert main(arguments) == 0
        told = capsys.readouterr().out
        assert "Please check:" in told
        assert "moving.npz brings no geometry" in told

    @pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX pseudo-terminal")
    def test_a_bar_on_a_terminal(self, tmp_path):
        import pty

        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            command(*self.arguments(tmp_path)), stdout=subprocess.PIPE, stderr=theirs, env=environment()
        )
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # Linux: the other end is closed
            pass
        out, _ = process.communicate(timeout=60)
        os.close(ours)
        assert process.returncode == 0
        bars = shown.decode().split("\r")
        assert any(bar.startswith("[####") and "Network" in bar for bar in bars)
        assert bars[-1] == ""  # the bar was removed
        assert all(len(bar) < 80 for bar in bars)
        assert out.decode().startswith("Registered")


class TestLightness:
    def test_help_imports_nothing_heavy(self):
        code = (
            "import sys\nfrom VoxelMorphRegistrationLib.commands.main import _parser\n_parser()\n"
            "print(sorted({'numpy', 'SimpleITK', 'openvino', 'tensorflow', 'h5py', 'nibabel'} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]"

    def test_a_registration_with_openvino_never_imports_tensorflow(self, tmp_path):
        if "openvino" not in available_engines():
            pytest.skip("OpenVINO is not installed here")
        arguments = ["register", *pair(), "--engine", "openvino", "--resolution", "quarter", "--pre-align", "none"]
        code = (
            "import sys\nfrom VoxelMorphRegistrationLib.commands.main import main\n"
            f"assert main({[*arguments, '--quiet', '--transform', str(tmp_path / 't.h5')]!r}) == 0\n"
            "print(sorted({'tensorflow', 'slicer', 'vtk'} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]"

    def test_the_choices_are_those_of_the_library(self, capsys):
        with pytest.raises(SystemExit):
            main(["register", "--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert f"{{{','.join(KINDS)}}}" in text
        assert f"{{{','.join(RESOLUTIONS)}}}" in text
        assert f"(default: {DEFAULT_MODEL})" in text
        for engine in available_engines():
            assert engine in text

    def test_version(self, capsys):
        with pytest.raises(SystemExit) as left:
            main(["--version"])
        assert left.value.code == 0
        assert capsys.readouterr().out == f"voxelmorph-registration {__version__}\n"


def small_volume(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> str:
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return str(path)


def noise(shape=(40, 40, 40)) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(np.float32)


class TestRefusals:
    """Each with its own sentence and exit code, and nothing left behind."""

    @pytest.fixture
    def refused(self, tmp_path, capsys):
        folder = tmp_path / "out"
        folder.mkdir()

        def run(code: int, sentence: str, *changes: str, output: str | None = None) -> None:
            target = output or str(folder / "t.h5")
            arguments = ["register", *pair(), "--resolution", "quarter", "--transform", target, *changes]
            before = sorted(folder.iterdir())
            assert main(arguments) == code
            told = capsys.readouterr()
            last = told.err.splitlines()[-1]
            assert last.startswith("voxelmorph-registration: ")
            assert sentence in last
            assert told.out == ""
            assert sorted(folder.iterdir()) == before

        return run

    def test_files(self, refused, tmp_path):
        refused(2, "does not exist", "--moving", str(tmp_path / "none.nii.gz"))
        (tmp_path / "bad.nii.gz").write_bytes(shared("vxm_pair/test_scan_t1.nii.gz").read_bytes()[:100_000])
        refused(2, "incomplete", "--moving", str(tmp_path / "bad.nii.gz"))
        (tmp_path / "text.nrrd").write_text("hello")
        refused(2, "damaged, incomplete, or not what its name says", "--fixed", str(tmp_path / "text.nrrd"))
        refused(2, "in no known format", "--fixed", __file__)
        refused(2, "holds no DICOM images", "--fixed", str(tmp_path))
        refused(2, "does not exist", "--fixed-mask", str(tmp_path / "none.nii.gz"))

    def test_volumes(self, refused, tmp_path):
        refused(2, "has 7 frames", "--moving", str(shared("fourD/greedy_img4d.nii.gz")))
        refused(2, "is 2-D", "--moving", small_volume(tmp_path / "flat.nii", noise((40, 40))))
        spoiled = noise()
        spoiled[3, 4, 5] = np.nan
        refused(2, "not finite", "--moving", small_volume(tmp_path / "nan.nii", spoiled))
        refused(2, "one value only", "--moving", small_volume(tmp_path / "same.nii", np.ones((40, 40, 40), np.int16)))
        away = np.eye(4)
        away[:3, 3] = 5000
        far = small_volume(tmp_path / "far.nii", noise(), away)
        refused(2, "do not overlap in space", "--moving", far, "--pre-align", "none")
        refused(2, "is not a labelmap", "--fixed-mask", small_volume(tmp_path / "m.nii", noise()))
        refused(
            2, "is empty inside", "--moving-mask", small_volume(tmp_path / "e.nii", np.ones((9, 9, 9), np.uint8), away)
        )

    def test_models(self, refused, tmp_path):
        refused(3, 'There is no model "nobody-knows"', "--model", "nobody-knows")
        refused(3, "none.h5", "--model", str(tmp_path / "none.h5"))
        whole = shared("weights/vxm_dense_brain_T1_3D_mse.h5").read_bytes()
        (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
        refused(3, "cut.h5", "--model", str(tmp_path / "cut.h5"))

    def test_outputs(self, refused, tmp_path):
        refused(5, "end the file name with one of .h5", output=str(tmp_path / "t.xyz"))
        refused(5, "does not exist; make it first", output=str(tmp_path / "nowhere" / "t.h5"))
        (tmp_path / "folder.h5").mkdir()
        refused(5, "is a folder; give a file name in it", output=str(tmp_path / "folder.h5"))
        same = str(tmp_path / "out" / "x.nrrd")
        refused(2, "are the same file", "--moved", same, output=same)
        copy = tmp_path / "moving.nii.gz"
        shutil.copy(shared("vxm_pair/test_scan_t1.nii.gz"), copy)
        refused(2, "--moved and --moving are the same file", "--moving", str(copy), "--moved", str(copy))
        assert copy.stat().st_size == shared("vxm_pair/test_scan_t1.nii.gz").stat().st_size

    def test_a_disk_that_fills_up(self, tmp_path, capsys):
        folder = tmp_path / "small"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("may not mount a small file system here")
        try:
            run = ["register", *pair(), "--resolution", "quarter", "--pre-align", "none"]
            code = main([*run, "--moved", str(folder / "m.nii.gz"), "--transform", str(folder / "t.h5")])
            assert code == 5
            assert "The disk is full" in capsys.readouterr().err
            assert list(folder.iterdir()) == []
        finally:
            subprocess.run(["umount", folder], check=True)

    def test_usage(self, tmp_path, capsys):
        for arguments, sentence in (
            ([*pair()], "nothing to write: give at least one of"),
            ([*pair(), "--moved-labels", str(tmp_path / "l.nrrd")], "--labels and --moved-labels need each other"),
            ([*pair(), "--moved", "m.nrrd", "--resolution", "eighth"], "invalid choice: 'eighth'"),
            (["--fixed", "f.nrrd"], "the following arguments are required: --moving"),
        ):
            with pytest.raises(SystemExit) as left:
                main(["register", *arguments])
            assert left.value.code == 2
            assert sentence in capsys.readouterr().err

    def test_a_refusal_in_json(self, tmp_path, capsys):
        arguments = ["register", *pair(), "--moved", str(tmp_path / "m.mha"), "--json", "--fixed", "nowhere.nii.gz"]
        assert main(arguments) == 2
        told = json.loads(capsys.readouterr().out)
        assert told == {
            "ok": False,
            "exit_code": 2,
            "error": "nowhere.nii.gz does not exist; check the name and the folder.",
        }

    @pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
    @pytest.mark.parametrize(
        ("stop", "stage"), [(signal.SIGINT, "Pre-alignment"), (signal.SIGINT, "Writing"), (signal.SIGTERM, "Network")]
    )
    def test_cancelling_leaves_nothing(self, tmp_path, stop, stage):
        (tmp_path / "t.nrrd").write_text("the old one")
        arguments = ["register", *pair(), "--resolution", "half"]
        files = ["--transform", str(tmp_path / "t.nrrd"), "--moved", str(tmp_path / "m.nii.gz")]
        process = subprocess.Popen(
            command(*arguments, *files, "--inverse", str(tmp_path / "i.nii.gz")),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(stage):
                time.sleep(0.2)
                process.send_signal(stop)
                break
        out, err = process.communicate(timeout=60)
        assert process.returncode == exit_codes.CANCELLED
        assert out == ""
        assert err.splitlines()[-1] == "voxelmorph-registration: Cancelled; nothing was written."
        assert [p.name for p in tmp_path.iterdir()] == ["t.nrrd"]
        assert (tmp_path / "t.nrrd").read_text() == "the old one"


class TestModels:
    @pytest.fixture
    def cache(self, tmp_path, monkeypatch) -> Path:
        monkeypatch.setenv("VOXELMORPH_REGISTRATION_CACHE", str(tmp_path / "cache"))
        (tmp_path / "cache").mkdir()
        return tmp_path / "cache"

    def card(self, cache: Path, url: str, name: str = "my-model") -> None:
        """A user's own card: the shipped one under another name, served from elsewhere."""
        shipped = json.loads((PACKAGE / "Resources" / "Models" / f"{BRAIN_MODEL}.json").read_text())
        weights = shared("weights/vxm_dense_brain_T1_3D_mse.h5")
        changes = {"name": name, "source_url": url, "file_name": f"{name}.h5", "sha256": file_sha256(weights)}
        (cache / f"{name}.json").write_text(json.dumps(shipped | changes))

    def test_download_use_list_and_remove(self, cache, tmp_path, capsys):
        folder = shared("weights/vxm_dense_brain_T1_3D_mse.h5").parent
        handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.card(cache, f"http://127.0.0.1:{server.server_port}/vxm_dense_brain_T1_3D_mse.h5")
            assert main(["models", "list"]) == 0
            assert "my-model: VoxelMorph brain T1 - to be downloaded, 1.3 MB" in capsys.readouterr().out
            assert main(["models", "download", "my-model"]) == 0
            server.shutdown()
        assert "my-model is here and checked" in capsys.readouterr().out
        assert main(["models", "list", "--json"]) == 0
        listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
        assert listed["my-model"]["here"] is True
        assert listed[DEFAULT_MODEL]["default"] is True
        run = ["register", *pair(), "--model", "my-model", "--resolution", "quarter", "--pre-align", "none", "--json"]
        assert main([*run, "--moved", str(tmp_path / "m.mha")]) == 0
        assert json.loads(capsys.readouterr().out)["model"] == "my-model"
        assert main(["models", "remove", "my-model"]) == 0
        assert "was removed" in capsys.readouterr().out
        assert not (cache / "my-model.h5").exists()

    def test_there_may_be_nothing_to_remove(self, cache, capsys):
        assert main(["models", "remove", BRAIN_MODEL]) == 0
        assert "nothing to remove" in capsys.readouterr().out

    def test_offline(self, cache, capsys):
        self.card(cache, "http://127.0.0.1:9/w.h5")
        assert main(["models", "download", "my-model"]) == 3
        assert "cannot be downloaded" in capsys.readouterr().err
        assert [p.name for p in cache.iterdir()] == ["my-model.json"]

    def test_an_unknown_model(self, cache, capsys):
        for action in ("download", "remove"):
            assert main(["models", action, "nobody-knows"]) == 3
            assert 'There is no model "nobody-knows"; the known ones are' in capsys.readouterr().err


def test_the_shared_data_are_where_the_readme_says():
    """So that a green run with everything skipped is noticed by name."""
    if not SHARED_DATA.exists():
        pytest.skip(f"needs {SHARED_DATA}, which is kept beside the project and is not here")
    assert (SHARED_DATA / "vxm_pair").is_dir()
