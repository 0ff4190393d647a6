"""Damage of all kinds, done to the bytes of a good file; the same seed does the same damage."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import zipfile
import zlib
from typing import Any

_BYTES = (0, 1, 127, 128, 255)
_NUMBERS = (b"0", b"-1", b"1", b"2", b"3", b"1e308", b"nan", b"-inf", b"65536", b"2147483647", b"4294967296",
            b"9223372036854775807", b"0.0000001", b"x", b"")  # fmt: skip
_VALUES: tuple[Any, ...] = (None, True, 0, -1, 1e308, float("nan"), 10**30, "", "x", "../../x", "\u00e9\U0001f9e0 \n",
                            "x" * 300, [], {}, [[]], {"a": None})  # fmt: skip
_FRONT = 1024
_INNER = 0.75
_LARGEST_INNER = 1 << 22
_DEEP = 100_000


def mutated(data: bytes, seed: str) -> bytes:
    """The file with one to six changes."""
    return _mutate(data, random.Random(seed))


def _mutate(data: bytes, chance: random.Random) -> bytes:
    """What is packed is damaged inside, mostly, and packed again, so that the damage is not just a wrong checksum."""
    if chance.random() < _INNER:
        if data[:2] == b"\x1f\x8b" and (inner := _unpacked(data)) is not None:
            return gzip.compress(_mutate(inner, chance), 1, mtime=0)
        if data[:2] == b"PK":
            return _in_archive(data, chance)
        if data[:1] in (b"{", b"[") and (text := _in_json(data, chance)) is not None:
            return text
    for _ in range(chance.randint(1, 6)):
        data = chance.choice(_CHANGES)(data, chance)
    return data


def _unpacked(data: bytes) -> bytes | None:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, _LARGEST_INNER)
    except zlib.error:
        return None


def _in_archive(data: bytes, chance: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    number = chance.randrange(len(members))
    name, content = members[number]
    members[number] = (name, _mutate(content, chance))
    if chance.random() < 0.1:
        members.pop(chance.randrange(len(members)))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for each in members:
            archive.writestr(zipfile.ZipInfo(each[0]), each[1])
    return written.getvalue()


def _in_json(data: bytes, chance: random.Random) -> bytes | None:
    try:
        content = json.loads(data)
    except ValueError:
        return None
    if chance.random() < 0.02:
        return b"[" * _DEEP
    places: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            visit(node[key])

    visit(content)
    for _ in range(chance.randint(1, 3)):
        if not places:
            return json.dumps(chance.choice(_VALUES)).encode()
        node, key = chance.choice(places)
        if isinstance(node, dict) and chance.random() < 0.2:
            node.pop(key, None)
        elif isinstance(node, dict) and chance.random() < 0.1:
            node[chance.choice(("x", "", "name", "file"))] = chance.choice(_VALUES)
        elif not isinstance(node, list) or key < len(node):
            node[key] = chance.choice(_VALUES)
    return json.dumps(content).encode()


def _set_byte(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return b"\x00"
    at = _place(data, chance)
    return data[:at] + bytes([chance.choice((*_BYTES, chance.randrange(256)))]) + data[at + 1 :]


def _flip_bit(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return data
    at = _place(data, chance)
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def _set_word(data: bytes, chance: random.Random) -> bytes:
    size, value = chance.choice((2, 4, 8)), chance.choice((0, 1, -1, 3, 2**15 - 1, 2**31 - 1, 2**63 - 1, -(2**31)))
    at = _place(data, chance) if data else 0
    word = (value % 2 ** (8 * size)).to_bytes(size, chance.choice(("little", "big")))
    return data[:at] + word + data[at + size :]


def _set_number(data: bytes, chance: random.Random) -> bytes:
    """Of the numbers written as text in the first part of the file."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?(e[+-]?\d+)?", data[:_FRONT]))
    if not found:
        return _set_byte(data, chance)
    one = chance.choice(found)
    return data[: one.start()] + chance.choice(_NUMBERS) + data[one.end() :]


def _drop_line(data: bytes, chance: random.Random) -> bytes:
    lines = data[:_FRONT].split(b"\n")
    if len(lines) < 2:
        return _set_byte(data, chance)
    line = lines.pop(chance.randrange(len(lines)))
    if chance.random() < 0.5:
        lines.insert(chance.randrange(len(lines) + 1), line)
    return b"\n".join(lines) + data[_FRONT:]


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)] if chance.random() < 0.3 else _set_byte(data, chance)


def _remove(data: bytes, chance: random.Random) -> bytes:
    at = _place(data, chance) if data else 0
    return data[:at] + data[at + chance.randint(1, 16) :]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    at = _place(data, chance) if data else 0
    return data[:at] + data[at : at + chance.randint(1, 64)] * chance.randint(1, 3) + data[at:]


def _place(data: bytes, chance: random.Random) -> int:
    """Mostly in the front, where the headers are."""
    return chance.randrange(min(len(data), _FRONT) if chance.random() < 0.7 else len(data))


_CHANGES = (_set_byte, _set_byte, _flip_bit, _flip_bit, _set_word, _set_number, _drop_line, _cut, _remove, _repeat)
