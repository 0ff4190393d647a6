"""What MkDocs cannot do by itself when it builds the site (``make docs``); it calls these functions by name.

- Pictures of ``Resources/Screenshots`` lie outside ``Docs``: they are added, and links to them made to fit.
- Pages that the navigation names and that are not written yet are left out; those that it does not name come last.
- The command line's reference is written by the parsers themselves.
- A page that would fetch a script, style or picture from elsewhere fails the build.
"""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MAY_BE_MISSING = ("benchmarks.md", "checking.md", "reliability.md", "reports.md")
COMMANDS_MARKER = "<!-- commands -->"
_SCREENSHOTS = "Resources/Screenshots"
_FETCHED = re.compile(
    r"""<(script|img|iframe|link(?=[^>]*rel="?(stylesheet|preload)))[^>]*(src|href)="?(?P<address>https?://[^"> ]+)"""
)
_log = logging.getLogger("mkdocs.hooks.docs")


def on_config(config: Any) -> Any:
    """Make the navigation fit the pages that are there."""
    docs = Path(config["docs_dir"])
    named: set[str] = set()
    config["nav"] = _without_missing(config["nav"], docs, named)
    others = sorted(str(path.relative_to(docs)) for path in docs.rglob("*.md"))
    others = [page for page in others if page not in named]
    if others:
        _log.info("not in the navigation, so listed last: %s", ", ".join(others))
        config["nav"].append({"More": others})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the screenshots as if they lay in ``Docs``."""
    from mkdocs.structure.files import File

    for picture in sorted((ROOT / _SCREENSHOTS).glob("*.png")):
        files.append(File.generated(config, f"{_SCREENSHOTS}/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """``../Resources`` is beside ``Docs`` in the repository, and inside the site."""
    text = markdown.replace(f"../{_SCREENSHOTS}", _SCREENSHOTS)
    if COMMANDS_MARKER in text:
        text = text[: text.index(COMMANDS_MARKER)] + command_line_reference()
    return text


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Fail where a page would fetch anything from elsewhere."""
    from mkdocs.exceptions import PluginError

    if found := _FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri} fetches {found['address']}; the site has to be complete in itself")
    return output


def command_line_reference() -> str:
    """The help of every command, as the program prints it, in Markdown."""
    lines = []
    for name, parser in parsers().items():
        lines += [f"## {name}", "", "```text", parser.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


def parsers() -> dict[str, Any]:
    """The program's parsers by their commands, ``voxelmorph-registration models add`` and the like, in order."""
    sys.path.insert(0, str(ROOT / "VoxelMorphRegistration"))
    try:
        from VoxelMorphRegistrationLib.commands import main
    finally:
        sys.path.pop(0)
    return dict(_with_subcommands(main._parser()))


def _with_subcommands(parser: Any) -> list[tuple[str, Any]]:
    found = [(parser.prog, parser)]
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for child in action.choices.values():
                found += _with_subcommands(child)
    return found


def _without_missing(entries: list[Any], docs: Path, named: set[str]) -> list[Any]:
    kept = []
    for entry in entries:
        title, content = next(iter(entry.items())) if isinstance(entry, dict) else (None, entry)
        if isinstance(content, list):
            kept.append({title: _without_missing(content, docs, named)})
        elif content not in MAY_BE_MISSING or (docs / content).exists():
            named.add(content)
            kept.append(entry)
    return kept
