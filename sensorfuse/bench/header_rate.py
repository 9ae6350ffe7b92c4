"""How many headers a second the aligner takes, and how soon a tick is there: in process, and over ZeroMQ from another
process.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import zmq

from sensorfuse.align.aligner import Aligner
from sensorfuse.bench.goals import Goal
from sensorfuse.rig import Rig, parse_rig
from sensorfuse.wire import Envelope, decode_meta, encode_meta, receive

START_NS = 1_000_000_000_000
STREAMS = {  # modality and messages per second
    "camera_front": ("camera", 30),
    "camera_rear": ("camera", 30),
    "lidar": ("lidar", 10),
    "radar": ("radar", 20),
    "microphones": ("audio", 50),
    "imu": ("imu", 200),
    "imu_mast": ("imu", 1000),
    "imu_wheel": ("imu", 1000),
}
LEAST_DELAY_S, JITTER_S = 3e-3, 1e-3
PATIENCE_MS = 20_000


@dataclass(frozen=True)
class Throughput:
    """`rate_hz`: headers a second of processor time of the taking process, all of its threads and what it spends waking
    up where the other process sends slower than it takes. `decisions_ms` (N,): its processor time from the header that
    a tick was waiting for to the tick; of another pass, as to read that clock costs as much as to take a header.
    """

    rate_hz: float
    decisions_ms: np.ndarray


def eight_streams() -> Rig:
    """A rig of eight streams, ticks at 10 Hz."""
    sensors = ""
    for name, (modality, rate) in STREAMS.items():
        more = {"camera": ", intrinsics: {width: 64, height: 48, fx: 50, fy: 50, cx: 32, cy: 24}"}.get(modality, "")
        more = ", imu: {samples_per_message: 1}" if modality == "imu" else more
        sensors += f"  {name}: {{modality: {modality}, rate_hz: {rate}, frame: {name}, T_base_sensor: {{}}{more}}}\n"
    return parse_rig(f"name: eight\nsensors:\n{sensors}fusion: {{rate_hz: 10}}\n")


def headers(rig: Rig, duration_s: float, seed: int = 0) -> list[Envelope]:
    """What the streams send, in the order of arrival; each comes in order, after at least 3 ms and a gamma jitter."""
    rng = np.random.default_rng(seed)
    out = []
    for name, (modality, rate) in STREAMS.items():
        stamps = START_NS + np.round((np.arange(round(duration_s * rate)) + rng.random()) * 1e9 / rate).astype(np.int64)
        delay_s = LEAST_DELAY_S + rng.gamma(1.5, JITTER_S / 1.5, len(stamps))
        received = np.maximum.accumulate(stamps + np.round(1e9 * delay_s).astype(np.int64))
        for k, (stamp, recv) in enumerate(zip(stamps.tolist(), received.tolist(), strict=True)):
            out.append(Envelope(name, modality, k, 1, stamp, recv, recv, name, "start", "", {}))
    return sorted(out, key=lambda e: e.recv_ns)


def in_process(duration_s: float) -> Throughput:
    """Push and poll, header by header."""
    rig = eight_streams()
    log = headers(rig, duration_s)
    aligner = Aligner(rig, START_NS)
    push, poll = aligner.push, aligner.poll
    before = time.process_time()
    for header in log:
        push(header, header.recv_ns)
        poll(header.recv_ns)
    spent = time.process_time() - before
    aligner = Aligner(rig, START_NS)
    decisions = []
    for header in log:
        before_ns = time.thread_time_ns()
        aligner.push(header, header.recv_ns)
        if aligner.poll(header.recv_ns):
            decisions.append((time.thread_time_ns() - before_ns) / 1e6)
    return Throughput(len(log) / spent, np.array(decisions))


def over_ipc(duration_s: float) -> Throughput:
    """The same from another process: a socket per stream, as the sensors' processes have, and the wire's checks."""
    return Throughput(_over_ipc(duration_s, False).rate_hz, _over_ipc(duration_s, True).decisions_ms)


def _over_ipc(duration_s: float, timed: bool) -> Throughput:
    rig = eight_streams()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        heard, context = spawn.Event(), zmq.Context()
        sender = spawn.Process(target=_send, args=(folder, duration_s, heard), daemon=True)
        sender.start()
        socket = context.socket(zmq.SUB)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        for name in STREAMS:
            socket.connect(f"ipc://{folder}/{name}")
        try:
            return _receive(socket, rig, sum(round(duration_s * rate) for _, rate in STREAMS.values()), heard, timed)
        finally:
            sender.join(10)
            sender.kill()
            context.destroy(0)


def _send(folder: str, duration_s: float, heard: Event) -> None:
    """The other process: one socket per stream; each says its name until all are heard, then it sends all it has."""
    context = zmq.Context()
    sockets = {}
    for name in STREAMS:
        sockets[name] = context.socket(zmq.PUB)
        sockets[name].setsockopt(zmq.SNDHWM, 0)
        sockets[name].bind(f"ipc://{Path(folder) / name}")
    log = [(sockets[e.stream], encode_meta(e)) for e in headers(eight_streams(), duration_s)]
    while not heard.wait(0.02):
        for name, socket in sockets.items():
            socket.send(name.encode())
    for socket, frames in log:
        socket.send_multipart(frames)
    context.destroy(10_000)


def _receive(socket: zmq.Socket[bytes], rig: Rig, count: int, heard: Event, timed: bool) -> Throughput:
    aligner = Aligner(rig, START_NS)
    joined: set[bytes] = set()
    while len(joined) < len(STREAMS) and socket.poll(PATIENCE_MS):
        joined.update(socket.recv_multipart())
    heard.set()
    decisions = []
    taken = 0
    before = time.process_time()
    while taken < count:
        before_ns = time.thread_time_ns() if timed else 0
        frames = receive(socket)
        if frames is None:
            if not socket.poll(PATIENCE_MS):
                break
            continue
        if len(frames) == 1:
            continue
        header = decode_meta(frames)
        taken += 1
        aligner.push(header, header.recv_ns)
        if aligner.poll(header.recv_ns) and timed:
            decisions.append((time.thread_time_ns() - before_ns) / 1e6)
    return Throughput(taken / (time.process_time() - before), np.array(decisions))


def measure(duration_s: float = 30.0, rounds: int = 3) -> list[Goal]:
    """The best of some rounds for rates, since other work on the machine only ever slows; decisions of all of them."""
    goals = []
    for where, trial, rate_hz, limit_ms in (
        ("in process", in_process, 300_000, 0.5),
        ("over ZeroMQ from another process", over_ipc, 50_000, 2.0),
    ):
        found: Sequence[Throughput] = [trial(duration_s) for _ in range(rounds)]
        p99 = float(np.percentile(np.concatenate([f.decisions_ms for f in found]), 99))
        goals += [
            Goal(f"headers a second of processor time, {where}", rate_hz, max(f.rate_hz for f in found), "1/s", True),
            Goal(f"from the last header to the tick, {where}: processor time p99", limit_ms, p99, "ms"),
        ]
    return goals
