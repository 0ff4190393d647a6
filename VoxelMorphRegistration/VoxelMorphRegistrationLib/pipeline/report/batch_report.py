"""The report of a batch: every case in a table that can be sorted, the worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from urllib.parse import quote

from VoxelMorphRegistrationLib.pipeline.batch.record import FAILED, Record
from VoxelMorphRegistrationLib.pipeline.quality.results import Level
from VoxelMorphRegistrationLib.pipeline.report import parts
from VoxelMorphRegistrationLib.pipeline.report.markup import Element, element
from VoxelMorphRegistrationLib.pipeline.report.page import write_page
from VoxelMorphRegistrationLib.pipeline.report.parts import Cell, Tile, hint, number, number_cell, percent
from VoxelMorphRegistrationLib.pipeline.report.provenance import Provenance

_TABLE = "cases"


def write_batch_report(
    path: Path, title: str, records: Sequence[Record], reports: Mapping[str, str], provenance: Provenance
) -> None:
    """Write the report to one file. ``records`` are the worst first; ``reports`` where a case's own report lies.

    By the case's name, as a path from this report's folder with ``/``. Raises OutputError.
    """
    write_page(path, f"{title}: batch report", _body(title, records, reports, provenance))


def _body(
    title: str, records: Sequence[Record], reports: Mapping[str, str], provenance: Provenance
) -> Iterator[Element]:
    yield parts.heading("Batch report", [title], provenance.made)
    yield parts.verdict(*_verdict(records), badge="" if all(record.is_finished for record in records) else "Incomplete")
    yield parts.tiles(_tiles(records))
    yield parts.section(
        "Cases",
        hint(
            "The worst first: without a whole result, then with warnings, then the least alike. A click on a column's "
            "name sorts by it."
        ),
        element(
            "input",
            type="search",
            class_="find",
            placeholder="Find a case, a sentence …",
            aria_label="Show only rows with this text",
            data_table=_TABLE,
        ),
        _table(records, reports),
        class_="long",
    )
    yield provenance.section()


def _verdict(records: Sequence[Record]) -> tuple[Level, str]:
    lost = [record for record in records if not record.is_finished]
    doubtful = [record for record in records if record.is_finished and record.warnings]
    if lost:
        also = f", and {len(doubtful)} have warnings" if doubtful else ""
        return "bad", f"{len(lost)} of {_cases(len(records))} have no whole result{also}; the table says why."
    if doubtful:
        return (
            "look",
            f"{_cases(len(records))} finished; look at the {len(doubtful)} with warnings before you use them.",
        )
    return "good", f"{_cases(len(records))} finished, none with a warning; look at the least alike all the same."


def _cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count} cases"


def _tiles(records: Sequence[Record]) -> Iterator[Tile]:
    finished = [record for record in records if record.is_finished]
    yield Tile(
        "Finished", f"{len(finished)} of {len(records)}", f"{sum(bool(r.warnings) for r in finished)} with warnings"
    )
    after = _known(finished, "similarity_after")
    if after:
        before = _known(finished, "similarity_before")
        told = f"{number(median(before))} before; worst {number(min(after))}" if before else ""
        yield Tile("Similarity (median)", number(median(after)), told)
    if far := _known(finished, "largest_displacement_mm"):
        yield Tile("Largest displacement (median)", number(median(far), " mm"), f"at most {number(max(far))} mm")
    if folded := _known(finished, "folded_percent"):
        yield Tile("Folding (most)", percent(max(folded)), f"more than none in {sum(value > 0 for value in folded)}")
    if seconds := [record.seconds["total"] for record in finished if "total" in record.seconds]:
        yield Tile("Time for a case (median)", number(median(seconds), " s"), f"{number(sum(seconds))} s in all")


def _known(records: Sequence[Record], name: str) -> list[float]:
    return [value for record in records if (value := record.quality.get(name)) is not None]


def _table(records: Sequence[Record], reports: Mapping[str, str]) -> Element:
    heads = ("Case", "State", "Similarity", "before", "Folded (%)", "Largest (mm)", "Time (s)", "What there is to say")
    rows = [_row(record, reports.get(record.name)) for record in records]
    return parts.table(heads, rows, numbers=range(2, 7), sortable=True, id_=_TABLE)


def _row(record: Record, report: str | None) -> list[Cell | str]:
    name = element("a", record.name, href=quote(report)) if report else record.name
    level: Level = "bad" if record.status == FAILED else "look" if record.warnings or record.error else "good"
    state = element("span", record.status, class_=f"state {level}")
    return [
        Cell(name, record.name),
        Cell(state, f"{('bad', 'look', 'good').index(level)} {record.status}"),
        number_cell(record.quality.get("similarity_after")),
        number_cell(record.quality.get("similarity_before")),
        number_cell(record.quality.get("folded_percent")),
        number_cell(record.quality.get("largest_displacement_mm")),
        number_cell(record.seconds.get("total")),
        Cell(" ".join(text for text in (record.error, *record.warnings) if text), class_="said"),
    ]
