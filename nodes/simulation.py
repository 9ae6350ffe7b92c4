"""The synthetic side of a sensor: a child process makes its samples, ahead of time and with what the machine has left.

Making up a world costs more than handling it, and a robot does not do it: what the pipeline measures must not wait for
it. A process of the lowest scheduling class gives way to every other one at once.
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
    @functools.lru_cache(maxsize=KEPT)
    def message(k: int, epoch_ns: int) -> list[memoryview]:
        if epoch_ns != sim.epoch_ns:
            sim.begin_at(epoch_ns)
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
                frames = message(*struct.unpack("qq", channel.recv_bytes()))
                channel.send_bytes(struct.pack("q", len(frames)))
                for frame in frames:
                    channel.send_bytes(frame)
        code = 0
    finally:
        os._exit(code)
