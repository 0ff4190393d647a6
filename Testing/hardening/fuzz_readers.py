"""Damaged files for every reader: does each end in a result or one sentence, and in nothing else?

    python Testing/hardening/fuzz_readers.py [--minutes 60] [--only TARGET ...] [--from 0] [--write]

Small good files of every format (`fuzzing/targets.py`) are damaged, mostly in their headers and inside what is packed
(`fuzzing/mutation.py`), and read in child processes. A finding is: a crash, reading without end (40 s of processor
time), 768 MB more memory, an exception that is not one of ``errors.py``, a message of several lines. Findings are kept
in ``fuzz-findings``; ``--again`` reads those anew and makes the damage as small as still does it. ``--write`` puts the
figures into Docs/reliability.md. The exit code is 1 if there were findings.
"""

from __future__ import annotations

# ruff: noqa: E402, this is a script: it sets sys.path first
import argparse
import json
import shlex
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

from benchmarks.documents import put_between
from hardening.fuzzing.keeping import kept, minimise
from hardening.fuzzing.running import Finding, Tally, read_batch
from hardening.fuzzing.targets import TARGETS, write_seeds

_PAGE = ROOT / "Docs/reliability.md"


def main() -> int:
    """Run it; 0 if nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", nargs="+", choices=sorted(TARGETS), default=list(TARGETS), metavar="TARGET")
    parser.add_argument("--from", type=int, default=0, dest="first", help="number of the first damaged file")
    parser.add_argument("--findings", type=Path, default=ROOT / "fuzz-findings", help="where they are kept")
    parser.add_argument("--state", type=Path, help="a file for the figures, which is read first: to go on another day")
    parser.add_argument("--write", action="store_true", help=f"put the figures into {_PAGE.name}")
    parser.add_argument("--again", action="store_true", help="only read the kept findings anew")
    arguments = parser.parse_args()
    if arguments.again:
        return _again(arguments.findings)
    tallies = _read_state(arguments.state)
    until, said = time.monotonic() + 60 * arguments.minutes, 0.0
    next_number = {name: arguments.first + tallies[name].files for name in arguments.only}
    with tempfile.TemporaryDirectory(prefix="fuzz-seeds-") as folder:
        seeds = Path(folder)
        write_seeds(seeds, arguments.only)
        while time.monotonic() < until:
            for name in arguments.only:
                _one_batch(seeds, name, next_number, tallies[name], arguments.findings, until)
                if time.monotonic() > said + 60:
                    said = time.monotonic()
                    print(f"{datetime.now(UTC):%H:%M:%S} {sum(t.files for t in tallies.values())} files", flush=True)
                _write_state(arguments.state, tallies)
    text = table(tallies)
    print(text)
    if arguments.write:
        command = shlex.join(["python", "Testing/hardening/fuzz_readers.py", *sys.argv[1:]])
        put_between(_PAGE, "fuzzing", f"`{command}`:\n\n{text}")
    return 1 if any(tally.findings for tally in tallies.values()) else 0


def _again(findings: Path) -> int:
    found = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-seeds-") as folder:
        write_seeds(Path(folder))
        for place in sorted(path.with_suffix("") for path in findings.glob("*.json")):
            how, what = minimise(place, Path(folder))
            found += how == "finding"
            print(f"{place.name}: {how} {what}", flush=True)
    return 1 if found else 0


def _one_batch(seeds: Path, name: str, next_number: dict[str, int], tally: Tally, findings: Path, until: float) -> None:
    began = time.monotonic()
    for number, how, what in read_batch(seeds, name, next_number[name], TARGETS[name].batch):
        next_number[name] = number + 1
        tally.how[how] += 1
        if how == "finding":
            finding = Finding(name, number, what)
            if not any(_same(finding, other) for other in tally.findings):
                print(f"{name} {number}: {what}", flush=True)
                kept(finding, seeds, findings)
            tally.findings.append(finding)
        if time.monotonic() > until:
            break
    tally.seconds += time.monotonic() - began


def _same(one: Finding, other: Finding) -> bool:
    """Numbers in it apart."""
    return one.target == other.target and one.what.split(":")[0:2] == other.what.split(":")[0:2]


def table(tallies: dict[str, Tally]) -> str:
    """What was read, a line for each target."""
    rows = [
        "| reader of | files | read | refused in a sentence | findings | minutes |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    total = Tally()
    for name, tally in tallies.items():
        if tally.files:
            rows.append(_row(name, tally))
        total.how.update(tally.how)
        total.seconds += tally.seconds
    return "\n".join([*rows, _row("**all**", total)])


def _row(name: str, tally: Tally) -> str:
    how = tally.how
    return (
        f"| {name} | {tally.files} | {how['read']} | {how['refused']} | {how['finding']} | {tally.seconds / 60:.1f} |"
    )


def _read_state(path: Path | None) -> dict[str, Tally]:
    tallies = {name: Tally() for name in TARGETS}
    if path is not None and path.exists():
        for name, values in json.loads(path.read_text()).items():
            if name in tallies:
                tallies[name].how.update(values["how"])
                tallies[name].seconds = values["seconds"]
                tallies[name].findings = [Finding(**each) for each in values["findings"]]
    return tallies


def _write_state(path: Path | None, tallies: dict[str, Tally]) -> None:
    if path is not None:
        values = {
            name: {"how": tally.how, "seconds": tally.seconds, "findings": [vars(each) for each in tally.findings]}
            for name, tally in tallies.items()
        }
        path.write_text(json.dumps(values))


if __name__ == "__main__":
    sys.exit(main())
