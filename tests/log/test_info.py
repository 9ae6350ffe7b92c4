"""Summaries: on stamps made here, whose rates, gaps and faults are known, and on a real recording."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from sensorfuse.log import LogReader, StreamInfo, open_log
from sensorfuse.log.info import render, summarize
from sensorfuse.messages import Sample


class StampReader(LogReader):
    """A log of small images with the stamps given."""

    format = "stamps"

    def __init__(self, stamps_ns: list[int] | range) -> None:
        super().__init__(Path("made/here"))
        self._stamps = stamps_ns

    def streams(self) -> dict[str, StreamInfo]:
        return {"cam": StreamInfo("cam", "camera", None, "f", None, "nominal", ("a remark",))}

    def _samples(self, streams: list[str]) -> Iterator[Sample]:
        image = np.zeros((1, 1), np.uint8)
        for stamp in self._stamps:
            yield Sample("cam", "camera", 0, stamp, stamp, "f", {"image_mono": image})
        self.reject("cam", "one", "image missing", 3)


def test_regular_stream() -> None:
    s = summarize(StampReader(range(0, 10_000_000_000, 100_000_000))).streams["cam"]
    assert (s.count, s.duration_ns, s.median_period_ns, s.mean_rate_hz) == (100, 9_900_000_000, 100_000_000, 10.0)
    assert (s.gaps, s.backward_jumps, s.duplicates) == (0, 0, 0)
    assert s.rejected == {"image missing": 3}
    assert (s.stamp_source, s.notes) == ("nominal", ("a remark",))


def test_gaps_jumps_and_duplicates() -> None:
    """2.4 periods are no gap, 2.6 are; each fault is counted, the worst is kept."""
    steps = (
        [100] * 60 + [240] + [100] * 60 + [260] + [100] * 5 + [900] + [100] * 5 + [0, 0] + [100] * 5 + [-300, 400, -50]
    )
    stamps = np.cumsum([0, *steps]) * 1_000_000
    s = summarize(StampReader(stamps.tolist())).streams["cam"]
    assert s.count == len(stamps)
    assert s.median_period_ns == 100_000_000
    assert (s.gaps, s.longest_gap_ns) == (3, 900_000_000)
    assert (s.backward_jumps, s.worst_backward_ns) == (2, 300_000_000)
    assert s.duplicates == 2


def test_gaps_at_the_start_are_seen() -> None:
    steps = [1000, 1000, 1000] + [100] * 100
    s = summarize(StampReader((np.cumsum([0, *steps]) * 1_000_000).tolist())).streams["cam"]
    assert (s.gaps, s.longest_gap_ns) == (3, 1_000_000_000)


def test_median_and_gaps_of_a_long_stream() -> None:
    """50,000 messages with jitter: the sketch agrees with numpy's exact figures."""
    rng = np.random.default_rng(0)
    steps = rng.normal(50, 3, 50_000) * 1e6
    steps[rng.choice(50_000, 40, replace=False)] = 300e6
    stamps = np.cumsum(steps).astype(np.int64)
    s = summarize(StampReader(stamps.tolist())).streams["cam"]
    exact = np.diff(stamps)
    assert s.median_period_ns == pytest.approx(np.median(exact), rel=0.01)
    assert s.gaps == int((exact > 2.5 * np.median(exact)).sum())


def test_memory_does_not_grow() -> None:
    peaks = []
    for count in (6_000, 60_000):
        reader = StampReader(range(0, count * 10, 10))
        tracemalloc.start()
        summarize(reader)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


@pytest.mark.parametrize("stamps", [[], [5], [5, 5], [9, 3]])
def test_short_streams(stamps: list[int]) -> None:
    summary = summarize(StampReader(stamps))
    assert summary.streams["cam"].count == len(stamps)
    json.dumps(summary.to_dict())
    Console(file=open("/dev/null", "w")).print(render(summary))  # noqa: SIM115


def test_progress_is_called() -> None:
    seen: list[int] = []
    summarize(StampReader(range(250)), seen.append)
    assert seen == [100, 200]


@pytest.mark.data
def test_recording(data_dir: Path) -> None:
    """The traps of the RADIATE sequence show."""
    with open_log(data_dir / "radiate" / "tiny_foggy") as reader:
        summary = summarize(reader)
    ins, left = summary.streams["gps_imu"], summary.streams["zed_left"]
    assert (ins.count, ins.duplicates, ins.backward_jumps) == (250, 125, 1)
    assert ins.worst_backward_ns == pytest.approx(0.36e9, rel=0.01)
    assert left.rejected == {"image missing": 50}
    assert left.mean_rate_hz == pytest.approx(14.68, abs=0.01)
    assert summary.streams["navtech_polar"].mean_rate_hz == pytest.approx(4.06, abs=0.01)
    assert summary.truth_count == 18
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render(summary))
    text = console.export_text()
    assert "zed_left: 50 rejected: image missing" in text
    assert "gps_imu: worst step back 0.360 s" in text
