"""The GPMF decoder on packets built here, record by record, and on damaged ones."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorfuse.log.gpmf import GpmfError, motion, numbers, records


def klv(key: bytes, kind: bytes, size: int, payload: bytes) -> bytes:
    return key + kind + struct.pack(">BH", size, len(payload) // size) + payload + b"\xaa" * (-len(payload) % 4)


def nest(key: bytes, *parts: bytes) -> bytes:
    return klv(key, b"\0", 1, b"".join(parts))


def stream(key: bytes, scale: int, rows: list[tuple[int, int, int]], *extra: bytes) -> bytes:
    data = b"".join(struct.pack(">3h", *row) for row in rows)
    return nest(b"STRM", *extra, klv(b"SCAL", b"s", 2, struct.pack(">h", scale)), klv(key, b"s", 6, data))


def packet() -> bytes:
    return nest(
        b"DEVC",
        klv(b"DVNM", b"c", 1, b"Camera"),
        stream(b"ACCL", 100, [(981, 100, -50), (980, 0, 1)], klv(b"STNM", b"c", 1, b"Accelerometer")),
        stream(b"GYRO", 10, [(1, 2, 3), (4, 5, 6), (7, 8, 9)]),
    )


def test_hero5_order_and_scale() -> None:
    """No ORIN: the columns are z, x, y."""
    data = motion(packet())
    np.testing.assert_allclose(data.accel_mps2, [[1.0, -0.5, 9.81], [0, 0.01, 9.8]])
    np.testing.assert_allclose(data.gyro_radps, np.array([[2, 3, 1], [5, 6, 4], [8, 9, 7]]) / 10)


def test_orin_names_the_axes() -> None:
    data = motion(nest(b"DEVC", stream(b"GYRO", 1, [(1, 2, 3)], klv(b"ORIN", b"c", 1, b"YxZ"))))
    np.testing.assert_allclose(data.gyro_radps, [[-2, 1, 3]])


def test_scale_per_axis() -> None:
    scale = klv(b"SCAL", b"s", 2, struct.pack(">3h", 1, 2, 4))
    data = motion(nest(b"DEVC", nest(b"STRM", scale, klv(b"GYRO", b"s", 6, struct.pack(">3h", 8, 8, 8)))))
    np.testing.assert_allclose(data.gyro_radps, [[4, 2, 8]])


@pytest.mark.parametrize(
    ("kind", "layout", "value"),
    [(b"b", "b", -7), (b"B", "B", 200), (b"S", "H", 60000), (b"l", "i", -70000), (b"L", "I", 2**31), (b"f", "f", 0.5)]
    + [(b"j", "q", -(2**40)), (b"J", "Q", 2**40), (b"d", "d", 1e-9)],
)
def test_number_types(kind: bytes, layout: str, value: float) -> None:
    payload = struct.pack(f">2{layout}", value, value)
    (record,) = records(klv(b"DATA", kind, len(payload), payload))
    np.testing.assert_array_equal(numbers(record), [[value, value]])


@pytest.mark.parametrize("length", range(1, len(packet())))
def test_every_cut_is_refused(length: int) -> None:
    with pytest.raises(GpmfError):
        motion(packet()[:length])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (nest(b"STRM", klv(b"SCAL", b"s", 2, b"\0\0"), klv(b"GYRO", b"s", 6, bytes(6))), "SCAL is zero"),
        (
            nest(b"STRM", klv(b"SCAL", b"s", 2, bytes([0, 1, 0, 1])), klv(b"GYRO", b"s", 6, bytes(6))),
            "SCAL does not fit",
        ),
        (nest(b"STRM", klv(b"GYRO", b"s", 4, bytes(8))), "three axes"),
        (nest(b"STRM", klv(b"ORIN", b"c", 1, b"XXZ"), klv(b"GYRO", b"s", 6, bytes(6))), "three axes of known order"),
        (nest(b"STRM", klv(b"GYRO", b"c", 6, bytes(6))), "no plain numbers"),
        (nest(b"STRM", klv(b"GYRO", b"s", 5, bytes(5))), "does not fit its type"),
        (nest(b"STRM", klv(b"GYRO", b"f", 12, struct.pack(">3f", 1, float("nan"), 2))), "not finite"),
    ],
)
def test_contradictions_are_named(data: bytes, reason: str) -> None:
    with pytest.raises(GpmfError, match=reason):
        motion(data)


def test_nesting_is_bounded() -> None:
    data = klv(b"DATA", b"b", 1, b"x")
    for _ in range(300):
        data = nest(b"NEST", data)
    with pytest.raises(GpmfError, match="too deep"):
        motion(data)


def test_number_of_records_is_bounded() -> None:
    with pytest.raises(GpmfError, match="too many records"):
        motion(klv(b"NOPE", b"b", 1, b"") * 100_001)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        out = motion(data)
    except GpmfError:
        return
    assert np.isfinite(out.accel_mps2).all()
    assert np.isfinite(out.gyro_radps).all()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(packet()) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_flipped_bytes_decode_or_are_refused(changes: list[tuple[int, int]]) -> None:
    """Also: never more memory than the packet accounts for, whatever sizes it claims."""
    data = bytearray(packet())
    for at, value in changes:
        data[at] = value
    tracemalloc.start()
    try:
        motion(bytes(data))
    except GpmfError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 200_000
