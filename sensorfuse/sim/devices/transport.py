"""The way of a device's messages to the host: when each arrives, how often, or why it is lost.

A queue with a least delay, an exponential rest and now and then a spike; losses singly and in runs (two states, good
and bad: Gilbert 1960, "Capacity of a burst-noise channel"); copies; messages that others overtake; and the faults of
the scenario's timeline. The fates of the messages are drawn in chunks, in order, and kept: the same in any order of
asking.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensorfuse.sim.devices.device_config import DelayShift, Outage, Stall, Storm, TransportConfig
from sensorfuse.sim.devices.schedule import Schedule

Array = NDArray[np.float64]
Nanoseconds = NDArray[np.int64]
TransportFault = DelayShift | Outage | Stall | Storm
Loss = Literal["", "drop", "burst", "outage"]

_CHUNK = 256  # messages whose fate is drawn at a time
_LOSSES: tuple[Loss, ...] = ("", "drop", "burst", "outage")
_DROP, _BURST, _OUTAGE = 1, 2, 3
REORDER_PERIODS = (1.0, 3.0)  # how late a message is that others overtake


class Arrival(NamedTuple):
    """One receipt of message `k`; `copy` 0 is the first. A lost one stands where it would have been received."""

    recv_ns: int
    k: int
    copy: int
    lost: Loss


@dataclass
class _Chunk:
    ends: Nanoseconds
    recv: Nanoseconds
    lost: NDArray[np.int8]
    marks: dict[str, NDArray[np.bool_]]
    copies: dict[int, list[int]]  # further receipts, by row


class Transport:
    """Of one stream. Times are true nanoseconds since the scenario's beginning."""

    def __init__(
        self,
        config: TransportConfig,
        faults: Sequence[TransportFault],
        least_delay_ns: int,
        schedule: Schedule,
        seed: int,
        stream: str,
    ) -> None:
        self.config, self.schedule = config, schedule
        self._faults = sorted(faults, key=lambda f: f.at_ns)
        self._delay_ns = least_delay_ns if config.delay_ms is None else round(config.delay_ms * 1e6)
        self._key = (seed, zlib.crc32(f"{stream}/transport".encode()))
        self._chunks: list[_Chunk] = []
        self._queue_ns = 0  # the latest receipt in order so far
        self._bad = False  # in a run of losses

    def _chunk(self, k: int) -> tuple[_Chunk, int]:
        """The chunk that holds message `k`, and its row."""
        while len(self._chunks) <= k // _CHUNK:
            self._chunks.append(self._draw(len(self._chunks)))
        return self._chunks[k // _CHUNK], k % _CHUNK

    def _draw(self, chunk: int) -> _Chunk:
        config = self.config
        rng = np.random.default_rng((*self._key, chunk))
        share = rng.random((_CHUNK, 7))  # always the same draws, whatever is configured
        rest = rng.standard_exponential(_CHUNK)
        first = chunk * _CHUNK
        ends = np.array([self.schedule.span_ns(k)[1] for k in range(first, first + _CHUNK)])
        spike, reordered = share[:, 0] < config.spike_share, share[:, 1] < config.reorder_share
        late = REORDER_PERIODS[0] + share[:, 2] * (REORDER_PERIODS[1] - REORDER_PERIODS[0])
        delay = np.maximum(self._delay_ns + self._shift_ns(ends), 0.0) + rest * self._jitter_ns(ends)
        delay += np.where(spike, config.spike_ms * 1e6, 0.0)
        delay += np.where(reordered, late * self.schedule.sensor.period_ns, 0.0)
        recv = ends + np.rint(delay).astype(np.int64)
        recv, stalled = self._held(recv)
        lost = np.zeros(_CHUNK, np.int8)
        lost[share[:, 3] < config.drop_share] = _DROP
        lost[self._runs(share[:, 4])] = _BURST
        queued = ~reordered & (lost == 0)
        recv[queued] = np.maximum(np.maximum.accumulate(recv[queued]), self._queue_ns)
        self._queue_ns = max(self._queue_ns, int(recv[queued].max(initial=0)))
        lost[(lost == 0) & self._cut(ends, recv)] = _OUTAGE
        number = (share[:, 5] < config.duplicate_share).astype(np.int64) + self._storm_copies(ends)
        copies = {
            int(i): self._copies(int(ends[i]), int(recv[i]), int(number[i]), float(share[i, 6]))
            for i in np.flatnonzero((number > 0) & (lost == 0))
        }
        return _Chunk(ends, recv, lost, {"spike": spike, "reordered": reordered, "stalled": stalled}, copies)

    def _copies(self, end_ns: int, recv_ns: int, number: int, share: float) -> list[int]:
        """Further receipts of one message, spread over up to a period; those that an outage takes are none."""
        gap = (0.1 + 0.9 * share) * self.schedule.sensor.period_ns / number
        times = recv_ns + np.rint(gap * np.arange(1, number + 1)).astype(np.int64)
        times, _ = self._held(times)
        cut = self._cut(np.full(number, end_ns), times)
        return [int(t) for t in times[~cut]]

    # ---- the timeline

    def _shift_ns(self, ends: Nanoseconds) -> Array:
        shift = np.zeros(len(ends))
        for fault in self._faults:
            if isinstance(fault, DelayShift):
                over = np.inf if fault.for_s is None else fault.at_ns + round(fault.for_s * 1e9)
                shift += np.where((ends >= fault.at_ns) & (ends < over), fault.shift_ms * 1e6, 0.0)
        return shift

    def _jitter_ns(self, ends: Nanoseconds) -> Array:
        mean = np.full(len(ends), self.config.jitter_ms * 1e6)
        for fault in self._faults:
            if isinstance(fault, Storm):
                mean += np.where((ends >= fault.at_ns) & (ends < fault.end_ns), fault.jitter_ms * 1e6, 0.0)
        return mean

    def _storm_copies(self, ends: Nanoseconds) -> Nanoseconds:
        copies = np.zeros(len(ends), np.int64)
        for fault in self._faults:
            if isinstance(fault, Storm):
                copies += np.where((ends >= fault.at_ns) & (ends < fault.end_ns), fault.copies, 0)
        return copies

    def _held(self, recv: Nanoseconds) -> tuple[Nanoseconds, NDArray[np.bool_]]:
        """Receipts after stalls, and which of them were held back."""
        held = np.zeros(len(recv), bool)
        for fault in self._faults:
            if isinstance(fault, Stall):
                inside = (recv >= fault.at_ns) & (recv < fault.end_ns)
                recv = np.where(inside, fault.end_ns, recv)
                held |= inside
        return recv, held

    def _cut(self, ends: Nanoseconds, recv: Nanoseconds) -> NDArray[np.bool_]:
        """Which messages are on their way, measured or received in an outage."""
        cut = np.zeros(len(recv), bool)
        for fault in self._faults:
            if isinstance(fault, Outage):
                cut |= (ends < fault.end_ns) & (recv >= fault.at_ns)
        return cut

    def _runs(self, share: Array) -> NDArray[np.bool_]:
        """Which messages fall in a run of losses."""
        config = self.config
        bad = np.zeros(len(share), bool)
        if config.burst_share:
            leave = 1.0 / config.burst_length
            enter = min(leave * config.burst_share / (1.0 - config.burst_share), 1.0)
            for i, u in enumerate(share):
                self._bad = u >= leave if self._bad else u < enter
                bad[i] = self._bad
        return bad

    # ---- fates

    def received_ns(self, k: int) -> int:
        """When message `k` is first received; of a lost one, when it would have been."""
        chunk, row = self._chunk(k)
        return int(chunk.recv[row])

    def marks(self, k: int) -> tuple[str, ...]:
        """What befell message `k` on its way, out of spike, reordered, stalled."""
        chunk, row = self._chunk(k)
        return tuple(name for name, which in chunk.marks.items() if which[row])

    def arrivals(self, start_k: int = 0, end_k: int | None = None) -> Iterator[Arrival]:
        """Receipts and losses of messages `start_k` to `end_k` - 1 (default: without end), in order of time; those of
        one instant in order of k.
        """
        waiting: list[Arrival] = []
        k = start_k
        while end_k is None or k < end_k:
            chunk, row = self._chunk(k)
            lost = int(chunk.lost[row])
            heapq.heappush(waiting, Arrival(int(chunk.recv[row]), k, 0, _LOSSES[lost]))
            for i, recv_ns in enumerate(chunk.copies.get(row, ()), start=1):
                heapq.heappush(waiting, Arrival(recv_ns, k, i, ""))
            k += 1
            chunk, row = self._chunk(k)
            while waiting and waiting[0].recv_ns < chunk.ends[row]:  # what is yet to come is received after its end
                yield heapq.heappop(waiting)
        while waiting:
            yield heapq.heappop(waiting)
