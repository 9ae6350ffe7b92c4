"""GPMF, the telemetry that GoPro cameras write: nested key-length-value records, big-endian, padded to 4 bytes.

Source: the format's public description by GoPro ("GPMF Introduction"). A record is a four-letter key, a type letter (0
for nested records), the size of one structure, a repeat count, and size x count bytes. Inside a stream (`STRM`) `SCAL`
divides the values that follow and `ORIN` names their axes (lower case: negated). HERO5 cameras have no `ORIN`; their
order is Z, X, Y.

Axes as GoPro labels them: Z up, Y out of the camera's back, X to its left (checked on a drone that speeds up forward:
Y falls).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MAX_DEPTH = 8
MAX_RECORDS = 100_000
HERO5_ORDER = "ZXY"
NUMBER_TYPES = {
    "b": ">i1",
    "B": ">u1",
    "s": ">i2",
    "S": ">u2",
    "l": ">i4",
    "L": ">u4",
    "j": ">i8",
    "J": ">u8",
    "f": ">f4",
    "d": ">f8",
}


class GpmfError(ValueError):
    """A telemetry packet is truncated or contradicts itself."""


@dataclass(frozen=True)
class Record:
    """One key-length-value record; `kind` is "" for nested ones. `payload` is a view, nothing is copied."""

    key: str
    kind: str
    size: int
    count: int
    payload: memoryview


def records(data: bytes | memoryview) -> Iterator[Record]:
    """The records of one level.

    Raises:
        GpmfError: a header or a payload is cut short.
    """
    view, at = memoryview(data), 0
    while at < len(view):
        if bytes(view[at : at + 4]) == b"\0\0\0\0" and not any(view[at:]):
            return  # padding at the end of a packet
        if at + 8 > len(view):
            raise GpmfError("record header cut short")
        kind, size, count = struct.unpack_from(">BBH", view, at + 4)
        length = size * count
        if at + 8 + length > len(view):
            raise GpmfError("record payload cut short")
        key = bytes(view[at : at + 4]).decode("latin-1")
        yield Record(key, chr(kind) if kind else "", size, count, view[at + 8 : at + 8 + length])
        at += 8 + (length + 3) // 4 * 4


def numbers(record: Record) -> NDArray[np.float64]:
    """Values (count, values per structure) of a record of plain numbers.

    Raises:
        GpmfError: it holds text or structures, or its size is no multiple of its number type.
    """
    if record.kind not in NUMBER_TYPES:
        raise GpmfError(f"{record.key!r} holds no plain numbers")
    dtype = np.dtype(NUMBER_TYPES[record.kind])
    if not record.count or record.size < dtype.itemsize or record.size % dtype.itemsize:
        raise GpmfError(f"{record.key!r} has a structure size that does not fit its type")
    return np.frombuffer(record.payload, dtype).astype(np.float64).reshape(record.count, -1)


def axes_xyz(values: NDArray[np.float64], order: str) -> NDArray[np.float64]:
    """Columns (N, 3) put in the order x, y, z; a lower-case letter in `order` negates.

    Raises:
        GpmfError: `order` is no arrangement of X, Y, Z, or there are not three columns.
    """
    if values.shape[1] != 3 or sorted(order.upper()) != ["X", "Y", "Z"]:
        raise GpmfError("motion data has not three axes of known order")
    columns = [order.upper().index(axis) for axis in "XYZ"]
    signs = np.array([1.0 if order[c].isupper() else -1.0 for c in columns])
    return values[:, columns] * signs


@dataclass
class Motion:
    """The camera's motion in one packet: specific force (N, 3) m/s^2 and angular rate (M, 3) rad/s, x y z."""

    accel_mps2: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    gyro_radps: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))


def motion(packet: bytes) -> Motion:
    """Accelerometer and gyroscope of one telemetry packet; the first device that has each counts.

    Raises:
        GpmfError: the packet is truncated, nested too deep, or its motion data make no sense.
    """
    out = Motion()
    budget = [MAX_RECORDS]
    _collect(memoryview(packet), out, 0, budget)
    return out


def _collect(data: memoryview, out: Motion, depth: int, budget: list[int]) -> None:
    if depth > MAX_DEPTH:
        raise GpmfError("records nested too deep")
    scale: NDArray[np.float64] = np.ones(1)
    order = HERO5_ORDER
    for record in records(data):
        budget[0] -= 1
        if budget[0] < 0:
            raise GpmfError("too many records in one packet")
        if not record.kind:
            _collect(record.payload, out, depth + 1, budget)
        elif record.key == "SCAL":
            scale = numbers(record)[:, 0]
            if not np.isfinite(scale).all() or (scale == 0).any():
                raise GpmfError("SCAL is zero or not finite")
        elif record.key == "ORIN":
            order = bytes(record.payload).decode("latin-1").rstrip("\0")
        elif record.key in ("ACCL", "GYRO") and record.count:
            values = numbers(record)
            if len(scale) not in (1, values.shape[1]):
                raise GpmfError("SCAL does not fit its data")
            values = axes_xyz(values / scale, order)
            if not np.isfinite(values).all():
                raise GpmfError("motion data are not finite")
            if record.key == "ACCL" and not len(out.accel_mps2):
                out.accel_mps2 = values
            elif record.key == "GYRO" and not len(out.gyro_radps):
                out.gyro_radps = values
