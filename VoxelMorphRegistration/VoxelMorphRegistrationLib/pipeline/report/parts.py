"""The pieces of which the reports are made: heading, verdict, key figures, tables, facts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from VoxelMorphRegistrationLib.pipeline.quality.results import BeforeAfter, Level, Remark
from VoxelMorphRegistrationLib.pipeline.report.markup import Child, Element, element

_BADGES: dict[Level, str] = {"good": "No objection", "look": "Look closer", "bad": "Do not use yet"}

MISSING = "–"


def heading(kind: str, title: Iterable[Child], made: str) -> Element:
    """What kind of report, of what, made when."""
    return element("header", element("p", f"{kind} · {made}", class_="eyebrow"), element("h1", list(title)))


def pair_title(moving: str, fixed: str) -> list[Child]:
    """The moving volume's name, an arrow, the fixed one's."""
    return [moving, element("span", " → ", class_="arrow", title="registered to"), fixed]


def verdict(level: Level, sentence: str, badge: str = "") -> Element:
    """What to think of it, in one sentence, with a word or two before it."""
    named = element("strong", badge or _BADGES[level])
    return element("div", named, element("p", sentence), class_=f"verdict {level}", role="status")


def remarks(found: Sequence[Remark]) -> Element | None:
    """Reasons, and what to look at; None where there is nothing to say."""
    if not found:
        return None
    return element("ul", [element("li", each.message, class_=each.level) for each in found], class_="remarks")


@dataclass(frozen=True)
class Tile:
    """A figure to be seen first."""

    name: str
    value: str
    note: str = ""


def tiles(found: Iterable[Tile]) -> Element:
    """Key figures side by side."""
    return element(
        "dl",
        [
            element(
                "div",
                element("dt", tile.name),
                element("dd", tile.value, element("small", tile.note) if tile.note else None),
            )
            for tile in found
        ],
        class_="tiles",
    )


def section(title: str, *content: Child | Iterable[Child], class_: str | None = None) -> Element:
    """A card with a heading."""
    return element("section", element("h2", title), *content, class_=class_)


def hint(text: str) -> Element:
    """A line in small print."""
    return element("p", text, class_="hint")


@dataclass(frozen=True)
class Cell:
    """A cell of a table: ``sort`` is what it is sorted by, where that is not its text."""

    content: Child | Sequence[Child]
    sort: float | str | None = None
    class_: str | None = None
    columns: int = 1


def number_cell(value: float | None, text: str | None = None) -> Cell:
    """A number on the right, a dash where there is none; sorted by its value."""
    known = value is not None and math.isfinite(value)
    return Cell(text or number(value), f"{value:.9g}" if known else "", "number")


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[Cell | str]],
    *,
    numbers: Iterable[int] = (),
    sortable: bool = False,
    id_: str | None = None,
) -> Element:
    """A table; the first cell of a row names it. ``numbers``: the columns of numbers."""
    numbers = set(numbers)
    head = [element("th", text, scope="col", class_="number" if n in numbers else None) for n, text in enumerate(heads)]
    made = element(
        "table",
        element("thead", element("tr", head)),
        element("tbody", [element("tr", [_cell(cell, n == 0) for n, cell in enumerate(row)]) for row in rows]),
        class_="sortable" if sortable else None,
        id=id_,
    )
    return element("div", made, class_="wide")


def facts(found: Mapping[str, Child | list[Child]]) -> Element:
    """Names and what they are; what is empty is left out."""
    pairs = [(element("dt", name), element("dd", value)) for name, value in found.items() if value]
    return element("dl", [each for pair in pairs for each in pair], class_="facts")


def number(value: float | None, unit: str = "", digits: int = 3) -> str:
    """To so many significant digits, with its unit; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    shown = 0.0 if abs(value) < 1e-6 else value
    text = f"{shown:.0f}" if abs(shown) >= 10**digits else f"{shown:#.{digits}g}".rstrip(".")
    return f"{text if shown else '0'}{unit}"


def change(pair: BeforeAfter, unit: str = "") -> str:
    """Before and after in one text."""
    return f"{number(pair.before)} → {number(pair.after)}{unit}"


def percent(value: float | None) -> str:
    """A share in percent; what is tiny, but not nothing, says so."""
    if value is None or not math.isfinite(value):
        return MISSING
    return "0 %" if value == 0 else "< 0.01 %" if 0 < value < 0.01 else f"{value:.2g} %"


def _cell(cell: Cell | str, is_name: bool) -> Element:
    cell = cell if isinstance(cell, Cell) else Cell(cell)
    return element(
        "th" if is_name else "td",
        cell.content,
        class_=cell.class_,
        data_value=cell.sort,
        scope="row" if is_name else None,
        colspan=cell.columns if cell.columns > 1 else None,
    )
