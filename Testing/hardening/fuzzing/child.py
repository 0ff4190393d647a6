"""Reads damaged files, one after the other, and says of each on stdout how it went; started by `running`.

``python -m hardening.fuzzing.child SEEDS TARGET FIRST COUNT``; a COUNT of 0 reads what lies in SEEDS itself, once, as
it is. A line of JSON each: ``{"begin": NUMBER}``, then
``{"end": NUMBER, "how": "read" | "refused" | "finding", ...}``. A crash or a hang is seen by who started it.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any

from hardening.fuzzing.mutation import mutated
from hardening.fuzzing.targets import SELF_TEST, TARGETS, Target

_ADDRESS_SPACE = 8 << 30
_MEMORY_KB = 768 << 10
"""How much more memory than before a file of a few kilobytes may take while it is read."""
_LONGEST_SENTENCE = 1500


def make_case(seeds: Path, target: str, number: int, folder: Path) -> tuple[Path, Path]:
    """A copy of one of the target's seeds with one of its files damaged; the good file and the damaged one."""
    names = sorted(path.name for path in (seeds / target).iterdir())
    seed = seeds / target / names[number % len(names)]
    shutil.copytree(seed, folder)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    file = files[(number // len(names)) % len(files)]
    (folder / file).write_bytes(mutated((seed / file).read_bytes(), f"{target}:{number}"))
    return seed / file, folder / file


def tried(target: Target, folder: Path) -> dict[str, Any]:
    """How reading what lies in the folder went."""
    before = _most_memory_kb()
    try:
        target.read(folder)
        how: dict[str, Any] = {"how": "read"}
    except target.allowed as error:
        how = {"how": "refused"}
        if wrong := _wrong_sentence(str(error), target):
            how = {"how": "finding", "what": wrong}
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.name}"
        how = {"how": "finding", "what": f"{type(error).__name__} in {where}: {str(error)[:200]}"}
    more = _most_memory_kb() - before
    if more > _MEMORY_KB:
        return {"how": "finding", "what": f"memory: {more >> 10} MB more"}
    return how


def _most_memory_kb() -> int:
    """The most that this process has held. Not ru_maxrss: Linux begins that with the parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise RuntimeError("this system does not say how much memory a process has held")


def _wrong_sentence(text: str, target: Target) -> str:
    if not target.for_users:
        return ""
    if not text.strip() or max(map(len, text.splitlines() if target.lists else [text])) > _LONGEST_SENTENCE:
        return f"a message of {len(text)} characters"
    return f"a message of several lines: {text[:200]!r}" if "\n" in text and not target.lists else ""


def main(seeds: Path, name: str, first: int, count: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    says = os.fdopen(os.dup(1), "w", buffering=1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # what libraries print of damaged files
        os.dup2(nothing, stream)
    logging.disable()
    warnings.simplefilter("ignore")
    target = (TARGETS | SELF_TEST)[name]
    target.prepare()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as work:
        for number in range(first, first + max(count, 1)):
            folder = Path(work) / str(number)
            if count:
                make_case(seeds, name, number, folder)
            else:
                shutil.copytree(seeds, folder)
            says.write(json.dumps({"begin": number}) + "\n")
            says.write(json.dumps({"end": number, **tried(target, folder)}) + "\n")
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
