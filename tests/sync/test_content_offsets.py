"""Offsets by content, from a log of two gyros on one body: one plays the sensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sensorfuse.log.reader import LogReader, StreamInfo
from sensorfuse.messages import Sample
from sensorfuse.rig import Rig, parse_rig
from sensorfuse.sync import content_offsets
from sensorfuse.sync.stream_report import SyncReport
from sensorfuse.sync.survey import survey

EPOCH_NS = 1_700_000_000_000_000_000
RATE_HZ, BATCH = 100, 10
MOUNT_DEG = (20.0, -35.0, 110.0)
RIG = f"""
name: twins
sensors:
  gyro:
    modality: imu
    rate_hz: {RATE_HZ + 1}
    frame: gyro_link
    T_base_sensor: {{}}
    imu: {{samples_per_message: {BATCH}}}
  second:
    modality: imu
    rate_hz: {RATE_HZ}
    frame: second_link
    T_base_sensor: {{xyz: [0.1, 0.0, 0.0], rpy_deg: [{", ".join(map(str, MOUNT_DEG))}]}}
    offset_s: 0.01
    offset_sigma_s: 0.001
    imu: {{samples_per_message: {BATCH}}}
fusion: {{modalities: [imu]}}
"""

Shift = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class TwoGyros(LogReader):
    """`shift(t)` is what has to be added to the second's stamps at true time `t`; `gain` and `moves` spoil it. What was
    not received has its stamp for a receipt.
    """

    format = "twins"

    def __init__(
        self, duration_s: float, shift: Shift, gain: float = 1.0, moves: Shift = np.ones_like, received: bool = True
    ) -> None:
        super().__init__(Path("twins.log"))
        self._received = received
        self._t = np.arange(round(duration_s * RATE_HZ / BATCH) * BATCH) / RATE_HZ
        self._shift, self._gain, self._moves = shift, gain, moves
        rng = np.random.default_rng(4)
        hz, phase, size = rng.uniform(0.2, 2.5, (8, 3)), rng.uniform(0, 6.28, (8, 3)), rng.normal(0, 0.15, (8, 3))
        self._rates = (size * np.sin(2 * np.pi * hz * self._t[:, None, None] + phase)).sum(axis=1)
        self._rates *= moves(self._t)[:, None]

    def streams(self) -> dict[str, StreamInfo]:
        return {n: StreamInfo(n, "imu", None, f"{n}_link", None, "device") for n in ("gyro", "second")}

    def _samples(self, streams: list[str]) -> Iterator[Sample]:
        rng = np.random.default_rng(5)
        mount = Rotation.from_euler("xyz", MOUNT_DEG, degrees=True).as_matrix()
        turned = {"gyro": self._rates, "second": self._gain * self._rates @ mount}
        stamps = {"gyro": self._t, "second": self._t - self._shift(self._t)}
        for first in range(0, len(self._t), BATCH):
            part = slice(first, first + BATCH)
            for name in streams:
                times = np.round(1e9 * stamps[name][part]).astype(np.int64)
                gyro = turned[name][part] + rng.normal(0, 0.01, (BATCH, 3)) + 0.02
                arrays = {"gyro_radps": gyro, "accel_mps2": np.zeros((BATCH, 3)), "time_ns": times - times[0]}
                recv_ns = round((self._t[first] + 0.105) * 1e9) if self._received else int(times[0])
                stamp_ns = EPOCH_NS + int(times[0])
                yield Sample(name, "imu", 0, stamp_ns, EPOCH_NS + recv_ns, f"{name}_link", arrays)


def surveyed(log: TwoGyros, rig: Rig | None = None) -> SyncReport:
    return survey(log, rig or parse_rig(RIG))


@pytest.mark.parametrize("shift_s", [0.013, -0.28, 2.6, -66.0])
def test_offsets_near_and_far(shift_s: float) -> None:
    """What the rig lacks is found, wherever it is, and with it the setting."""
    far = abs(shift_s) > 10  # with receive times, a clock so far off is anchored on them
    report = surveyed(TwoGyros(30, lambda t: np.full_like(t, shift_s), received=not far))
    content = report.streams["second"].content
    assert content is not None
    assert content.whole.accepted, content.whole.reason
    assert content.whole.offset_s == pytest.approx(shift_s - 0.01, abs=1e-3)
    assert abs(content.whole.offset_s - shift_s + 0.01) < 4 * content.whole.sigma_s
    lacking = report.settings["second" if abs(shift_s) < 1 else "gyro"]["offset_s"]
    assert lacking == pytest.approx(shift_s if abs(shift_s) < 1 else 0.01 - shift_s, abs=1e-3)
    words = " ".join(f.text for f in report.streams["second"].verdict)
    expected = "the rig's offset can be bettered" if shift_s == 0.013 else "the rig's offset is wrong"
    assert expected in words


def test_what_agrees_with_the_rig_changes_nothing() -> None:
    report = surveyed(
        TwoGyros(20, lambda t: np.full_like(t, 0.0105)), parse_rig(RIG.replace("sigma_s: 0.001", "sigma_s: 0"))
    )
    assert "the rig's offset holds" in " ".join(f.text for f in report.streams["second"].verdict)
    assert "second" not in report.settings


def test_drift_shows_over_windows_of_a_long_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no receive times to follow it by. The log is longer than what is held of it."""
    monkeypatch.setattr(content_offsets, "HELD_S", 50.0)
    content = surveyed(TwoGyros(130, lambda t: 0.03 + 150e-6 * t, received=False)).streams["second"].content
    assert content is not None
    assert len(content.windows) == 9
    assert content.drift_ppm == pytest.approx(150, abs=10)
    assert content.whole.offset_s == pytest.approx(0.02 + 150e-6 * content.whole.at_s, abs=1e-3)
    for window in content.windows:
        assert window.accepted
        assert window.offset_s == pytest.approx(0.02 + 150e-6 * window.at_s, abs=2e-3)


def test_no_offset_is_made_up() -> None:
    still = np.zeros_like
    cases = {
        "no motion": (TwoGyros(12, still, moves=still), RIG),
        "times as far as the reference": (TwoGyros(12, still, gain=0.3), RIG),
        "about other axes": (TwoGyros(12, still), RIG.replace("110.0", "-70.0")),
    }
    for words, (log, rig) in cases.items():
        report = surveyed(log, parse_rig(rig))
        content = report.streams["second"].content
        assert content is not None
        assert not content.whole.accepted
        assert words in content.whole.reason
        assert f"offset against gyro unobservable: {content.whole.reason}" in report.streams["second"].verdict[0].text
        assert "second" not in report.settings


def test_without_an_imu_or_without_content() -> None:
    log = TwoGyros(5, np.zeros_like)
    assert survey(log, parse_rig(RIG), content=False).streams["second"].content is None
    assert surveyed(log).streams["gyro"].content is None  # the reference
