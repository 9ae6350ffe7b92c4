"""The synthetic side of a sensor: a child process makes its samples, ahead of time and with what the machine has left.

Making up a world costs more than handling it, and a robot does not do it: what the pipeline measures must not wait for
it. A process of the lowest scheduling class gives way to every other one at once. It still takes turns, caches and
wake-ups from them: where time is measured, samples are made before it counts.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import struct
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import NoReturn

from sensorfuse.errors import SensorfuseError
from sensorfuse.messages import Sample
from sensorfuse.sim import SimulatedRig
from sensorfuse.wire import decode_data, encode_data, envelope_of

LEAST_NICE = 19
KEPT = 4  # messages that a child keeps, for copies of them


class SimulatedDevice:
    """Samples of one stream of a synthetic rig on request, in the order asked for.

    The child is forked at once, so build this before any thread or socket; it ends when this process does.
    """

    def __init__(self, sim: SimulatedRig, stream: str) -> None:
        self._stream = stream
        self._channel, far_end = Pipe()
        if os.fork() == 0:
            self._channel.close()
            _serve(far_end, sim, stream)
        far_end.close()

    def request(self, k: int, epoch_ns: int = 0) -> None:
        """Ask for the `k`-th sample of a scenario that begins at `epoch_ns`.

        Raises:
            SensorfuseError: the child is no more.
        """
        try:
            self._channel.send_bytes(struct.pack("qq", k, epoch_ns))
        except OSError:
            raise self._lost() from None

    def make_ahead(self, count: int) -> None:
        """Have the first `count` samples made now, and kept; the answer is `made`.

        Raises:
            SensorfuseError: the child is no more.
        """
        self.request(-count)

    def made(self, timeout_s: float) -> bool:
        """Whether, within `timeout_s` seconds, what `make_ahead` asked for has been made.

        Raises:
            SensorfuseError: the child is no more.
        """
        try:
            return self._channel.poll(timeout_s) and bool(self._channel.recv_bytes())
        except (EOFError, OSError):
            raise self._lost() from None

    def take(self, timeout_s: float) -> Sample | None:
        """The sample asked for first of those not taken yet; None if it is not made within `timeout_s` seconds.

        Raises:
            SensorfuseError: the child is no more.
        """
        try:
            if not self._channel.poll(timeout_s):
                return None
            (parts,) = struct.unpack("q", self._channel.recv_bytes())
            return decode_data([self._channel.recv_bytes() for _ in range(parts)])[1]
        except (EOFError, OSError):
            raise self._lost() from None

    def _lost(self) -> SensorfuseError:
        return SensorfuseError(f"stream {self._stream!r}: the process that simulates it died")


def _serve(channel: Connection, sim: SimulatedRig, stream: str) -> NoReturn:
    ahead: list[Sample] = []

    @functools.lru_cache(maxsize=KEPT)
    def message(k: int, epoch_ns: int) -> list[memoryview]:
        if epoch_ns != sim.epoch_ns:
            sim.begin_at(epoch_ns)
        if k < len(ahead):
            sample = ahead[k]
            sample.stamp_ns = sim.stamp_ns(stream, k)  # made when the epoch was not known
        else:
            sample = sim.sample(stream, k)
        return [memoryview(frame).cast("B") for frame in encode_data(envelope_of(sample, 0, 0), sample.arrays)]

    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if hasattr(os, "SCHED_IDLE"):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        else:
            os.nice(LEAST_NICE)
        with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
            while True:
                k, epoch_ns = struct.unpack("qq", channel.recv_bytes())
                if k < 0:
                    ahead.extend(sim.sample(stream, n) for n in range(-k))
                    channel.send_bytes(struct.pack("q", -k))
                    continue
                frames = message(k, epoch_ns)
                channel.send_bytes(struct.pack("q", len(frames)))
                for frame in frames:
                    channel.send_bytes(frame)
        code = 0
    finally:
        os._exit(code)
