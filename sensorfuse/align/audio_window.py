"""Sound around a time, cut to the sample from blocks that come one by one.

Blocks are stamped, and their stamps jitter; samples are counted, and their clock drifts. A line through the stamps of
the last blocks over their sample numbers gives both the true rate and when each sample was taken. A rate within 50 ppm
of the nominal one is good enough for a window; beyond, the window is resampled to the nominal rate, by a Hann-windowed
sinc (Smith, "Digital Audio Resampling", CCRMA 2002).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAX_SKEW = 50e-6  # of the rate, before a window is resampled
MIN_FIT_S = 1.0  # of blocks, before the rate is anything but the nominal one
OUTLIER = 4.0  # deviations off the line, and a block's stamp does not count
TAPS = 32
MAX_DRIFT = 1e-3  # no sound card is further off than this
FIT_STAMPS = 600  # of short blocks, not every stamp goes into the line
FIT_EVERY_S = 0.5


@dataclass(frozen=True)
class AudioWindow:
    """`pcm` (N, C) at the nominal rate; `start_ns` is when its first sample was taken. Where blocks were lost, or have
    not come yet, there is silence: the share `missing` of it.
    """

    pcm: NDArray[np.float32]
    start_ns: int
    rate_hz: float
    missing: float

    @property
    def middle_ns(self) -> int:
        return self.start_ns + round(len(self.pcm) * 5e8 / self.rate_hz)


@dataclass(frozen=True)
class _Block:
    first: int  # number of its first sample
    pcm: NDArray[np.float32]


class AudioRing:
    """The last `keep_s` of one stream, and a line through the stamps of `fit_s`."""

    def __init__(self, rate_hz: float, keep_s: float = 3.0, fit_s: float = 30.0) -> None:
        self.nominal_hz = float(rate_hz)
        self.rate_hz = float(rate_hz)
        self.keep_s, self.fit_s = keep_s, fit_s
        self._blocks: deque[_Block] = deque()
        self._stamps: deque[tuple[int, int]] = deque()  # first sample, event_ns
        self._next = 0  # number of the sample after the newest
        self._at: tuple[float, int] = (0.0, 0)  # a sample, and when it was taken, on the line
        self._fitted = 0  # the newest sample that the line knows of

    @property
    def skew(self) -> float:
        """How much faster than nominal the samples come: 1e-6 is 1 ppm."""
        return self.rate_hz / self.nominal_hz - 1.0

    @property
    def end_ns(self) -> int:
        """When the sample after the newest is taken (reference clock); 0 before the first block."""
        return self.time_ns(self._next)

    def push(self, event_ns: int, pcm: NDArray[np.float32]) -> None:
        """A block (N, C) whose first sample was taken at `event_ns` (reference clock). A hole before it is silence; one
        that begins half a block or more before the newest ends, or of another number of channels, starts anew.
        """
        if not len(pcm):
            return
        if self._blocks:
            ahead = (event_ns - self.time_ns(self._next)) * 1e-9 * self.rate_hz
            if ahead < -0.5 * len(pcm) or ahead > self.keep_s * self.rate_hz or self._other_shape(pcm):
                self._restart()
            elif ahead > 0.5 * len(pcm):
                lost = round(ahead / len(pcm)) * len(pcm)  # whole blocks like this one, unless the device stood still
                self._next += lost if abs(ahead - lost) < 0.25 * len(pcm) else round(ahead)
        self._blocks.append(_Block(self._next, pcm))
        if not self._stamps or (self._next - self._stamps[-1][0]) * FIT_STAMPS >= self.fit_s * self.nominal_hz:
            self._stamps.append((self._next, event_ns))
        self._next += len(pcm)
        while self._next - self._blocks[0].first > self.keep_s * self.nominal_hz + len(pcm):
            self._blocks.popleft()
        while len(self._stamps) > 1 and self._next - self._stamps[0][0] > self.fit_s * self.nominal_hz:
            self._stamps.popleft()
        span = self._next - self._stamps[0][0]
        if self._next - self._fitted >= FIT_EVERY_S * self.nominal_hz or span <= 2 * MIN_FIT_S * self.nominal_hz:
            self._fit()
            self._fitted = self._next

    def _other_shape(self, pcm: NDArray[np.float32]) -> bool:
        return self._blocks[-1].pcm.shape[1] != pcm.shape[1]

    def _restart(self) -> None:
        self._blocks.clear()
        self._stamps.clear()
        self._next, self._fitted, self.rate_hz = 0, 0, self.nominal_hz

    def _fit(self) -> None:
        first, stamp = np.array(self._stamps, dtype=np.int64).T
        count = (first - first[0]).astype(np.float64)
        elapsed = (stamp - stamp[0]) / 1e9
        if count[-1] >= MIN_FIT_S * self.nominal_hz:
            off = elapsed - count / self.rate_hz
            off -= np.median(off)
            good = np.abs(off) <= OUTLIER * 1.4826 * float(np.median(np.abs(off))) + 2.0 / self.nominal_hz
            x, y = count[good] - count[good].mean(), elapsed[good] - elapsed[good].mean()
            slope = float(x @ y / max(x @ x, 1e-12)) * self.nominal_hz
            slope = min(max(slope, 1 - MAX_DRIFT), 1 + MAX_DRIFT)
            if len(x) > 2:
                self.rate_hz = self.nominal_hz / slope
        delay = float(np.median(elapsed - count / self.rate_hz))
        self._at = float(first[0]), int(stamp[0]) + round(1e9 * delay)

    def time_ns(self, sample: float) -> int:
        """When a sample, by its number, was taken (reference clock)."""
        return self._at[1] + round((sample - self._at[0]) * 1e9 / self.rate_hz)

    def cut(self, t_ns: int, half_ns: int) -> AudioWindow:
        """The sound from `t_ns - half_ns` to `t_ns + half_ns`."""
        count = max(1, round(2 * half_ns * self.nominal_hz / 1e9))
        channels = self._blocks[-1].pcm.shape[1] if self._blocks else 1
        begin = self._at[0] + (t_ns - half_ns - self._at[1]) * 1e-9 * self.rate_hz
        if abs(self.skew) <= MAX_SKEW:
            first = round(begin)
            pcm, here = self._samples(first, count, channels)
            return AudioWindow(pcm, self.time_ns(first), self.nominal_hz, 1.0 - float(here.mean()))
        at = begin + np.arange(count) * (self.rate_hz / self.nominal_hz)
        first = int(np.floor(at[0])) - TAPS // 2 + 1
        pcm, here = self._samples(first, int(np.floor(at[-1])) + TAPS // 2 + 1 - first, channels)
        whole = np.floor(at).astype(np.int64)
        around = np.lib.stride_tricks.sliding_window_view(pcm, TAPS, axis=0)[whole - first - (TAPS // 2 - 1)]
        out = np.matmul(around, _sinc_weights(at - whole)[:, :, None])[..., 0]  # (N, C, TAPS) by (N, TAPS, 1)
        return AudioWindow(out, t_ns - half_ns, self.nominal_hz, 1.0 - float(here[whole - first].mean()))

    def _samples(self, first: int, count: int, channels: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Samples (N, C) by number, silent where there are none, and which there are (N,)."""
        out, here = np.zeros((count, channels), np.float32), np.zeros(count, np.bool_)
        for block in self._blocks:
            low, high = max(first, block.first), min(first + count, block.first + len(block.pcm))
            if low < high:
                out[low - first : high - first] = block.pcm[low - block.first : high - block.first]
                here[low - first : high - first] = True
        return out, here


def _sinc_weights(between: Array) -> NDArray[np.float32]:
    """Weights (N, TAPS) of the samples around places that lie `between` (N,), 0 to 1, the two in the middle.

    sin(pi (k - x)) is sin(pi x) but for its sign, the same for all k: the sum that the weights are divided by has it
    too. The window's cosine is split in the same way.
    """
    k = np.arange(TAPS, dtype=np.float32) - (TAPS // 2 - 1)
    x = np.clip(between, 1e-6, 1 - 1e-6).astype(np.float32)[:, None]
    turn = np.float32(2 * np.pi / (TAPS + 2))
    parts = np.stack([np.ones_like(k), np.cos(turn * k), np.sin(turn * k)])
    window = np.hstack([np.ones_like(x), np.cos(turn * x), np.sin(turn * x)]) @ parts
    weight: NDArray[np.float32] = window * (1 - 2 * (k % 2)) / (k - x)
    return weight / weight.sum(axis=1, keepdims=True)
