"""Offsets of turning sensors: found where the motion tells them, refused with the reason where it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sensorfuse.align.content.rate_offset import RateOffset, rate_offset
from sensorfuse.bench.turning import Case, Turning, record, recording
from sensorfuse.errors import SensorfuseError

CAMERA = Case(30.0, 10.0, 0.05)
TIMES = np.linspace(0.0, 20.0, 4001)


def found(made: Turning, **options: object) -> RateOffset:
    return rate_offset(made.gyro_s, made.gyro_radps, made.spans_s, made.turns_rad, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made() -> Turning:
    return recording(CAMERA, 1)


def test_offset_rotation_and_bias_are_found_to_within_sigma(made: Turning) -> None:
    got = found(made)
    assert got.accepted, got.reason
    assert got.reason == ""
    assert abs(got.offset_s - made.offset_s[0]) < 3 * got.sigma_s < 2e-3
    assert np.allclose(got.rotation, made.rotation, atol=0.02)
    assert got.peak > 0.95
    assert got.gap > 0.3
    assert got.scatter_radps == pytest.approx(0.05, rel=0.2)
    assert got.excitation[0] == pytest.approx(0.5, rel=0.4)


def test_a_bias_of_the_gyro_moves_nothing_and_is_told(made: Turning) -> None:
    bias = np.array([0.3, -0.2, 0.1])
    got, plain = found(replace(made, gyro_radps=made.gyro_radps + bias)), found(made)
    assert got.offset_s == pytest.approx(plain.offset_s, abs=1e-6)
    assert np.allclose(got.bias - plain.bias, bias, atol=1e-6)


@pytest.mark.parametrize("shift_s", [-0.3, -0.011, 0.0, 0.2])
def test_the_offset_follows_the_stamps_with_the_sign_of_kalibr(made: Turning, shift_s: float) -> None:
    got = found(replace(made, spans_s=made.spans_s - shift_s))
    assert got.offset_s == pytest.approx(found(made).offset_s + shift_s, abs=2e-5)


def test_sigma_is_the_spread_of_the_errors() -> None:
    ratios = []
    for seed in range(12):
        made = recording(replace(CAMERA, noise_radps=0.2), seed)
        got = found(made, max_lag_s=0.2)
        ratios.append((got.offset_s - made.offset_s[0]) / got.sigma_s)
    assert 0.5 < np.sqrt(np.mean(np.square(ratios))) < 1.6


def test_order_copies_and_rows_that_are_not_finite_do_not_matter(made: Turning) -> None:
    mixed = np.random.default_rng(0).permutation(np.append(np.arange(len(made.spans_s)), [3, 3, 50]))
    spans = np.vstack([made.spans_s[mixed], made.spans_s[:2]])
    turns = np.vstack([made.turns_rad[mixed], [[np.nan, 0, 0], [0, np.inf, 0]]])
    gyro = np.vstack([made.gyro_radps, [[np.nan, 0, 0]]])[::-1]
    at = np.append(made.gyro_s, made.gyro_s[5])[::-1]
    got, plain = rate_offset(at, gyro, spans, turns), found(made)
    assert got.rows == plain.rows
    assert got.offset_s == pytest.approx(plain.offset_s, abs=1e-9)


def test_a_tenth_of_wild_turns_and_a_hole_in_the_gyro_cost_little(made: Turning) -> None:
    turns = made.turns_rad.copy()
    rng = np.random.default_rng(2)
    wild = rng.random(len(turns)) < 0.1
    turns[wild] = rng.standard_normal((wild.sum(), 3))
    there = (made.gyro_s < 4.0) | (made.gyro_s > 5.0)
    got = rate_offset(made.gyro_s[there], made.gyro_radps[there], made.spans_s, turns)
    assert got.accepted, got.reason
    assert abs(got.offset_s - made.offset_s[0]) < 3e-3
    assert got.rows < len(turns) - 25  # nothing is taken from the hole


def test_rows_are_weighed_by_their_sigmas(made: Turning) -> None:
    rng = np.random.default_rng(3)
    poor = rng.random(len(made.turns_rad)) < 0.3
    turns = made.turns_rad + np.where(poor, 0.03, 0.0)[:, None] * rng.standard_normal(made.turns_rad.shape)
    sigmas = np.where(poor, 0.03, 0.05 / 30)[:, None] * np.ones(3)
    unseen = np.full(3, np.inf)
    weighed = found(replace(made, turns_rad=turns), sigmas_rad=sigmas)
    assert weighed.sigma_s < 0.9 * found(replace(made, turns_rad=turns)).sigma_s
    half = found(made, sigmas_rad=np.where(np.arange(len(turns))[:, None] % 2, sigmas, unseen))
    assert half.rows < 0.6 * weighed.rows


def test_an_offset_that_drifts_is_found_with_its_skew() -> None:
    rng = np.random.default_rng(4)
    from sensorfuse.bench.lag_path import angular_rates

    edges = 1 + np.arange(301) / 30
    made = record(angular_rates(rng, 15.0), rng, edges, lambda t: 0.03 + 0.01 * (t - 6), 0.02, 1 / 30)
    got = found(made, drift=True)
    assert got.accepted, got.reason
    assert abs(got.skew - 0.01) < 4 * got.skew_sigma < 2e-3
    assert abs(got.offset_s - (0.03 + 0.01 * (got.at_s - 6))) < 4 * got.sigma_s
    assert got.sigma_s < 0.5 * found(made).sigma_s


def refusals() -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(5)
    noise = 0.02 * rng.standard_normal((len(TIMES), 3))
    spans = np.stack([2 + np.arange(450) / 30, 2 + np.arange(1, 451) / 30], axis=1)
    turns = 0.002 * rng.standard_normal((450, 3))
    wave = np.stack([np.sin(2 * np.pi * 3 * TIMES), np.cos(2 * np.pi * 3 * TIMES), 0 * TIMES], axis=1)
    middle = spans.mean(axis=1)
    turned = np.stack([np.sin(2 * np.pi * 3 * middle), np.cos(2 * np.pi * 3 * middle), 0 * middle], axis=1) / 30
    made = recording(CAMERA, 6)
    return [
        ("no motion", TIMES, noise, spans, turns),
        ("no motion", TIMES, np.full((len(TIMES), 3), 0.4), spans, np.full((450, 3), 0.4 / 30)),
        ("hardly agree", made.gyro_s, made.gyro_radps, spans[:250], turns[:250]),
        ("repeats", TIMES, wave + noise, spans, turned + turns),
        ("measurements", made.gyro_s, made.gyro_radps, made.spans_s[:10], made.turns_rad[:10]),
        ("too few samples", made.gyro_s, made.gyro_radps, made.spans_s + 1e4, made.turns_rad),
        ("end of the search", made.gyro_s, made.gyro_radps, made.spans_s - 0.53 + made.offset_s[0], made.turns_rad),
        ("too few samples", np.zeros(0), np.zeros((0, 3)), made.spans_s, made.turns_rad),
        ("measurements", made.gyro_s, made.gyro_radps, np.zeros((0, 2)), np.zeros((0, 3))),
    ]


@pytest.mark.parametrize("case", refusals(), ids=lambda case: case[0])
def test_what_tells_nothing_is_refused_with_the_reason(
    case: tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    reason, *data = case
    got = rate_offset(*data)
    assert not got.accepted
    assert reason in got.reason


@pytest.mark.parametrize("seed", range(4))
def test_slow_yaw_alone_is_unobservable(seed: int) -> None:
    got = found(recording(Case(30.0, 20.0, 0.1, rms_radps=(0.002, 0.002, 0.05)), seed))
    assert not got.accepted
    assert got.sigma_s > 5e-3


def test_wrong_shapes_and_lags_are_said(made: Turning) -> None:
    with pytest.raises(SensorfuseError, match="max_lag_s"):
        found(made, max_lag_s=-1.0)
    with pytest.raises(SensorfuseError, match="turns"):
        found(replace(made, turns_rad=made.turns_rad[:-1]))
    with pytest.raises(SensorfuseError, match="gyro"):
        found(replace(made, gyro_radps=made.gyro_radps[:, :2]))
    with pytest.raises(SensorfuseError, match="reference"):
        found(replace(made, gyro_s=made.gyro_s[:-1]))
