"""A check as text, for a terminal or a log: the verdict first, then why, then the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from VoxelMorphRegistrationLib.pipeline.quality.results import BeforeAfter, CheckResult, Distances, Structure

_SIGNS = {"bad": "!!", "look": " ?", "good": "ok"}
_WORDS = {"bad": "BAD", "look": "LOOK", "good": "GOOD, as far as was measured"}


def as_table(found: CheckResult) -> str:
    """Some lines of plain text, at most 120 characters wide but for names and sentences."""
    lines = [
        f"{_WORDS[found.level]}: {found.verdict}",
        "",
        *(f"  {_SIGNS[remark.level]}  {remark.message}" for remark in found.further_remarks),
        "",
        f"{found.moving} (moving) to {found.fixed} (fixed) by {found.transform}",
        "",
        *rows_as_text(["", "before", "after"], list(_similarity(found))),
        "",
        *rows_as_text(["", "mean", "95 %", "largest"], list(_distances(found))),
        "",
        f"  Jacobian determinant   from {found.jacobian.min:.3f} to {found.jacobian.max:.3f}, 98 % of it between "
        f"{found.jacobian.p1:.3f} and {found.jacobian.p99:.3f}; folded {found.jacobian.folded_percent:.3g} %",
    ]
    if found.structures:
        lines += ["", *rows_as_text(*structure_rows(found.structures))]
    if found.landmarks is not None:
        rows = [[point.name, *_pair(point.error_mm, ".2f")] for point in found.landmarks.points]
        lines += ["", *rows_as_text(["Landmark", "before (mm)", "after (mm)"], rows)]
    missing = not_measured(found)
    if missing:
        lines += ["", f"Not measured: {'; '.join(missing)}."]
    return "\n".join([*lines, ""])


def structure_rows(structures: Sequence[Structure]) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of a table of structures; the overlap's columns only where there is some."""
    overlap = any(structure.overlap is not None for structure in structures)
    titles = ["Structure", "volume (ml)", "moves (mm)", "95 %", "largest", "volume change", "folded"]
    if overlap:
        titles += ["Dice before", "after", "HD95 before (mm)", "after", "ASSD before (mm)", "after"]
    rows = []
    for s in structures:
        row = [
            s.name,
            f"{s.volume_ml:.2f}",
            f"{s.displacement.mean_mm:.2f}",
            f"{s.displacement.p95_mm:.2f}",
            f"{s.displacement.max_mm:.2f}",
            f"{s.volume_change_percent:+.1f} %",
            f"{s.folded_percent:.2g} %",
        ]
        if s.overlap is not None:
            row += [
                *_pair(s.overlap.dice, ".3f"),
                *_pair(s.overlap.hausdorff95_mm, ".2f"),
                *_pair(s.overlap.surface_distance_mm, ".2f"),
            ]
        elif overlap:
            row += ["–"] * 6
        rows.append(row)
    return titles, rows


Row = tuple[str, str, float | None, float | None]
"""A measure with its unit, what it is of ("" for the volume as a whole), before, after; None where not measured."""


def all_rows(found: CheckResult) -> list[Row]:
    """Every number of a check: one row for each measure, for tables that are sorted and filtered."""
    alike, moves, jacobian = found.similarity, found.displacement, found.jacobian
    rows: list[Row] = [
        ("correlation", "", alike.correlation.before, alike.correlation.after),
        ("mutual information (nat)", "", alike.mutual_information.before, alike.mutual_information.after),
        ("local correlation", "", alike.local_correlation.before, alike.local_correlation.after),
        *_rows_of("displacement", "", moves),
        ("Jacobian determinant, smallest", "", None, jacobian.min),
        ("Jacobian determinant, 1 %", "", None, jacobian.p1),
        ("Jacobian determinant, 99 %", "", None, jacobian.p99),
        ("Jacobian determinant, largest", "", None, jacobian.max),
        ("folded (%)", "", None, jacobian.folded_percent),
    ]
    if found.inverse_consistency is not None:
        rows += _rows_of("inverse consistency", "", found.inverse_consistency)
    if found.mean_dice is not None:
        rows.append(("Dice, mean", "", found.mean_dice.before, found.mean_dice.after))
    for s in found.structures:
        rows.append(("volume (ml)", s.name, None, s.volume_ml))
        rows += _rows_of("displacement", s.name, s.displacement)
        rows.append(("volume change (%)", s.name, None, s.volume_change_percent))
        rows.append(("folded (%)", s.name, None, s.folded_percent))
        if s.overlap is not None:
            for title, change in (
                ("Dice", s.overlap.dice),
                ("95 % Hausdorff distance (mm)", s.overlap.hausdorff95_mm),
                ("average surface distance (mm)", s.overlap.surface_distance_mm),
            ):
                rows.append((title, s.name, change.before, change.after))
    if found.landmarks is not None:
        for title, change in (
            ("landmark error, mean (mm)", found.landmarks.mean_mm),
            ("landmark error, median (mm)", found.landmarks.median_mm),
            ("landmark error, largest (mm)", found.landmarks.max_mm),
        ):
            rows.append((title, "", change.before, change.after))
        for point in found.landmarks.points:
            rows.append(("landmark error (mm)", point.name, point.error_mm.before, point.error_mm.after))
    return rows


def _rows_of(title: str, of: str, found: Distances) -> list[Row]:
    return [
        (f"{title}, mean (mm)", of, None, found.mean_mm),
        (f"{title}, 95 % (mm)", of, None, found.p95_mm),
        (f"{title}, largest (mm)", of, None, found.max_mm),
    ]


def not_measured(found: CheckResult) -> list[str]:
    """What could not be told, and what it needs."""
    missing = []
    if not any(structure.overlap is not None for structure in found.structures):
        missing.append("overlap of structures (needs labels of both volumes)")
    if found.landmarks is None:
        missing.append("landmark error (needs landmarks in both volumes)")
    if found.inverse_consistency is None:
        missing.append("inverse consistency (needs the inverse transform)")
    return missing


def rows_as_text(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with aligned columns, the first to the left and the numbers to the right."""
    widths = [max(len(row[n]) for row in (titles, *rows)) for n in range(len(titles))]
    return [
        "  "
        + "   ".join(
            cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in (titles, *rows)
    ]


def _similarity(found: CheckResult) -> Iterator[list[str]]:
    alike = found.similarity
    for title, change in (
        ("Correlation", alike.correlation),
        ("Mutual information", alike.mutual_information),
        ("Local correlation", alike.local_correlation),
        ("Mean Dice", found.mean_dice),
    ):
        if change is not None:
            yield [title, *_pair(change, ".3f")]
    if found.landmarks is not None:
        yield ["Landmarks, mean (mm)", *_pair(found.landmarks.mean_mm, ".2f")]
        yield ["Landmarks, median (mm)", *_pair(found.landmarks.median_mm, ".2f")]
        yield ["Landmarks, largest (mm)", *_pair(found.landmarks.max_mm, ".2f")]


def _distances(found: CheckResult) -> Iterator[list[str]]:
    yield ["Displacement (mm)", *_three(found.displacement)]
    if found.inverse_consistency is not None:
        yield ["Inverse consistency (mm)", *_three(found.inverse_consistency)]


def _three(found: Distances) -> list[str]:
    return [f"{value:.2f}" for value in (found.mean_mm, found.p95_mm, found.max_mm)]


def _pair(change: BeforeAfter, style: str) -> list[str]:
    return ["–" if value is None else format(value, style) for value in (change.before, change.after)]
