"""Offsets by what the streams of a log saw: over the log and over windows of it, each with its sigma or the reason why
not.

The reference is the rig's fastest IMU. Content is compared on the reference clock as the aligner knows it, so what is
found is what the rig's `offset_s` lacks. Of a long log only windows are held, and what they said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sensorfuse.align.signature import SignatureExtractor
from sensorfuse.align.stream_clock import ClockReading
from sensorfuse.messages import Sample
from sensorfuse.sync.content_match import FARTHEST_S, NEAR_S, STRETCH_S, Side, find, match
from sensorfuse.sync.content_series import ContentSeries
from sensorfuse.sync.stream_plan import StreamPlan
from sensorfuse.sync.stream_report import ContentReport, OffsetReport

WINDOW_S = 15.0
LAST_SHARE = 0.6  # of a window is enough at the log's end
HELD_S = 240.0  # a log no longer than this is held whole
MIN_WINDOWS = 3  # accepted ones that make a line
REACH_S = 0.2  # of a window about what the log's beginning said
SLEW = 1e-3  # s/s: by how much it may have moved since, beside


class _Track:
    """One stream's content, and what its windows have said so far."""

    def __init__(self, plan: StreamPlan) -> None:
        assert plan.config is not None
        self.plan = plan
        self.extractor = SignatureExtractor(plan.config)
        self.series = ContentSeries()
        self.side = Side(plan.name, self.series, plan.config.T_base_sensor.transform())
        self.epoch = 0
        self.whole: OffsetReport | None = None  # over all that is held, found once
        self.windows: list[OffsetReport] = []
        self.next_s: float | None = None  # where the next window begins
        self.dropped = False


class ContentOffsets:
    """Feed it the log's samples with the times that the aligner gives them."""

    def __init__(self, plans: Mapping[str, StreamPlan]) -> None:
        self._tracks = {name: _Track(plan) for name, plan in plans.items() if plan.config is not None}
        gyros = [name for name, track in self._tracks.items() if track.plan.modality == "imu"]
        self._reference = max(gyros, key=lambda n: self._rate(n), default=None)
        cameras = (name for name, track in self._tracks.items() if track.plan.modality == "camera")
        self._camera = next(cameras, None)
        self._digested_s = 0.0

    def _rate(self, name: str) -> float:
        config = self._tracks[name].plan.config
        return config.rate_hz if config is not None else 0.0

    def push(self, stream: str, sample: Sample, reading: ClockReading, start_ns: int) -> None:
        """Take a sample; `start_ns` is the log's beginning on the reference clock."""
        track = self._tracks.get(stream)
        if track is None:
            return
        signature = track.extractor.measure(sample)
        if reading.epoch != track.epoch:  # it spans the jump of a clock
            track.epoch, signature = reading.epoch, {}
        shift_ns = reading.event_ns - sample.stamp_ns - start_ns
        track.series.add(sample, signature, lambda device_ns: (device_ns + shift_ns) / 1e9)
        if stream == self._reference and track.series.newest_s - self._digested_s > HELD_S:
            self._digested_s = track.series.newest_s
            for other in self._tracks:
                self._digest(other, final=False)
            self._forget()

    def reports(self) -> dict[str, ContentReport]:
        """By stream, of all but the reference."""
        out = {}
        for name in self._tracks:
            if name == self._reference:
                continue
            self._digest(name, final=True)
            out[name] = self._report(name)
        return out

    def _against(self, name: str) -> _Track | None:
        """What a stream is compared with: a microphone with a camera, all else with the gyro."""
        audio = self._tracks[name].plan.modality == "audio"
        other = self._camera if audio else self._reference
        return self._tracks[other] if other is not None and other != name else None

    def _digest(self, name: str, final: bool) -> None:
        """Look at the windows that are complete."""
        track, reference = self._tracks[name], self._against(name)
        first_s = track.series.extent()[0]
        if reference is None or not math.isfinite(first_s):
            return
        if track.whole is None or not track.whole.accepted:
            track.whole = find(track.side, reference.side)
        if track.whole is None:
            return
        track.next_s = first_s if track.next_s is None else track.next_s
        least_s = LAST_SHARE * WINDOW_S if final else WINDOW_S
        while track.next_s + least_s <= track.series.newest_s:
            end_s = track.next_s + WINDOW_S
            centre_s = self._expected(track)
            if not final and end_s + centre_s + STRETCH_S > reference.series.newest_s:
                break
            found = match(track.side, reference.side, centre_s, self._reach(track), track.next_s, end_s)
            if found is not None:
                track.windows.append(replace(found, at_s=(track.next_s + min(end_s, track.series.newest_s)) / 2))
            track.next_s = end_s

    def _expected(self, track: _Track) -> float:
        """Where the next window's offset is looked for."""
        last = next((w for w in reversed(track.windows) if w.accepted), None) or track.whole
        return last.offset_s if last is not None and last.accepted else 0.0

    def _reach(self, track: _Track) -> float:
        if track.whole is None or not track.whole.accepted:
            return NEAR_S
        seen = next((w.at_s for w in reversed(track.windows) if w.accepted), None)
        away_s = abs((track.next_s or 0.0) - seen) if seen is not None else HELD_S
        return min(REACH_S + SLEW * away_s, NEAR_S)

    def _forget(self) -> None:
        """Drop what no window will need."""
        newest = max(t.series.newest_s for t in self._tracks.values())
        for track in self._tracks.values():
            found = track.whole is not None and track.whole.accepted
            keep_s = WINDOW_S if found else min(HELD_S, FARTHEST_S + WINDOW_S)
            begin_s = min(track.next_s if track.next_s is not None else newest, newest - keep_s)
            track.series.forget(begin_s - FARTHEST_S if track is self._tracks.get(self._reference or "") else begin_s)
            track.dropped = True

    def _report(self, name: str) -> ContentReport:
        track, windows = self._tracks[name], tuple(self._tracks[name].windows)
        accepted = [w for w in windows if w.accepted]
        if len(accepted) >= MIN_WINDOWS:
            return _line(windows, accepted)
        if track.dropped and accepted:
            return ContentReport(accepted[-1], windows)
        if track.whole is not None:
            return ContentReport(track.whole, windows)
        return ContentReport(self._nothing(name), windows)

    def _nothing(self, name: str) -> OffsetReport:
        other = self._against(name)
        modality = self._tracks[name].plan.modality
        if other is None:
            needed = "camera to compare a microphone with" if modality == "audio" else "IMU to compare it with"
            reason, against = f"the rig has no {needed}", "nothing"
        else:
            kind = {"audio": "a sound that is seen", "radar": "a motion"}.get(modality, "a turn")
            reason, against = f"neither shows {kind} that the other could show too", other.plan.name
        return OffsetReport(against, "none", False, reason, 0.0, math.inf, 0.0, 0.0, 0.0)


def _line(windows: tuple[OffsetReport, ...], accepted: list[OffsetReport]) -> ContentReport:
    """A straight line through the accepted windows, weighed by their sigmas, which are widened where the windows
    scatter more. The whole log's offset is the line's in the middle of them.
    """
    at = np.array([w.at_s for w in accepted])
    value = np.array([w.offset_s for w in accepted])
    weight = 1 / np.array([max(w.sigma_s, 1e-6) for w in accepted]) ** 2
    middle = float((weight * at).sum() / weight.sum())
    mean = float((weight * value).sum() / weight.sum())
    spread = float((weight * (at - middle) ** 2).sum())
    slope = float((weight * (at - middle) * (value - mean)).sum() / spread) if spread > 0 else 0.0
    residual = value - mean - slope * (at - middle)
    widen = max(1.0, math.sqrt(float((weight * residual**2).sum()) / max(len(at) - 2, 1)))
    typical = accepted[len(accepted) // 2]
    whole = replace(
        typical,
        offset_s=mean,
        sigma_s=widen / math.sqrt(float(weight.sum())),
        peak=float(np.median([w.peak for w in accepted])),
        gap=float(np.median([w.gap for w in accepted])),
        excitation=float(np.median([w.excitation for w in accepted])),
        at_s=middle,
    )
    sigma_ppm = 1e6 * widen / math.sqrt(spread) if spread > 0 else math.inf
    return ContentReport(whole, windows, 1e6 * slope, sigma_ppm)
