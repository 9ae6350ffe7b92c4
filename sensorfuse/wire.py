"""The wire: multipart `[topic, msgpack header, array, array, ...]` over ZeroMQ sockets.

Two topics per stream: `<stream>/meta` (header and motion signature) and `<stream>/data` (header and arrays as raw
frames, without copies). Headers are versioned, bounded in size and schema-checked before anything is allocated;
nothing is unpickled. A dataclass travels as the list of its fields' values, in their order; a change of its fields is
another version. A message that breaks the schema raises `WireError`; the receiver counts it and goes on.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import struct
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgpack
import numpy as np
import zmq
from numpy.typing import NDArray

from sensorfuse.messages import MODALITIES, Sample, sample_duration_ns
from sensorfuse.sample_limits import MAX_COUNT
from sensorfuse.shared_memory import NotShared, Place, SharedReader, SharedWriter
from sensorfuse.wire_schema import Misfit, check_of

WIRE_VERSION = 4
MAX_HEADER_BYTES = 1 << 16
MAX_RECORD_BYTES = 1 << 22  # ticks and fused frames
MAX_ARRAYS = 16
MAX_PAYLOAD_BYTES = 1 << 28
COPY_BYTES = 1 << 16  # from here on sockets are given the memory itself
DTYPES = frozenset(np.dtype(d).str for d in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "?"))
_EXT_ARRAY = 1
_T = TypeVar("_T")


class WireError(ValueError):
    """A message that does not follow the schema; its text names the field."""


@dataclasses.dataclass
class Envelope:
    """A sample's header as it travels: the sample without its arrays, and what the publisher adds.

    `boot` is the publisher's incarnation. `order` is the place in the log that a replay gives it (-1 live). `problem`
    says why the payload is unusable ("" when sound). `signature` is what the sensor's process measured from the
    content.
    `duration_ns` is what the sample covers from its stamp on (IMU batch, audio block, sweep). Of a `repeat`, the
    content was measured when it first came, not when its stamp says: it tells nothing new, and never votes.
    """

    stream: str
    modality: str
    seq: int
    boot: int
    stamp_ns: int
    recv_ns: int
    publish_ns: int
    frame: str
    stamp: str
    calibration: str
    meta: dict[str, Any]
    duration_ns: int = 0
    order: int = -1
    problem: str = ""
    signature: dict[str, Any] = dataclasses.field(default_factory=dict)
    end: bool = False  # the stream ends here; no payload
    suspect: str = ""  # what is odd of a payload that can be used
    repeat: bool = False  # exactly the content of the message before, with a new stamp


def send(socket: zmq.Socket[bytes], frames: Sequence[Any]) -> None:
    """One multipart message of buffers; big ones travel without a copy."""
    for i, frame in enumerate(frames):
        more = zmq.SNDMORE if i < len(frames) - 1 else 0
        socket.send(frame, more, copy=memoryview(frame).nbytes < COPY_BYTES)


def receive(socket: zmq.Socket[bytes]) -> list[Any] | None:
    """One multipart message as buffers, which are not copied; None when none waits."""
    try:
        frame = socket.recv(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return None
    frames = [frame.buffer]
    while frame.more:
        frame = socket.recv(copy=False)
        frames.append(frame.buffer)
    return frames


# ---- values in headers
# ---------------------------------------------------------------------------------------------------


def _pack_default(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.str not in DTYPES:
            raise WireError(f"arrays of dtype {value.dtype} do not travel")
        head = msgpack.packb([value.dtype.str, list(value.shape)])
        return msgpack.ExtType(_EXT_ARRAY, struct.pack("<H", len(head)) + head + np.ascontiguousarray(value).tobytes())
    if isinstance(value, np.generic):
        return value.item()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _values_of(type(value))(value)
    raise WireError(f"a {type(value).__name__} does not travel")


@functools.cache
def _values_of(kind: type) -> Callable[[Any], list[Any]]:
    """What gives the values of a dataclass's fields, in their order."""
    values = operator.attrgetter(*(f.name for f in dataclasses.fields(kind)))
    return lambda record: list(values(record))


def _check_array(dtype: Any, shape: Any, nbytes: int) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Check a declared dtype and shape against the bytes that came, before anything is allocated."""
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise WireError(f"array dtype {dtype!r} is not allowed")
    if not isinstance(shape, list) or len(shape) > 4 or not all(type(n) is int and 0 <= n <= 1 << 31 for n in shape):
        raise WireError(f"array shape {shape!r} is not valid")
    kind = np.dtype(dtype)
    if math.prod(shape) * kind.itemsize != nbytes:
        raise WireError(
            f"array of shape {shape} and dtype {dtype} needs {math.prod(shape) * kind.itemsize} bytes, got {nbytes}"
        )
    return kind, tuple(shape)


def _unpack_ext(code: int, data: bytes) -> Any:
    if code != _EXT_ARRAY or len(data) < 2:
        raise WireError(f"unknown extension {code}")
    (size,) = struct.unpack_from("<H", data)
    try:
        dtype, shape = msgpack.unpackb(data[2 : 2 + size])
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WireError(f"array header is not valid: {error}") from None
    kind, dims = _check_array(dtype, shape, len(data) - 2 - size)
    return np.frombuffer(data, kind, offset=2 + size).reshape(dims)


def pack(value: Any) -> bytes:
    """Serialise plain values, dataclasses and small arrays.

    Raises:
        WireError: a value is of another kind, an integer is beyond 64 bits, a text holds no characters, or the whole is
            nested too deep.
    """
    try:
        out: bytes = msgpack.packb(value, default=_pack_default)
    except WireError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise WireError(f"does not travel: {error}") from None
    return out


def unpack(data: Any, limit: int = MAX_RECORD_BYTES) -> Any:
    """Parse what `pack` made.

    Raises:
        WireError: too long, not msgpack, or an array that does not fit its declaration.
    """
    if len(data) > limit:
        raise WireError(f"header of {len(data)} bytes exceeds {limit}")
    try:
        return msgpack.unpackb(data, ext_hook=_unpack_ext, strict_map_key=False)
    except WireError:
        raise
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"not a valid header: {error}") from None


def build(cls: type[_T], value: Any) -> _T:
    """Rebuild a dataclass from its fields' values, checking every one's type.

    Raises:
        WireError: a field is missing, unknown or of the wrong type.
    """
    try:
        return typing.cast(_T, check_of(typing.cast(Any, cls))(value))
    except Misfit as fault:
        raise WireError(f"{cls.__name__}{fault.where}: {fault.why}") from None


def encode_record(topic: str, record: Any) -> list[bytes]:
    """A tick, a fused frame or a small map as `[topic, header]`."""
    return [topic.encode(), pack({"v": WIRE_VERSION, "body": record})]


def decode_record(frames: list[Any], cls: type[_T]) -> _T:
    """The dataclass (or `dict`) that `encode_record` sent.

    Raises:
        WireError: wrong number of parts, version or fields.
    """
    if len(frames) != 2:
        raise WireError(f"expected 2 parts, got {len(frames)}")
    body = _body(unpack(frames[1]))
    if cls is dict:
        if not isinstance(body, dict):
            raise WireError("expected a map")
        return typing.cast(_T, body)
    return build(cls, body)


def _body(header: Any) -> Any:
    if not isinstance(header, dict) or header.get("v") != WIRE_VERSION:
        version = header.get("v") if isinstance(header, dict) else header
        raise WireError(f"wire version {version!r}, this process speaks {WIRE_VERSION}")
    return header.get("body")


# ---- samples
# -------------------------------------------------------------------------------------------------------------


def envelope_of(sample: Sample, boot: int, publish_ns: int, **more: Any) -> Envelope:
    """The header of a sample; `duration_ns` follows from its content."""
    return Envelope(
        stream=sample.stream,
        modality=sample.modality,
        seq=sample.seq,
        boot=boot,
        stamp_ns=sample.stamp_ns,
        recv_ns=sample.recv_ns,
        publish_ns=publish_ns,
        frame=sample.frame,
        stamp=sample.stamp,
        calibration=sample.calibration,
        meta=sample.meta,
        duration_ns=sample_duration_ns(sample),
        **more,
    )


def encode_meta(envelope: Envelope) -> list[bytes]:
    """`[<stream>/meta, header]`."""
    return encode_record(f"{envelope.stream}/meta", envelope)


def encode_data(envelope: Envelope, arrays: dict[str, NDArray[Any]], shared: SharedWriter | None = None) -> list[Any]:
    """`[<stream>/data, header, array, ...]`; the arrays travel as they lie in memory and must not be written to.

    With `shared`, large ones are put into shared memory while all subscribers read there; their parts are empty.
    """
    if len(arrays) > MAX_ARRAYS:
        raise WireError(f"a sample has {len(arrays)} arrays, at most {MAX_ARRAYS} travel")
    whole: list[NDArray[Any]] = []
    table = []
    for name, array in arrays.items():
        if array.dtype.str not in DTYPES:
            raise WireError(f"arrays of dtype {array.dtype} do not travel")
        table.append([name, array.dtype.str, list(array.shape)])
        whole.append(np.ascontiguousarray(array))
    message: dict[str, Any] = {"v": WIRE_VERSION, "body": envelope, "arrays": table}
    place = shared.place(whole) if shared is not None else ""
    spans: list[Any] = [None] * len(whole)
    if isinstance(place, Place):
        message["shared"], spans = place, place.spans
    elif place:
        message["ring"] = place
    header = pack(message)
    if len(header) > MAX_HEADER_BYTES:
        raise WireError(
            f"{envelope.stream}: header of {len(header)} bytes exceeds {MAX_HEADER_BYTES}; is `meta` too large?"
        )
    frames = [a.data if a.size and s is None else b"" for a, s in zip(whole, spans, strict=True)]
    return [f"{envelope.stream}/data".encode(), header, *frames]


def _checked_envelope(body: Any) -> Envelope:
    envelope = build(Envelope, body)
    if envelope.modality not in MODALITIES:
        raise WireError(f"Envelope.modality: {envelope.modality!r} is not one of {', '.join(MODALITIES)}")
    if not (0 <= envelope.seq <= MAX_COUNT and 0 <= envelope.duration_ns <= MAX_COUNT):
        raise WireError("Envelope.seq and duration_ns cannot be negative or beyond 62 bits")
    if not (-MAX_COUNT <= envelope.stamp_ns <= MAX_COUNT and -MAX_COUNT <= envelope.recv_ns <= MAX_COUNT):
        raise WireError("Envelope.stamp_ns and recv_ns cannot be beyond 62 bits")
    return envelope


def decode_meta(frames: list[Any]) -> Envelope:
    """The header that `encode_meta` sent.

    Raises:
        WireError: it breaks the schema.
    """
    if len(frames) != 2:
        raise WireError(f"expected 2 parts, got {len(frames)}")
    return _checked_envelope(_body(unpack(frames[1], MAX_HEADER_BYTES)))


def _shared_buffers(header: dict[str, Any], stream: str, count: int, shared: SharedReader | None) -> list[Any]:
    """What lies in shared memory, by array; None for what came in the message."""
    ring, place = header.get("ring"), header.get("shared")
    if place is not None:
        place = build(Place, place)
        ring = place.ring
        if len(place.spans) != count:
            raise WireError(f"{len(place.spans)} spans in shared memory are declared for {count} arrays")
    if ring is None or shared is None:
        if place is not None:
            raise WireError("the payload lies in shared memory, which this process does not read")
        return [None] * count
    if not isinstance(ring, str) or ring.rpartition("-")[0] != stream:
        raise WireError(f"{ring!r} is no ring of the stream {stream!r}")
    if place is None:
        shared.join(ring)
        return [None] * count
    try:
        return list(shared.take(place))
    except NotShared as error:
        raise WireError(f"the payload cannot be read from shared memory: {error}") from None


def decode_data(frames: list[Any], shared: SharedReader | None = None) -> tuple[Envelope, Sample]:
    """The header and the sample that `encode_data` sent; arrays are views of the received frames where
    those are aligned, or of shared memory, and read-only.

    Raises:
        WireError: it breaks the schema, an array's bytes do not fit its declaration, or shared memory no longer holds
            them.
    """
    if not 2 <= len(frames) <= 2 + MAX_ARRAYS:
        raise WireError(f"expected 2 to {2 + MAX_ARRAYS} parts, got {len(frames)}")
    header = unpack(frames[1], MAX_HEADER_BYTES)
    envelope = _checked_envelope(_body(header))
    table = header.get("arrays")
    if not isinstance(table, list) or len(table) != len(frames) - 2:
        raise WireError(
            f"the header declares {len(table) if isinstance(table, list) else 'no'} arrays, {len(frames) - 2} came"
        )
    arrays: dict[str, NDArray[Any]] = {}
    buffers = _shared_buffers(header, envelope.stream, len(table), shared)
    for row, frame, buffer in zip(table, frames[2:], buffers, strict=True):
        if not isinstance(row, list) or len(row) != 3 or not isinstance(row[0], str):
            raise WireError("an array's declaration is [name, dtype, shape]")
        view = memoryview(frame if buffer is None else buffer)
        if view.nbytes > MAX_PAYLOAD_BYTES:
            raise WireError(f"array {row[0]!r} of {view.nbytes} bytes exceeds {MAX_PAYLOAD_BYTES}")
        kind, dims = _check_array(row[1], row[2], view.nbytes)
        array = np.frombuffer(view, kind).reshape(dims)
        # ZeroMQ hands out small frames where they lie in its buffer; compiled kernels would be compiled anew for those
        arrays[row[0]] = array = array if array.flags.aligned else array.copy()
        array.flags.writeable = False
    sample = Sample(
        envelope.stream,
        typing.cast(Any, envelope.modality),
        envelope.seq,
        envelope.stamp_ns,
        envelope.recv_ns,
        envelope.frame,
        arrays,
        envelope.meta,
        typing.cast(Any, envelope.stamp),
        envelope.calibration,
    )
    return envelope, sample
