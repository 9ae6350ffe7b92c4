"""Offsets of real recordings, from their pictures and gyros."""

from __future__ import annotations

from pathlib import Path

from sensorfuse.bench.recordings import Shifted, shift_error_ms
from sensorfuse.sync.survey import survey_log


def test_a_camera_with_shifted_and_drifting_stamps(data_dir: Path) -> None:
    """Camera and IMU of EuRoC are triggered by one clock; 4.7 s of it have pictures."""
    error_ms, sigma_ms = shift_error_ms(data_dir / "euroc", Shifted("cam0", -0.15, 200.0))
    assert abs(error_ms) <= 2.0
    assert sigma_ms < 3.0


def test_the_verdict_on_a_camera_that_is_triggered(data_dir: Path) -> None:
    rig, report = survey_log(data_dir / "euroc", content=False)
    assert rig is not None
    assert rig.name == "euroc"
    assert "hardware-synchronised with imu" in report.streams["camera"].verdict[0].text
    assert report.completeness is None
    assert "no receive times in this log" in report.notes[-1]
