"""The documentation as tests see it: pages, their code blocks with the marks above them, links, tables.

A block is marked by an HTML comment in the line above it, which no reader sees: ``<!-- run -->``, or
``<!-- not run: reason -->``.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>\w*)\s*$")
_MARK = re.compile(r"^\s*<!-- (?P<mark>run|not run: .+) -->\s*$")
_CODE = re.compile(r"^(voxelmorph-registration|pip|dask|make|python) |^(import|from) \w+|logic\.", re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_NUMBER = re.compile(r"^[-+~<>≤≥±*]*\d[\d,. ]*(%|x|s|mm|MB|GB|kB|min|ms|h)?[*]*(\s*\([^)]*\))?$")


@dataclass(frozen=True)
class Block:
    """Code on a page. ``language`` is empty for a block that is only indented; ``mark`` where there is none."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def is_code(self) -> bool:
        """Whether it is for a shell or for Python, and not output, a formula or a picture in a list."""
        return self.language in ("bash", "sh", "python") or bool(_CODE.search(self.text))

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Table:
    """A table, and the text between the heading of its section and itself."""

    page: Path
    line: int
    rows: tuple[tuple[str, ...], ...]
    before: str

    @property
    def is_of_numbers(self) -> bool:
        """Whether most of what is in it, but for the first column, are numbers."""
        cells = [cell for row in self.rows for cell in row[1:] if cell]
        return len(cells) >= 4 and sum(bool(_NUMBER.match(cell)) for cell in cells) > len(cells) / 2


def pages() -> list[Path]:
    """README and every page of Docs."""
    return [ROOT / "README.md", *sorted((ROOT / "Docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Fenced and indented blocks in order."""
    lines, found, at = page.read_text(encoding="utf-8").splitlines(), [], 0
    while at < len(lines):
        if fence := _FENCE.match(lines[at]):
            end = next(i for i in range(at + 1, len(lines)) if lines[i].strip() == fence["fence"])
            found.append(_block(page, lines, at, lines[at + 1 : end], fence["language"] or "text"))
            at = end + 1
        elif lines[at].startswith("    ") and not lines[at - 1].strip():
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            if not any(_FENCE.match(line) for line in lines[at:end]):
                found.append(_block(page, lines, at, lines[at:end], ""))
                at = end
            else:
                at += 1
        else:
            at += 1
    return found


def _block(page: Path, lines: list[str], at: int, content: list[str], language: str) -> Block:
    above = (
        lines[at - 1] if lines[at - 1].strip() or language else lines[at - 2]
    )  # an indented block needs an empty line
    mark = _MARK.match(above)
    text = textwrap.dedent("\n".join(content)).strip("\n") + "\n"
    return Block(page, at + 1, language, text, mark["mark"] if mark else "")


def shell_lines(page: Path) -> list[tuple[str, str]]:
    """Where, and what: every line of a block that calls the program, continuation lines joined."""
    found = []
    for block in blocks(page):
        for line in block.text.replace("\\\n", " ").splitlines():
            if line.strip().startswith("voxelmorph-registration "):
                found.append((str(block), line.strip()))
    return found


def links(page: Path) -> list[str]:
    """Targets within the repository."""
    text = re.sub(r"^( *)`{3,}.*?^\1`{3,}", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [target for target in _LINK.findall(text) if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ +(.+?)\s*$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def tables(page: Path) -> list[Table]:
    """Every table of a page."""
    lines, found, at, heading = page.read_text(encoding="utf-8").splitlines(), [], 0, 0
    while at < len(lines):
        if lines[at].startswith("#"):
            heading = at
        if lines[at].lstrip().startswith("|"):
            end = at
            while end < len(lines) and lines[end].lstrip().startswith("|"):
                end += 1
            rows = tuple(tuple(c.strip() for c in line.strip().strip("|").split("|")) for line in lines[at + 2 : end])
            found.append(Table(page, at + 1, rows, "\n".join(lines[heading:at])))
            at = end
        else:
            at += 1
    return found
