"""The public page: everything that `make bench` measured, and its plots.

    python Testing/benchmarks/page.py                    writes Docs/benchmarks.md and Docs/benchmarks-*.png
    python Testing/benchmarks/page.py --readme README.md puts the short tables between its marks, too

Reads what `compare_with_peers` and `sequence_throughput` left in ``--output``, and measures nothing itself. The plots
are drawn by ``--peer-python``, which has matplotlib.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # Testing, of which this folder is a package
sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "VoxelMorphRegistration"))

from benchmarks import report, runs
from benchmarks.documents import put_between
from benchmarks.machine import Machine
from benchmarks.rows import ROWS
from benchmarks.runs import METHODS, PEERS, TITLES
from benchmarks.targets import Runs, verdicts
from benchmarks.throughput import Throughput

PAGE = Path(__file__).resolve().parents[2] / "Docs" / "benchmarks.md"
PLOTS = {
    "quality": "Quality against seconds on every pair; up and left is better. Dashed: the pre-alignment alone. Hollow, "
    "at the right: the time was disturbed by other processes",
    "memory": "Peak memory of the whole process on the main pair",
    "throughput": "Frames of a sequence per second",
    "cold-start": "The first registration of a fresh process on the main pair, and the next one",
}
"""Name in the file's name, and what it shows."""

_HEAD = """\
# Benchmarks

Made by `make bench`, which registers every pair below with this project and with its peers in the same run, each in a \
process of its own held to the same two cores, and has all results held against the truth by one judge that uses none \
of this project's code. No measured figure on this page is typed by hand. To repeat a part: \
`python Testing/benchmarks/compare_with_peers.py --rows inverted trunk --methods default elastix`, then \
`python Testing/benchmarks/page.py`."""

_SEQUENCES = """\
A T1 brain of 160x192x224 voxels of 1 mm under smooth known warps, one file a frame, every frame to the reference; \
model and engine warm, files read and written. Elastix's time is that of the registration alone. Made by \
`sequence_throughput.py`."""

_COLD = """\
From the start of the process, files in the disk cache. The peers have no engine to load: a later job takes as long as \
the first. "Cold command", among the main pair's figures, is a whole `register` from a shell, both outputs written."""

_LEFT_OUT = """\
**uniGradICON** (the nearest peer: one network for any anatomy) was not run. Its package is on PyPI, but its weights \
are fetched at the first use from its GitHub releases, which a build that has only package registries cannot reach. \
Published, not measured here, on other data and a GPU (arXiv 2403.05780): without and with instance optimisation, mean \
target error on DIR-Lab COPD 2.26 and 1.40 mm, Dice on abdominal CT of different people 48.3 and 52.2 %, CT to MR 50.0 \
and 66.8 %; about 3 to 6 s and 30 s.

**SynthMorph**, whose recipe the default model follows, needs 85 MB of weights from outside the registries and minutes \
on a CPU; it was not run either. **SyN with correlation** (radius 4, 100x70x50 iterations) was stopped after more than \
ten minutes at half resolution and is not in the comparison: SyN here is ANTsPy's default, mutual information.

**SlicerVoxelmorph** (MatteoL46, December 2024) runs the same T1 weights in Slicer, but resamples by array shape \
without the volumes' geometry, does not scale intensities and leaves a volume and no transform, so there is no field \
to judge; it writes to a folder of its author's machine and was not run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 2 where nothing was measured yet."""
    options = _parser().parse_args(arguments)
    comparison = options.output / "comparison.json"
    if not comparison.is_file():
        print(f"There is no {comparison} yet: run compare_with_peers.py first.", file=sys.stderr)
        return 2
    found, machine = report.from_json(comparison.read_text())
    sequences = Throughput.kept_in(options.output / "throughput")
    options.page.write_text(as_page(found, machine, sequences), encoding="utf-8")
    if options.readme is not None:
        put_between(options.readme, "benchmarks", as_readme(found, machine))
    data = options.output / "plots.json"
    data.write_text(json.dumps(plot_data(found, sequences), indent=2) + "\n")
    command = [str(options.peer_python.absolute()), "-m", "benchmarks.plots", str(data), str(options.page.parent)]
    subprocess.run(command, check=True, env=runs.environment())
    print(options.page)
    return 0


def as_page(found: Runs, machine: Machine, sequences: Throughput | None) -> str:
    """Ratios first, then what was promised, then every figure."""
    parts = [_HEAD, str(machine), "## How much faster, and how much better", report.ratios(found)]
    drawn = plot_data(found, sequences)
    parts += ["## How good, in how many seconds", report.overview(found), _overview_note(found)]
    parts += [f"![{title}](benchmarks-{name}.png)\n\n*{title}.*" for name, title in PLOTS.items() if drawn[name]]
    parts += ["## Targets", *report.targets(verdicts(found, sequences.figures if sequences else None))]
    parts += ["## Sequences", _SEQUENCES, sequences.as_table() if sequences else "Not measured."]
    parts += ["## Cold start", _COLD, report.cold_start(found), *report.figures(found)]
    parts += ["## Not in the comparison", _LEFT_OUT, *report.remarks(found, machine)]
    return "\n\n".join(parts) + "\n"


def as_readme(found: Runs, machine: Machine) -> str:
    """What the README shows: how good in how many seconds, and on what machine."""
    return "\n\n".join([report.overview(found), _overview_note(found), str(machine)])


def _overview_note(found: Runs) -> str:
    said = (
        "The whole job, from reading two files to transform and moved volume in memory; ours with model and engine "
        "loaded."
    )
    busy = sum(run.is_busy for run in found.values())
    return said + (f" Other processes disturbed the times of {busy} of {len(found)} runs." if busy else "")


def plot_data(found: Runs, sequences: Throughput | None) -> dict[str, Any]:
    """What `plots` draws, of plain values."""
    ours = list(sequences.ours.values()) if sequences else []
    ways = [*ours, *sequences.elastix.values()] if sequences else []
    return {
        "quality": [
            {"row": row.name, "title": row.title, "measure": row.measure, "points": points}
            for row in ROWS.values()
            if (points := _points(found, row.name, row.measure))
        ],
        "memory": [
            {"title": TITLES[method], "gb": run.report.cost.peak_gb, "ours": method not in PEERS}
            for method in METHODS
            if (run := found.get(("main", method))) and run.report
        ],
        "throughput": [
            {
                "title": way.title,
                "frames_per_second": way.frames_per_second,
                "ours": not way.title.startswith("elastix"),
            }
            for way in ways
        ],
        "cold-start": [
            {
                "title": TITLES[method],
                "start_s": run.report.start_s,
                "first_s": run.report.first_wall_s or run.report.cost.wall_s,
                "later_s": run.report.cost.wall_s,
                "ours": method not in PEERS,
            }
            for method in METHODS
            if (run := found.get(("main", method))) and run.report and run.report.start_s is not None
            if method in PEERS or run.report.first_wall_s is not None
        ],
    }


def _points(found: Runs, row: str, measure: str) -> list[dict[str, Any]]:
    """Of the methods that every row has, and of the peers; no time where other processes disturbed it."""
    points: list[dict[str, Any]] = []
    for method in METHODS:
        run = found.get((row, method))
        if run and run.report and run.quality and (method in runs.EVERYWHERE or method in PEERS or method == "t1-3s"):
            value = getattr(run.quality, measure)
            wall_s = None if run.is_busy else run.report.cost.wall_s
            points.append({"method": method, "wall_s": wall_s, "value": value})
    return points


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--peer-python", type=Path, default=Path(".venv-bench/bin/python"), help="has matplotlib")
    parser.add_argument("--output", type=Path, default=Path("bench-output"), help="what was measured")
    parser.add_argument("--page", type=Path, default=PAGE, help="the plots are put beside it")
    parser.add_argument(
        "--readme", type=Path, help="a page with the marks <!-- benchmarks --> and <!-- /benchmarks -->"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
