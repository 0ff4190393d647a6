"""How well conventions are found out: the whole matrix, written as the table of ``Docs/conventions.md``.

Run it as ``python Testing/benchmarks/convention_table.py --keep CELLS.jsonl --write`` (some 40 minutes on one core;
``--quick`` takes a tenth). A run that was stopped goes on where ``--keep`` has its finished cells; cells that other
code made are made anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

from pipeline.conventions import cases, containers  # noqa: E402
from pipeline.conventions.matrix import Outcome, array_cell, file_cell  # noqa: E402
from VoxelMorphRegistrationLib.pipeline.conventions import thresholds  # noqa: E402

FULL = ("vxm", "bert")  # 1 mm, 160 x 192 x 224: how long it takes
PAIRS = ("vxm 2mm", "vxm thick", "vxm oblique", "vxm small", "bert 2mm", "bert thick", "bert oblique", "bert small")
KINDS = ("accepted, right", "asked, right first", "asked, wrong first", "ACCEPTED, WRONG")
BEGIN, END = "<!-- convention_table.py: begin -->", "<!-- convention_table.py: end -->"
AS_STATED = "as the format says"
HARDLY_MOVES = 0.5
"""Voxels (rms) of true motion below which the volumes cannot be expected to tell, say, a field from its double: the
cells of such a pair count as ambiguous, whatever comes out.
"""

Cell = tuple[str, str, str]
"""Pair, convention and container."""


def cells(quick: bool) -> Iterator[Cell]:
    """Everything the table covers."""
    for pair in FULL[: 1 if quick else 2]:
        for convention in ("VoxelMorph torch", "VoxelMorph on kji arrays", "modeling: LPS mm", "half resolution"):
            yield pair, convention, "npy"
        yield pair, AS_STATED, "NIfTI intent 1006"
    for pair in PAIRS[:4] if quick else PAIRS:
        for n, convention in enumerate(cases.CONVENTIONS):
            if (not quick or n % 3 == 0) and cases.can_store(cases.case(pair), convention):
                yield pair, convention, "npy"
        for n, container in enumerate(containers.SPEAKING):
            if not quick or n % 3 == 0:
                yield pair, AS_STATED, container
    for pair, every in (("vxm 2mm", 1), ("bert oblique", 4)) if not quick else ():
        for number, container in enumerate(containers.SILENT):
            for n, convention in enumerate(cases.CONVENTIONS):
                wanted = (n + number) % every == 0 and container != "npy"
                if wanted and cases.can_store(cases.case(pair), convention):
                    yield pair, convention, container


def outcomes(wanted: Iterator[Cell], keep: Path | None) -> list[Outcome]:
    """The cells' outcomes, those kept by an earlier run of the same code included; finished ones are kept at once."""
    code, kept = _code(), {}
    if keep is not None and keep.exists():
        for line in keep.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry.pop("code", "") == code:
                kept[entry["pair"], entry["convention"], entry["container"]] = Outcome(**entry)
    found = []
    for cell in wanted:
        if cell not in kept:
            pair, convention, container = cell
            kept[cell] = file_cell(pair, container) if convention == AS_STATED else array_cell(*cell)
            if keep is not None:
                with keep.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps({"code": code, **asdict(kept[cell])}) + "\n")
            _say(kept[cell])
        found.append(kept[cell])
    return found


def _code() -> str:
    """A fingerprint of all code that decides what a field is; the cases are trusted to be as they were."""
    library = ROOT / "VoxelMorphRegistration" / "VoxelMorphRegistrationLib" / "pipeline" / "conventions"
    files = [path for path in sorted(library.glob("*.py")) if path.stem not in ("repairs", "writing")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def _say(o: Outcome) -> None:
    mark = "" if o.kind == KINDS[0] else f"   {o.found}"
    print(f"{o.pair:13s} {o.convention:30s} {o.container:24s} {o.error:6.3f} {o.seconds:5.1f} s  {o.kind}{mark}",
          flush=True)  # fmt: skip


def moves(pair: str) -> tuple[float, float]:
    """rms of a pair's true motion inside the fixed content, in mm and in voxels."""
    case = cases.case(pair)
    inside = case.fixed.array > case.fixed.array.min()
    length = np.linalg.norm(case.forward.vectors[inside].astype(np.float64), axis=-1)
    rms = float(np.sqrt((length**2).mean()))
    return rms, rms / float(case.fixed.grid.spacing.mean())


def _rows(title: str, named: Sequence[tuple[str, Outcome]]) -> list[str]:
    counted: dict[str, Counter[str]] = {}
    for name, outcome in named:
        counted.setdefault(name, Counter())[outcome.kind] += 1
    lines = [f"| {title} | cells | {' | '.join(KINDS)} |", "|---|---|" + "---|" * len(KINDS)]
    for name, counts in counted.items():
        lines.append(f"| {name} | {sum(counts.values())} | {' | '.join(str(counts[k] or '') for k in KINDS)} |")
    total = Counter(outcome.kind for _, outcome in named)
    return [*lines, f"| **all** | {len(named)} | {' | '.join(str(total[k]) for k in KINDS)} |", ""]


def table(found: Sequence[Outcome]) -> str:
    """The confusion tables, what was asked, and how long it took, as Markdown."""
    motion = {pair: moves(pair) for pair in dict.fromkeys(o.pair for o in found)}
    hard = {pair for pair, (_, voxels) in motion.items() if voxels < HARDLY_MOVES}
    clear = [o for o in found if o.pair not in hard]
    unclear = [o for o in found if o.pair in hard]
    wrong = sum(o.kind == KINDS[3] for o in found)
    taken = sorted(o.seconds for o in found if o.pair in FULL)
    right = sum(o.kind == KINDS[0] for o in clear)
    asked = [o for o in found if not o.accepted]
    lines = [
        f"{len(found)} cells. Unambiguous: {right} of {len(clear)} ({100 * right / len(clear):.1f} %) accepted and "
        f"right. Ambiguous (true motion below {HARDLY_MOVES:g} voxel rms: {', '.join(sorted(hard)) or 'none'}): "
        f"{sum(o.right for o in unclear)} of {len(unclear)} right first, {sum(o.accepted for o in unclear)} of them "
        f"accepted. Accepted and wrong: {wrong} of {len(found)}. Of the {len(asked)} asked, "
        f"{sum(o.named for o in asked)} name what is ambiguous and what would settle it.",
        "",
        f"One diagnosis at 160 x 192 x 224 took {np.median(taken):.1f} s (median of {len(taken)}, slowest "
        f"{taken[-1]:.1f} s), on the coarser grids {np.median([o.seconds for o in found]):.1f} s (one thread, "
        "machine shared). "
        f"Thresholds: margin {thresholds.MARGIN:g} and gain {thresholds.GAIN:g} standard errors.",
        "",
        *_rows("stored as", [(o.container if o.convention == AS_STATED else o.convention, o) for o in found]),
        *_rows("array in", [(o.container, o) for o in found if o.convention != AS_STATED]),
        *_rows("pair", [("{} ({:.1f} mm, {:.1f} voxels rms)".format(o.pair, *motion[o.pair]), o) for o in found]),
    ]
    if asked:
        lines += ["Asked, and what was listed first:", ""]
        lines += [f"- {o.pair}, {_stored(o)}: {o.found}" + ("" if o.right else " (**wrong**)") for o in asked]
        lines.append("")
    return "\n".join([BEGIN, "", *lines, END])


def _stored(o: Outcome) -> str:
    return o.container if o.convention == AS_STATED else f"{o.convention} in {o.container}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="finished cells (JSON lines); a new run goes on there"
    )
    parser.add_argument("--write", action="store_true", help="put the table into Docs/conventions.md")
    arguments = parser.parse_args()
    text = table(outcomes(cells(arguments.quick), arguments.keep))
    print(text)
    if arguments.write:
        page = ROOT / "Docs" / "conventions.md"
        old = page.read_text(encoding="utf-8")
        page.write_text(old[: old.index(BEGIN)] + text + old[old.index(END) + len(END) :], encoding="utf-8")


if __name__ == "__main__":
    main()
