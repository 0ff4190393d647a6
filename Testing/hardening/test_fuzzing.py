"""The fuzzer finds what it is for, and a few damaged files for each reader."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("limits of a process's memory and time are POSIX", allow_module_level=True)

from hardening.fuzzing.child import make_case, tried
from hardening.fuzzing.keeping import smaller
from hardening.fuzzing.mutation import mutated
from hardening.fuzzing.running import read_as_is, read_batch
from hardening.fuzzing.targets import TARGETS, write_seeds

# Read by Python alone or by libraries that no damage has brought down so far; the others in a process of their own.
PURE = ["cases.csv", "case folders", "jobs", "landmarks", "label names", "model cards", "models .pt", "rounded fields"]
REGRESSIONS = Path(__file__).parent / "regressions"
FEW = 25


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    write_seeds(folder, [*PURE, "volumes"])
    return folder


def test_the_same_number_is_the_same_damage(seeds, tmp_path):
    good, damaged = make_case(seeds, "cases.csv", 7, tmp_path / "once")
    _, again = make_case(seeds, "cases.csv", 7, tmp_path / "again")
    assert damaged.read_bytes() == again.read_bytes() != good.read_bytes()
    assert len({mutated(good.read_bytes(), str(n)) for n in range(50)}) > 40


@pytest.mark.parametrize("name", PURE)
def test_damaged_files_end_in_a_result_or_a_sentence(seeds, tmp_path, name):
    for number in range(FEW):
        make_case(seeds, name, number, tmp_path / str(number))
        how = tried(TARGETS[name], tmp_path / str(number))
        assert how["how"] in ("read", "refused"), f"number {number}: {how}"


@pytest.mark.timeout(900)
def test_damaged_volumes_in_a_process_of_their_own(seeds):
    found = list(read_batch(seeds, "volumes", 0, 66))
    assert [number for number, _, _ in found] == list(range(66))
    assert [each for each in found if each[1] == "finding"] == []
    assert {how for _, how, _ in found} == {"read", "refused"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("does", "what"),
    [("crash", "crash: SIGSEGV"), ("hang", "hang"), ("memory", "memory"), ("two lines", "a message of several lines")],
)
def test_every_kind_of_finding_is_found(tmp_path, does, what):
    (tmp_path / "input").write_text(does)
    how, found = read_as_is(tmp_path, "self-test", cpu_seconds=1.0 if does == "hang" else 300.0)
    assert how == "finding"
    assert found.startswith(what)


def test_damage_that_does_nothing_is_undone():
    assert smaller(b"abcdefgh", b"aXcdYfgZ", lambda attempt: attempt[4:5] == b"Y") == b"abcdYfgh"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", sorted(REGRESSIONS.glob("*.json")), ids=lambda path: path.stem)
def test_what_was_found_once_is_found_no_more(path):
    about = json.loads(path.read_text(encoding="utf-8"))
    how, what = read_as_is(path.with_suffix(""), about["target"])
    assert (how, what) in (("read", ""), ("refused", "")), about["what"]
