"""Faults of one stream, between its device and the pipeline.

A plain state machine: `push(sample)` takes what the device delivers, `poll(now)` gives what arrives by then. It owns no
clock. What befalls a message follows from (seed, stream, the fault's place in the list, seq) alone, so the same stream
meets the same fate at any speed, and after a restart of its process too.

What is withheld keeps its number: the ledger shows it as lost on the way.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sensorfuse.inject.fault import CONTENT_KINDS, Fault
from sensorfuse.inject.payload import bits_flipped, blank, garbage, noisy
from sensorfuse.messages import Sample
from sensorfuse.sensor_config import SensorConfig

REORDER_PERIODS = (1.0, 3.0)  # how late a message is that others overtake


class Arrival(NamedTuple):
    """One receipt. `torn`: the message was cut short on the wire, so that nobody can read it."""

    recv_ns: int
    sample: Sample
    torn: bool


class StreamInjector:
    """Faults of one stream.

    Args:
        faults: of all streams; those of `stream` count.
        stream, config: whose samples come.
        epoch_ns: when the faults' times begin, on the clock of `recv_ns`.
        seed: of what is left to chance.
    """

    def __init__(self, faults: Sequence[Fault], stream: str, config: SensorConfig, epoch_ns: int, seed: int) -> None:
        self.stream, self.config, self.epoch_ns = stream, config, epoch_ns
        self._faults = [(i, f) for i, f in enumerate(faults) if f.place == "stream" and f.target == stream]
        self._key = (seed, zlib.crc32(stream.encode()))
        self._waiting: list[tuple[int, int, Sample, bool]] = []  # receipt, number, sample, torn
        self._number = 0
        self._queue_ns = 0  # the latest receipt in order so far
        self._last: Sample | None = None  # what a frozen device goes on showing

    @property
    def idle(self) -> bool:
        """Whether there is nothing that could ever go wrong."""
        return not self._faults

    def push(self, sample: Sample) -> None:
        """Take a sample that would be received at its `recv_ns`."""
        since_s = (sample.recv_ns - self.epoch_ns) / 1e9
        active = [(i, f) for i, f in self._faults if f.at_s <= since_s < f.end_s]
        recv_ns, overtaken, torn, copies = sample.recv_ns, False, False, 1
        frozen = any(f.kind == "freeze" for _, f in active)
        if frozen and self._last is not None:
            sample = replace(sample, arrays=self._last.arrays, meta=self._last.meta)
        else:
            self._last = sample
        for i, fault in active:
            steady = fault.kind in CONTENT_KINDS and CONTENT_KINDS[fault.kind].steady
            rng = np.random.default_rng((*self._key, i, 0 if steady else 1 + sample.seq))
            kind, amount = fault.kind, fault.amount
            if kind == "drop" and rng.random() < amount:
                return
            if kind == "slow" and sample.seq % round(amount):
                return
            if kind == "delay":
                recv_ns += round(amount * 1e9)
            elif kind == "jitter":
                recv_ns += round(amount * 1e9 * rng.standard_exponential())
            elif kind == "reorder" and rng.random() < amount:
                recv_ns += round(rng.uniform(*REORDER_PERIODS) * self.config.period_ns)
                overtaken = True
            elif kind == "duplicate":
                copies += bool(rng.random() < amount)
            elif kind == "truncate":
                torn = torn or bool(rng.random() < amount)
            else:
                sample = self._changed(sample, fault, since_s, rng)
        if not overtaken:
            recv_ns = self._queue_ns = max(recv_ns, self._queue_ns)
        sample = replace(sample, recv_ns=recv_ns)
        for _ in range(copies):
            heapq.heappush(self._waiting, (recv_ns, self._number, sample, torn))
            self._number += 1

    def _changed(self, sample: Sample, fault: Fault, since_s: float, rng: np.random.Generator) -> Sample:
        """What a fault of the stamps or the content makes of a sample."""
        amount = fault.amount
        if fault.kind == "clock_step":
            return replace(sample, stamp_ns=sample.stamp_ns + round(amount * 1e9))
        if fault.kind == "skew":
            return replace(sample, stamp_ns=sample.stamp_ns + round(amount * 1e3 * (since_s - fault.at_s)))
        if fault.kind == "blackout":
            return blank(sample, self.config)
        if fault.kind == "noise":
            return noisy(sample, amount, rng)
        if fault.kind == "garbage" and rng.random() < amount:
            return garbage(sample, rng)
        if fault.kind == "bit_flips":
            return bits_flipped(sample, amount, rng)
        if fault.kind in CONTENT_KINDS:
            return CONTENT_KINDS[fault.kind].change(sample, amount, rng)
        return sample

    def poll(self, now_ns: int) -> list[Arrival]:
        """What has arrived by now, in order of receipt."""
        out = []
        while self._waiting and self._waiting[0][0] <= now_ns:
            recv_ns, _, sample, torn = heapq.heappop(self._waiting)
            out.append(Arrival(recv_ns, sample, torn))
        return out

    def next_ns(self) -> int | None:
        """When the next one arrives of those that were taken."""
        return self._waiting[0][0] if self._waiting else None


def inject(
    samples: Iterable[Sample], faults: Sequence[Fault], sensors: dict[str, SensorConfig], epoch_ns: int, seed: int
) -> Iterator[Arrival]:
    """A log's samples, in order of receipt, as they would be received with faults; of all streams, again in order."""
    injectors = {s: StreamInjector(faults, s, config, epoch_ns, seed) for s, config in sensors.items()}

    def arrived(now_ns: int) -> list[Arrival]:
        found = [a for injector in injectors.values() for a in injector.poll(now_ns)]
        return sorted(found, key=lambda a: a.recv_ns)

    for sample in samples:
        injector = injectors[sample.stream]
        if injector.idle and not any(i.next_ns() is not None for i in injectors.values()):
            yield Arrival(sample.recv_ns, sample, False)
            continue
        injector.push(sample)
        yield from arrived(sample.recv_ns)
    while waiting := [t for i in injectors.values() if (t := i.next_ns()) is not None]:
        yield from arrived(min(waiting))
