"""A report's page: the template, style and script of ``Resources/Report`` around what the report says."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from pathlib import Path
from string import Template

from VoxelMorphRegistrationLib import __version__
from VoxelMorphRegistrationLib.files.output import atomic_output, check_output
from VoxelMorphRegistrationLib.pipeline.report.markup import Element, as_html, element, plain

ENDINGS = (".html", ".htm")
NAME = "report.html"
"""What a report is called where nobody names it."""

_LIBRARY = Path(__file__).resolve().parents[2]


def check_report_path(path: str | os.PathLike[str]) -> Path:
    """The path, if a report could be written there: for asking before a long job. Raises OutputError."""
    return check_output(path, ENDINGS, "report")


def write_page(path: Path, title: str, body: Iterable[Element]) -> None:
    """Write one page that needs no other file and fetches nothing. Raises OutputError; nothing is half written."""
    with atomic_output(path) as temporary:
        temporary.write_text(page(title, body), encoding="utf-8")


def page(title: str, body: Iterable[Element]) -> str:
    """The page as text."""
    return Template(_resource("page.html")).substitute(
        title=html.escape(plain(title)),
        generator=f"VoxelMorphRegistration {__version__}",
        style=_resource("page.css"),
        script=_resource("page.js"),
        body=as_html(*body, _footer()),
    )


def resources_folder() -> Path:
    """``Resources/Report``: beside the package in Slicer and in a checkout, inside it in a wheel."""
    beside = _LIBRARY.parent / "Resources" / "Report"
    return beside if beside.is_dir() else _LIBRARY / "resources" / "Report"


def _resource(name: str) -> str:
    return (resources_folder() / name).read_text(encoding="utf-8").rstrip("\n")


def _footer() -> Element:
    return element(
        "footer",
        f"Made by VoxelMorphRegistration {__version__}. This file is whole: it loads nothing and sends nothing. It "
        "shows the volumes and names their files, so it is as confidential as they are. It is no medical device and "
        "no substitute for looking at the volumes themselves.",
    )
