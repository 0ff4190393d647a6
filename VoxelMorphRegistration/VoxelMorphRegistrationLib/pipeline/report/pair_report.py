"""The report of one registered pair."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from VoxelMorphRegistrationLib.pipeline.quality.results import BeforeAfter, CheckResult, Distances, Remark, Structure
from VoxelMorphRegistrationLib.pipeline.report import parts
from VoxelMorphRegistrationLib.pipeline.report.figures import pair_pictures
from VoxelMorphRegistrationLib.pipeline.report.markup import Element, element
from VoxelMorphRegistrationLib.pipeline.report.page import write_page
from VoxelMorphRegistrationLib.pipeline.report.parts import Cell, Tile, change, hint, number, number_cell, percent
from VoxelMorphRegistrationLib.pipeline.report.picture_parts import PictureParts, tiles_mask
from VoxelMorphRegistrationLib.pipeline.report.provenance import Provenance
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Image

Row = tuple[str | Cell, ...]


def write_pair_report(
    path: Path,
    fixed: Image,
    moving: Image,
    found: Deformation | DisplacementField,
    check: CheckResult,
    provenance: Provenance,
) -> None:
    """Write the report to one file. Raises OutputError; nothing is half written.

    ``found`` is the whole map from fixed to moving (resampling), on any grid; ``check`` what was measured of it.
    """
    field = found.compact_field(fixed.grid) if isinstance(found, Deformation) else found
    pictures = PictureParts(pair_pictures(fixed, moving, field, jacobian=check.maps.jacobian))
    write_page(path, f"{check.moving} to {check.fixed}: registration report", _body(check, pictures, provenance))


def _body(check: CheckResult, pictures: PictureParts, provenance: Provenance) -> Iterator[Element]:
    yield tiles_mask()
    yield pictures.store()
    yield parts.heading("Registration report", parts.pair_title(check.moving, check.fixed), provenance.made)
    yield parts.verdict(check.level, check.verdict)
    if doubts := parts.remarks(
        [each for each in check.remarks if _is_doubt(each) and each.message not in check.verdict]
    ):
        yield doubts
    yield parts.tiles(_tiles(check))
    yield parts.section(
        "Look at it",
        hint(
            "Edges of the moving volume should lie on those of the fixed one. Compare before and after; in Curtain, "
            "drag in the picture."
        ),
        pictures.viewer(),
        class_="interactive",
    )
    yield parts.section(
        "Before and after",
        pictures.rows(
            (
                ("fixed", f"Fixed: {check.fixed}"),
                ("before", f"Moving, as it lies: {check.moving}"),
                ("after", "Moving, through the transform"),
            )
        ),
    )
    yield parts.section(
        "Checkerboard",
        hint("Fixed and moving volume take turns. Edges that go on across the tiles are where they fit."),
        pictures.checkerboards(),
    )
    yield parts.section("What the transform does", pictures.jacobian())
    yield parts.section("How far it goes", pictures.magnitude())
    yield parts.section("A grid carried along", pictures.grid())
    yield parts.section(
        "Measures",
        parts.remarks([each for each in check.remarks if not _is_doubt(each)]),
        *_measures(check),
        class_="long",
    )
    yield provenance.section()


def _is_doubt(remark: Remark) -> bool:
    return remark.level != "good"


def _tiles(check: CheckResult) -> Iterator[Tile]:
    if dice := check.mean_dice:
        yield Tile("Overlap (mean Dice)", number(dice.after), f"{number(dice.before)} before; 1 is the same")
    if landmarks := check.landmarks:
        yield Tile(
            "Landmarks (mean error)",
            number(landmarks.mean_mm.after, " mm"),
            f"{number(landmarks.mean_mm.before)} mm before",
        )
    correlation = check.similarity.correlation
    yield Tile(
        "Similarity (correlation)", number(correlation.after), f"{number(correlation.before)} before; 1 is the same"
    )
    mutual = check.similarity.mutual_information
    yield Tile("Mutual information", number(mutual.after), f"{number(mutual.before)} before; more is better")
    yield Tile("Folding", percent(check.jacobian.folded_percent), "of the volume; should be 0")
    far = check.displacement
    yield Tile("Displacement", number(far.p95_mm, " mm"), f"for 95 % of the points; at most {number(far.max_mm)} mm")


def _measures(check: CheckResult) -> Iterator[Element]:
    yield parts.table(("Measure", "Before", "After"), _rows(check), numbers=(1, 2))
    if check.structures:
        yield element("h3", "Structures")
        yield _structures(check.structures)
    if landmarks := check.landmarks:
        yield element("h3", "Landmarks")
        rows = [(each.name, *_pair(each.error_mm)) for each in landmarks.points]
        rows += [("Median of all", *_pair(landmarks.median_mm)), ("Largest", *_pair(landmarks.max_mm))]
        yield parts.table(("Point", "Before (mm)", "After (mm)"), rows, numbers=(1, 2), sortable=True)


def _rows(check: CheckResult) -> Iterator[Row]:
    similarity, jacobian = check.similarity, check.jacobian
    yield _row("Correlation", "of the grey values, -1 to 1; for images of one kind", similarity.correlation)
    yield _row("Mutual information", "in nats; for images of any two kinds", similarity.mutual_information)
    yield _row("Local correlation", "squared, in small windows, 0 to 1", similarity.local_correlation)
    if dice := check.mean_dice:
        yield _row("Mean Dice", "overlap of the structures drawn on both sides, 0 to 1", dice)
    if landmarks := check.landmarks:
        yield _row("Target registration error", "in mm, mean over the corresponding points", landmarks.mean_mm)
    yield _row("Displacement", "mean, 95 % below, largest", _distances(check.displacement))
    yield _row(
        "Jacobian determinant",
        f"98 % of the volume (all of it: {number(jacobian.min)} to {number(jacobian.max)}); 1 keeps volume",
        f"{number(jacobian.p1)} to {number(jacobian.p99)}",
    )
    yield _row("Folding", "share of the volume with a determinant of 0 or less", percent(jacobian.folded_percent))
    if back := check.inverse_consistency:
        yield _row("There and back", "through transform and inverse: mean, 95 % below, largest", _distances(back))


def _row(name: str, meaning: str, value: BeforeAfter | str) -> Row:
    """What has no before goes over both columns."""
    head = Cell([name, element("small", meaning)])
    if isinstance(value, str):
        return (head, Cell(value, class_="number", columns=2))
    return (head, number_cell(value.before), number_cell(value.after))


def _distances(found: Distances) -> str:
    return f"{number(found.mean_mm)}, {number(found.p95_mm)}, {number(found.max_mm)} mm"


def _structures(structures: tuple[Structure, ...]) -> Element:
    """Worst overlap first where there is one, else in the order of the labels."""
    drawn = any(structure.overlap for structure in structures)
    heads = ["Structure", "Volume (ml)", "Volume change (%)", "Displacement (mm)", "Folded (%)"]
    heads += ["Dice", "before", "HD95 (mm)", "ASSD (mm)"] if drawn else []
    rows = [_structure(structure, drawn) for structure in sorted(structures, key=_dice)]
    return parts.table(heads, rows, numbers=range(1, len(heads)), sortable=True)


def _structure(structure: Structure, drawn: bool) -> list[Cell | str]:
    overlap = structure.overlap
    cells: list[Cell | str] = [
        structure.name or f"label {structure.label}",
        number_cell(structure.volume_ml),
        number_cell(structure.volume_change_percent),
        number_cell(structure.displacement.mean_mm),
        number_cell(structure.folded_percent),
    ]
    if drawn:
        cells += [
            number_cell(overlap.dice.after if overlap else None),
            number_cell(overlap.dice.before if overlap else None),
            Cell(change(overlap.hausdorff95_mm), overlap.hausdorff95_mm.after, "number")
            if overlap
            else number_cell(None),
            Cell(change(overlap.surface_distance_mm), overlap.surface_distance_mm.after, "number")
            if overlap
            else number_cell(None),
        ]
    return cells


def _dice(structure: Structure) -> tuple[float, int]:
    after = structure.overlap.dice.after if structure.overlap else None
    return (2.0 if after is None else after, structure.label)


def _pair(values: BeforeAfter) -> tuple[Cell, Cell]:
    return number_cell(values.before), number_cell(values.after)
