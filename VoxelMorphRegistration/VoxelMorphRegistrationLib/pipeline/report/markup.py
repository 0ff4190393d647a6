"""HTML and inline SVG as the standard library's elements, which escape texts and attributes when they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree

Element = ElementTree.Element
Child = Element | str | None

_NOT_IN_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Control characters and halves of characters, which file names may have."""


def element(tag: str, *children: Child | Iterable[Child], **attributes: object) -> Element:
    """An element: strings become text, None is left out.

    An attribute's name may end in ``_`` (``class_``) and has ``-`` for each other ``_``; True stands for an attribute
    without a value, None and False leave it out.
    """
    made = ElementTree.Element(tag)
    for name, value in attributes.items():
        if value is not None and value is not False:
            made.set(name.rstrip("_").replace("_", "-"), "" if value is True else plain(str(value)))
    for child in _flat(children):
        if isinstance(child, str):
            _add_text(made, plain(child))
        else:
            made.append(child)
    return made


def as_html(*elements: Element) -> str:
    """As text for a page."""
    return "\n".join(ElementTree.tostring(each, encoding="unicode", method="html") for each in elements)


def plain(text: str) -> str:
    """The text without what no page may hold."""
    return _NOT_IN_HTML.sub("\N{REPLACEMENT CHARACTER}", text)


def _flat(children: Iterable[Child | Iterable[Child]]) -> Iterable[Element | str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, (str, ElementTree.Element)):
            yield child
        else:
            yield from _flat(child)


def _add_text(parent: Element, text: str) -> None:
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text
