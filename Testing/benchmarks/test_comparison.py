"""How recorded runs become ratios, verdicts and a page: on made-up records, for nothing is timed here."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import page, report, runs, store, targets
from benchmarks.documents import put_between
from benchmarks.evaluation import Quality
from benchmarks.job import Report
from benchmarks.machine import Machine
from benchmarks.measure import Cost
from benchmarks.pairs import Pair
from benchmarks.rows import ROWS
from benchmarks.runs import Run
from benchmarks.throughput import Throughput

MACHINE = Machine("a CPU", 2, 2**30, "a system", 2)


def _run(row: str, method: str, wall: float, measure: float, peak: float = 1e9, others: float = 0.0) -> Run:
    how = ROWS[row].measure
    quality = Quality(
        measure if how == "dice" else None, measure if how == "ncc" else 0.9, 0, 0.0, 1.0,
        measure if how == "error_mm" else None,
    )  # fmt: skip
    cost = Cost(wall, 2 * wall, others, int(peak))
    return Run(row, method, 0.0, Report(cost, {"Python": "3"}, first_wall_s=2 * wall, start_s=1.0), quality)


def _by_name(*made: Run) -> dict[tuple[str, str], Run]:
    return {(run.pair, run.method): run for run in made}


def _verdicts(found: dict[tuple[str, str], Run]) -> dict[str, bool | None]:
    return {verdict.title: verdict.met for verdict in targets.verdicts(found)}


def test_targets_are_judged_on_both_sides_and_missing_runs_are_said() -> None:
    found = _by_name(
        _run("main", "t1", 4.0, 0.76, 1.6e9), _run("main", "elastix", 40.0, 0.68), _run("main", "syn", 59.0, 0.72)
    )
    met = _verdicts(found)
    assert met["main: Dice, T1 model"] is True
    assert met["main: warm job, T1 model, s"] is False
    assert met["main: T1 model, times faster than Elastix's default"] is True
    assert met["main: T1 model, times faster than SyN"] is False
    assert met["main: peak memory with OpenVINO, T1 model, GB"] is False
    assert met["main: warm job, T1 model, half resolution, s"] is None
    assert met["bert: Dice, T1 model"] is None


def test_better_is_more_dice_and_less_error() -> None:
    found = _by_name(
        _run("trunk", "default-30s", 30, 0.70), _run("trunk", "elastix", 40, 0.65),
        _run("head", "default-30s", 30, 2.0), _run("head", "elastix", 40, 1.5),
        _run("ultrasound", "default-30s", 30, 0.91), _run("ultrasound", "elastix", 40, 0.90),
    )  # fmt: skip
    assert targets.better_by(found, "trunk", "default-30s", "elastix") == pytest.approx(0.05)
    assert targets.better_by(found, "head", "default-30s", "elastix") == pytest.approx(-0.5)
    assert targets.better_by(found, "ultrasound", "default-30s", "elastix") == pytest.approx(0.01)
    met = _verdicts(found)
    assert met["trunk: default + 30 s refinement better than Elastix's default by, Dice"] is True
    assert met["head: default + 30 s refinement better than Elastix's default by, error mm"] is False


@pytest.mark.parametrize(
    ("elastix", "default", "expected"),
    [(0.7, 0.62, True), (0.7, 0.58, False), (0.45, 0.51, True), (0.45, 0.49, False)],
)
def test_half_of_the_gain_over_the_pre_alignment(elastix: float, default: float, expected: bool) -> None:
    """Also where Elastix makes it worse: then it is enough not to."""
    found = _by_name(
        _run("trunk", "pre-align", 1, 0.5),
        _run("trunk", "elastix", 40, elastix),
        _run("trunk", "default-half", 1, default),
    )
    title = "trunk: default at half resolution, share of Elastix's gain over our pre-alignment"
    assert _verdicts(found)[title] is expected


def test_the_text_has_the_ratios_first_and_says_what_was_disturbed() -> None:
    found = _by_name(
        _run("main", "t1", 4.0, 0.76), _run("main", "elastix", 40.0, 0.68, others=10.0), _run("main", "syn", 60.0, 0.72)
    )
    text = report.as_text(found, MACHINE)
    first = next(line for line in text.splitlines() if line.startswith("| main"))
    assert [cell.strip() for cell in first.split("|")[1:-1]] == [
        "main", "itk-elastix", *["-"] * 8, "+0.080 Dice",
    ]  # fmt: skip
    other = [cell.strip() for cell in text.splitlines()[text.splitlines().index(first) + 1].split("|")[1:-1]]
    assert other[-3:] == ["15.0x", "15.0x", "+0.040 Dice"]
    assert "disturbed" in text
    assert text.index("| main") < text.index("## Targets") < text.index("## main:")
    assert text.count("**missed**") == sum(verdict.met is False for verdict in targets.verdicts(found))


def test_the_overview_says_how_good_in_how_many_seconds(tmp_path: Path) -> None:
    found = _by_name(_run("head", "t1", 4.0, 2.5), _run("head", "elastix", 40.0, 1.5, others=10.0))
    (line,) = report.overview(found).splitlines()[2:]
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells == ["error, mm", "-", "-", "-", "-", "2.50 in 4.0 s", "1.50", "-"]

    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\nafter\n")
    put_between(readme, "benchmarks", page.as_readme(found, MACHINE))
    text = readme.read_text()
    assert "2.50 in 4.0 s" in text
    assert "old" not in text
    assert "disturbed the times of 1 of 2 runs" in text


def test_cold_start_adds_imports_and_the_first_job() -> None:
    found = _by_name(_run("main", "t1", 4.0, 0.76), _run("main", "elastix", 40.0, 0.68))
    lines = [[cell.strip() for cell in line.split("|")] for line in report.cold_start(found).splitlines()]
    assert lines[2][2:6] == ["1.00", "8.00", "9.00", "4.00"]
    assert lines[3][2:6] == ["1.00", "40.00", "41.00", "the same"]


def test_runs_come_back_from_json() -> None:
    found = _by_name(_run("main", "t1", 4.0, 0.76), Run("main", "syn", 0.5, failure="it crashed"))
    again, machine = report.from_json(report.as_json(found, MACHINE))
    assert again == found
    assert machine == MACHINE


def _kept(folder: Path, machine: Machine = MACHINE) -> store.Store:
    return store.Store(folder / "runs", machine, folder / "no-python")


def test_a_kept_run_is_used_until_what_it_was_made_of_changes(tmp_path: Path) -> None:
    made = Pair("trunk", "a pair", tmp_path / "fixed", tmp_path / "moving")
    for path in made.files:
        path.write_text(path.name)
    run = _run("trunk", "elastix", 40.0, 0.7)
    kept = _kept(tmp_path)
    assert kept.load(made, "elastix") is None
    kept.save(made, run)
    assert kept.load(made, "elastix") == run
    assert kept.load(made, "syn") is None
    assert _kept(tmp_path, Machine("another CPU", 2, 2**30, "a system", 2)).load(made, "elastix") is None

    other = Pair("trunk", "a pair", tmp_path / "fixed", tmp_path / "other")
    (tmp_path / "other").write_text("not what it was")
    assert kept.load(other, "elastix") is None


def test_a_volume_compressed_again_is_the_same_volume(tmp_path: Path) -> None:
    made = Pair("trunk", "a pair", tmp_path / "fixed.nii.gz", tmp_path / "moving.nii.gz")
    again = Pair("trunk", "a pair", tmp_path / "again.nii.gz", tmp_path / "moving.nii.gz")
    for path, when in zip((*made.files, again.fixed), (1, 2, 3), strict=True):
        path.write_bytes(gzip.compress(b"a volume", mtime=when))
    kept = _kept(tmp_path)
    kept.save(made, _run("trunk", "elastix", 40.0, 0.7))
    assert made.fixed.read_bytes() != again.fixed.read_bytes()
    assert kept.load(again, "elastix") is not None


def test_a_failed_run_is_not_kept_as_finished(tmp_path: Path) -> None:
    made = Pair("trunk", "a pair", tmp_path / "fixed", tmp_path / "moving")
    for path in made.files:
        path.write_text(path.name)
    kept = _kept(tmp_path)
    kept.save(made, Run("trunk", "elastix", failure="it crashed"))
    assert kept.load(made, "elastix") is None


def test_a_record_of_another_judge_without_its_field_is_made_anew(tmp_path: Path) -> None:
    made = Pair("trunk", "a pair", tmp_path / "fixed", tmp_path / "moving")
    for path in made.files:
        path.write_text(path.name)
    kept = _kept(tmp_path)
    kept.save(made, _run("trunk", "elastix", 40.0, 0.7))
    record = kept.home("trunk", "elastix") / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"judge": "another"}))
    assert kept.load(made, "elastix") is None


def test_ours_leave_no_fields_behind(tmp_path: Path) -> None:
    made = Pair("trunk", "a pair", tmp_path / "fixed", tmp_path / "moving")
    for path in made.files:
        path.write_text(path.name)
    kept = _kept(tmp_path)
    for method in ("default", "elastix"):
        home = kept.home("trunk", method)
        home.mkdir(parents=True)
        (home / "field.nrrd").write_text("a field")
        kept.save(made, _run("trunk", method, 1.0, 0.7))
    assert not (kept.home("trunk", "default") / "field.nrrd").exists()
    assert (kept.home("trunk", "elastix") / "field.nrrd").exists()


def test_every_row_has_methods_that_exist() -> None:
    for row in ROWS:
        assert set(runs.methods_of(row)) <= set(runs.METHODS)
    assert asdict(_run("main", "t1", 1, 0.7))["report"]["start_s"] == 1.0


def _sequences(folder: Path, **rows: tuple[float, float]) -> Throughput | None:
    """Kept rows as `sequence_throughput` leaves them: frames a second and peak MB by name."""
    named = {name.replace("_", " ").replace(" and ", ", "): row for name, row in rows.items()}
    kept = {
        name: {"frames_per_second": speed, "bytes_per_frame": 2e6, "peak_mb": peak, "seconds": 1.0, "plan": ""}
        for name, (speed, peak) in named.items()
    }
    (folder / "elastix").mkdir(parents=True)
    (folder / "rows-modelone12345678.json").write_text(json.dumps(kept))
    for frame, seconds in ((1, 30.0), (2, 50.0)):
        line = {"frame": frame, "seconds": seconds, "field": "field.mha"}
        (folder / "elastix" / f"elastix_default_{frame:04d}.json").write_text(json.dumps(line))
    return Throughput.kept_in(folder)


def test_a_sequence_is_held_against_its_targets(tmp_path: Path) -> None:
    assert Throughput.kept_in(tmp_path / "nothing") is None
    rows = {"half_resolution": (3.0, 400.0), "half_resolution_and_100_frames": (4.0, 410.0)}
    sequences = _sequences(tmp_path / "throughput", **rows)
    assert sequences is not None
    assert sequences.figures == pytest.approx(
        {"frames_per_second": 4.0, "times_elastix": 160.0, "memory_growth_percent": 2.5}
    )
    met = {verdict.title: verdict.met for verdict in targets.verdicts({}, sequences.figures)}
    assert [met[bound.title] for bound in targets.SEQUENCE_BOUNDS.values()] == [True, True, True]
    line = next(line for line in sequences.as_table().splitlines() if line.startswith("| half resolution, 100"))
    assert [cell.strip() for cell in line.split("|")[2:5]] == ["160.0x", "4", "0.25"]


def test_rows_of_two_models_and_one_code_belong_together(tmp_path: Path) -> None:
    folder = tmp_path / "throughput"
    _sequences(folder, half_resolution=(2.0, 400.0))
    row = {"frames_per_second": 5.0, "bytes_per_frame": 2e6, "peak_mb": 300.0, "seconds": 1.0, "plan": ""}
    name = "half resolution, T1 model, 80x96x112 network grid"
    (folder / "rows-modeltwo12345678.json").write_text(json.dumps({name: row}))
    (folder / "rows-modelone87654321.json").write_text(json.dumps({"of older code": row}))
    for path, when in (("one12345678", 2), ("two12345678", 3), ("one87654321", 1)):
        os.utime(folder / f"rows-model{path}.json", (when, when))
    sequences = Throughput.kept_in(folder)
    assert sequences is not None
    assert list(sequences.ours) == ["half resolution", name]
    assert sequences.figures["frames_per_second"] == 5.0
    assert sequences.figures["times_elastix"] == pytest.approx(80.0)


def test_the_page_has_a_picture_for_what_was_measured_and_no_other(tmp_path: Path) -> None:
    found = _by_name(_run("trunk", "default", 4.0, 0.76), _run("trunk", "elastix", 40.0, 0.68))
    text = page.as_page(found, MACHINE, None)
    assert "benchmarks-quality.png" in text
    assert "benchmarks-memory.png" not in text  # of the main pair, which was not run
    assert "benchmarks-throughput.png" not in text
    data = page.plot_data(found, None)
    (panel,) = data["quality"]
    assert [(point["method"], point["value"]) for point in panel["points"]] == [("default", 0.76), ("elastix", 0.68)]

    found |= _by_name(_run("main", "t1", 4.0, 0.76))
    sequences = _sequences(tmp_path / "throughput", half_resolution=(3.0, 400.0))
    text = page.as_page(found, MACHINE, sequences)
    assert all(f"benchmarks-{name}.png" in text for name in page.PLOTS)
    assert text.index("How much faster") < text.index("## Targets") < text.index("## trunk:")
