"""Findings are kept as files, with as little of the damage as still does it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from hardening.fuzzing.child import make_case
from hardening.fuzzing.running import Finding, read_as_is

_TRIES = 30


def kept(finding: Finding, seeds: Path, folder: Path) -> Path:
    """The finding's files, in a folder of their own, and ``finding.json`` beside it."""
    name = re.sub(r"\W+", "-", f"{finding.target}-{finding.number}-{finding.what}")[:80].strip("-")
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    good, damaged = make_case(seeds, finding.target, finding.number, place)
    about = vars(finding) | {"file": damaged.relative_to(place).as_posix(), "good": good.relative_to(seeds).as_posix()}
    place.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return place


def minimise(place: Path, seeds: Path) -> tuple[str, str]:
    """Undo what damage can be undone while the kept files are a finding still; how, and what, they are at last."""
    about = json.loads(place.with_suffix(".json").read_text(encoding="utf-8"))
    damaged, good = place / about["file"], (seeds / about["good"]).read_bytes()

    def still(attempt: bytes) -> bool:
        damaged.write_bytes(attempt)
        how, what = read_as_is(place, about["target"])
        return how == "finding" and what[:5] == about["what"][:5]

    bad = damaged.read_bytes()
    if still(bad):
        damaged.write_bytes(smaller(good, bad, still))
    return read_as_is(place, about["target"])


def smaller(good: bytes, bad: bytes, still: Callable[[bytes], bool]) -> bytes:
    """``bad`` with as many bytes as possible as they are in ``good``, of the same length, so that ``still`` is true."""
    differing = [n for n in range(len(bad)) if bad[n] != good[n]] if len(good) == len(bad) else []
    step = max(1, len(differing) // 2)
    tries = 0
    while differing and tries < _TRIES:
        for at in range(0, len(differing), step):
            attempt = bytearray(bad)
            for n in differing[at : at + step]:
                attempt[n] = good[n]
            tries += 1
            if still(bytes(attempt)):
                bad = bytes(attempt)
                del differing[at : at + step]
                break
        else:
            if step == 1:
                break
            step = max(1, step // 2)
    return bad
