"""Rotation from bearings of made-up points whose motion is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sensorfuse.align.signatures.flow_rotation import Flow, FlowRotation, fit_rotation
from sensorfuse.geometry import exp_rotation

PIXEL = 1 / 300
FORWARD = np.array([0.0, 0.0, 1.0])


def _flow(
    rng: np.random.Generator, points: NDArray[np.float64], turn: NDArray[np.float64], shift: NDArray[np.float64],
    noise_px: float = 0.1,
) -> Flow:  # fmt: skip
    after = (points - shift) @ exp_rotation(turn)
    after = after + rng.normal(0, noise_px * PIXEL, after.shape) * np.linalg.norm(after, axis=1, keepdims=True)
    unit = [p / np.linalg.norm(p, axis=1, keepdims=True) for p in (points, after)]
    n = len(points)
    return Flow(unit[0], unit[1], np.full(n, PIXEL), np.ones(n), np.zeros(n), np.zeros(3), 1.0)


def _scene(rng: np.random.Generator, nearest: float, farthest: float, n: int = 120) -> NDArray[np.float64]:
    rays = np.column_stack([rng.uniform(-0.7, 0.7, n), rng.uniform(-0.4, 0.4, n), np.ones(n)])
    return np.asarray(rays * rng.uniform(nearest, farthest, (n, 1)))


def _fit(flow: Flow) -> FlowRotation:
    found = fit_rotation(flow, np.zeros(3), FORWARD)
    assert found is not None
    return found


@pytest.mark.parametrize(("nearest", "farthest"), [(1e4, 2e4), (2.0, 30.0), (2.0, 6.0)])
def test_error_is_what_the_covariance_says(nearest: float, farthest: float) -> None:
    rng = np.random.default_rng(1)
    ratios, sigmas = [], []
    for _ in range(25):
        turn, shift = rng.normal(0, 0.02, 3), rng.normal(0, 0.04, 3)
        found = _fit(_flow(rng, _scene(rng, nearest, farthest), turn, shift))
        sigma = np.sqrt(np.diag(found.covariance + found.doubt))
        ratios.append((found.turn - turn) / sigma)
        sigmas.append(sigma)
    assert np.sqrt(np.mean(np.square(ratios))) < 1.6
    assert np.median(sigmas) < 0.003


def test_far_things_give_more_than_near_ones() -> None:
    rng = np.random.default_rng(2)
    turn, shift = np.array([0.01, -0.02, 0.005]), np.array([0.05, 0.0, 0.02])
    far, near = (_fit(_flow(rng, _scene(rng, *reach), turn, shift)) for reach in ((500.0, 900.0), (2.0, 6.0)))
    assert np.diag(near.covariance)[1] > 4 * np.diag(far.covariance)[1]


def test_what_moves_by_itself_is_left_out() -> None:
    rng = np.random.default_rng(3)
    turn, shift = np.array([0.0, 0.03, 0.0]), np.array([0.0, 0.0, 0.3])
    flow = _flow(rng, _scene(rng, 4.0, 40.0), turn, shift)
    flow.after[:30] += rng.normal(0, 0.05, (30, 3))
    found = _fit(flow)
    assert np.abs(found.turn - turn).max() < 0.002
    assert 0.6 < found.agree < 0.95
    assert found.heading[2] > 0.95


def test_rows_seen_at_other_times_turn_by_their_own_time() -> None:
    rng = np.random.default_rng(4)
    points, turn, spin = _scene(rng, 1e4, 2e4), np.array([0.01, 0.03, -0.01]), np.array([1.0, 8.0, 0.0])
    scale, bend = rng.uniform(0.8, 1.2, len(points)), rng.uniform(-2e-4, 3e-4, len(points))
    own = scale[:, None] * turn + bend[:, None] * spin
    after = np.einsum("nji,nj->ni", exp_rotation(own), points)
    unit = [p / np.linalg.norm(p, axis=1, keepdims=True) for p in (points, after)]
    found = _fit(Flow(unit[0], unit[1], np.full(len(points), PIXEL), scale, bend, spin, 1.0))
    assert np.abs(found.turn - turn).max() < 1e-5


def test_too_few_points_give_nothing() -> None:
    rng = np.random.default_rng(5)
    flow = _flow(rng, _scene(rng, 5, 9, n=5), np.zeros(3), np.zeros(3))
    assert fit_rotation(flow, np.zeros(3), FORWARD) is None
