"""One case: what counts as finished, what is done again, and how a case fails. In this process, with real networks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pipeline.batch.running_batch import PACKAGE
from pipeline.batch.small_cases import MODEL, small_image, write_rows, write_small_cases
from VoxelMorphRegistrationLib.files.transforms import read_field
from VoxelMorphRegistrationLib.files.volumes import read_labels, read_volume, write_labels, write_volume
from VoxelMorphRegistrationLib.network.engines import available_engines
from VoxelMorphRegistrationLib.pipeline.batch import Case, load_results, read_cases
from VoxelMorphRegistrationLib.pipeline.batch.record import Record
from VoxelMorphRegistrationLib.pipeline.batch.work import run_case
from VoxelMorphRegistrationLib.pipeline.sequence import SequenceStore

pytestmark = pytest.mark.skipif("openvino" not in available_engines(), reason="OpenVINO is not installed here")


@pytest.fixture
def folder(tmp_path) -> Path:
    write_small_cases(tmp_path, 1)
    return tmp_path


def the_case(folder: Path, **changed: str) -> Case:
    row = {"name": "x", "fixed": "fixed.nii.gz", "moving": "moving3.nii.gz", "model": MODEL, "resolution": "quarter"}
    (case,) = read_cases(write_rows(folder / "one.csv", [row | {"pre_align": "centre"} | changed]))
    return case


def worked_on(folder: Path, **changed: str) -> Record:
    return run_case(the_case(folder, **changed), str(folder / "out"), 1)


class TestResults:
    def test_what_was_asked_for_is_written_and_described(self, folder):
        asked = "transform.nrrd inverse.h5 moved.nrrd moved_labels.nii.gz"
        record = worked_on(folder, labels="labels3.nii.gz", outputs=asked)
        (case,) = load_results(folder / "out")
        assert case.record == record
        assert {kind: path.name for kind, path in case.files.items()} == {
            name.partition(".")[0]: name for name in asked.split()
        }
        fixed = read_volume(folder / "fixed.nii.gz")
        assert read_volume(case.files["moved"]).grid.is_same(fixed.grid)
        moved_centre = np.argwhere(read_labels(case.files["moved_labels"]).array).mean(axis=0)
        centre = np.argwhere(fixed.array > 0).mean(axis=0)
        assert np.abs(moved_centre - centre).max() < 0.5  # 4 mm apart before, and voxels of 2.5 mm
        assert np.abs(read_field(case.files["transform"]).vectors[..., 0].mean() - 4) < 1
        assert record.quality["similarity_after"] > record.quality["similarity_before"]
        assert record.versions["openvino"]
        assert record.identity.inputs["moving"].path == str(folder / "moving3.nii.gz")
        assert set(record.seconds) > {"reading", "network", "writing", "total"}

    def test_refinement_is_an_option_of_a_case(self, folder):
        plain, refined = worked_on(folder), worked_on(folder, refine_seconds="1")
        assert refined.identity.options["refine_seconds"] == "1"
        assert refined.attempts != plain.attempts
        assert "refinement" in refined.seconds
        assert "refinement" not in plain.seconds

    def test_a_finished_case_is_not_done_again(self, folder):
        first = worked_on(folder)
        stamp = (folder / "out/cases/x/transform.h5").stat().st_mtime_ns
        assert worked_on(folder) == first
        os.utime(folder / "moving3.nii.gz")  # the same content
        assert worked_on(folder) == first
        assert (folder / "out/cases/x/transform.h5").stat().st_mtime_ns == stamp

    def test_what_changed_is_done_again_and_the_old_files_are_gone(self, folder):
        first = worked_on(folder)
        second = worked_on(folder, outputs="transform.nrrd")
        assert second.attempts != first.attempts
        assert not (folder / "out/cases/x/moved.nii.gz").exists()
        write_volume(small_image(2.0), folder / "moving3.nii.gz")
        third = worked_on(folder, outputs="transform.nrrd")
        assert third.quality["similarity_before"] > second.quality["similarity_before"]

    @pytest.mark.parametrize("damage", ["marker gone", "marker cut", "output gone", "output cut"])
    def test_half_a_result_never_counts(self, folder, damage):
        first = worked_on(folder)
        file = folder / "out/cases/x" / ("case.json" if "marker" in damage else "moved.nii.gz")
        file.unlink() if "gone" in damage else file.write_bytes(file.read_bytes()[:-20])
        (folder / "out/cases/x/.partial-1234-moved.nii.gz").write_bytes(b"half")
        second = worked_on(folder)
        assert [attempt.id for attempt in second.attempts][:1] == [first.attempts[0].id]
        assert len(second.attempts) == 2
        assert sorted(path.name for path in (folder / "out/cases/x").iterdir()) == [
            "case.json",
            "moved.nii.gz",
            "started.json",
            "transform.h5",
        ]

    def test_two_processes_at_the_same_case_do_it_once(self, folder):
        """As when Dask takes a worker for lost that still works, and gives its case to another."""
        the_case(folder)
        script = (
            "import sys, json; from VoxelMorphRegistrationLib.pipeline.batch import read_cases;"
            "from VoxelMorphRegistrationLib.pipeline.batch.work import run_case;"
            "print(json.dumps(run_case(read_cases(sys.argv[1])[0], sys.argv[2], 1).to_json()))"
        )
        command = [sys.executable, "-c", script, str(folder / "one.csv"), str(folder / "out")]
        both = [
            subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(PACKAGE)}, stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        first, second = (json.loads(process.communicate(timeout=120)[0]) for process in both)
        assert first == second
        assert len(first["attempts"]) == 1


class TestFailures:
    def test_a_damaged_volume(self, folder):
        (folder / "moving3.nii.gz").write_bytes(b"no volume")
        record = worked_on(folder)
        assert record.status == "failed"
        assert "moving3.nii.gz cannot be read" in record.error
        assert not (folder / "out/cases/x/case.json").exists()
        write_volume(small_image(3.0), folder / "moving3.nii.gz")
        assert worked_on(folder).is_finished  # mended, it is done

    def test_a_volume_that_no_registration_can_use(self, folder):
        flat = small_image(0.0)
        write_volume(flat.with_array(np.zeros_like(flat.array)), folder / "moving3.nii.gz")
        record = worked_on(folder)
        assert "holds one value only" in record.error
        assert record.identity.inputs["moving"].sha256  # it is known of what it failed
        assert record.attempts

    def test_an_input_that_is_gone(self, folder):
        case = the_case(folder)
        (folder / "moving3.nii.gz").unlink()
        assert "cannot be read" in run_case(case, str(folder / "out"), 1).error

    def test_a_folder_that_cannot_be_written(self, folder):
        (folder / "out").write_bytes(b"a file")
        assert "cannot be written" in worked_on(folder).error


class TestSequences:
    @pytest.fixture
    def frames(self, folder) -> Path:
        """Four frames in a folder; the second one cannot be read."""
        (folder / "frames").mkdir()
        for number in range(4):
            write_volume(small_image(float(number)), folder / f"frames/frame{number}.nrrd")
        write_labels(small_image(0.0).with_array((small_image(0.0).array > 0).astype(np.uint8)), folder / "seg.nrrd")
        return folder

    def sequence(self, folder: Path, **changed: str) -> Record:
        row = {"name": "s", "sequence": "frames", "reference": "0", "labels": "seg.nrrd", "model": MODEL}
        (case,) = read_cases(write_rows(folder / "one.csv", [row | {"resolution": "quarter"} | changed]))
        return run_case(case, str(folder / "out"), 1)

    def test_every_frame_has_its_results(self, frames):
        record = self.sequence(frames)
        assert (record.status, record.kind, record.quality["frames"]) == ("finished", "sequence", 4)
        assert record.quality["worst_similarity"] <= record.quality["similarity_after"]
        (case,) = load_results(frames / "out")
        store = SequenceStore(case.sequence_folder)
        assert [each.status for each in store.records()] == ["reference", *["registered"] * 3]
        assert all(read_labels(store.path("labels", number)).array.any() for number in range(4))
        assert self.sequence(frames) == record

    def test_frames_of_a_lost_attempt_are_kept(self, frames):
        self.sequence(frames)
        (frames / "out/cases/s/case.json").unlink()  # as if the worker had been lost before the end
        store = SequenceStore(frames / "out/cases/s/sequence")
        store.path("frame", 2).unlink()
        kept = store.path("labels", 3).stat().st_mtime_ns
        assert self.sequence(frames).is_finished
        assert store.path("labels", 3).stat().st_mtime_ns == kept
        assert store.record(2) is not None

    def test_a_frame_that_cannot_be_read(self, frames):
        """The others are there and are found; the case is told, and tried again by the same command."""
        (frames / "frames/frame1.nrrd").write_bytes(b"no volume")
        record = self.sequence(frames)
        assert record.status == "partial"
        assert "1 of 4 frames have no result; the first is frame 1: " in record.error
        (case,) = load_results(frames / "out")
        assert case.record.status == "partial"
        assert len(self.sequence(frames).attempts) == 2
        kept = [case.sequence_folder / f"labels/labels_000{number}.nrrd" for number in (0, 2, 3)]
        before = [path.stat().st_mtime_ns for path in kept]
        write_volume(small_image(1.0), frames / "frames/frame1.nrrd")
        assert self.sequence(frames).is_finished
        assert [path.stat().st_mtime_ns for path in kept] == before  # only the mended frame was done

    def test_frames_that_were_added(self, frames):
        self.sequence(frames)
        write_volume(small_image(4.0), frames / "frames/frame4.nrrd")
        record = self.sequence(frames)
        assert record.is_finished
        assert record.quality["frames"] == 5

    def test_other_options_begin_anew(self, frames):
        self.sequence(frames)
        record = self.sequence(frames, direction="hold", moved="yes", keep="int16")
        assert record.is_finished
        assert read_volume(SequenceStore(frames / "out/cases/s/sequence").path("moved", 2)).array.any()
