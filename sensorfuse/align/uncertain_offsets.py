"""Offsets that the rig file does not know for sure, found while the streams run from what they saw of motion.

The reference is the rig's first IMU. A stream whose `offset_sigma_s` is 0 is known and left alone. One stream at a time
is looked at, after a tick has gone out: no tick waits for it.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.content.content_sync import ContentOffset, ContentSync
from sensorfuse.align.stream_buffer import StreamBuffer
from sensorfuse.rig import Rig
from sensorfuse.wire import Envelope


class UncertainOffsets:
    """Keeps the streams' times corrected by what content shows.

    Args:
        rig: which offsets are known to what sigma; without an IMU nothing is estimated.
        streams: whose `time` is corrected.
    """

    def __init__(self, rig: Rig, streams: dict[str, StreamBuffer]) -> None:
        imus = [n for n, s in rig.sensors.items() if s.modality == "imu"]
        self.reference = imus[0] if imus else None
        sigmas = {n: s.offset_sigma_s for n, s in rig.sensors.items() if s.offset_sigma_s > 0 and s.modality != "imu"}
        sigmas = sigmas if imus else {}
        turned = {n: rig.sensors[n].T_base_sensor.transform().rotation for n in sigmas}
        self._sync = ContentSync(sigmas, turned)
        self._streams = streams
        self._turn = deque(sigmas)
        self._clock_epochs = dict.fromkeys(sigmas, 0)
        self._now_ns = 0  # time of the last tick
        self.due = False  # whether there is anything to `work` at: it has gone out since the last look

    def offsets(self) -> dict[str, ContentOffset]:
        """What is known by now of each uncertain stream."""
        return {name: self._sync.offset(name, self._now_ns) for name in self._clock_epochs}

    def hear_reference(self, times_ns: NDArray[np.int64], gyro_base: NDArray[np.float64]) -> None:
        """The reference IMU's rates (N, 3) in base axes at reference times (N,)."""
        if self._turn:
            self._sync.push_gyro(times_ns, gyro_base)

    def hear_speed(self, time_ns: int, velocity_mps: NDArray[np.float64]) -> None:
        """An INS's velocity (3,) at a reference time."""
        if self._turn:
            speed = float(np.hypot(velocity_mps[0], velocity_mps[1]))
            self._sync.push_speed(np.array([time_ns], dtype=np.int64), np.array([speed]))

    def hear(self, envelope: Envelope) -> None:
        """What a stream's process measured of motion."""
        name = envelope.stream
        if name not in self._clock_epochs:
            return
        time = self._streams[name].time
        if time.clock.epoch != self._clock_epochs[name]:
            self._clock_epochs[name] = time.clock.epoch
            self._sync.reset(name)
        self._sync.push_signature(name, envelope.signature, time.shift_ns, time.stamp_ns + time.shift_ns)

    def went_out(self, t_ns: int) -> None:
        """A tick at `t` has gone out: there is time until the next."""
        self._now_ns, self.due = t_ns, bool(self._turn)

    def work(self) -> None:
        """Look at one stream. Should that fail, what it was made of is forgotten before the error goes on."""
        self.due = False
        name = self._turn[0]
        self._turn.rotate(-1)
        try:
            found = self._sync.estimate(name, self._now_ns)
        except Exception:
            self._sync.reset(name)
            raise
        self._streams[name].time.correct(found.offset_ns, found.sigma_ns, found.epoch)
