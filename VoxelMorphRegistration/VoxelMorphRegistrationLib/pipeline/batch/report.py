"""What became of a batch, for people: the worst first, as text, as a table for a spreadsheet, and as a page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from VoxelMorphRegistrationLib.files.output import all_or_nothing, atomic_output
from VoxelMorphRegistrationLib.pipeline.batch.case_folder import CaseFolder
from VoxelMorphRegistrationLib.pipeline.batch.record import Record
from VoxelMorphRegistrationLib.pipeline.report.batch_report import write_batch_report
from VoxelMorphRegistrationLib.pipeline.report.provenance import Provenance

TEXT, TABLE, PAGE = "report.txt", "report.csv", "report.html"

_QUALITY = ("similarity_before", "similarity_after", "folded_percent", "largest_displacement_mm")
_COLUMNS = ("name", "line", "status", *_QUALITY, "seconds", "attempts", "host", "model", "warnings", "error")


def worst_first(records: Sequence[Record]) -> list[Record]:
    """Cases without a whole result, then those with warnings, and within each the least alike first."""
    return sorted(records, key=lambda record: (record.is_finished, not record.warnings, _similarity(record)))


def write_report(records: Sequence[Record], output: Path, provenance: Provenance) -> None:
    """`TEXT`, `TABLE` and `PAGE` in the folder, all or none of them. Raises OutputError."""
    ordered = worst_first(records)
    with all_or_nothing():
        for name, text in ((TEXT, as_text(ordered)), (TABLE, as_csv(ordered))):
            with atomic_output(output / name) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="")
        write_batch_report(output / PAGE, output.name, ordered, _pages(records, output), provenance)


def _pages(records: Sequence[Record], output: Path) -> dict[str, str]:
    """The cases' own reports, from the folder."""
    found = {
        record.name: CaseFolder.of(output, record.name).path / str(record.outputs["report"]["file"])
        for record in records
        if "report" in record.outputs
    }
    return {name: page.relative_to(output).as_posix() for name, page in found.items()}


def as_text(records: Sequence[Record]) -> str:
    """Counts, the usual figures, and a few lines for each case that has something to say."""
    finished = [record for record in records if record.is_finished]
    lines = [
        f"{len(records)} cases: {len(finished)} finished, {len(records) - len(finished)} without a whole result",
        "",
    ]
    figures = {name.replace("_", " "): [record.quality.get(name) for record in finished] for name in _QUALITY}
    figures["seconds a case"] = [record.seconds["total"] for record in finished]
    for words, found in figures.items():
        if values := [value for value in found if value is not None]:
            lines.append(f"  {words:<24} median {median(values):.3f}, from {min(values):.3f} to {max(values):.3f}")
    lines += ["", "Worst first (without a whole result, then with warnings, then the least alike):", ""]
    for record in records:
        similarity = record.quality.get("similarity_after")
        looks = "" if similarity is None else f"  similarity {similarity:.3f}"
        lines.append(f"  {record.name}  {record.status}{looks}")
        lines += [f"      {text}" for text in ([record.error] if record.error else record.warnings)]
    return "\n".join([*lines, ""])


def as_csv(records: Sequence[Record]) -> str:
    """One row a case."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for record in records:
        writer.writerow(
            {
                "name": record.name,
                "line": record.line,
                "status": record.status,
                **{name: "" if value is None else value for name in _QUALITY for value in [record.quality.get(name)]},
                "seconds": record.seconds.get("total", ""),
                "attempts": len(record.attempts),
                "host": record.attempts[-1].host if record.attempts else "",
                "model": record.model,
                "warnings": " | ".join(record.warnings),
                "error": record.error,
            }
        )
    return text.getvalue()


def _similarity(record: Record) -> float:
    value = record.quality.get("worst_similarity", record.quality.get("similarity_after"))
    return -math.inf if value is None else value
