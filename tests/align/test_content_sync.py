"""Content offsets while streams run: signatures in, offsets out, whatever the signatures hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sensorfuse.align.content.content_sync import ContentOffset, ContentSync
from sensorfuse.align.content.doubts import BLOCKS, Jackknife
from sensorfuse.align.content.stream_history import KEEP_NS, MAX_ENTRIES, History
from sensorfuse.bench.lag_path import angular_rates
from sensorfuse.bench.turning import Turning, record
from sensorfuse.geometry import matrix_from_rpy

BASE_NS = 1_700_000_000_000_000_000
SHIFT_NS = -987_654_321_000


def ns(time_s: np.ndarray) -> np.ndarray:
    return BASE_NS + np.round(1e9 * np.asarray(time_s)).astype(np.int64)


def run(made: Turning, sigma: list[float], rotation: np.ndarray | None = None) -> list[ContentOffset]:
    """Feed a recording in as it would arrive; the offset at every measurement."""
    sync = ContentSync({"sensor": 0.01}, {"sensor": made.rotation.T if rotation is None else rotation})
    out, at = [], 0
    gyro_ns = ns(made.gyro_s)
    for span, turn in zip(ns(made.spans_s).tolist(), made.turns_rad.tolist(), strict=True):
        now = span[1] + 100_000_000
        until = int(np.searchsorted(gyro_ns, now))
        sync.push_gyro(gyro_ns[at:until], made.gyro_radps[at:until])
        at = until
        device = [span[0] - SHIFT_NS, span[1] - SHIFT_NS]
        sync.push_signature(
            "sensor", {"turn_rad": turn, "turn_sigma_rad": sigma, "turn_span_ns": device}, SHIFT_NS, now
        )
        out.append(sync.estimate("sensor", now))
    return out


@pytest.fixture(scope="module")
def stepped() -> Turning:
    rng = np.random.default_rng(1)
    edges = np.arange(20 * 24 + 1) / 20
    return record(angular_rates(rng, 32.0), rng, edges, lambda t: np.where(t > 12, 0.09, 0.01), 0.03, 1 / 20)


@pytest.fixture(scope="module")
def tracked(stepped: Turning) -> list[ContentOffset]:
    return run(stepped, [1.5e-3] * 3)


def test_it_locks_follows_a_step_and_knows_how_well(stepped: Turning, tracked: list[ContentOffset]) -> None:
    t = stepped.spans_s[:, 1]
    error = np.array([o.offset_ns * 1e-9 for o in tracked]) - stepped.offset_s
    assert tracked[20].state == "unobservable"
    before, after = tracked[int(20 * 11.5)], tracked[-1]
    assert before.state == after.state == "locked"
    assert after.epoch == before.epoch + 1
    assert np.abs(error[(t > 8) & (t < 12)]).max() < 4e-3
    assert np.abs(error[t > 18]).max() < 5e-3
    assert abs(error[-1]) < 3e-9 * after.sigma_ns
    assert after.peak > 0.9
    assert after.reason == ""


def test_the_same_input_gives_the_same_offsets(stepped: Turning, tracked: list[ContentOffset]) -> None:
    assert run(stepped, [1.5e-3] * 3) == tracked


def test_a_picture_that_turns_less_than_its_camera_is_not_believed(stepped: Turning) -> None:
    steadied = replace(stepped, turns_rad=0.4 * stepped.turns_rad)
    told = run(steadied, [1.5e-3] * 3)
    assert {o.state for o in told} == {"unobservable"}
    assert any("it turns 0.4" in o.reason for o in told)


def test_a_mounting_that_cannot_be_is_not_believed(stepped: Turning) -> None:
    told = run(stepped, [1.5e-3] * 3, stepped.rotation.T @ np.diag([-1.0, -1.0, 1.0]))
    assert {o.state for o in told} == {"unobservable"}
    assert any("correct the rig" in o.reason for o in told)


def test_no_call_looks_at_more_than_one_part_of_an_estimate(stepped: Turning, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first, which is judged at once; and what is told in the end has the sigma of all parts."""
    steps: list[int] = []
    whole = Jackknife.step
    monkeypatch.setattr(Jackknife, "step", lambda self: (steps.append(id(self)), whole(self))[1])
    sync = ContentSync({"sensor": 0.01}, {"sensor": stepped.rotation.T})
    sync.push_gyro(ns(stepped.gyro_s), stepped.gyro_radps)
    most = 0
    for span, turn in zip(ns(stepped.spans_s).tolist()[:220], stepped.turns_rad.tolist(), strict=False):
        sync.push_signature("sensor", {"turn_rad": turn, "turn_sigma_rad": [1.5e-3] * 3, "turn_span_ns": span}, 0, 0)
        before = len(steps)
        locked = sync.offset("sensor", span[1]).state == "locked"
        sync.estimate("sensor", span[1])
        most = max(most, len(steps) - before if locked else 0)
    assert most == 1
    assert len(steps) >= 3 * BLOCKS


def test_a_sensor_that_sees_yaw_alone_is_matched_by_its_own_axis() -> None:
    rng = np.random.default_rng(2)
    rates = angular_rates(rng, 26.0)
    made = record(rates, rng, np.arange(4 * 20 + 1) / 4, lambda t: np.full_like(t, 0.06), 0.02, 1 / 4)
    infinite = float("inf")
    out = run(made, [infinite, infinite, 5e-3], made.rotation.T)
    assert out[-1].state == "locked", out[-1].reason
    assert abs(out[-1].offset_ns - 60e6) < 3 * out[-1].sigma_ns < 60e6
    wrong = run(made, [infinite, infinite, 5e-3], made.rotation.T @ matrix_from_rpy([0.0, np.pi / 2, 0.0]))
    assert wrong[-1].state == "unobservable"


def test_doppler_speed_is_matched_with_an_ins() -> None:
    rng = np.random.default_rng(3)
    speed = angular_rates(rng, 36.0)
    sync = ContentSync({"radar": 0.02})
    t = np.arange(0, 20, 0.02)
    sync.push_speed(ns(t), 10 + 4 * speed(t)[:, 0])
    for at in np.arange(1, 19.9, 0.07):
        v = 10 + 4 * speed(at + 0.05)[0] + 0.05 * rng.standard_normal()
        signature = {"ego_velocity_mps": [v, 0.0, 0.0], "ego_velocity_sigma_mps": [0.05, 0.05, float("inf")]}
        sync.push_signature("radar", signature, 0, int(ns(at)))
    got = sync.estimate("radar", int(ns(20.0)))
    assert got.state == "locked", got.reason
    assert sync.offset("radar", int(ns(80.0))).offset_ns == pytest.approx(50e6, abs=5e6)


def test_a_microphone_is_matched_with_what_a_camera_saw() -> None:
    rng = np.random.default_rng(4)
    claps = np.sort(rng.uniform(1, 39, 30))
    sync = ContentSync({"camera": 0.01, "microphone": 0.1})
    for k in range(40 * 30):
        a, b = k / 30, (k + 1) / 30
        energy = float(np.exp(-0.5 * (((a + b) / 2 + 0.012 - claps) / 0.03) ** 2).sum() + 0.01 * rng.random())
        sync.push_signature("camera", {"motion": energy, "motion_span_ns": ns([a, b]).tolist()}, 0, int(ns(a)))
    for block in range(400):
        hops = block * 0.1 + 0.01 * np.arange(10)
        heard = ((hops[:, None] <= claps - 0.15) & (claps - 0.15 < hops[:, None] + 0.01)).sum(axis=1) + 0.01
        start = int(ns(hops[0]))
        signature = {"onset": heard.tolist(), "onset_start_ns": start, "onset_hop_ns": 10_000_000}
        sync.push_signature("microphone", signature, 0, start)
    got = sync.estimate("microphone", int(ns(40.0)))
    assert got.state == "locked", got.reason
    assert got.epoch == 1
    assert abs(got.offset_ns - 150e6) < 3 * got.sigma_ns < 60e6


@pytest.mark.parametrize(
    "signature",
    [
        {},
        {"turn_rad": [0.0, float("nan"), 0.0], "turn_sigma_rad": [1, 1, 1], "turn_span_ns": [0, 1]},
        {"turn_rad": "abc", "turn_span_ns": [0, 1]},
        {"turn_rad": [0.0, 0.0], "turn_span_ns": [0, 1]},
        {"turn_rad": [0.0, 0.0, 0.0], "turn_span_ns": [5, 1]},
        {"turn_rad": [0.0, 0.0, 0.0], "turn_span_ns": [0.0, 1e300]},
        {"turn_rad": [0.0, 0.0, 0.0], "turn_span_ns": [0, 2**70]},
        {"ego_velocity_mps": [None, 1, 2], "ego_velocity_sigma_mps": [1, 1, 1]},
        {"motion": float("inf"), "motion_span_ns": [0, 1]},
        {"motion": 1.0, "motion_span_ns": None},
        {"onset": [1.0, "x"], "onset_start_ns": 0, "onset_hop_ns": 10},
        {"onset": [1.0], "onset_start_ns": 0, "onset_hop_ns": 0},
        {"onset": [], "onset_start_ns": 0, "onset_hop_ns": 10},
    ],
)
def test_malformed_signatures_are_left_out(signature: dict[str, object]) -> None:
    sync = ContentSync({"camera": 0.01})
    sync.push_signature("camera", signature, 0, BASE_NS)
    sync.push_signature("nobody", signature, 0, BASE_NS)
    assert sync.estimate("camera", BASE_NS).state == "unobservable"
    assert sync.offset("camera", BASE_NS).sigma_ns == 10_000_000


def test_after_a_reset_the_offset_stays_and_the_old_data_does_not(stepped: Turning) -> None:
    sync = ContentSync({"sensor": 0.01})
    sync.push_gyro(ns(stepped.gyro_s), stepped.gyro_radps)
    for span, turn in zip(ns(stepped.spans_s).tolist()[:200], stepped.turns_rad.tolist(), strict=False):
        sync.push_signature("sensor", {"turn_rad": turn, "turn_span_ns": span}, 0, span[1])
    before = sync.estimate("sensor", int(ns(10.2)))
    sync.reset("sensor")
    later = int(ns(12.2))
    assert sync.estimate("sensor", later).offset_ns == sync.offset("sensor", later).offset_ns
    assert sync.offset("sensor", int(ns(30.0))).offset_ns == pytest.approx(10e6, abs=3e6)
    assert before.state == "locked"


def test_time_set_back_begins_anew_from_the_offset_known(stepped: Turning) -> None:
    sync, errors = ContentSync({"sensor": 0.01}), []
    there = stepped.gyro_s < 10.5
    for turn_ns in (0, -1_000_000_000_000):
        sync.push_gyro(ns(stepped.gyro_s[there]) + turn_ns, stepped.gyro_radps[there])
        for span, turn in zip(ns(stepped.spans_s).tolist()[:200], stepped.turns_rad.tolist(), strict=False):
            moved = [s + turn_ns for s in span]
            sync.push_signature("sensor", {"turn_rad": turn, "turn_span_ns": moved}, 0, moved[1])
            if span[1] > int(ns(8.0)):
                got = sync.estimate("sensor", moved[1])
        assert got.state == "locked"
        errors.append(abs(got.offset_ns - 10e6))
    assert errors[1] < 0.6 * errors[0] < 4e6


def test_a_history_keeps_a_minute_and_forgets_where_time_jumps() -> None:
    history = History(1)
    for k in range(100):
        history.push(np.array([[k * 10**9, k * 10**9]]), np.array([[float(k)]]))
    span, rows = history.since(0, 0)
    assert len(rows) == KEEP_NS // 10**9 + 1
    assert span[-1, 1] == 99.0
    history.push(np.array([[0, 0]]), np.array([[7.0]]))
    assert history.since(-1, 0)[1].tolist() == [[7.0]]
    block = np.arange(1000, dtype=np.int64)[:, None] * np.ones((1, 2), np.int64)
    for _ in range(50):
        history.push(block, np.zeros((1000, 1)))
    assert len(history.since(-1, 0)[1]) <= MAX_ENTRIES
    history.push(block, np.zeros((1000, 2)))  # of another width
    assert history.newest_ns == 999
