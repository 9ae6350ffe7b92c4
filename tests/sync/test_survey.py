"""A whole log's report: verdicts in words, the guessed rig, settings written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from fake_log import RIG, FakeLog, Message, regular, two_sensor_rig

from sensorfuse.errors import SensorfuseError
from sensorfuse.log import open_log
from sensorfuse.rig import parse_rig
from sensorfuse.sync.settings import write_rig
from sensorfuse.sync.stream_plan import guess_rig
from sensorfuse.sync.stream_report import SyncReport
from sensorfuse.sync.survey import survey


def verdict(report: SyncReport, stream: str) -> str:
    return " | ".join(f.text for f in report.streams[stream].verdict)


def imu(duration_s: float = 30, **more: float) -> list[Message]:
    return [(s, r + 0.05) for s, r in regular(20, duration_s, 0.002, 0.0005, **more)]


def test_good_clocks() -> None:
    report = survey(FakeLog({"camera": regular(20, 60, 0.01, 0.001, 30.0), "imu": imu(60)}), two_sensor_rig(), False)
    assert re.search(r"clock runs (29|30)\.\d ppm slow", verdict(report, "camera"))
    assert "against the host, followed to 0.0" in verdict(report, "camera")
    assert report.streams["camera"].grade == "good"
    assert report.messages == 2400
    assert report.settings["fusion"]["deadline_ms"] == pytest.approx(
        45, abs=10
    )  # a picture after the tick, and its way


def test_regular_stamps_of_two_clocks_are_no_common_trigger() -> None:
    one = survey(FakeLog({"camera": regular(20, 60, 0.01, 0.001), "imu": imu(60)}), two_sensor_rig(), False)
    two = survey(FakeLog({"camera": regular(20, 60, 0.01, 0.001), "imu": imu(60, ppm=20.0)}), two_sensor_rig(), False)
    assert "hardware-synchronised with imu" in verdict(one, "camera")
    assert "hardware-synchronised with imu" not in verdict(two, "camera")


def test_stamps_of_every_bad_kind() -> None:
    good = regular(20, 25, 0.01, 0.002)
    rng = np.random.default_rng(0)
    swapped = [(good[k ^ 1][0] if k % 50 in (8, 9) else s, r) for k, (s, r) in enumerate(good)]
    cases = {
        "stamps are constant": [(5.0, r) for _, r in good],
        "receive times equal the stamps": [(r, r) for _, r in good],
        "stamps are receive times, it seems": [(r - rng.uniform(0, 1e-4), r) for _, r in regular(20, 30, 0.01, 0.01)],
        "clock jumped once: +0.": [(s + 0.4 * (s > 15), r) for s, r in good],
        "missing (": [m for m in good if not 10 < m[0] < 12],
        "out of order": swapped,
        "resolution of 1 ms": [(round(s + rng.normal(0, 2e-3), 3), r + 0.02) for s, r in good],
        "later than the fastest": [(s, r + 0.2 * (k % 20 == 0)) for k, (s, r) in enumerate(good)],
        "no readable message": [],
    }  # fmt: skip
    for words, messages in cases.items():
        report = survey(FakeLog({"camera": messages, "imu": imu(25)}), two_sensor_rig(), False)
        assert words in verdict(report, "camera"), words
        assert verdict(report, "imu").count("|") == 0, verdict(report, "imu")


def test_a_counter_that_wraps_is_recognised() -> None:
    turn_s = 2**32 / 1e6
    wrapping = [((turn_s - 10 + s) % turn_s - 1.7e9, r) for s, r in regular(20, 40, 0.01, 0.001)]
    report = survey(FakeLog({"camera": wrapping, "imu": imu(40)}), two_sensor_rig(), False)
    assert "counter: {bits: 32, tick_ns: 1000}" in verdict(report, "camera")
    assert report.streams["camera"].clock.undated
    assert report.streams["camera"].grade == "bad"


def test_without_a_rig_every_stream_is_read() -> None:
    report = survey(FakeLog({"left": regular(20, 20, 0.01, 0.001), "imu": imu(20)}), None, False)
    assert set(report.streams) == {"left", "imu"}
    assert report.completeness is not None
    assert report.settings == {}
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["streams"]["left"]["grade"] == "good"


def test_a_rig_of_another_log_is_refused() -> None:
    with pytest.raises(SensorfuseError, match=r"names camera, imu, none of which is in this log; it has left"):
        survey(FakeLog({"left": regular(20, 5, 0.01)}), two_sensor_rig(), False)


def test_a_simulated_log_against_its_truth(simulated: Path) -> None:
    with open_log(simulated) as reader:
        rig = guess_rig(reader)
        assert rig is not None
        assert list(rig.sensors) == ["imu", "second"]
        report = survey(reader, rig, False)
        truth = list(reader.events())
    for name, ppm in (("imu", 80.0), ("second", -50.0)):
        clock = report.streams[name].clock
        assert clock.skew_ppm == pytest.approx(-ppm, abs=5.0)  # the device runs fast: the host slow
        delays = [e.recv_ns - e.event_ns for e in truth if e.stream == name and not e.lost]
        assert clock.least_delay_ms == pytest.approx(min(delays) / 1e6 - 50.0, abs=0.3)  # a batch lasts 50 ms
    lost = sum(1 for e in truth if e.stream == "second" and e.lost)
    assert report.streams["second"].steps.missing == pytest.approx(lost, abs=2)
    assert [j.by_s for j in report.streams["second"].clock.jumps] == pytest.approx([-0.6], abs=0.01)
    assert report.streams["imu"].clock.jump_count == 0


def test_settings_keep_the_rest_of_the_file(tmp_path: Path) -> None:
    source, target = tmp_path / "rig.yaml", tmp_path / "out.yaml"
    source.write_text(RIG)
    settings = {
        "imu": {"offset_s": -0.125, "offset_sigma_s": 0.0005},
        "camera": {"offset_s": 0.0123, "offset_sigma_s": 0.0002},
        "fusion": {"deadline_ms": 155.0},
    }
    write_rig(str(source), two_sensor_rig(), settings, target)
    text = target.read_text()
    assert "# looks ahead" in text
    assert "offset_s: -0.125  # measured by hand" in text
    written = parse_rig(text)
    for name in ("imu", "camera"):
        assert written.sensors[name].offset_s == settings[name]["offset_s"]
        assert written.sensors[name].offset_sigma_s == settings[name]["offset_sigma_s"]
    assert written.fusion.deadline_ms == 155.0
    assert len(text.splitlines()) == len(RIG.splitlines()) + 3


def test_settings_for_rigs_that_cannot_be_edited(tmp_path: Path) -> None:
    target = tmp_path / "out.yaml"
    flow = RIG.replace("fusion:\n  rate_hz: 10\n  modalities: [camera, imu]\n  deadline_ms: 100\n",
                       "fusion: {rate_hz: 10, modalities: [camera, imu]}\n")  # fmt: skip
    (tmp_path / "flow.yaml").write_text(flow)
    write_rig(str(tmp_path / "flow.yaml"), parse_rig(flow), {"fusion": {"deadline_ms": 60.0}}, target)
    assert parse_rig(target.read_text()).fusion.deadline_ms == 60.0
    short = RIG.split("fusion:")[0] + "fusion:\n  modalities: [camera, imu]\n"
    (tmp_path / "short.yaml").write_text(short)
    write_rig(str(tmp_path / "short.yaml"), parse_rig(short), {"fusion": {"deadline_ms": 60.0}}, target)
    assert "deadline_ms: 60.0" in target.read_text()
    with pytest.raises(SensorfuseError, match="--rig"):
        write_rig(None, None, {}, target)


@pytest.mark.parametrize("pace", [2.0, 0.5])
def test_a_log_recorded_from_one_that_was_played_is_told_at_its_own_pace(pace: float) -> None:
    def played(messages: list[Message]) -> list[Message]:
        return [(s, s / pace + (r - s) / pace) for s, r in messages]

    camera = regular(20, 60, 0.01, 0.001, 30.0)
    live = survey(FakeLog({"camera": camera, "imu": imu(60)}), two_sensor_rig(), False)
    report = survey(FakeLog({"camera": played(camera), "imu": played(imu(60))}), two_sensor_rig(), False)
    assert (live.pace, report.pace) == (1.0, pytest.approx(pace, rel=3e-4))
    assert f"played at {pace:g} times its own pace" in report.notes[0]
    assert not any("played" in note for note in live.notes)
    assert report.duration_s == pytest.approx(live.duration_s, rel=1e-3)
    assert "jumped" not in verdict(report, "camera")
    assert report.streams["camera"].clock.delay_ms is not None
    assert live.streams["camera"].clock.delay_ms is not None
    assert report.streams["camera"].clock.delay_ms["p50"] == pytest.approx(
        live.streams["camera"].clock.delay_ms["p50"], abs=0.5
    )
    assert json.loads(json.dumps(report.to_dict()))["pace"] == report.pace
