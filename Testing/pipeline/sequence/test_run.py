"""register_sequence on small sequences with a real engine: modes, directions, truth, storage, resuming, bad frames."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pipeline.known_networks import write_vxm_dense
from pipeline.sequence.breathing import Breathing, breathing_phantom
from shared_data import shared
from VoxelMorphRegistrationLib.errors import CancelledError, FileError, InputError, OutputError
from VoxelMorphRegistrationLib.files.frames import ImageFrames, open_frames
from VoxelMorphRegistrationLib.files.volumes import read_labels, read_volume, write_volume
from VoxelMorphRegistrationLib.network.engines import available_engines
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions
from VoxelMorphRegistrationLib.pipeline.sequence import SequenceOptions, SequenceResult, register_sequence
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Grid, Image

SHIFT_RAS = np.array([-4.0, 6.0, 2.0])
"""What the "shift" network answers (see test_registration), in mm at a quarter of its resolution."""
COUNT = 5


@pytest.fixture(scope="module", autouse=True)
def _an_engine() -> None:
    if not available_engines():
        pytest.skip("no inference engine is installed")


@pytest.fixture(scope="module")
def breath() -> Breathing:
    return breathing_phantom(COUNT)


@pytest.fixture(scope="module")
def images(breath) -> list[Image]:
    return list(breath)


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory) -> Path:
    """The frames as files."""
    folder = tmp_path_factory.mktemp("frames")
    for n, image in enumerate(images):
        write_volume(image, folder / f"frame {n}.nrrd")
    return folder


@pytest.fixture(scope="module")
def shift(tmp_path_factory) -> str:
    return str(write_vxm_dense(tmp_path_factory.mktemp("models") / "shift.h5", bias=(0.5, -0.25, 0.75)))


def quarter(model: str, **changes: object) -> RegistrationOptions:
    return RegistrationOptions(**{"model": model, "resolution": "quarter", "pre_align": "none"} | changes)


def shifting(shift: str, **changes: object) -> SequenceOptions:
    return SequenceOptions(**{"reference": 2, "registration": quarter(shift), "bias": "none"} | changes)


def middle(image: Image) -> np.ndarray:
    """Points far from the border, where the field does not fade."""
    return image.grid.centre_ras + np.random.default_rng(0).uniform(-25, 25, (50, 3))


# ---- modes and directions, with a network whose answer is known ----------------------------------------------------


@pytest.mark.parametrize("direction", ["carry", "hold"])
def test_a_chain_adds_up_its_steps_and_says_how_far_it_drifted(shift, folder, images, tmp_path, direction):
    """Each step is SHIFT_RAS: two steps away from the reference it is twice that, and directly it is once."""
    result = register_sequence(
        open_frames(folder), tmp_path / "out", shifting(shift, mode="chain", direction=direction)
    )
    points = middle(images[2])
    for n in (0, 1, 3, 4):
        moved = result.store.deformation(n).map_points(points) - points
        np.testing.assert_allclose(moved, np.broadcast_to(abs(n - 2) * SHIFT_RAS, moved.shape), atol=0.2)
    assert [drift.frame for drift in result.drift] == [0, 4]
    for drift in result.drift:
        assert 0.4 * np.linalg.norm(SHIFT_RAS) < drift.mean_mm < 1.1 * np.linalg.norm(SHIFT_RAS)
    assert [record.built_on for record in result.records] == [(1,), (), (), (), (3,)]


@pytest.mark.parametrize("direction", ["carry", "hold"])
def test_between_key_frames_the_motion_is_a_part_of_theirs(shift, folder, images, tmp_path, direction):
    options = shifting(shift, mode="keyframes", key_every=4, reference=0, direction=direction)
    result = register_sequence(open_frames(folder), tmp_path / "out", options)
    points = middle(images[2])
    for n in range(1, COUNT):
        moved = result.store.deformation(n).map_points(points) - points
        np.testing.assert_allclose(moved, np.broadcast_to(n / 4 * SHIFT_RAS, moved.shape), atol=0.2)
    assert [record.status for record in result.records] == ["reference", *["interpolated"] * 3, "registered"]


def test_every_frame_to_the_reference_is_what_register_says_of_the_pair(shift, images, tmp_path):
    from VoxelMorphRegistrationLib.pipeline.registration import register

    for direction in ("carry", "hold"):
        options = shifting(shift, direction=direction, reference=0, registration=quarter(shift, pre_align="rigid"))
        frames = ImageFrames([images[2], images[4]])
        result = register_sequence(frames, tmp_path / direction, options)
        fixed, moving = (images[4], images[2]) if direction == "carry" else (images[2], images[4])
        alone = register(fixed, moving, options.registration).deformation
        points = middle(images[2])
        together = result.store.deformation(1)
        np.testing.assert_allclose(together.map_points(points), alone.map_points(points), atol=0.05)
        np.testing.assert_allclose(together.affine, alone.affine, atol=1e-6)


def test_a_warm_start_goes_on_from_the_neighbours_field_where_that_explains_half(shift, images, tmp_path):
    """Frames that are the reference moved by what the network always answers, and a little more."""
    grid = images[0].grid

    def moved(times: float) -> Image:
        offset = np.rint(times * SHIFT_RAS @ grid.ras_to_ijk[:3, :3].T).astype(int)
        return Image(np.roll(images[0].array, -offset, (0, 1, 2)), grid, f"moved {times} times")

    frames = ImageFrames([moved(0), moved(1), moved(1.25)])
    result = register_sequence(frames, tmp_path / "out", shifting(shift, mode="warm", reference=0))
    assert [record.built_on for record in result.records] == [(), (), (1,)]
    points = middle(images[0])
    shifted = result.store.deformation(2).map_points(points) - points
    np.testing.assert_allclose(shifted, np.broadcast_to(2 * SHIFT_RAS, shifted.shape), atol=0.2)


@pytest.mark.parametrize("bias", ["reference", "swapped"])
def test_a_network_that_always_answers_the_same_finds_no_motion_once_its_bias_is_off(shift, folder, tmp_path, bias):
    result = register_sequence(open_frames(folder), tmp_path / "out", shifting(shift, bias=bias))
    assert max(record.max_displacement_mm for record in result.records) < 1e-3


# ---- truth ---------------------------------------------------------------------------------------------------------


def landmark_error(result: SequenceResult, breath: Breathing, direction: str) -> tuple[float, float]:
    """Mean in mm before and after, over the frames."""
    before, after = [], []
    for record in result.records:
        if record.status == "reference":
            continue
        start, stop = (record.frame, result.reference)[:: 1 if direction == "carry" else -1]
        points, truth = breath.landmarks(start), breath.landmarks(stop)
        found = result.store.deformation(record.frame).map_points(points)
        before.append(np.linalg.norm(points - truth, axis=-1).mean())
        after.append(np.linalg.norm(found - truth, axis=-1).mean())
    return float(np.mean(before)), float(np.mean(after))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    values = [v for v in np.unique(b) if v]
    return float(np.mean([2 * ((a == v) & (b == v)).sum() / ((a == v).sum() + (b == v).sum()) for v in values]))


def test_the_reference_s_labels_are_carried_to_every_frame(folder, breath, tmp_path):
    """The official T1 model, whose bias is off, on one breath of a phantom: nearer the truth in every way."""
    model = str(shared("weights/vxm_dense_brain_T1_3D_mse.h5"))
    options = SequenceOptions(reference=1, registration=quarter(model))
    result = register_sequence(open_frames(folder), tmp_path / "out", options, labels=breath.labels_of(1))
    before, after = landmark_error(result, breath, "carry")
    assert after < 0.7 * before
    still, carried = [], []
    for n in (0, 2, 3, 4):
        truth = breath.labels_of(n).array
        still.append(dice(breath.labels_of(1).array, truth))
        carried.append(dice(read_labels(result.store.path("labels", n)).array, truth))
    assert np.mean(carried) > np.mean(still) + 0.1
    frame = result.records[3]
    assert frame.similarity_after > frame.similarity_before
    assert frame.folded_percent == 0
    truth = {int(v): int((breath.labels_of(3).array == v).sum()) for v in (1, 2, 3)}
    for structure in frame.structures:
        voxels = structure.volume_ml * 1000 / 4**3
        assert voxels == pytest.approx(truth[structure.label], rel=0.25)
    together = open_frames(result.store.folder / "labels.seq.nrrd")
    for n in range(COUNT):
        np.testing.assert_array_equal(together.read(n).array, read_labels(result.store.path("labels", n)).array)
    rows = (result.store.folder / "motion.csv").read_text().splitlines()
    assert len(rows) == 1 + COUNT * 3
    assert len((result.store.folder / "frames.csv").read_text().splitlines()) == 1 + COUNT


def test_frames_are_held_still_on_the_reference(folder, breath, images, tmp_path):
    model = str(shared("weights/vxm_dense_brain_T1_3D_mse.h5"))
    options = SequenceOptions(reference=1, direction="hold", registration=quarter(model), moved=True)
    result = register_sequence(open_frames(folder), tmp_path / "out", options, labels=breath.labels_of(1))
    before, after = landmark_error(result, breath, "hold")
    assert after < 0.75 * before
    moved = read_volume(result.store.path("moved", 3)).array
    assert np.abs(moved - images[1].array).mean() < 0.6 * np.abs(images[3].array - images[1].array).mean()
    assert result.store.path("labels", 3).exists() is False
    rest, there = result.records[1].structures[0], result.records[3].structures[0]
    centre = breath.labels_of(1)
    index = np.argwhere(centre.array == rest.label)
    truth = breath.between(1, 3, centre.grid.to_ras(index)).mean(axis=0)
    np.testing.assert_allclose(rest.centroid_ras, centre.grid.to_ras(index).mean(axis=0), atol=0.05)
    assert np.linalg.norm(there.centroid_ras - truth) < 0.7 * np.linalg.norm(rest.centroid_ras - truth)


# ---- storage -------------------------------------------------------------------------------------------------------


def test_what_is_kept_has_the_predicted_size_and_the_stated_error(shift, folder, images, tmp_path):
    from VoxelMorphRegistrationLib.pipeline.sequence.store import predicted_bytes

    options = {"mode": "chain", "reference": 0}
    results = {
        keep: register_sequence(open_frames(folder), tmp_path / keep, shifting(shift, keep=keep, **options))
        for keep in ("float32", "int16", "results")
    }
    points = middle(images[0])
    exact, rounded = (results[keep].store.deformation(1) for keep in ("float32", "int16"))
    apart = np.abs(exact.map_points(points) - rounded.map_points(points)).max()
    stated = results["int16"].records[1].largest_rounding_mm
    assert 0 < apart <= stated * 1.01 < 1e-3
    in_itk = sitk.ReadImage(str(results["float32"].store.path("field", 1)), sitk.sitkVectorFloat64)
    lps = np.array(sitk.DisplacementFieldTransform(in_itk).TransformPoint((points[0] * [-1, -1, 1]).tolist()))
    np.testing.assert_allclose(lps * [-1, -1, 1], exact.map_points(points[0]), atol=1e-3)
    shape = exact.displacement.grid.shape
    for keep, bytes_each in (("float32", 12), ("int16", 6), ("results", 0)):
        fields = list((tmp_path / keep).glob("fields/*"))
        assert len(fields) == (0 if keep == "results" else COUNT - 1)
        size = sum(path.stat().st_size for path in fields)
        assert size == pytest.approx(bytes_each * np.prod(shape) * len(fields), abs=4096 * COUNT)
        assert size <= predicted_bytes(shape, keep, COUNT - 1)
    for record, other in zip(results["float32"].records, results["results"].records, strict=True):
        assert record.similarity_after == other.similarity_after


def test_a_folder_without_room_is_refused_before_the_first_frame(shift, folder, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(OutputError, match=r"need about .* has only 0\.1 MB left"):
        register_sequence(open_frames(folder), tmp_path / "out", shifting(shift))


def test_finished_frames_are_kept_and_other_settings_refused(shift, folder, breath, tmp_path):
    out = tmp_path / "out"
    first = register_sequence(open_frames(folder), out, shifting(shift))
    written = {path: path.stat().st_mtime_ns for path in (out / "frames").iterdir()}
    again = register_sequence(open_frames(folder), out, shifting(shift))
    assert again.computed == ()
    assert written == {path: path.stat().st_mtime_ns for path in (out / "frames").iterdir()}
    assert [r.similarity_after for r in again.records] == [r.similarity_after for r in first.records]
    with pytest.raises(InputError, match=r"other settings \(mode: reference, now chain\)"):
        register_sequence(open_frames(folder), out, shifting(shift, mode="chain"))
    with pytest.raises(InputError, match="reference frame: 2, now 1"):
        register_sequence(open_frames(folder), out, shifting(shift, reference=1))
    with pytest.raises(InputError, match="labels: none"):
        register_sequence(open_frames(folder), out, shifting(shift), labels=breath.labels_of(2))
    with pytest.raises(InputError, match="holds other files"):
        register_sequence(open_frames(folder), folder, shifting(shift))
    (out / "sequence.json").write_text("{")
    with pytest.raises(FileError, match="nothing tells what"):
        register_sequence(open_frames(folder), out, shifting(shift))


@pytest.mark.parametrize("damage", ["short field", "no field", "short record", "no record", "temporary left behind"])
def test_a_half_written_file_is_never_taken_for_a_result(shift, folder, tmp_path, damage):
    out = tmp_path / "out"
    first = register_sequence(open_frames(folder), out, shifting(shift))
    field, record = first.store.path("field", 3), first.store.path("frame", 3)
    whole = field.read_bytes()
    if damage == "short field":
        field.write_bytes(whole[: len(whole) // 2])
    elif damage == "short record":
        record.write_text(record.read_text()[:200])
    elif damage == "temporary left behind":
        field.rename(field.with_name(".partial-1234-" + field.name))
    else:
        (field if damage == "no field" else record).unlink()
    again = register_sequence(open_frames(folder), out, shifting(shift))
    assert again.computed == (3,)
    assert field.read_bytes() == whole


def test_a_frame_that_changed_is_done_again_and_what_was_built_on_it_too(shift, folder, images, tmp_path):
    copy = tmp_path / "frames"
    copy.mkdir()
    for n, image in enumerate(images):
        write_volume(image, copy / f"{n}.nrrd")
    options = shifting(shift, mode="chain", reference=0)
    register_sequence(open_frames(copy), tmp_path / "out", options)
    write_volume(images[3], copy / "3.nrrd")  # a new file of the same content
    assert register_sequence(open_frames(copy), tmp_path / "out", options).computed == ()
    write_volume(images[3].with_array(images[3].array + 1), copy / "3.nrrd")
    assert register_sequence(open_frames(copy), tmp_path / "out", options).computed == (3, 4)


def test_cancelling_keeps_what_is_done_and_the_next_run_goes_on(shift, folder, tmp_path):
    heard: list[str] = []
    progress = Progress(lambda stage, fraction: heard.append(stage), lambda: any("Frame 3" in h for h in heard))
    with pytest.raises(CancelledError, match="4 of 5 frames are done and kept"):
        register_sequence(open_frames(folder), tmp_path / "out", shifting(shift), progress=progress)
    assert register_sequence(open_frames(folder), tmp_path / "out", shifting(shift)).computed == (4,)


_SCRIPT = """
import sys, time
from VoxelMorphRegistrationLib.files.frames import open_frames
from VoxelMorphRegistrationLib.files.frames.protocol import VolumeFiles
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions
from VoxelMorphRegistrationLib.pipeline.sequence import SequenceOptions, register_sequence
folder, out, model, mode = sys.argv[1:]
registration = RegistrationOptions(model=model, resolution="quarter", pre_align="none")
register_sequence(open_frames(folder), out, SequenceOptions(reference=2, mode=mode, registration=registration))
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize("mode", ["reference", "chain"])
def test_killed_in_the_middle_it_goes_on_to_the_same_result_and_does_no_frame_twice(tmp_path, folder, mode):
    """A network with random weights, so that every frame has a field of its own, in a process that is killed -9."""
    model = write_vxm_dense(tmp_path / "random.h5", kernel=1.0)
    registration = quarter(str(model))
    options = SequenceOptions(reference=2, mode=mode, registration=registration)
    whole = register_sequence(open_frames(folder), tmp_path / "whole", options)
    out = tmp_path / "killed"
    arguments = [sys.executable, "-c", _SCRIPT, str(folder), str(out), str(model), mode]
    child = subprocess.Popen(
        arguments, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3] / "VoxelMorphRegistration")}
    )
    deadline = time.monotonic() + 60
    while len(list((out / "frames").glob("frame_*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    done = {path.name: path.stat().st_mtime_ns for path in (out / "frames").glob("frame_*.json")}
    assert 2 <= len(done) < COUNT, "the process was too quick, or did not start"
    result = register_sequence(open_frames(folder), out, options)
    assert len(result.computed) + len(done) == COUNT
    for name, time_ns in done.items():
        assert (out / "frames" / name).stat().st_mtime_ns == time_ns
    for n in (0, 1, 3, 4):
        assert result.store.path("field", n).read_bytes() == whole.store.path("field", n).read_bytes()
    same = {"seconds": 0.0, "similarity_before": None, "similarity_after": None}
    untimed = [[dataclasses.replace(record, **same) for record in each.records] for each in (whole, result)]
    assert untimed[0] == untimed[1]
    for one, other in zip(whole.records, result.records, strict=True):
        # A sum over the volume may be added up in another order, which changes its last digits only.
        assert other.similarity_before == pytest.approx(one.similarity_before, abs=1e-9)
        assert other.similarity_after == pytest.approx(one.similarity_after, abs=1e-9)


# ---- bad frames ----------------------------------------------------------------------------------------------------


def test_each_bad_frame_gets_a_sentence_and_the_others_are_done(shift, images, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    elsewhere = images[0].grid.ijk_to_ras.copy()
    elsewhere[:3, 3] += 5000
    other = Grid((30, 40, 50), np.diag([-6.0, -5.0, 4.0, 1.0]) + np.array([[0, 0, 0, 85]] * 3 + [[0] * 4]))
    bad = {
        1: images[1].with_array(np.zeros_like(images[1].array)),
        3: Image(images[3].array, Grid(images[3].grid.shape, elsewhere), "far away"),
        4: Image(np.random.default_rng(0).normal(0, 100, other.shape).astype(np.float32), other, "other voxels"),
    }
    for n in range(6):
        write_volume(bad.get(n, images[n % COUNT]), frames / f"{n}.nrrd")
    (frames / "5.nrrd").write_bytes((frames / "5.nrrd").read_bytes()[:5000])
    result = register_sequence(open_frames(frames), tmp_path / "out", shifting(shift))
    status = [record.status for record in result.records]
    assert status == ["registered", "failed", "reference", "failed", "registered", "failed"]
    assert "holds one value only" in result.records[1].error
    assert "do not overlap in space" in result.records[3].error
    assert "other voxels than the reference" in result.records[4].warnings[0]
    assert "damaged, incomplete" in result.records[5].error
    assert [record.frame for record in result.failed] == [1, 3, 5]
    write_volume(images[1], frames / "1.nrrd")  # mended: only what failed is tried again
    again = register_sequence(open_frames(frames), tmp_path / "out", shifting(shift))
    assert again.computed == (1,)
    assert [record.frame for record in again.failed] == [3, 5]


@pytest.mark.parametrize("mode", ["warm", "chain", "keyframes"])
def test_modes_that_build_on_other_frames_go_on_past_a_bad_one(shift, images, tmp_path, mode):
    frames = [images[0], *images[1:]]
    frames[3] = images[3].with_array(np.zeros_like(images[3].array))
    options = shifting(shift, mode=mode, reference=1, key_every=2, key_choice="regular")
    result = register_sequence(ImageFrames(frames), tmp_path / "out", options)
    assert [record.frame for record in result.failed] == [3]
    assert result.records[4].is_done


def test_a_frame_between_key_frames_that_are_gone_is_registered_itself(shift, images, tmp_path):
    """Its key frame failed, or only results were kept and the frame was mended later."""
    frames = list(images)
    frames[4] = frames[2] = images[2].with_array(np.zeros_like(images[2].array))
    options = shifting(shift, mode="keyframes", reference=0, key_every=4, keep="results")
    result = register_sequence(ImageFrames(frames), tmp_path / "out", options)
    assert [r.status for r in result.records] == ["reference", "registered", "failed", "registered", "failed"]
    again = register_sequence(ImageFrames(images), tmp_path / "out", options)
    assert again.computed == (2, 4)
    assert not again.failed


def test_a_disk_that_fills_up_is_said_of_each_frame_and_a_rerun_goes_on(shift, folder, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1800k", "tmpfs", small], check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    ballast = small / "ballast"
    try:
        first = small / "out"
        heard: list[str] = []

        def fill(stage: str, fraction: float) -> None:
            heard.append(stage)
            if stage.startswith("Frame 3"):  # somebody else takes the room
                ballast.write_bytes(bytes(700_000))

        # 0.4 MB a frame: there is room for the four of them until the ballast comes.
        result = register_sequence(open_frames(folder), first, shifting(shift), progress=Progress(fill))
        assert [record.frame for record in result.failed] == [3, 4]
        assert all("has only" in record.error or "disk is full" in record.error for record in result.failed)
        ballast.unlink()
        again = register_sequence(open_frames(folder), first, shifting(shift))
        assert again.computed == (3, 4)
        assert not again.failed
    finally:
        subprocess.run(["umount", small], check=True)


def test_what_keeps_everything_from_being_done_is_raised(shift, images, folder, breath, tmp_path):
    with pytest.raises(InputError, match="no frame 7"):
        register_sequence(open_frames(folder), tmp_path / "a", shifting(shift, reference=7))
    far = Image(
        breath.labels.array, Grid(breath.labels.grid.shape, images[0].grid.ijk_to_ras + np.eye(4)[3] * 0), "seg"
    )
    moved = far.grid.ijk_to_ras.copy()
    moved[:3, 3] += 900
    with pytest.raises(InputError, match="do not lie on the reference frame"):
        register_sequence(
            open_frames(folder),
            tmp_path / "b",
            shifting(shift),
            labels=Image(far.array, Grid(far.grid.shape, moved), "seg"),
        )
    assert not (tmp_path / "b").exists()


def test_a_suggested_reference_stays_the_same_on_going_on(shift, folder, tmp_path):
    options = shifting(shift, reference=None)
    first = register_sequence(open_frames(folder), tmp_path / "out", options)
    assert json.loads((tmp_path / "out" / "sequence.json").read_text())["reference"] == first.reference
    again = register_sequence(open_frames(folder), tmp_path / "out", options)
    assert (again.reference, again.computed) == (first.reference, ())
