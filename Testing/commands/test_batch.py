"""The batch command on real local clusters, whose workers are killed while it runs."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from pipeline.batch.running_batch import (
    Count,
    Dask,
    end_group,
    finished_markers,
    start_batch,
    wait_for,
    worker_processes,
)
from pipeline.batch.small_cases import write_rows, write_small_cases
from VoxelMorphRegistrationLib.commands import exit_codes
from VoxelMorphRegistrationLib.commands.main import main
from VoxelMorphRegistrationLib.network.engines import available_engines
from VoxelMorphRegistrationLib.pipeline.batch import load_results

pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif("openvino" not in available_engines(), reason="OpenVINO is not installed here")


def names(number: int) -> list[str]:
    return [f"case-{each:04}" for each in range(number)]


def manifest(output: Path) -> dict[str, dict]:
    """By name; each case is there once."""
    cases = json.loads((output / "manifest.json").read_text())["cases"]
    by_name = {case["name"]: case for case in cases}
    assert len(by_name) == len(cases)
    return by_name


def broken(path: Path) -> str:
    path.write_bytes(b"no volume at all")
    return path.name


def add_case(cases: Path, **row: str) -> None:
    with cases.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    write_rows(cases, [*rows, rows[0] | row])


def test_workers_killed_at_random(tmp_path):
    """Every case is finished once, whoever is killed; a failing one is told and stops nobody."""
    cases, output = write_small_cases(tmp_path, 40), tmp_path / "out"
    add_case(cases, name="bad", moving=broken(tmp_path / "bad.nii.gz"))
    batch = start_batch(cases, output, "--workers", "2")
    chance, killed = random.Random(0), 0
    for goal in (2, 7, 12, 17):  # by how far it has come, not by the clock: it goes as fast as the machine does
        wait_for(lambda goal=goal: len(finished_markers(output)) >= goal)
        wait_for(lambda: bool(worker_processes(batch.pid)))
        with suppress(psutil.NoSuchProcess, IndexError):
            chance.choice(worker_processes(batch.pid)).kill()
            killed += 1
    said, complained = batch.communicate(timeout=300)
    assert batch.returncode == exit_codes.SOME_FAILED, complained
    assert killed >= 3
    count = Count.of(output, names(40))
    assert (count.once, count.again, count.lost) == (40, 0, 0)
    assert count.attempts <= 40 + killed  # a lost worker takes one case with it

    told = manifest(output)
    assert set(told) == {*names(40), "bad"}
    assert all(told[name] == json.loads((output / f"cases/{name}/case.json").read_text()) for name in names(40))
    assert told["bad"]["status"] == "failed"
    assert "bad.nii.gz cannot be read" in told["bad"]["error"]
    assert "1 of 41 cases failed" in complained
    assert "41 of 41" in complained  # the progress: how many, how fast, how long
    assert "left)" in complained
    assert "bad: " in said
    assert "Traceback" not in complained
    with (output / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["name"] == "bad"
    similarities = [float(row["similarity_after"]) for row in rows[1:]]
    assert similarities == sorted(similarities)
    assert not worker_processes(batch.pid)


def test_stopped_killed_and_taken_up_again(tmp_path):
    """Ctrl-C, then kill -9 of the command, then to the end: what was finished is never done again."""
    cases, output = write_small_cases(tmp_path, 18), tmp_path / "out"
    batch = start_batch(cases, output, "--workers", "1")
    wait_for(lambda: len(finished_markers(output)) >= 3)
    end_group(batch, signal.SIGINT)
    _, complained = batch.communicate(timeout=300)
    assert batch.returncode == exit_codes.CANCELLED, complained
    assert "run the same command again" in complained
    assert "Traceback" not in complained
    after_stop = {path: path.stat().st_mtime_ns for path in finished_markers(output)}
    assert 3 <= len(after_stop) < 18
    assert set(manifest(output)) <= {path.parent.name for path in after_stop}

    batch = start_batch(cases, output, "--workers", "1")
    wait_for(lambda: len(finished_markers(output)) >= len(after_stop) + 2)
    workers = worker_processes(batch.pid)
    batch.kill()
    batch.communicate()
    wait_for(lambda: not any(worker.is_running() for worker in workers))  # they end with the command
    after_kill = {path: path.stat().st_mtime_ns for path in finished_markers(output)}
    assert after_kill.items() >= after_stop.items()
    assert len(after_kill) < 18

    code = main(["batch", str(cases), "--output", str(output), "--workers", "1", "--quiet"])
    assert code == exit_codes.OK
    assert {path: path.stat().st_mtime_ns for path in finished_markers(output)}.items() >= after_kill.items()
    count = Count.of(output, names(18))
    assert (count.once, count.again, count.lost) == (18, 0, 0)
    assert [case.name for case in load_results(output)] == names(18) == list(manifest(output))
    assert not worker_processes(os.getpid())


@pytest.fixture
def dask(tmp_path):
    with Dask.running(tmp_path, workers=2) as dask:
        yield dask


def test_a_scheduler_that_is_running_already(tmp_path, dask):
    """Its workers are lost, one of them for good, and at last it is lost itself."""
    address, workers = dask.address, dask.workers
    cases, output = write_small_cases(tmp_path, 16), tmp_path / "out"
    add_case(cases, name="bad", moving=broken(tmp_path / "bad.nii.gz"))
    batch = start_batch(cases, output, "--scheduler", address)
    wait_for(lambda: len(finished_markers(output)) >= 4)
    inner = worker_processes(workers[0].pid)
    assert inner
    inner[0].kill()  # which its nanny notices
    time.sleep(0.3)
    workers[1].kill()  # a whole node is gone
    for each in worker_processes(workers[1].pid):
        each.kill()
    _, complained = batch.communicate(timeout=300)
    assert batch.returncode == exit_codes.SOME_FAILED, complained
    count = Count.of(output, names(16))
    assert (count.once, count.again, count.lost) == (16, 0, 0)
    told = manifest(output)
    assert set(told) == {*names(16), "bad"}
    assert told["bad"]["status"] == "failed"

    output = tmp_path / "second"
    batch = start_batch(cases, output, "--scheduler", address)
    wait_for(lambda: len(finished_markers(output)) >= 2)
    dask.scheduler.kill()
    _, complained = batch.communicate(timeout=300)
    assert batch.returncode == exit_codes.SOME_FAILED, complained
    assert "connection to the Dask scheduler was lost" in complained
    assert "Traceback" not in complained
    assert set(manifest(output)) <= {path.parent.name for path in finished_markers(output)}


def test_no_scheduler_answers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("VoxelMorphRegistrationLib.pipeline.batch.cluster._CONNECT_SECONDS", 1)
    cases = write_small_cases(tmp_path, 1)
    code = main(["batch", str(cases), "--output", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:9"])
    assert code == exit_codes.NO_MODEL
    assert "No Dask scheduler answers at tcp://127.0.0.1:9" in capsys.readouterr().err


def test_nothing_runs_while_the_file_is_wrong(tmp_path, capsys):
    cases, output = write_small_cases(tmp_path, 2), tmp_path / "out"
    add_case(cases, name="case-0000", moving="nowhere.nii.gz", resolution="hlaf")
    assert main(["batch", str(cases), "--output", str(output)]) == exit_codes.BAD_INPUT
    said = capsys.readouterr().err
    assert "3 problems, so nothing was run" in said
    for place in ("line 4, column moving: ", "line 4, column resolution: ", "line 4, column name: line 2"):
        assert place in said
    assert not output.exists()


def test_without_dask_it_says_how_to_install_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)  # as import says of what is not installed
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    cases = write_small_cases(tmp_path, 1)
    assert main(["batch", str(cases), "--output", str(tmp_path / "out")]) == exit_codes.NO_MODEL
    assert 'pip install "distributed' in capsys.readouterr().err


def test_template_check_and_options(tmp_path, capsys):
    assert main(["batch", "--template"]) == exit_codes.OK
    assert "name,fixed,moving" in capsys.readouterr().out
    cases = write_small_cases(tmp_path, 3)
    assert main(["batch", str(cases), "--check"]) == exit_codes.OK
    assert "3 cases, and nothing wrong" in capsys.readouterr().out
    for wrong in (["--workers", "0"], ["--workers", "2", "--scheduler", "tcp://h:1"]):
        assert main(["batch", str(cases), "--output", str(tmp_path / "out"), *wrong]) == exit_codes.BAD_INPUT
    with pytest.raises(SystemExit, match="2"):
        main(["batch", str(cases)])
