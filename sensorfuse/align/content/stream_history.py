"""What was heard of late, in bounded memory: gyro samples, and what streams say of motion."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.content.reference import Floats

KEEP_NS = 61_000_000_000
MAX_ENTRIES = 20_000
JUMP_NS = 5_000_000_000


@dataclass(frozen=True)
class Chunk:
    """Rows (n, m) over spans of time: integer nanoseconds (n, 2)."""

    span_ns: NDArray[np.int64]
    rows: Floats


class History:
    """The last minute of rows with their spans. Times are integer nanoseconds of the reference clock.

    Where time jumps, back or far ahead, what was before is forgotten.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._chunks: deque[Chunk] = deque()
        self._rows = 0
        self.newest_ns: int | None = None

    def push(self, span_ns: NDArray[np.int64], rows: Floats) -> None:
        """Take in rows (n, width) over spans (n, 2)."""
        if rows.shape != (len(span_ns), self._width) or len(rows) == 0 or len(rows) > MAX_ENTRIES:
            return
        end = int(span_ns[-1, 1])
        if self.newest_ns is not None and not -JUMP_NS < end - self.newest_ns < KEEP_NS:
            self.clear()
        self.newest_ns = end if self.newest_ns is None else max(end, self.newest_ns)
        self._chunks.append(Chunk(span_ns, rows))
        self._rows += len(rows)
        while self._rows > MAX_ENTRIES or int(self._chunks[0].span_ns[-1, 1]) < self.newest_ns - KEEP_NS:
            self._rows -= len(self._chunks.popleft().rows)

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self._rows = 0
        self.newest_ns = None

    def since(self, start_ns: int, base_ns: int) -> tuple[Floats, Floats]:
        """Spans (n, 2) that end after `start_ns`, in seconds from `base_ns`, and their rows (n, width)."""
        kept = [c for c in self._chunks if c.span_ns[-1, 1] > start_ns]
        if not kept:
            return np.zeros((0, 2)), np.zeros((0, self._width))
        return (np.concatenate([c.span_ns for c in kept]) - base_ns) * 1e-9, np.concatenate([c.rows for c in kept])


def numbers(signature: Mapping[str, Any], name: str, count: int) -> Floats | None:
    """A list of `count` numbers in a signature (inf and nan are allowed), or None where there is none such."""
    value = signature.get(name)
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != count:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        return None
    return np.asarray(value, dtype=np.float64)


def span_of(signature: Mapping[str, Any], name: str, shift_ns: int) -> NDArray[np.int64] | None:
    """A span [start, end] in a signature, moved by `shift_ns`, as (1, 2), or None where there is none sound."""
    value = signature.get(name)
    if not isinstance(value, Sequence) or len(value) != 2 or not all(type(v) is int for v in value):
        return None
    start, end = int(value[0]) + shift_ns, int(value[1]) + shift_ns
    if not (start <= end and abs(start) < 2**62 and abs(end) < 2**62):
        return None
    return np.array([[start, end]], dtype=np.int64)
