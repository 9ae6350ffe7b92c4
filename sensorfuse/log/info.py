"""What a log holds and how well it was recorded: rates, gaps, jumps, duplicates, rejected records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table

from sensorfuse.log.reader import LogReader
from sensorfuse.messages import Sample

GAP_PERIODS = 2.5
RESERVOIR = 4096


@dataclass
class StreamSummary:
    """One stream. Times are of its stamps, nanoseconds; `gaps` are steps of more than 2.5 median periods."""

    name: str
    modality: str
    stamp_source: str
    count: int = 0
    first_stamp_ns: int | None = None
    last_stamp_ns: int | None = None
    mean_rate_hz: float | None = None
    median_period_ns: int | None = None
    gaps: int = 0
    longest_gap_ns: int = 0
    backward_jumps: int = 0
    worst_backward_ns: int = 0
    duplicates: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def duration_ns(self) -> int:
        if self.first_stamp_ns is None or self.last_stamp_ns is None:
            return 0
        return self.last_stamp_ns - self.first_stamp_ns


@dataclass
class LogSummary:
    """A whole log; `truth_count` is the number of annotated instants."""

    path: str
    format: str
    streams: dict[str, StreamSummary]
    truth_count: int
    rejections: list[str]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        data = asdict(self)
        for name, stream in self.streams.items():
            data["streams"][name]["duration_ns"] = stream.duration_ns
        return data


class _PeriodSketch:
    """Steps between stamps in bounded memory: every k-th step is kept, k doubling when full; long steps are kept apart.

    The median is exact up to `RESERVOIR` steps. A gap is any step above 2.5 medians; the median of a regular stream
    settles early, so the large steps that could be gaps are kept as they come and judged at the end.
    """

    def __init__(self) -> None:
        self._kept: list[int] = []
        self._stride, self._seen = 1, 0
        self._large: list[int] = []
        self._large_overflow = 0

    def add(self, step_ns: int) -> None:
        if self._seen % self._stride == 0:
            self._kept.append(step_ns)
            if len(self._kept) >= RESERVOIR:
                self._kept = self._kept[::2]
                self._stride *= 2
        self._seen += 1
        if self._seen < 32 or step_ns > GAP_PERIODS * 0.8 * self._rough:
            self._large.append(step_ns)
            if len(self._large) >= RESERVOIR:
                limit = GAP_PERIODS * self.median()
                sure = [s for s in self._large if s > 1.5 * limit]
                if len(sure) > RESERVOIR // 2:  # keep the longest, count the rest
                    sure.sort()
                    self._large_overflow += len(sure) - RESERVOIR // 4
                    sure = sure[-(RESERVOIR // 4) :]
                self._large = sure
        if self._seen % 256 == 32:
            self._rough = self.median()

    _rough: float = 0.0

    def median(self) -> int:
        ordered = sorted(self._kept)
        return ordered[len(ordered) // 2] if ordered else 0

    def gaps(self) -> tuple[int, int]:
        """How many steps exceed 2.5 medians, and the longest of them."""
        limit = GAP_PERIODS * self.median()
        over = [s for s in self._large if s > limit] if limit > 0 else []
        return len(over) + self._large_overflow, max(over, default=0)


class _StreamCounter:
    def __init__(self, summary: StreamSummary) -> None:
        self.summary = summary
        self._sketch = _PeriodSketch()
        self._last: int | None = None

    def add(self, sample: Sample) -> None:
        out, stamp = self.summary, sample.stamp_ns
        out.count += 1
        if out.first_stamp_ns is None:
            out.first_stamp_ns = stamp
        out.last_stamp_ns = stamp
        if self._last is not None:
            step = stamp - self._last
            if step < 0:
                out.backward_jumps += 1
                out.worst_backward_ns = max(out.worst_backward_ns, -step)
            elif step == 0:
                out.duplicates += 1
            else:
                self._sketch.add(step)
        self._last = stamp

    def finish(self) -> None:
        out = self.summary
        if out.count > 1:
            out.median_period_ns = self._sketch.median() or None
            out.gaps, out.longest_gap_ns = self._sketch.gaps()
        if out.count > 1 and out.duration_ns > 0:
            out.mean_rate_hz = (out.count - 1) / (out.duration_ns / 1e9)


def summarize(reader: LogReader, progress: Callable[[int], None] | None = None) -> LogSummary:
    """Read a whole log once and sum it up, in memory that does not grow with it.

    Args:
        reader: an open log.
        progress: called with the number of samples read so far, every 100 samples.
    """
    counters = {
        name: _StreamCounter(StreamSummary(name, i.modality, i.stamp_source, notes=i.notes))
        for name, i in reader.streams().items()
    }
    for number, sample in enumerate(reader.samples(), start=1):
        counters[sample.stream].add(sample)
        if progress is not None and number % 100 == 0:
            progress(number)
    truth_count = sum(1 for _ in reader.truth())
    for counter in counters.values():
        counter.finish()
    summary = LogSummary(
        str(reader.path),
        reader.format,
        {name: c.summary for name, c in counters.items()},
        truth_count,
        list(reader.rejections),
        list(reader.notes),
    )
    for (stream, reason), count in sorted(reader.rejected.items()):
        if stream in summary.streams:
            summary.streams[stream].rejected[reason] = count
        else:
            summary.notes.append(f"{stream}: {count} rejected: {reason}")
    return summary


def render(summary: LogSummary) -> Table:
    """The summary as a table that fits 80 columns; what does not fit stands below it."""
    title = f"{summary.path} ({summary.format})"
    table = Table(
        title=title,
        title_justify="left",
        caption=_caption(summary),
        caption_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    for heading in ("stream", "kind", "count", "seconds", "Hz", "period ms", "gaps", "back", "twin", "bad", "stamps"):
        numeric = heading not in ("stream", "kind", "stamps")
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=True)
    for s in summary.streams.values():
        table.add_row(
            s.name,
            s.modality,
            str(s.count),
            f"{s.duration_ns / 1e9:.2f}",
            "-" if s.mean_rate_hz is None else f"{s.mean_rate_hz:.2f}",
            "-" if s.median_period_ns is None else f"{s.median_period_ns / 1e6:.2f}",
            str(s.gaps),
            str(s.backward_jumps),
            str(s.duplicates),
            str(sum(s.rejected.values())),
            s.stamp_source,
        )
    return table


def _caption(summary: LogSummary) -> str:
    """First and last stamps, the worst gap and jump, remarks and rejections, a line each."""
    lines = ["gaps: over 2.5 periods; back: stamps that step back; twin: same stamp again; bad: rejected"]
    for s in summary.streams.values():
        if s.first_stamp_ns is not None and s.last_stamp_ns is not None:
            lines.append(f"{s.name}: first stamp {s.first_stamp_ns / 1e9:.6f} s, last {s.last_stamp_ns / 1e9:.6f} s")
        if s.gaps:
            lines.append(f"{s.name}: longest gap {s.longest_gap_ns / 1e9:.3f} s")
        if s.backward_jumps:
            lines.append(f"{s.name}: worst step back {s.worst_backward_ns / 1e9:.3f} s")
        lines += [f"{s.name}: {note}" for note in s.notes]
        lines += [f"{s.name}: {count} rejected: {reason}" for reason, count in s.rejected.items()]
    return "\n".join([*lines, f"truth: {summary.truth_count} instants", *summary.notes])
