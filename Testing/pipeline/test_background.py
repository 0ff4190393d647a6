"""The background process, really run: what it returns, and that nothing of it is ever left behind."""

from __future__ import annotations

import http.server
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from child_processes import children
from pipeline.small_pair import small_volume, write_small_model
from shared_data import shared
from VoxelMorphRegistrationLib.errors import (
    CancelledError,
    EngineError,
    FileError,
    InputError,
    ModelError,
    RegistrationError,
)
from VoxelMorphRegistrationLib.network.catalogue import BRAIN_MODEL, Catalogue
from VoxelMorphRegistrationLib.network.weights import file_sha256
from VoxelMorphRegistrationLib.pipeline.background import Finished, LogLine, RunningJob, StageReached, Worker
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, RegistrationResult, register
from VoxelMorphRegistrationLib.pipeline.registration_job import RegistrationJob
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Image

pytest.importorskip("openvino", reason="the OpenVINO engine is not installed")
pytestmark = pytest.mark.timeout(180)
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")

ROOT = Path(__file__).parents[2]
STAGES = ["Handing over", "Starting", "Checking", "Loading", "Pre-alignment", "Preparing", "Network", "Integrating"]
STAGES += ["Moving the volume", "Handing back"]
GONE_SECONDS = 2.0  # the promise is one; the machine may be busy


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    """The folder in which temporary folders are made; its name would trip up careless code."""
    folder = tmp_path / "Temporäre Dateien; 100% ünïcode 脳"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def make_worker(tmp_path, temporary) -> Iterator[Callable[..., Worker]]:
    """Makes workers; afterwards it closes them and sees to it that neither process nor folder is left."""
    workers: list[Worker] = []

    def make(*arguments: Any, **keywords: Any) -> Worker:
        workers.append(Worker(*arguments, **{"log_folder": tmp_path / "logs", **keywords}))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()
    assert children() == []
    assert list(temporary.iterdir()) == []


@pytest.fixture
def worker(make_worker) -> Worker:
    return make_worker()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("my models ö") / "rändom weights.h5")


@pytest.fixture(scope="module")
def pair() -> tuple[Image, Image]:
    return small_volume("fixed"), small_volume("moving", 6.0)


@pytest.fixture(scope="module")
def quick(model) -> RegistrationOptions:
    return RegistrationOptions(model=str(model), engine="openvino", resolution="quarter", pre_align="centre")


@pytest.fixture(scope="module")
def slow(model) -> RegistrationOptions:
    """Every stage lasts long enough for something to happen to it."""
    return RegistrationOptions(model=str(model), engine="openvino", resolution="full", inverse=True)


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def until_stage(job: RunningJob, stage: str) -> str:
    """Poll until the job says a stage that begins like this; returns its full name."""
    seen: list[object] = []
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for event in job.poll():
            seen.append(event)
            if isinstance(event, StageReached) and event.stage.startswith(stage):
                return event.stage
            assert not isinstance(event, Finished), f"{stage} was not reached: {seen}"
        time.sleep(0.002)
    raise AssertionError(f"{stage} was not reached in time: {seen}")


def finish(job: RunningJob) -> RegistrationResult:
    assert job.wait(120)
    return job.result()


def failure(job: RunningJob, kind: type[RegistrationError]) -> str:
    """The sentence with which a job fails."""
    with pytest.raises(kind) as raised:
        finish(job)
    assert type(raised.value) is kind
    message = str(raised.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


def kept_log(message: str) -> str:
    path = re.search(r"its log is (.+)\.$", message)
    assert path is not None, message
    return Path(path[1]).read_text(encoding="utf-8")


def assert_same(found: RegistrationResult, expected: RegistrationResult) -> None:
    for name in ("displacement", "inverse_displacement"):
        one, other = getattr(found.deformation, name), getattr(expected.deformation, name)
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-4)
            np.testing.assert_array_equal(one.grid.ijk_to_ras, other.grid.ijk_to_ras)
    np.testing.assert_allclose(found.deformation.affine, expected.deformation.affine, atol=1e-6)
    np.testing.assert_allclose(found.moved.array, expected.moved.array, atol=0.1)
    np.testing.assert_array_equal(found.moved.grid.ijk_to_ras, expected.moved.grid.ijk_to_ras)
    for name in ("similarity_before", "similarity_after", "folded_percent"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-5)
    for name in ("warnings", "model", "engine", "plan"):
        assert getattr(found, name) == getattr(expected, name)
    assert list(found.seconds) == list(expected.seconds)


class TestResults:
    def test_two_runs_one_after_another_in_one_process_give_what_register_gives(self, worker, pair, quick):
        options = replace(quick, pre_align="affine", inverse=True)
        expected = register(*pair, options)
        assert np.abs(expected.deformation.displacement.vectors).max() > 0.1
        assert_same(finish(worker.start(RegistrationJob(*pair, options))), expected)
        process = worker.process_id
        assert process in [child.pid for child in children()]
        assert_same(finish(worker.start(RegistrationJob(*pair, options))), expected)
        assert worker.process_id == process

    def test_the_real_pair(self, worker):
        import nibabel
        from VoxelMorphRegistrationLib.spatial import Grid

        images = [nibabel.load(shared(f"vxm_pair/{name}_t1.nii.gz")) for name in ("subject_1", "test_scan")]
        fixed, moving = (Image(np.asarray(image.dataobj), Grid(image.shape, image.affine)) for image in images)
        weights = str(shared("weights/vxm_dense_brain_T1_3D_mse.h5"))
        options = RegistrationOptions(model=weights, resolution="quarter", pre_align="none")
        result = finish(worker.start(RegistrationJob(fixed, moving, options)))
        assert result.similarity_after > result.similarity_before + 0.1
        assert_same(result, register(fixed, moving, options))

    def test_masks_and_arrays_that_are_views(self, worker, pair, quick):
        large, moving = (
            Image(np.repeat(image.array, 2, axis=0), image.grid.with_shape((80, 48, 44))) for image in pair
        )
        view = Image(large.array[::-2, :, ::-1], pair[0].grid)
        masks = {"fixed_mask": view.with_array(view.array > 200), "moving_mask": pair[1].with_array(pair[1].array > 0)}
        result = finish(worker.start(RegistrationJob(view, moving, quick, **masks)))
        assert_same(result, register(view, moving, quick, **masks))

    def test_events_tell_every_stage_in_order_and_end_with_finished(self, worker, pair, quick):
        job = worker.start(RegistrationJob(*pair, quick))
        assert job.wait(60)
        events = job.poll()
        stages = [event.stage for event in events if isinstance(event, StageReached)]
        fractions = [event.fraction for event in events if isinstance(event, StageReached)]
        for expected, stage in zip(STAGES, stages, strict=True):  # and no "Done" before the last of them
            assert stage.startswith(expected)
        assert fractions == sorted(fractions)
        assert events[-1] == Finished(None)
        assert job.poll() == []

    def test_a_result_is_not_to_be_had_before_the_end(self, worker, pair, quick):
        job = worker.start(RegistrationJob(*pair, quick))
        with pytest.raises(RuntimeError, match="not finished"):
            job.result()
        finish(job)

    def test_only_one_at_a_time(self, worker, pair, slow):
        job = worker.start(RegistrationJob(*pair, slow))
        with pytest.raises(EngineError, match="still running; wait for it to finish, or cancel it first"):
            worker.start(RegistrationJob(*pair, slow))
        job.cancel()
        # It waits for the end of the cancelled one.
        finish(worker.start(RegistrationJob(*pair, replace(slow, resolution="quarter"))))
        with pytest.raises(CancelledError):
            job.result()

    def test_what_the_process_prints_goes_to_the_log_and_disturbs_nothing(self, tmp_path, make_worker, pair, quick):
        """A library that prints from Python and from a process of its own, before and while the engine is loaded."""
        packages = tmp_path / "packages that print"
        packages.mkdir()
        code = 'import os, sys; print(\'{"say": "result"}\', flush=True); os.system("echo from a process"); '
        code += "sys.stderr.buffer.write(b'\\xff\\xfe not text\\n'); [print('x' * 100) for _ in range(5000)]"
        (packages / "noise.pth").write_text(code)
        job = make_worker(extra_paths=[packages]).start(RegistrationJob(*pair, quick))
        finish(job)
        lines = [event.text for event in job.poll() if isinstance(event, LogLine)]
        assert '{"say": "result"}' in lines
        assert "from a process" in lines
        assert any("not text" in line for line in lines)
        assert lines.count("x" * 100) == 5000


class TestCancelling:
    @pytest.mark.parametrize("stage", STAGES)
    def test_at_every_stage_leaves_no_process_and_no_file(self, worker, pair, slow, stage, temporary, tmp_path):
        job = worker.start(RegistrationJob(*pair, slow))
        until_stage(job, stage)
        start = time.monotonic()
        job.cancel()
        assert time.monotonic() - start < 0.2
        assert job.wait(GONE_SECONDS)
        assert children() == []
        assert list(temporary.iterdir()) == []
        assert not (tmp_path / "logs").exists()
        with pytest.raises(CancelledError, match="nothing was changed"):
            job.result()
        assert isinstance(job.poll()[-1].error, CancelledError)

    def test_at_once(self, worker, pair, quick):
        job = worker.start(RegistrationJob(*pair, quick))
        job.cancel()
        job.cancel()
        failure(job, CancelledError)
        assert children() == []

    def test_the_second_run_in_a_warm_process(self, worker, pair, slow):
        finish(worker.start(RegistrationJob(*pair, replace(slow, resolution="quarter"))))
        job = worker.start(RegistrationJob(*pair, slow))
        until_stage(job, "Network")
        job.cancel()
        assert job.wait(GONE_SECONDS)
        assert children() == []

    def test_after_the_end_changes_nothing(self, worker, pair, quick):
        job = worker.start(RegistrationJob(*pair, quick))
        result = finish(job)
        process = worker.process_id
        job.cancel()
        assert job.result() is result
        assert not job.cancelled
        finish(worker.start(RegistrationJob(*pair, quick)))
        assert worker.process_id == process

    @on_posix
    def test_a_process_that_does_not_listen(self, worker, pair, slow):
        job = worker.start(RegistrationJob(*pair, slow))
        until_stage(job, "Network")
        os.kill(worker.process_id, signal.SIGSTOP)
        job.cancel()
        assert job.wait(GONE_SECONDS)
        assert children() == []

    @on_posix
    def test_children_of_the_process_end_with_it(self, tmp_path, make_worker, pair, slow):
        packages = tmp_path / "packages"
        packages.mkdir()
        (packages / "child.pth").write_text("import subprocess; subprocess.Popen(['sleep', '1000'])")
        worker = make_worker(extra_paths=[packages])
        job = worker.start(RegistrationJob(*pair, slow))
        until_stage(job, "Network")
        assert [child.name() for child in children()].count("sleep") == 1
        job.cancel()
        assert job.wait(GONE_SECONDS)
        assert children() == []

    def test_a_download_leaves_nothing(self, tmp_path, worker, pair, quick):
        """The process is given the time to remove what it has downloaded."""
        content = os.urandom(2_000_000)
        (tmp_path / "model.bin").write_bytes(content)

        class Slow(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def copyfile(self, source, outputfile):
                try:
                    while chunk := source.read(50_000):
                        outputfile.write(chunk)
                        time.sleep(0.2)
                except ConnectionError:
                    pass  # the client went away, as it should

        cards, cache = tmp_path / "cards", tmp_path / "cache"
        cards.mkdir()
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Slow, directory=str(tmp_path))) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            card = replace(
                Catalogue().card(BRAIN_MODEL),
                name="slow",
                file_name="slow.h5",
                sha256=file_sha256(tmp_path / "model.bin"),
                source_url=f"http://127.0.0.1:{server.server_address[1]}/model.bin",
            )
            (cards / "slow.json").write_text(card.to_json(), encoding="utf-8")
            job = worker.start(RegistrationJob(*pair, replace(quick, model="slow"), catalogue=Catalogue(cards, cache)))
            until_stage(job, "Downloading the model (0.")
            assert list(cache.iterdir())
            job.cancel()
            assert job.wait(GONE_SECONDS)
            server.shutdown()
        assert list(cache.iterdir()) == []
        assert children() == []


class TestFailures:
    def test_errors_are_those_of_register(self, worker, pair, quick, tmp_path):
        constant = pair[0].with_array(np.zeros(pair[0].grid.shape))
        bad = tmp_path / "bad.h5"
        bad.write_text("<html>not found</html>")
        cases = [
            (InputError, (constant, pair[1], quick)),
            (ModelError, (*pair, replace(quick, model="brian"))),
            (ModelError, (*pair, replace(quick, model=str(bad)))),
            (ModelError, (*pair, replace(quick, model=str(tmp_path / "none.h5")))),
            (EngineError, (*pair, replace(quick, engine="torch"))),
        ]
        for kind, arguments in cases:
            with pytest.raises(kind) as raised:
                register(*arguments)
            assert failure(worker.start(RegistrationJob(*arguments)), kind) == str(raised.value)
        process = worker.process_id
        finish(worker.start(RegistrationJob(*pair, quick)))
        assert worker.process_id == process  # an error is no reason to lose the warm engine

    @on_posix
    @pytest.mark.parametrize(
        ("sent", "sentence"),
        [
            ("SIGKILL", r"was ended by the system at '(.+)', most likely because memory ran out; choose a lower"),
            ("SIGSEGV", r"crashed at '(.+)' \(Fatal Python error: Segmentation fault\); try again"),
            ("SIGABRT", r"crashed at '(.+)' \(Fatal Python error: Aborted\); try again"),
            ("SIGTERM", r"crashed at '(.+)' \(Terminated\); try again"),
        ],
    )
    def test_a_crash_is_one_sentence_and_the_next_run_works(self, worker, pair, slow, quick, sent, sentence):
        job = worker.start(RegistrationJob(*pair, slow))
        stage = until_stage(job, "Network")
        os.kill(worker.process_id, getattr(signal, sent))
        message = failure(job, EngineError)
        said = re.search(sentence, message)
        assert said is not None, message
        assert said[1] == stage
        log = kept_log(message)
        assert log.startswith("VoxelMorphRegistration ")
        if sent == "SIGSEGV":
            assert 'registration.py", line' in log  # faulthandler's traceback
        assert children() == []
        finish(worker.start(RegistrationJob(*pair, quick)))

    @on_posix
    def test_a_process_that_died_between_two_runs_is_replaced(self, worker, pair, quick):
        finish(worker.start(RegistrationJob(*pair, quick)))
        os.kill(worker.process_id, signal.SIGKILL)
        wait_for(lambda: worker.process_id is None)
        finish(worker.start(RegistrationJob(*pair, quick)))

    @on_posix
    def test_logs_are_few(self, worker, pair, slow, tmp_path):
        (tmp_path / "logs").mkdir()
        for number in range(15):
            (tmp_path / "logs" / f"background-20200101-0000{number:02}-1.log").write_text("old")
        job = worker.start(RegistrationJob(*pair, slow))
        until_stage(job, "Checking")
        os.kill(worker.process_id, signal.SIGKILL)
        kept_log(failure(job, EngineError))
        assert len(list((tmp_path / "logs").iterdir())) == 10

    def test_a_long_log_is_cut(self, tmp_path, make_worker, pair, quick):
        packages = tmp_path / "packages"
        packages.mkdir()
        code = "import os; [print('x' * 9999) for _ in range(999)]; print('last', flush=True); os._exit(3)"
        (packages / "noise.pth").write_text(code)
        message = failure(make_worker(extra_paths=[packages]).start(RegistrationJob(*pair, quick)), EngineError)
        log = kept_log(message)
        assert log.endswith("last\n")
        assert len(log) < 5_000_000

    @pytest.mark.parametrize("python", ["no such python", "/no such folder/python"])
    def test_no_python(self, make_worker, pair, quick, python):
        message = failure(make_worker(python).start(RegistrationJob(*pair, quick)), EngineError)
        assert message == f"The Python for the background process, {python}, was not found; check its path."

    @on_posix
    def test_programs_that_are_no_python(self, tmp_path, make_worker, pair, quick):
        message = failure(make_worker("false").start(RegistrationJob(*pair, quick)), EngineError)
        assert "did not start with" in message
        text = tmp_path / "python"
        text.write_text("#!/bin/sh\nwhile :; do echo garbage; done")
        text.chmod(0o755)
        message = failure(make_worker(text).start(RegistrationJob(*pair, quick)), EngineError)
        assert message.startswith(f"What {text} answers cannot be understood, so it is no Python")
        text.write_text("not a program")
        text.chmod(0o755)
        message = failure(make_worker(text).start(RegistrationJob(*pair, quick)), EngineError)
        assert message == f"The background process cannot be started with {text} (Exec format error)."

    @on_posix
    @pytest.mark.parametrize(
        "answer",
        [
            '{"say": "result"}',
            '{"say": "result", "result": {"moved": 1}}',
            '{"say": "error"}',
            '{"say": "error", "class": "Path", "message": "m", "unexpected": false}',
            '{"say": "progress", "stage": "s", "fraction": "much"}',
        ],
    )
    def test_answers_that_are_none(self, tmp_path, make_worker, pair, quick, answer):
        """A stand-in for a worker of another version, which speaks otherwise."""
        liar = tmp_path / "liar"
        liar.write_text(f"#!/bin/sh\nread job\necho '{answer}'\nsleep 1000\n")
        liar.chmod(0o755)
        message = failure(make_worker(liar).start(RegistrationJob(*pair, quick)), EngineError)
        assert re.search("gave an answer that cannot be understood|failed unexpectedly", message), message
        wait_for(lambda: not children())

    def test_no_room_for_the_volumes(self, monkeypatch, worker, pair, quick, tmp_path):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
        message = failure(worker.start(RegistrationJob(*pair, quick)), FileError)
        assert message.endswith(
            "(No such file or directory); make space there, or set TMPDIR to a folder on another disk."
        )

    @pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space that is kept to")
    def test_too_little_memory(self, tmp_path, make_worker, pair, quick):
        """In a process whose memory is limited, as a job on a small computer would find it."""
        packages = tmp_path / "packages"
        packages.mkdir()
        code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1_000_000_000, -1))"
        (packages / "limit.pth").write_text(code)
        shape = (320, 320, 320)
        grid = pair[0].grid.with_shape(shape)
        large = Image(np.broadcast_to(np.arange(320, dtype=np.float64), shape), grid)
        message = failure(make_worker(extra_paths=[packages]).start(RegistrationJob(large, large, quick)), EngineError)
        assert message.startswith("There is not enough memory for this registration; choose a lower resolution")


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory) -> Path:
    """A Python with NumPy and SimpleITK and no other package, like Slicer's, in a folder with an odd name."""
    return make_python(tmp_path_factory.mktemp("Slicer 5.12 (ä)"), "numpy", "simpleitk")


def make_python(folder: Path, *packages: str) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    link_packages(next(folder.glob("lib/python*/site-packages")), *packages)
    return folder / "bin" / "python"


def link_packages(folder: Path, *prefixes: str) -> None:
    for package in Path(np.__file__).parents[1].iterdir():
        if package.name.lower().startswith(prefixes):
            (folder / package.name).symlink_to(package, target_is_directory=package.is_dir())


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need rights there")
class TestPrivatePackages:
    def test_an_engine_that_only_the_private_folder_has(self, tmp_path, bare_python, make_worker, pair, quick):
        packages = tmp_path / "private packages ü"
        packages.mkdir()
        link_packages(packages, "openvino", "h5py", "packaging")
        result = finish(make_worker(bare_python, [packages]).start(RegistrationJob(*pair, quick)))
        assert_same(result, register(*pair, quick))

    def test_this_pythons_own_packages_win(self, tmp_path, bare_python, make_worker, pair, quick):
        packages = tmp_path / "packages"
        (packages / "numpy").mkdir(parents=True)
        (packages / "numpy" / "__init__.py").write_text("raise ImportError('another NumPy')")
        link_packages(packages, "openvino", "h5py", "packaging")
        finish(make_worker(bare_python, [packages]).start(RegistrationJob(*pair, quick)))

    def test_no_engine(self, tmp_path, bare_python, make_worker, pair, quick, model):
        card = replace(Catalogue().card(BRAIN_MODEL), name="mine", file_name=model.name, sha256=file_sha256(model))
        (tmp_path / "mine.json").write_text(card.to_json(), encoding="utf-8")
        (tmp_path / model.name).write_bytes(model.read_bytes())
        arguments = {"catalogue": Catalogue(cache_folder=tmp_path)}
        for engine, sentence in (
            ("auto", "No inference engine is installed; install it"),
            ("openvino", "not installed"),
        ):
            options = replace(quick, model="mine", engine=engine)
            message = failure(make_worker(bare_python).start(RegistrationJob(*pair, options, **arguments)), EngineError)
            assert sentence in message

    def test_half_an_engine(self, tmp_path, bare_python, make_worker, pair, quick):
        packages = tmp_path / "packages"
        packages.mkdir()
        link_packages(packages, "openvino", "packaging")
        message = failure(make_worker(bare_python, [packages]).start(RegistrationJob(*pair, quick)), EngineError)
        assert "needs the package h5py" in message

    def test_a_package_that_cannot_be_loaded(self, tmp_path, make_worker, pair, quick):
        python = make_python(tmp_path / "python", "numpy")
        message = failure(make_worker(python).start(RegistrationJob(*pair, quick)), EngineError)
        assert message.startswith(f"The Python package SimpleITK cannot be loaded by {python}")
        assert "ModuleNotFoundError: No module named 'SimpleITK'" in kept_log(message)


class TestEnding:
    def test_closing_ends_a_warm_process_and_a_running_one(self, worker, pair, quick, slow):
        finish(worker.start(RegistrationJob(*pair, quick)))
        worker.close()
        assert children() == []
        job = worker.start(RegistrationJob(*pair, slow))
        until_stage(job, "Network")
        worker.close()
        assert children() == []
        failure(job, CancelledError)
        worker.close()

    def test_an_idle_process_ends(self, make_worker, pair, quick):
        worker = make_worker(idle_seconds=0.5)
        finish(worker.start(RegistrationJob(*pair, quick)))
        wait_for(lambda: not children() and worker.process_id is None)
        finish(worker.start(RegistrationJob(*pair, quick)))

    def test_a_process_that_ends_as_the_next_job_comes_is_replaced(self, make_worker, pair, quick):
        """The moment cannot be met on purpose: the process is told that there is nothing more to do."""
        worker = make_worker()
        finish(worker.start(RegistrationJob(*pair, quick)))
        process = worker.process_id
        worker._process.send({"cancel": True})
        finish(worker.start(RegistrationJob(*pair, quick)))
        assert worker.process_id != process

    @pytest.mark.parametrize(
        ("end", "stage"),
        [
            ("return", "idle"),
            ("exception", "Network"),
            ("os._exit(1)", "Network"),
            ("SIGTERM", "idle"),
            ("SIGKILL", "Network"),
        ],
    )
    def test_it_ends_with_its_parent(self, tmp_path, temporary, model, end, stage):
        """However the parent ends, neither the process nor the folder is left."""
        if sys.platform == "win32" and end.startswith("SIG"):
            pytest.skip("sends POSIX signals")
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(ROOT), str(temporary), str(model), end, stage],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with parent:
            worker = psutil.Process(int(parent.stdout.readline()))
            if stage == "Network":
                assert list(temporary.iterdir())
            if end.startswith("SIG"):
                assert worker.is_running()
                parent.send_signal(getattr(signal, end))
            parent.wait(20)
        wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
        wait_for(lambda: not list(temporary.iterdir()))


PARENT = """
import os, sys, tempfile, time
root, tempfile.tempdir, model, end, stage = sys.argv[1:]
sys.path[:0] = [os.path.join(root, "VoxelMorphRegistration"), os.path.join(root, "Testing")]
from pipeline.small_pair import small_volume
from VoxelMorphRegistrationLib.pipeline.background import Worker
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions
from VoxelMorphRegistrationLib.pipeline.registration_job import RegistrationJob
worker = Worker()
options = RegistrationOptions(model, resolution="full" if stage == "Network" else "quarter", inverse=True)
job = worker.start(RegistrationJob(small_volume("fixed"), small_volume("moving", 6.0), options))
while not job.finished if stage == "idle" else not any(getattr(e, "stage", "").startswith(stage) for e in job.poll()):
    time.sleep(0.002)
print(worker.process_id, flush=True)
if end == "exception":
    raise RuntimeError
if end.startswith("SIG"):
    time.sleep(100)
if end != "return":
    os._exit(1)
"""


class TestBlocking:
    def test_it_gives_the_result_progress_and_time_for_events(self, worker, pair, quick):
        said: list[tuple[str, float]] = []
        turns: list[int] = []
        result = worker.run_blocking(
            RegistrationJob(*pair, quick),
            progress=Progress(lambda *arguments: said.append(arguments)),
            process_events=lambda: turns.append(1),
        )
        assert_same(result, register(*pair, quick))
        assert said[0][0].startswith("Handing over")
        assert said[-1][0].startswith("Handing back")
        assert len(turns) > 5

    def test_progress_cancels_at_once_and_not_only_between_stages(self, worker, pair, slow):
        start = time.monotonic()
        network: list[float] = []

        def report(stage: str, fraction: float) -> None:
            if stage.startswith("Network"):
                network.append(time.monotonic())

        progress = Progress(report, lambda: bool(network) and time.monotonic() > network[0] + 0.05)
        with pytest.raises(CancelledError):
            worker.run_blocking(RegistrationJob(*pair, slow), progress=progress)
        assert time.monotonic() - network[0] < GONE_SECONDS
        assert network[0] > start
        assert children() == []

    def test_any_exception_cancels(self, worker, pair, slow, temporary):
        def interrupt() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            worker.run_blocking(RegistrationJob(*pair, slow), process_events=interrupt)
        assert children() == []
        assert list(temporary.iterdir()) == []
        assert not worker.is_busy

    def test_errors(self, worker, pair, quick):
        with pytest.raises(ModelError, match='There is no model "brian"'):
            worker.run_blocking(RegistrationJob(*pair, replace(quick, model="brian")))


def test_the_memory_of_a_run_is_not_kept(worker, pair, quick):
    import gc
    import weakref

    fixed = pair[0].with_array(pair[0].array.copy())
    seen = weakref.ref(fixed)
    result = weakref.ref(finish(worker.start(RegistrationJob(fixed, pair[1], quick))))
    del fixed
    wait_for(lambda: [gc.collect(), seen(), result()][1:] == [None, None])
