"""How well conventions are found out: the whole matrix, written as the table of ``Docs/conventions.md``.

Run it as ``python Testing/benchmarks/convention_table.py`` (some 20 minutes on 2 cores; ``--quick`` takes a tenth).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

from pipeline.conventions import cases, containers  # noqa: E402
from pipeline.conventions.matrix import Outcome, array_cell, file_cell  # noqa: E402
from VoxelMorphRegistrationLib.pipeline.conventions import thresholds  # noqa: E402

PAIRS = ("vxm 2mm", "vxm thick", "vxm oblique", "vxm small", "bert 2mm", "bert thick", "bert oblique", "bert small")
KINDS = ("accepted, right", "asked, right first", "asked, wrong first", "ACCEPTED, WRONG")
BEGIN, END = "<!-- convention_table.py: begin -->", "<!-- convention_table.py: end -->"


def cells(quick: bool) -> list[Outcome]:
    found: list[Outcome] = []
    pairs = PAIRS[:4] if quick else PAIRS
    for pair in pairs:
        for n, convention in enumerate(cases.CONVENTIONS):
            if cases.can_store(cases.case(pair), convention) and (not quick or n % 3 == 0):
                found.append(_said(array_cell(pair, convention)))
        for n, container in enumerate(containers.SPEAKING):
            if not quick or n % 3 == 0:
                found.append(_said(file_cell(pair, container)))
    for pair in ("vxm 2mm", "bert oblique"):
        for number, container in enumerate(containers.SILENT):
            for n, convention in enumerate(cases.CONVENTIONS):
                wanted = not quick and (n + number) % (1 if pair == "vxm 2mm" else 4) == 0
                if wanted and container != "npy" and cases.can_store(cases.case(pair), convention):
                    found.append(_said(array_cell(pair, convention, container)))
    return found


def _said(outcome: Outcome) -> Outcome:
    mark = "" if outcome.kind == "accepted, right" else f"   {outcome.found}"
    print(f"{outcome.pair:13s} {outcome.convention:30s} {outcome.container:24s} {outcome.error:6.3f} "
          f"{outcome.seconds:5.1f} s  {outcome.kind}{mark}", flush=True)  # fmt: skip
    return outcome


def table(outcomes: list[Outcome]) -> str:
    lines = [f"| stored as | cells | {' | '.join(KINDS)} |", "|---|---|" + "---|" * len(KINDS)]
    rows: dict[str, Counter[str]] = {}
    for o in outcomes:
        name = o.convention if o.convention != "as the format says" else o.container
        rows.setdefault(name, Counter())[o.kind] += 1
    for name, counts in rows.items():
        lines.append(f"| {name} | {sum(counts.values())} | {' | '.join(str(counts[k] or '') for k in KINDS)} |")
    total = Counter(o.kind for o in outcomes)
    lines.append(f"| **all** | {len(outcomes)} | {' | '.join(str(total[k]) for k in KINDS)} |")
    by_pair = [f"| pair | cells | {' | '.join(KINDS)} |", "|---|---|" + "---|" * len(KINDS)]
    for pair in dict.fromkeys(o.pair for o in outcomes):
        counts = Counter(o.kind for o in outcomes if o.pair == pair)
        by_pair.append(f"| {pair} | {sum(counts.values())} | {' | '.join(str(counts[k] or '') for k in KINDS)} |")
    slowest = max(o.seconds for o in outcomes)
    asked = [o for o in outcomes if not o.accepted]
    right = sum(o.right for o in outcomes)
    summary = (
        f"{right} of {len(outcomes)} cells ({100 * right / len(outcomes):.1f} %) have the right convention first; "
        f"{total['accepted, right']} were accepted and right, {total['ACCEPTED, WRONG']} accepted and wrong; of the "
        f"{len(asked)} asked, {sum(o.named for o in asked)} name what is ambiguous and what would settle it. Slowest "
        f"diagnosis {slowest:.1f} s (machine shared). Thresholds: margin {thresholds.MARGIN:g} and gain "
        f"{thresholds.GAIN:g} standard errors."
    )
    return "\n".join([BEGIN, "", summary, "", *lines, "", *by_pair, "", END])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true", help="put the table into Docs/conventions.md")
    arguments = parser.parse_args()
    text = table(cells(arguments.quick))
    print(text)
    if arguments.write:
        page = ROOT / "Docs" / "conventions.md"
        old = page.read_text(encoding="utf-8")
        page.write_text(old[: old.index(BEGIN)] + text + old[old.index(END) + len(END) :], encoding="utf-8")


if __name__ == "__main__":
    main()
