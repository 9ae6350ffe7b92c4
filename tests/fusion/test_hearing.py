"""Windows at a tick, whatever the blocks that the sound came in."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.audio_window import AudioWindow
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.hearing import AHEAD_NS, Hearing, PcmBlock
from sensorfuse.messages import Sample
from sensorfuse.sensor_config import AudioConfig

RATE = 16_000
MS = 1_000_000
SOURCE = np.random.default_rng(0).normal(size=(RATE, 2)).astype(np.float32)  # one second from time 0
OFFSET_NS = 7_000_000_000  # of the reference clock to the device's


def blocks(length: int, until_ns: int, lost: tuple[int, ...] = ()) -> list[PcmBlock]:
    """Blocks of `length` samples that begin before a time."""
    starts = [
        k for k in range(0, RATE - length + 1, length) if k * 10**9 // RATE < until_ns and k // length not in lost
    ]
    return [PcmBlock(round(k * 1e9 / RATE), SOURCE[k : k + length], RATE) for k in starts]


def heard(length: int, t_ns: int, window_ns: int, count: int = 1, lost: tuple[int, ...] = ()) -> list[AudioWindow]:
    """Windows at a tick after blocks that came in ticks of 100 ms."""
    hearing, told = Hearing(), 0
    for tick_ns in range(t_ns % (100 * MS), t_ns + 1, 100 * MS):
        come = blocks(length, tick_ns, lost)
        if come[told:]:
            hearing.listen(come[-1].stamp_ns + OFFSET_NS, come[told:])
        told = len(come)
    return hearing.windows(t_ns + OFFSET_NS, window_ns, count)


@pytest.mark.parametrize("length", [160, 341, 800, 3200])
def test_windows_hold_the_sound_of_their_time_whatever_the_blocks(length: int) -> None:
    t_ns = 730 * MS
    windows = heard(length, t_ns, 50 * MS, 2)
    assert len(windows) == 2
    for window in windows:
        first = round((window.start_ns - OFFSET_NS) * RATE / 1e9)
        np.testing.assert_array_equal(window.pcm, SOURCE[first : first + 800])
    end_ns = min(t_ns + AHEAD_NS, blocks(length, t_ns)[-1].stamp_ns + length * 10**9 // RATE)
    assert windows[1].middle_ns - OFFSET_NS == pytest.approx(end_ns - 25 * MS, abs=1e9 / RATE)
    assert windows[1].start_ns - windows[0].start_ns == pytest.approx(50 * MS, abs=1e9 / RATE)


def test_what_was_lost_is_not_listened_to() -> None:
    whole = heard(800, 730 * MS, 50 * MS, 2)
    one_lost = heard(800, 730 * MS, 50 * MS, 2, lost=(13,))
    assert [w.start_ns for w in one_lost] == [whole[1].start_ns]
    assert heard(800, 730 * MS, 100 * MS, lost=(13,)) == []


def test_stamps_that_stand_still_are_taken_end_to_end() -> None:
    hearing = Hearing()
    come = [PcmBlock(0, b.pcm, RATE) for b in blocks(800, 200 * MS)]
    hearing.listen(150 * MS, come)
    (window,) = hearing.windows(200 * MS, 200 * MS)
    np.testing.assert_array_equal(window.pcm, SOURCE[:3200])


def test_another_rate_begins_anew_and_silence_is_no_window() -> None:
    hearing = Hearing()
    assert hearing.windows(0, 50 * MS) == []
    hearing.listen(0, blocks(800, 40 * MS))
    hearing.listen(50 * MS, [PcmBlock(50 * MS, SOURCE[:2400], 48_000)])
    (window,) = hearing.windows(100 * MS, 50 * MS)
    assert window.rate_hz == 48_000
    np.testing.assert_array_equal(window.pcm, SOURCE[:2400])


@pytest.mark.parametrize("rate", ["16k", -1, float("nan")])
def test_a_rate_that_is_none_is_explained(rate: object) -> None:
    sample = Sample("ears", "audio", 3, 0, 0, "ears", {"pcm": SOURCE[:800]}, {"sample_rate_hz": rate})
    with pytest.raises(SensorfuseError, match=r"ears, seq 3.*sample_rate_hz"):
        PcmBlock.of_sample(sample, AudioConfig())


def test_the_rig_says_the_rate_where_the_sample_does_not() -> None:
    sample = Sample("ears", "audio", 3, 0, 0, "ears", {"pcm": SOURCE[:800]})
    assert PcmBlock.of_sample(sample, AudioConfig(sample_rate_hz=44_100)).rate_hz == 44_100
