"""What every log reader offers, whatever the format: streams, samples in order of receipt, truth, and what could not
be read.

A reader holds no more than one record of each stream at a time (and, for chunked files, the chunks that overlap in
time).
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Literal

from sensorfuse.errors import SensorfuseError
from sensorfuse.messages import MessageTruth, Modality, Sample, Truth, sample_duration_ns, sample_problem
from sensorfuse.sample_limits import header_problem

StampSource = Literal["device", "host", "nominal"]
MAX_REJECTION_LINES = 100
MAX_LEAP_NS = 1_000_000_000


@dataclass(frozen=True)
class StreamInfo:
    """What a log says of one stream.

    `stamp_source`: who made the stamps: the device's clock, the recording host, or nobody (`nominal`: counted out from
    the nominal rate). `count` is the number of messages, None where only reading all would tell. `notes` are honest
    remarks.
    """

    name: str
    modality: Modality
    rate_hz: float | None
    frame: str
    count: int | None
    stamp_source: StampSource
    notes: tuple[str, ...] = ()


class LogReader(ABC):
    """A recorded log, opened for reading. Use as a context manager; `samples` and `truth` may be called again and
    again.

    `recv_ns` of a sample is the log's own receive time where it has one. Where it has none it is the stamp plus the
    stream's entry in `offsets_ns`, and never less than that of the stream's previous sample: a device's stamp may step
    back, the arrival of its messages cannot. Stamps themselves are passed on as they stand.

    `rejected` counts, by (stream, reason), records that the log lists and that could not be read; `rejections` says
    which (the first 100). Both describe the latest pass. `notes` are remarks on the log as a whole.
    """

    format: str = ""

    def __init__(self, path: Path, offsets_ns: Mapping[str, int] | None = None) -> None:
        self.path = path
        self.offsets_ns = dict(offsets_ns or {})
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.rejections: list[str] = []
        self.notes: list[str] = []

    @abstractmethod
    def streams(self) -> dict[str, StreamInfo]:
        """The streams of this log, by name."""

    @abstractmethod
    def _samples(self, streams: list[str]) -> Iterator[Sample]:
        """Samples of these streams in order of `recv_ns`; `seq` is set by the caller."""

    def samples(self, streams: Collection[str] | None = None) -> Iterator[Sample]:
        """All samples of `streams` (default: every stream of the log), in order of `recv_ns`; `seq` counts each from 0.

        Names that the log does not have are left out: a rig may have a sensor that was off that day.

        Raises:
            SensorfuseError: the log has none of `streams`, or its storage cannot be read.
        """
        known = self.streams()
        wanted = [name for name in known if streams is None or name in streams]
        if streams and not wanted:
            raise SensorfuseError(
                f"{self.path}: none of the streams {', '.join(sorted(streams))} is in this {self.format} log; "
                f"it has {', '.join(known) or 'none'}"
            )
        self._forget(lambda stream: stream != "truth")
        return self._checked(wanted)

    def _checked(self, streams: list[str]) -> Iterator[Sample]:
        counts: Counter[str] = Counter()
        for sample in self._samples(streams):
            problem = header_problem(sample) or sample_problem(sample)
            if problem:
                self.reject(sample.stream, f"message stamped {sample.stamp_ns}", problem)
                continue
            sample.seq = counts[sample.stream]
            counts[sample.stream] += 1
            yield sample

    def truth(self) -> Iterator[Truth]:
        """What really was, in order of time; nothing for a log without annotations."""
        return iter(())

    def events(self) -> Iterator[MessageTruth]:
        """What really happened to each message, in order of receipt; nothing for a log of a real drive."""
        return iter(())

    def reject(self, stream: str, record: str, reason: str, count: int = 1) -> None:
        """Count `count` records that could not be read."""
        self.rejected[(stream, reason)] += count
        if len(self.rejections) < MAX_REJECTION_LINES:
            self.rejections.append(f"{stream}: {record}: {reason}")

    def _forget(self, which: Callable[[str], bool]) -> None:
        """Drop the rejections of an earlier pass over streams of this kind."""
        for key in [key for key in self.rejected if which(key[0])]:
            del self.rejected[key]
        self.rejections = [line for line in self.rejections if not which(line.split(":", 1)[0])]

    def close(self) -> None:  # noqa: B027 - a reader that holds no file open has nothing to do
        """Release files."""

    def __enter__(self) -> LogReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MergedReader(LogReader):
    """A reader of formats that keep each stream apart: merges lazy iterators, one per stream, by receive time."""

    @abstractmethod
    def _read_stream(self, name: str) -> Iterator[Sample]:
        """Samples of one stream in the order in which the log lists them; `recv_ns` is set by the caller."""

    def _samples(self, streams: list[str]) -> Iterator[Sample]:
        return heapq.merge(*(self._received(name) for name in streams), key=lambda sample: sample.recv_ns)

    def _received(self, name: str) -> Iterator[Sample]:
        """Set `recv_ns`. A lone stamp that leaps ahead is seen by its successor and does not hold back the rest."""
        offset = self.offsets_ns.get(name, 0)
        latest: int | None = None
        held: Sample | None = None
        for sample in chain(self._read_stream(name), (None,)):
            if sample is not None:
                sample.recv_ns = sample.stamp_ns + offset + sample_duration_ns(sample)
            if held is not None:
                spike = (
                    sample is not None and latest is not None and latest <= sample.recv_ns < held.recv_ns - MAX_LEAP_NS
                )
                if latest is not None and (spike or held.recv_ns < latest):
                    held.recv_ns = latest
                latest = held.recv_ns
                yield held
            held = sample
