"""The benchmark of content offsets: recordings are what they say, better and worse are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.bench import content, turning
from sensorfuse.bench.offset_baselines import BASELINES
from sensorfuse.bench.turning import CASES, GYRO_NOISE_RADPS, Case, counted_recording, moving_recording, recording


def test_a_recording_holds_its_offset_rotation_and_noise() -> None:
    made = recording(Case(30.0, 20.0, 0.05), 1)
    length = np.diff(made.spans_s, axis=1)
    angle = np.vstack([np.zeros(3), np.cumsum((made.gyro_radps[1:] + made.gyro_radps[:-1]) / 2, axis=0) / 200.0])
    at = made.spans_s + made.offset_s[0]
    turned = np.stack([np.interp(at[:, 1], made.gyro_s, a) - np.interp(at[:, 0], made.gyro_s, a) for a in angle.T], 1)
    rest = made.turns_rad - turned @ made.rotation.T
    assert (rest / length).std() == pytest.approx(np.hypot(0.05, GYRO_NOISE_RADPS * np.sqrt(30 / 200)), rel=0.1)
    assert abs(made.offset_s[0]) <= 0.1


def test_moving_and_counted_offsets_are_what_their_names_say() -> None:
    step = moving_recording("step 100 ms", 0.05, 1)
    assert step.offset_s[0] == 0.0
    assert step.offset_s[-1] == 0.1
    counted = counted_recording(0.05, 1)
    jumps = np.diff(counted.offset_s)
    assert (jumps > 0.03).sum() >= 5
    assert np.allclose(np.diff(counted.spans_s, axis=1), 1 / 30)


@pytest.mark.parametrize("name", BASELINES)
def test_each_baseline_is_right_within_what_its_steps_allow(name: str) -> None:
    made = [recording(Case(30.0, 20.0, 0.02), seed) for seed in range(6)]
    errors = [abs(BASELINES[name](m) - m.offset_s[0]) for m in made]
    assert np.median(errors) < (0.012 if "spline" in name else 0.06)
    assert np.median(errors) > 1e-4  # whole steps


def test_every_goal_has_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "CASES", {n: c for n, c in CASES.items() if "5 s" not in n and "0.3" not in n})
    monkeypatch.setattr(content, "tracked_rms_ms", lambda offset, seed: 1.0)
    monkeypatch.setattr(content, "counted_errors_ms", lambda seed: np.ones(3))
    monkeypatch.setattr(content, "seconds_to_recover", lambda seed: 4.5)
    goals = content.measure(trials=2, most_trials=2, moving_trials=1)
    assert len(goals) == 15
    assert all(np.isfinite(g.measured) for g in goals)
    assert goals[0].measured < 3.0


def test_a_moving_offset_is_tracked_and_a_step_recovered_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turning, "MOVING_S", 20.0)
    assert content.tracked_rms_ms("replay at 1.02", 1) < 3.0
    monkeypatch.setitem(turning.OFFSETS, "step 100 ms", lambda t: np.where(t > 12, 0.1, 0.0))
    monkeypatch.setattr(content, "STEP_AT_S", 12.0)
    assert 1.0 < content.seconds_to_recover(1) < 7.0


def test_the_comparison_has_a_row_per_case_and_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "CASES", {"camera": Case(30.0, 10.0, 0.05)})
    rows = content.compare(trials=3)
    assert [r["method"] for r in rows] == ["ours", *BASELINES]
    assert rows[0]["median_ms"] < min(r["median_ms"] for r in rows[1:])
