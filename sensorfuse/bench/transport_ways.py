"""Ways to bring an array from one process to another, each with a sender and a receiver: this package's wire, with
shared memory and without, and what it is compared with.
"""

from __future__ import annotations

import ctypes
import importlib.util
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from sensorfuse import wire
from sensorfuse.shared_memory import SharedReader, SharedWriter, is_supported
from sensorfuse.wire import Envelope, decode_data, encode_data, encode_meta, receive

Array = NDArray[np.uint8]
Send = Callable[[Array], None]  # stamps by itself, before any of its work
Receive = Callable[[float], tuple[int, Array] | None]  # of at most so many seconds; stamp in ns, and the bytes
Queue = Any  # multiprocessing.Queue is a method of a context, no type
STREAM = "camera"
STAMP_BYTES = 16


@dataclass(frozen=True)
class Way:
    """`missing()` says why it cannot be measured here, or "". `sender` runs in the other process."""

    name: str
    missing: Callable[[], str]
    sender: Callable[[Path, int, Queue], Send]
    receiver: Callable[[Path, int, Queue], Receive]


def _nothing() -> str:
    return ""


def _address(folder: Path, name: str) -> str:
    return f"ipc://{folder / name}"


def _publisher(where: str) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
    socket.setsockopt(zmq.SNDHWM, 256)
    socket.setsockopt(zmq.LINGER, 0)
    socket.bind(where)
    return socket


def _subscriber(where: str, topic: bytes) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 256)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SUBSCRIBE, topic)
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.connect(where)
    return socket


# ---- this package's wire


def _wire_sender(folder: Path, name: str, shared: SharedWriter | None) -> Send:
    socket = _publisher(_address(folder, name))
    seq = 0

    def send(array: Array) -> None:
        nonlocal seq
        now = time.monotonic_ns()
        envelope = Envelope(STREAM, "camera", seq, 1, now, now, now, "camera_optical_frame", "mid", "", {})
        wire.send(socket, encode_meta(envelope))  # as a sensor's process does; nobody listens to it here
        wire.send(socket, encode_data(envelope, {"image": array}, shared))
        seq += 1

    return send


def _wire_receiver(folder: Path, name: str, shared: SharedReader | None) -> Receive:
    socket = _subscriber(_address(folder, name), f"{STREAM}/data".encode())

    def take(timeout_s: float) -> tuple[int, Array] | None:
        if not socket.poll(round(1e3 * timeout_s)):
            return None
        frames = receive(socket)
        if frames is None:
            return None
        envelope, sample = decode_data(frames, shared)
        return envelope.stamp_ns, sample.arrays["image"]

    return take


# ---- ZeroMQ bare


def _bare_sender(folder: Path, nbytes: int, queue: Queue) -> Send:
    socket = _publisher(_address(folder, "bare"))

    def send(array: Array) -> None:
        wire.send(socket, [time.monotonic_ns().to_bytes(8, "little"), array.data])

    return send


def _bare_receiver(folder: Path, nbytes: int, queue: Queue) -> Receive:
    socket = _subscriber(_address(folder, "bare"), b"")

    def take(timeout_s: float) -> tuple[int, Array] | None:
        if not socket.poll(round(1e3 * timeout_s)):
            return None
        stamp, frame = socket.recv_multipart(copy=False)
        return int.from_bytes(stamp.buffer, "little"), np.frombuffer(frame.buffer, np.uint8)

    return take


# ---- iceoryx2


def _iceoryx2_missing() -> str:
    return "" if importlib.util.find_spec("iceoryx2") else "iceoryx2 is not installed: pip install 'sensorfuse[bench]'"


def _services(folder: Path, nbytes: int) -> tuple[Any, Any, Any]:
    """A node and its two services: one carries the bytes, the other wakes the receiver."""
    import iceoryx2

    iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
    node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
    name = f"{folder.name}/{nbytes}"
    data = node.service_builder(iceoryx2.ServiceName.new(name)).publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
    event = node.service_builder(iceoryx2.ServiceName.new(f"{name}/event")).event()
    return node, data.open_or_create(), event.open_or_create()


def _iceoryx2_sender(folder: Path, nbytes: int, queue: Queue) -> Send:
    node, data, event = _services(folder, nbytes)
    publisher = data.publisher_builder().initial_max_slice_len(STAMP_BYTES + nbytes).create()
    notifier = event.notifier_builder().create()

    def send(array: Array, node: Any = node) -> None:
        now = time.monotonic_ns()
        sample = publisher.loan_slice_uninit(STAMP_BYTES + nbytes)
        where = sample.payload_ptr
        ctypes.memmove(where, now.to_bytes(8, "little"), 8)
        ctypes.memmove(where + STAMP_BYTES, array.ctypes.data, nbytes)
        sample.assume_init().send()
        notifier.notify()

    return send


def _iceoryx2_receiver(folder: Path, nbytes: int, queue: Queue) -> Receive:
    import iceoryx2

    node, data, event = _services(folder, nbytes)
    subscriber = data.subscriber_builder().create()
    listener = event.listener_builder().create()
    held: list[Any] = []

    def take(timeout_s: float, node: Any = node) -> tuple[int, Array] | None:
        listener.timed_wait(iceoryx2.Duration.from_secs_f64(timeout_s))
        held.clear()
        sample = subscriber.receive()
        if sample is None:
            return None
        held.append(sample)  # its bytes stay where they are until the next
        where = sample.payload_ptr
        whole = np.ctypeslib.as_array((ctypes.c_uint8 * (STAMP_BYTES + nbytes)).from_address(where))
        return int.from_bytes(whole[:8].tobytes(), "little"), whole[STAMP_BYTES:]

    return take


# ---- a plain queue


def _queue_sender(folder: Path, nbytes: int, queue: Queue) -> Send:
    return lambda array: queue.put((time.monotonic_ns(), array))


def _queue_receiver(folder: Path, nbytes: int, queue: Queue) -> Receive:
    def take(timeout_s: float) -> tuple[int, Array] | None:
        try:
            found: tuple[int, Array] = queue.get(timeout=timeout_s)
        except multiprocessing.queues.Empty:  # type: ignore[attr-defined]
            return None
        return found

    return take


def _shared_missing() -> str:
    return "" if is_supported() else "this system has no shared memory as files"


WAYS: tuple[Way, ...] = (
    Way(
        "sensorfuse",
        _shared_missing,
        lambda folder, nbytes, queue: _wire_sender(folder, "shared", SharedWriter(folder, STREAM, lambda: 1)),
        lambda folder, nbytes, queue: _wire_receiver(folder, "shared", SharedReader(folder)),
    ),
    Way(
        "sensorfuse, all in the message",
        _nothing,
        lambda folder, nbytes, queue: _wire_sender(folder, "inline", None),
        lambda folder, nbytes, queue: _wire_receiver(folder, "inline", None),
    ),
    Way("ZeroMQ bare", _nothing, _bare_sender, _bare_receiver),
    Way("iceoryx2", _iceoryx2_missing, _iceoryx2_sender, _iceoryx2_receiver),
    Way("multiprocessing.Queue", _nothing, _queue_sender, _queue_receiver),
)
REFERENCE = "iceoryx2"
