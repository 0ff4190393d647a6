"""The cases file: CSV, one case a row. It is read whole, and every problem in it is told at once.

Read as spreadsheet programs write it: UTF-8 with or without a byte order mark; commas, semicolons or tabs. Empty rows,
and rows that begin with ``#``, are passed over.
"""

from __future__ import annotations

import csv
import difflib
import io
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from VoxelMorphRegistrationLib.errors import FileError, InputError, shortened
from VoxelMorphRegistrationLib.files.output import atomic_output
from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.pipeline.batch.case import Case, Kind
from VoxelMorphRegistrationLib.pipeline.batch.columns import COLUMNS, REQUIRED, Column, as_comments
from VoxelMorphRegistrationLib.pipeline.pair_files import PAIR_OUTPUTS

DEFAULT_OUTPUTS = ("transform.h5", "moved.nii.gz")
DEFAULT_LABELS_OUTPUT = "moved_labels.nii.gz"

_LONGEST_NAME = 100
_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")
_NAME = re.compile(r"\w(?:[\w .+-]*[\w+-])?")
_RESERVED_BY_WINDOWS = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Problem:
    """Something in a cases file that cannot be used. ``line`` is from 1; ``column`` is "" where it is the whole row."""

    line: int
    column: str
    text: str

    def __str__(self) -> str:
        place = f"line {self.line}" + (f", column {self.column}" if self.column else "")
        return f"{place}: {self.text}"


class CasesFileError(InputError):
    """All that is wrong with a cases file; ``problems`` in the order of its lines."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: problem.line)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n  ".join([f"{path} has {count}, so nothing was run:", *map(str, self.problems)]))


def read_cases(path: str | os.PathLike[str], catalogue: Catalogue | None = None) -> list[Case]:
    """The cases of a file, checked as far as can be without reading the volumes themselves.

    Raises FileError where it cannot be read, and CasesFileError that lists everything that is wrong in it.
    """
    source = Path(os.path.expanduser(path))
    rows = _rows(_text(source), source)
    header_line, header = next(rows, (1, []))
    problems = _header_problems(header_line, header)
    if problems:
        raise CasesFileError(source, problems)
    known_models = {card.name for card in (catalogue or Catalogue()).cards()}
    cases: list[Case] = []
    for line, cells in rows:
        reader = _RowReader(line, source.absolute().parent, known_models)
        case = reader.case(header, cells)
        problems += reader.problems
        if case:
            cases.append(case)
    problems += _repeated_names(cases)
    if not cases and not problems:
        problems.append(Problem(header_line + 1, "", "there are no cases; add a row for each"))
    if problems:
        raise CasesFileError(source, problems)
    return cases


def write_cases(path: str | os.PathLike[str], cases: Iterable[Case]) -> None:
    """Write a cases file that `read_cases` reads to the same cases; only the columns that are used.

    Raises OutputError.
    """
    cases = list(cases)
    rows = [{"name": case.name, **case.inputs, **case.options} for case in cases]
    used = [name for name in COLUMNS if name == "name" or any(row.get(name) for row in rows)]
    _write_text(path, _csv([used, *([row.get(name, "") for name in used] for row in rows)]))


def template() -> str:
    """A cases file to start from: what the columns mean, and three rows to be overwritten."""
    rows = [
        ["name", "fixed", "moving", "sequence", "labels", "outputs", "reference", "model", "resolution"],
        ["patient1", "p1/before.nii.gz", "p1/after.nii.gz", "", "p1/tumour.nii.gz", "", "", "", "half"],
        ["patient2", "p2/before.nii.gz", "p2/after.nii.gz", "", "", "transform.h5 inverse.h5", "", "", ""],
        ["heart3", "", "", "p3/beats.seq.nrrd", "p3/valve.nrrd", "", "4", "", "half"],
    ]
    return "".join(f"# {line}\n" for line in as_comments()) + _csv(rows)


def _csv(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write_text(path: str | os.PathLike[str], text: str) -> None:
    with atomic_output(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def _text(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{source} is not text in UTF-8; save it from the spreadsheet as 'CSV UTF-8'.") from error
    except OSError as error:
        raise FileError(f"The cases file {source} cannot be read ({error.strerror}); check its name.") from error


def _rows(text: str, source: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number, from 1, and cells of each row that says something. Raises FileError for what is no CSV."""
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    head = next(lines, "")
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    before = 0
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            stripped = [cell.strip() for cell in cells]
            if any(stripped) and not stripped[0].startswith("#"):
                yield line, stripped
    except csv.Error as error:
        raise FileError(
            f"{source} is no CSV file from line {before + 1} on ({shortened(error)}); save it again."
        ) from error


def _header_problems(line: int, header: list[str]) -> list[Problem]:
    problems = []
    hints = {name: _hint(name, COLUMNS) for name in header if name and name not in COLUMNS}
    if strange := [name for name, hint in hints.items() if not hint]:
        hints[strange[-1]] = f"; choose from {', '.join(COLUMNS)}"  # told once
    problems += [Problem(line, name, f"there is no such column{hint}") for name, hint in hints.items()]
    for name in dict.fromkeys(header):  # a spreadsheet's empty columns do not count; cells in them are told row by row
        if name in COLUMNS and header.count(name) > 1:
            problems.append(Problem(line, name, "this column is there twice; remove one"))
    missing = [name for name in ("name",) if name not in header]
    if "sequence" not in header:
        missing += [name for name in ("fixed", "moving") if name not in header]
    if missing:
        problems.append(
            Problem(line, "", f"the first row must name the columns; there is no {' and no '.join(missing)}")
        )
    return problems


def _hint(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _repeated_names(cases: list[Case]) -> list[Problem]:
    """Names that are one folder, on file systems too that do not tell capitals from small letters."""
    first: dict[str, Case] = {}
    problems = []
    for case in cases:
        other = first.setdefault(case.name.casefold(), case)
        if other is not case:
            problems.append(Problem(case.line, "name", f"line {other.line} is named {other.name} already"))
    return problems


def _fault(column: Column, value: str, kind: Kind) -> str:
    """What is wrong with a value that needs no file to be looked at; "" for nothing."""
    if kind not in column.kinds:
        return f"is for a {column.kinds[0]}, but this row is a {kind}"
    if column.choices and value not in column.choices:
        return f"is not one of {', '.join(column.choices)}"
    smallest = column.smallest
    if smallest is not None and not (_WHOLE_NUMBER.fullmatch(value) and int(value) >= smallest):
        return f"is not a whole number of {smallest} or more"
    return ""


class _RowReader:
    """Reads one row; what is wrong with it is in ``problems``."""

    def __init__(self, line: int, folder: Path, known_models: set[str]) -> None:
        self.problems: list[Problem] = []
        self._line = line
        self._folder = folder
        self._models = known_models

    def case(self, header: list[str], cells: list[str]) -> Case | None:
        """The case, or None where nothing can be said of it; it is to be used only if there are no problems."""
        for number, cell in enumerate(cells, start=1):
            if cell and (number > len(header) or not header[number - 1]):
                self._wrong("", f"cell {number}, '{cell}', has no column; put values with commas into double quotes")
        values = {name: cell for name, cell in zip(header, cells, strict=False) if name and cell}
        kind: Kind = "sequence" if "sequence" in values else "pair"
        for name in REQUIRED[kind]:
            if name not in values:
                self._wrong(name, "is empty")
        if name := values.pop("name", ""):
            self._check_name(name)
        inputs, options = {}, {}
        for column, value in ((COLUMNS[each], value) for each, value in values.items()):
            if fault := _fault(column, value, kind):
                self._wrong(column.name, f"'{value}' {fault}")
            elif column.is_input:
                inputs[column.name] = self._existing(column.name, value)
            else:
                options[column.name] = value
        if "model" in options:
            options["model"] = self._model(options["model"])
        if kind == "pair":
            self._check_outputs(options.get("outputs", "").split(), has_labels="labels" in inputs)
        return Case(name, inputs, options, self._line) if name else None

    def _wrong(self, column: str, text: str) -> None:
        self.problems.append(Problem(self._line, column, text))

    def _check_name(self, name: str) -> None:
        if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name) or _RESERVED_BY_WINDOWS.fullmatch(name):
            self._wrong(
                "name", f"'{name}' cannot be a folder's name everywhere; use letters, digits and . _ - between them"
            )

    def _existing(self, column: str, value: str) -> str:
        path = self._path(value)
        if not os.path.exists(path):  # pathlib's own raises for a name that is too long
            self._wrong(column, f"{path} does not exist")
        elif not os.access(path, os.R_OK):
            self._wrong(column, f"{path} may not be read")
        return str(path)

    def _path(self, value: str) -> Path:
        return Path(os.path.normpath(self._folder / os.path.expanduser(value)))

    def _model(self, value: str) -> str:
        if value in self._models:
            return value
        path = self._path(value)
        if not os.path.isfile(path):
            known = ", ".join(sorted(self._models))
            self._wrong("model", f"'{value}' is neither a model's name ({known}) nor a file")
        return str(path)

    def _check_outputs(self, names: list[str], *, has_labels: bool) -> None:
        kinds = []
        for name in names:
            kind = name.partition(".")[0]
            if kind not in PAIR_OUTPUTS:
                self._wrong("outputs", f"'{name}' is no output; choose from {', '.join(PAIR_OUTPUTS)}, with an ending")
            elif name.lower() not in [kind + ending for ending in PAIR_OUTPUTS[kind].endings]:
                endings = ", ".join(PAIR_OUTPUTS[kind].endings)
                self._wrong("outputs", f"'{name}' cannot be written in this format; {kind} ends with one of {endings}")
            elif kind in kinds:
                self._wrong("outputs", f"there are two files for {kind}")
            elif kind == "moved_labels" and not has_labels:
                self._wrong("outputs", "moved_labels needs the column labels: the segmentation to be moved")
            kinds.append(kind)


def output_names(case: Case) -> dict[str, str]:
    """Kind of output to file name, for a pair."""
    names = case.options.get("outputs", "").split() or [
        *DEFAULT_OUTPUTS,
        *([DEFAULT_LABELS_OUTPUT] if "labels" in case.inputs else []),
    ]
    return {name.partition(".")[0]: name for name in names}
