"""Registers two real pairs of brains with us and with itk-elastix, ANTs, greedy and demons, and compares.

    make bench                                        all methods, both pairs: about ten minutes on 2 quiet cores
    python Testing/benchmarks/compare_with_peers.py --pairs main --methods openvino,openvino-half,elastix

The second form is run by the project's interpreter (``.venv``); ``--peer-python`` is one with ``pip``'s group
"bench", which ``make bench`` puts into ``.venv-bench``. The report goes to standard output and, with every figure as
JSON, into the folder of ``--output``: ``comparison.md``, ``comparison.json`` and what each method printed, in
``logs``. Progress goes to standard error. Exit code 2 where data or the peers' interpreter are missing.

Every method runs in a process of its own, held to two cores and two threads, measures itself (`measure`) and leaves
its total displacement field, which one judge (`evaluation`) holds against the labels. Run it on a machine that has
nothing else to do: the report says what other processes used meanwhile.

To add a peer: a function in `peers` and a title in `runs.PEERS`. To add a pair: an entry in `pairs.PAIRS`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # Testing, of which this folder is a package

from benchmarks import report, runs
from benchmarks.evaluation import Judge
from benchmarks.machine import Machine, hold_to_cores
from benchmarks.pairs import PAIRS, Pair, missing_files
from benchmarks.runs import METHODS, PEERS, Run


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 when all that was asked for ran, 1 when a method failed, 2 when something is missing."""
    options = _parser().parse_args(arguments)
    pairs = [PAIRS[name] for name in options.pairs]
    if problem := _problem(pairs, options.methods, options.peer_python):
        print(problem, file=sys.stderr)
        return 2
    logs = options.output / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    hold_to_cores(runs.THREADS)
    machine = Machine.this_one(runs.THREADS)
    found: dict[tuple[str, str], Run] = {}
    for pair in pairs:
        judge = Judge(pair)
        found[pair.name, runs.BEFORE] = runs.before(pair, judge)
        for method in options.methods:
            print(f"{pair.name}: {METHODS[method]} ...", file=sys.stderr, flush=True)
            run = runs.run(method, pair, judge, options.peer_python.absolute(), logs.absolute())
            print("    " + _in_short(run), file=sys.stderr, flush=True)
            found[pair.name, method] = run
            # After each run, so that one who stops the comparison has what was done until then.
            (options.output / "comparison.md").write_text(report.as_text(found, pairs, machine))
            (options.output / "comparison.json").write_text(report.as_json(found, pairs, machine))
    print(report.as_text(found, pairs, machine))
    return int(any(run.failure for run in found.values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--peer-python", type=Path, default=Path(".venv-bench/bin/python"), help="has the peers")
    parser.add_argument("--output", type=Path, default=Path("bench-output"), help="folder for the report")
    for name, known in (("pairs", PAIRS), ("methods", METHODS)):
        parser.add_argument(f"--{name}", type=_some_of(known), default=",".join(known), help="separated by commas")
    return parser


def _some_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    def chosen(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; choose from {', '.join(known)}")
        return names

    return chosen


def _problem(pairs: Iterable[Pair], methods: Iterable[str], peer_python: Path) -> str:
    """One sentence on why nothing can be compared, or nothing."""
    if missing := missing_files(pairs):
        return (
            f"The benchmark needs the real brain volumes kept beside the project, and {missing[0]} is not there; "
            "put the shared data folder beside the repository."
        )
    if any(method in PEERS for method in methods) and not peer_python.is_file():
        return f"There is no interpreter {peer_python} with the peers; run `make bench`, which makes one."
    return ""


def _in_short(run: Run) -> str:
    if run.report is None or run.quality is None:
        return f"failed: {run.failure}"
    return f"{run.report.cost.wall_s:.1f} s, {run.report.cost.cpu_s:.1f} s CPU, Dice {run.quality.dice:.3f}"


if __name__ == "__main__":
    sys.exit(main())
