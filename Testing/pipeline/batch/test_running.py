"""How a cluster of this machine is laid out, and what is said of cases that no worker could end."""

from __future__ import annotations

import pytest
from pipeline.batch.small_cases import write_small_cases
from VoxelMorphRegistrationLib.pipeline.batch import ClusterOptions, Record, read_cases
from VoxelMorphRegistrationLib.pipeline.batch.memory import bytes_needed
from VoxelMorphRegistrationLib.pipeline.batch.report import as_csv, as_text, worst_first
from VoxelMorphRegistrationLib.pipeline.batch.running import _failed, _Pace

distributed = pytest.importorskip("distributed")


@pytest.fixture
def cases(tmp_path):
    return read_cases(write_small_cases(tmp_path, 3))


def test_memory_grows_with_the_network_grid(cases, tmp_path):
    full = read_cases(write_small_cases(tmp_path, 3, {"resolution": "full"}))
    assert bytes_needed(full) > bytes_needed(cases) > 0.35e9


def test_as_many_workers_as_there_is_room_and_work_for(cases, monkeypatch):
    from VoxelMorphRegistrationLib.pipeline.batch import cluster

    monkeypatch.setattr("dask.system.CPU_COUNT", 16)
    assert cluster.LocalSize.of(cases, ClusterOptions()).workers == 3  # one for each case
    assert cluster.LocalSize.of(cases * 100, ClusterOptions(workers=4)).threads == 4
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 3 * bytes_needed(cases))
    assert cluster.LocalSize.of(cases * 100, ClusterOptions()).workers == 2  # 80 % of what is free
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 1)
    assert cluster.LocalSize.of(cases, ClusterOptions()).workers == 1


def test_what_no_worker_could_end_is_a_sentence(cases):
    lost = _failed(cases[0], distributed.KilledWorker("case", None, 5))
    assert "ended unexpectedly again and again" in lost.error
    fault = _failed(cases[1], ZeroDivisionError("division by zero"))
    assert fault.error == "Unexpected ZeroDivisionError: division by zero"
    assert Record.from_json(lost.to_json()) == lost


def test_the_report_has_the_worst_first():
    def record(name: str, similarity: float | None, *warnings: str, status: str = "finished") -> Record:
        quality = {"similarity_after": similarity}
        return Record(name, "pair", status, quality=quality, warnings=warnings, seconds={"total": 1.0})

    records = [
        record("good", 0.9),
        record("poor", 0.2),
        record("odd", 0.95, "It is odd."),
        record("lost", None, status="failed"),
        record("flat", None),
    ]
    ordered = worst_first(records)
    assert [each.name for each in ordered] == ["lost", "odd", "flat", "poor", "good"]
    assert "5 cases: 4 finished, 1 without a whole result" in as_text(ordered)
    assert "      It is odd." in as_text(ordered).splitlines()
    assert as_csv(ordered).splitlines()[1].startswith("lost,0,failed,")


def test_pace(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    pace = _Pace(before=10, total=110)
    now[0] += 20
    assert pace.after(ended=50, failed=1) == (
        "45 % of the cases (50 of 110, 1 failed; 2.0 a second, 30 s left)",
        50 / 110,
    )
