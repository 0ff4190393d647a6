"""Figures in the documentation, put there by the command that makes them."""

from __future__ import annotations

import re
from pathlib import Path


def put_between(page: Path, mark: str, text: str) -> None:
    """Replace what stands between ``<!-- mark -->`` and ``<!-- /mark -->`` in a page that has them."""
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(\n?<!-- /{mark} -->)", re.DOTALL)
    before = page.read_text(encoding="utf-8")
    after, count = pattern.subn(lambda found: f"{found[1]}{text}\n<!-- /{mark} -->", before)
    if count != 1:
        raise ValueError(f"{page} has no place for {mark}")
    page.write_text(after, encoding="utf-8")
