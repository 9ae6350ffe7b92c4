"""Inputs made from valid ones: bits flipped, parts cut, doubled and spliced, numbers and values put in the place of
others. The n-th input of a seed is always the same.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable
from typing import Any

from sensorfuse.fuzz.target import Structure

MAX_INPUT_BYTES = 1 << 18
MAX_STEPS = 4
_EDGES = (0, 1, 2, 3, 4, 7, 8, 15, 16, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 65536, 1 << 24, (1 << 31) - 1)
_MORE = (1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
EDGES: tuple[int, ...] = (*_EDGES, *_MORE, *(-n for n in _EDGES[1:]))
TEXTS: tuple[bytes, ...] = (
    b"nan", b"inf", b"-inf", b"1e308", b"-1e-320", b"1" * 400, b"0x10", b"1_0", b"null", b"true", b"''", b"[]", b"{}",
    b"~", b"../../x", b"\xff\xfe", b"\0", b"&a [*a]", b"!!python/object:os.system x", b"9" * 20, b"1.5",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, "", "x", "\0", "../../x", b"", b"\xff" * 9, [], {}, [[]], [[[[[[]]]]]], {"x": {}}, 0.0, 1.5,
    -1.0, float("nan"), float("inf"), -float("inf"), 1e308, 5e-324, "9" * 400, [0] * 40, {"": None},
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")

Step = Callable[[random.Random, bytearray, bytes], None]


class Mutator:
    """Makes inputs from `seeds`; `structure` lets it change single values of what they mean, too."""

    def __init__(self, seeds: list[bytes], structure: Structure | None, seed: int) -> None:
        self._seeds = seeds
        self._structure = structure
        self._seed = seed
        self._trees = [tree for s in seeds if (tree := self._parsed(s)) is not None]

    def _parsed(self, data: bytes) -> Any:
        try:
            return None if self._structure is None else self._structure.parse(data)
        except (ValueError, TypeError):
            return None

    def make(self, number: int) -> bytes:
        """The input of this number; the first ones are the seeds themselves."""
        if number < len(self._seeds):
            return self._seeds[number]
        rng = random.Random(self._seed << 40 ^ number)
        data = b""
        if self._trees and rng.random() < 0.6:
            data = self._from_tree(rng)
            if data and rng.random() < 0.8:
                return data
        return self.vary(data or rng.choice(self._seeds), rng)

    def vary(self, data: bytes, rng: random.Random) -> bytes:
        """One to four changes of bytes."""
        out = bytearray(data)
        other = rng.choice(self._seeds)
        for _ in range(rng.randint(1, MAX_STEPS)):
            rng.choice(STEPS)(rng, out, other)
        return bytes(out[:MAX_INPUT_BYTES])

    def _from_tree(self, rng: random.Random) -> bytes:
        """A seed with one to three of its values changed; empty where that cannot be written."""
        assert self._structure is not None
        tree = rng.choice(self._trees)
        for _ in range(rng.randint(1, 3)):
            tree = changed(tree, rng)
        try:
            return self._structure.build(tree)[:MAX_INPUT_BYTES]
        except (ValueError, TypeError, OverflowError, AttributeError, KeyError, IndexError):
            return b""


def changed(tree: Any, rng: random.Random) -> Any:
    """A copy of a tree with one node changed, dropped or doubled."""
    if isinstance(tree, dict) and tree and rng.random() < 0.9:
        key = rng.choice(list(tree))
        out = dict(tree)
        chance = rng.random()
        if chance < 0.08:
            del out[key]
        elif chance < 0.12:
            out[rng.choice(["x", key + "x" if isinstance(key, str) else "y", ""])] = out.pop(key)
        else:
            out[key] = changed(tree[key], rng)
        return out
    if isinstance(tree, list) and tree and rng.random() < 0.9:
        place = rng.randrange(len(tree))
        chance = rng.random()
        if chance < 0.06:
            return tree[:place] + tree[place + 1 :]
        if chance < 0.12:
            return tree[:place] + [tree[place]] * rng.choice((2, 3, 17, 300)) + tree[place + 1 :]
        return [*tree[:place], changed(tree[place], rng), *tree[place + 1 :]]
    if isinstance(tree, (bytes, str)) and tree and rng.random() < 0.5:
        text: Any = tree
        cut = rng.randrange(len(text))
        return rng.choice([text[:cut], text[:cut] + text[cut + 1 :], text * 2])
    if rng.random() < 0.5:
        return rng.choice(EDGES)
    return rng.choice(VALUES)


def _flip_bit(rng: random.Random, data: bytearray, _: bytes) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set_byte(rng: random.Random, data: bytearray, _: bytes) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xC1, 0xFF, rng.randrange(256)))


def _cut_end(rng: random.Random, data: bytearray, _: bytes) -> None:
    if data:
        del data[rng.randrange(len(data)) :]


def _drop_part(rng: random.Random, data: bytearray, _: bytes) -> None:
    if data:
        at = rng.randrange(len(data))
        del data[at : at + rng.choice((1, 2, 4, 8, 64, 1024))]


def _double_part(rng: random.Random, data: bytearray, _: bytes) -> None:
    if data:
        at = rng.randrange(len(data))
        part = data[at : at + rng.choice((1, 4, 16, 256))]
        data[at:at] = part * rng.choice((1, 2, 50))


def _insert_noise(rng: random.Random, data: bytearray, _: bytes) -> None:
    at = rng.randint(0, len(data))
    data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16)))


def _splice(rng: random.Random, data: bytearray, other: bytes) -> None:
    """Go on with another input from somewhere on."""
    start = rng.randint(0, len(other))
    data[rng.randint(0, len(data)) :] = other[start:]


def _write_edge(rng: random.Random, data: bytearray, _: bytes) -> None:
    """A number at the edge of a type's range, in either byte order."""
    size, layout = rng.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
    if len(data) >= size:
        value = rng.choice(EDGES) & ((1 << 8 * size) - 1)
        struct.pack_into(rng.choice("<>") + layout, data, rng.randint(0, len(data) - size), value)


def _replace_number(rng: random.Random, data: bytearray, _: bytes) -> None:
    """A number in a text becomes another, or no number."""
    start = rng.randint(0, len(data))
    found = _NUMBER.search(data, start) or _NUMBER.search(data)
    if found:
        text = rng.choice(TEXTS) if rng.random() < 0.4 else str(rng.choice(EDGES)).encode()
        data[found.start() : found.end()] = text


def _move_line(rng: random.Random, data: bytearray, _: bytes) -> None:
    """A line of a text is dropped, doubled, indented or put elsewhere."""
    lines = bytes(data).split(b"\n")
    at = rng.randrange(len(lines))
    line = lines.pop(at)
    kind = rng.randrange(4)
    if kind == 1:
        lines[at:at] = [line] * rng.choice((2, 3, 40))
    elif kind == 2:
        lines.insert(at, b"  " + line)
    elif kind == 3:
        lines.insert(rng.randint(0, len(lines)), line)
    data[:] = b"\n".join(lines)


def _insert_text(rng: random.Random, data: bytearray, _: bytes) -> None:
    at = rng.randint(0, len(data))
    data[at:at] = rng.choice(TEXTS + (b"[" * 500, b"{" * 300, b"- " * 300, b"*a", b": ", b"\n", b","))


STEPS: tuple[Step, ...] = (
    _flip_bit, _flip_bit, _set_byte, _cut_end, _drop_part, _double_part, _insert_noise, _splice, _write_edge,
    _write_edge, _replace_number, _move_line, _insert_text,
)  # fmt: skip
