"""What a microphone array heard by the time of a tick: windows of one length, cut to the sample, whatever its blocks.

A block comes when it comes: of 10 ms from one driver, of 200 ms from another, and now and then one is lost. Detectors
and networks are made for one length. So blocks go into a ring as ticks name them, and the windows are cut when a tick
is fused. They end at most `AHEAD_NS` after the tick and where the sound that has come ends, so none waits for more.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.audio_window import AudioRing, AudioWindow
from sensorfuse.errors import SensorfuseError
from sensorfuse.messages import Sample
from sensorfuse.sensor_config import AudioConfig

AHEAD_NS = 50_000_000
MOST_MISSING = 0.5  # of a window, and it is not listened to


@dataclass(frozen=True)
class PcmBlock:
    """A block as it came: samples (N, C) in [-1, 1], the first taken at `stamp_ns` of the device's clock."""

    stamp_ns: int
    pcm: NDArray[np.float32]
    rate_hz: int

    @classmethod
    def of_sample(cls, sample: Sample, audio: AudioConfig) -> PcmBlock:
        """The block of an audio sample; `audio` says the rate where the sample does not.

        Raises:
            SensorfuseError: the sample's rate is no positive number.
        """
        rate = sample.meta.get("sample_rate_hz") or audio.sample_rate_hz
        if not isinstance(rate, (int, float)) or not rate >= 1:
            raise SensorfuseError(
                f"stream {sample.stream}, seq {sample.seq}: meta 'sample_rate_hz' is {rate!r}, expected Hz, e.g. 16000"
            )
        return cls(sample.stamp_ns, sample.arrays["pcm"], int(rate))


class Hearing:
    """One array's sound over the last ticks."""

    def __init__(self) -> None:
        self._ring = AudioRing(1.0)

    def listen(self, newest_ns: int, blocks: list[PcmBlock]) -> None:
        """Take one tick's blocks, oldest first; the newest begins at `newest_ns` (reference clock), the others before
        it as their stamps say, or end to end where the stamps stand still.
        """
        starts = [newest_ns]
        for block, after in reversed(list(pairwise(blocks))):
            step = after.stamp_ns - block.stamp_ns
            starts.append(starts[-1] - (step if step > 0 else round(len(block.pcm) * 1e9 / block.rate_hz)))
        for start_ns, block in zip(reversed(starts), blocks, strict=True):
            if block.rate_hz != self._ring.nominal_hz:
                self._ring = AudioRing(block.rate_hz)
            self._ring.push(start_ns, block.pcm)

    def windows(
        self, t_ns: int, length_ns: int, count: int = 1, most_missing: float = MOST_MISSING
    ) -> list[AudioWindow]:
        """The last `count` windows by a tick at `t_ns`, oldest first, end to end; those with too much missing are left
        out.
        """
        end_ns = min(t_ns + AHEAD_NS, self._ring.end_ns)
        cuts = [self._ring.cut(end_ns - k * length_ns - length_ns // 2, length_ns // 2) for k in range(count)]
        return [w for w in reversed(cuts) if w.missing < most_missing]
