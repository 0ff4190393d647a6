"""Every command where it is hard to write: odd names, paths of 250 characters, read-only folders, full disks.

    python Testing/hardening/places.py [--commands register ...] [--write]

In folders with odd names the commands read their inputs and write their outputs as anywhere. In a folder that cannot be
written to, and on a disk of 32 kB, each has to end with its exit code and one sentence, and leave no file there, but
for the finished frames or cases of ``sequence`` and ``batch``, which are kept to go on from. Both are file systems in
memory, mounted for the purpose, since root may write anywhere: without the right to mount, a read-only folder is one
without the permission to write, and the full disk is left out. ``--write`` puts the figures into Docs/reliability.md.
"""

from __future__ import annotations

# ruff: noqa: E402, this is a script: it sets sys.path first
import argparse
import contextlib
import io
import os
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

import numpy as np
from benchmarks.documents import put_between
from hardening.leftovers import own_temporary_folder
from pipeline.small_pair import small_volume, write_small_model
from VoxelMorphRegistrationLib.commands.exit_codes import SOME_FAILED
from VoxelMorphRegistrationLib.commands.main import main as command_line
from VoxelMorphRegistrationLib.files.volumes import write_volume
from VoxelMorphRegistrationLib.network.catalogue import CACHE_VARIABLE
from VoxelMorphRegistrationLib.spatial import Image

_SHAPE = (20, 24, 22)
_LONGEST = 250
ODD_NAMES = {
    "spaces and signs": "my  data (1); 100% & $HOME 'x' #2",
    "Unicode": "Übung 脳 🧠 e\u0301",
    "250 characters": "",
}


@dataclass(frozen=True)
class Command:
    """A command line of inputs and a folder for outputs; ``makes`` is what is there afterwards."""

    line: Callable[[Path, Path], list[str]]
    makes: tuple[str, ...]
    refusal: int = 5
    """Its exit code where nothing can be written."""
    keeps: bool = False
    """What was finished before the disk was full is kept, to go on from there; but whole files only."""


def _registering(inputs: Path) -> list[str]:
    return ["--model", str(inputs / "small model.h5"), "--resolution", "quarter", "--pre-align", "centre"]


COMMANDS: dict[str, Command] = {
    "register": Command(
        lambda inputs, out: [
            "register", "--fixed", str(inputs / "fixed.nii.gz"), "--moving", str(inputs / "moving.nii.gz"),
            "--transform", str(out / "t.h5"), "--inverse", str(out / "i.nrrd"), "--affine", str(out / "a.tfm"),
            "--moved", str(out / "m.nii.gz"), *_registering(inputs),
        ],
        ("t.h5", "i.nrrd", "a.tfm", "m.nii.gz"),
    ),
    "sequence": Command(
        lambda inputs, out: [
            "sequence", str(inputs / "frames"), "--output", str(out / "results"), "--reference", "0",
            *_registering(inputs),
        ],
        ("results/sequence.json", "results/frames.csv", "results/fields/field_0001.nrrd"),
        keeps=True,
    ),
    "batch": Command(
        lambda inputs, out: [
            "batch", str(inputs / "cases.csv"), "--output", str(out / "results"), "--workers", "1", "--threads", "1",
        ],
        ("results/manifest.json", "results/cases/p1/case.json", "results/cases/p1/transform.h5"),
        keeps=True,
    ),
    "import-field": Command(
        lambda inputs, out: [
            "import-field", str(inputs / "field.npy"), "--fixed", str(inputs / "fixed.nii.gz"), "--components", "RAS",
            "--units", "mm", "--content", "displacement", "--direction", "resampling", "--axes", "ijk",
            "--transform", str(out / "t.nii.gz"),
        ],
        ("t.nii.gz",),
    ),
    "models add": Command(
        lambda inputs, out: ["models", "add", str(inputs / "small model.h5"), "--name", "Mine", "--no-probe"],
        ("cache/Mine.h5", "cache/Mine.json"),
        refusal=3,
    ),
}  # fmt: skip


def write_inputs(folder: Path) -> None:
    """What the commands read."""
    folder.mkdir(parents=True, exist_ok=True)
    write_small_model(folder / "small model.h5")
    write_volume(small_volume("fixed", shape=_SHAPE), folder / "fixed.nii.gz")
    write_volume(small_volume("moving", 6.0, shape=_SHAPE), folder / "moving.nii.gz")
    fixed = small_volume("fixed", shape=_SHAPE)
    for n in range(2):
        (folder / "frames").mkdir(exist_ok=True)
        write_volume(Image(fixed.array + n, fixed.grid, f"{n}"), folder / "frames" / f"f{n}.nrrd")
    np.save(folder / "field.npy", np.random.default_rng(0).normal(size=(*_SHAPE, 3)).astype(np.float32))
    (folder / "cases.csv").write_text(
        "name,fixed,moving,model,resolution,pre_align,outputs\n"
        "p1,fixed.nii.gz,moving.nii.gz,small model.h5,quarter,centre,transform.h5\n",
        encoding="utf-8",
    )


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[bool]:
    """A file system in memory at the folder; False where it may not be mounted."""
    folder.mkdir(parents=True)
    made = not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
    ).returncode
    try:
        yield made
    finally:
        if made:
            subprocess.run(["umount", folder], check=True)


def run(command: Command, inputs: Path, out: Path) -> tuple[int, str]:
    """Exit code, and what it said on stderr."""
    said = io.StringIO()
    before = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = str(out / "cache")
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = command_line(command.line(inputs, out))
    except SystemExit as left:
        code = int(left.code or 0)
    except Exception:
        return 1, traceback.format_exc()
    finally:
        os.environ.pop(CACHE_VARIABLE)
        if before is not None:
            os.environ[CACHE_VARIABLE] = before
    return code, said.getvalue()


def writes(command: Command, inputs: Path, out: Path) -> str:
    """What is wrong after the command was run where it can write; "" for nothing."""
    out.mkdir(parents=True, exist_ok=True)
    code, said = run(command, inputs, out)
    if code:
        return f"exit code {code}: {said.strip()[-300:]}"
    missing = [name for name in command.makes if not (out / name).stat().st_size] if _there(out, command) else ["files"]
    partial = [path.name for path in out.rglob("*") if path.name.startswith(".partial") or path.suffix == ".part"]
    return f"missing or empty: {missing}" if missing else f"left: {partial}" if partial else ""


def _there(out: Path, command: Command) -> bool:
    return all((out / name).exists() for name in command.makes)


def refuses(command: Command, inputs: Path, out: Path) -> str:
    """What is wrong after the command was run where it cannot write; "" for nothing."""
    code, said = run(command, inputs, out)
    sentences = [line for line in said.splitlines() if line.startswith("voxelmorph-registration: ")]
    expected = (command.refusal, SOME_FAILED) if command.keeps else (command.refusal,)
    if code not in expected:
        return f"exit code {code} instead of {command.refusal}: {said.strip()[-300:]}"
    if "Traceback" in said or len(sentences) != 1:
        return f"more or less than one sentence: {said.strip()[-300:]!r}"
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    wrong = [path for path in files if not command.keeps or not path.stat().st_size or path.name.startswith(".")]
    return f"left behind: {[path.relative_to(out).as_posix() for path in wrong]}" if wrong else ""


def odd_folder(base: Path, what: str) -> Path:
    """A folder whose name is hard; for "250 characters" so that a file in it has a path as long as that."""
    if ODD_NAMES[what]:
        return base / ODD_NAMES[what]
    room = _LONGEST - len(str(base)) - len("/in/small model.h5") - 1
    folder = base
    while room > 0:
        step = min(room, 100)
        folder, room = folder / ("x" * step), room - step - 1
    return folder


def trials(base: Path, names: list[str]) -> Iterator[tuple[str, str, str]]:
    """Place, command, and what is wrong with what it did there ("" for nothing)."""
    for what in ODD_NAMES:
        place = odd_folder(base, what)
        write_inputs(place / "in")
        for name in names:
            yield what, name, writes(COMMANDS[name], place / "in", place / f"o{names.index(name)}")
    inputs = base / "plain"
    write_inputs(inputs)
    for name in names:
        with read_only(base / "locked" / name) as made:
            if made:
                yield "read-only folder", name, refuses(COMMANDS[name], inputs, base / "locked" / name)
        with mounted(base / "small" / name, "size=32k") as made:
            if made:
                yield "full disk", name, refuses(COMMANDS[name], inputs, base / "small" / name)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[bool]:
    """A folder that cannot be written to: by root, because it is mounted so. False where that cannot be done."""
    if os.geteuid() == 0:
        with mounted(folder, "ro") as made:
            yield made
        return
    folder.mkdir(parents=True)
    folder.chmod(0o500)
    try:
        yield True
    finally:
        folder.chmod(0o700)


def table(found: list[tuple[str, str, str]]) -> str:
    """A row for each place, a column for each command."""
    places, names = list(dict.fromkeys(each[0] for each in found)), list(dict.fromkeys(each[1] for each in found))
    wrong = {(place, name): text for place, name, text in found}

    def cell(place: str, name: str) -> str:
        text = wrong.get((place, name))
        kept = place == "full disk" and COMMANDS[name].keeps
        refused = f"refused in a sentence, {'only whole files' if kept else 'nothing'} left"
        good = "written" if place in ODD_NAMES else refused
        return "not run" if text is None else (text.replace("|", "/").replace("\n", " ") or good)

    rows = [f"| | {' | '.join(f'`{name}`' for name in names)} |", f"| --- | {' | '.join('---' for _ in names)} |"]
    return "\n".join(rows + [f"| {place} | {' | '.join(cell(place, name) for name in names)} |" for place in places])


def main() -> int:
    """Run it; 0 if all is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", choices=sorted(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--write", action="store_true", help="put the figures into Docs/reliability.md")
    arguments = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as name:
        own_temporary_folder(Path(name) / "t")
        for trial in trials(Path(name), arguments.commands):
            print(*trial, sep=": ", file=sys.stderr, flush=True)
            found.append(trial)
        text = table(found)
    print(text)
    if arguments.write:
        how = f"as {'root' if os.geteuid() == 0 else 'a user'}; read-only folder and full disk are mounts of tmpfs"
        command = shlex.join(["python", "Testing/hardening/places.py", *sys.argv[1:]])
        put_between(ROOT / "Docs/reliability.md", "places", f"`{command}` ({how}):\n\n{text}")
    return 1 if any(text for _, _, text in found) else 0


if __name__ == "__main__":
    sys.exit(main())
