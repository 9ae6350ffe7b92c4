"""The filter against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from track_worlds import make_detections

from sensorfuse.align.deskew import BodyMotion
from sensorfuse.track.kalman import likelihoods, make_measurements, predict, update_mixture
from sensorfuse.track.timed import TimedDetections, move_detections

F2 = np.eye(2)


def test_prediction_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    state = rng.normal(size=(1, 4))
    root = rng.normal(size=(4, 4))
    covariance = (root @ root.T)[None]
    dt, q = 0.37, 2.5
    moved, spread = predict(state, covariance, dt, np.array([q]))
    step = np.block([[F2, dt * F2], [np.zeros((2, 2)), F2]])
    drive = q**2 * np.block([[dt**3 / 3 * F2, dt**2 / 2 * F2], [dt**2 / 2 * F2, dt * F2]])
    np.testing.assert_allclose(moved[0], step @ state[0])
    np.testing.assert_allclose(spread[0], step @ covariance[0] @ step.T + drive)
    halves = predict(*predict(state, covariance, dt / 2, np.array([q])), dt / 2, np.array([q]))
    np.testing.assert_allclose(halves[1], spread)  # two half steps are one whole step


@pytest.mark.parametrize("known", [False, True])
def test_certain_association_is_a_kalman_update(known: bool) -> None:
    velocity = np.array([[4.0, -1.0]]) if known else None
    found = make_detections(np.array([[1.0, 2.0]]), velocity=velocity)
    measured = make_measurements(found, F2, np.zeros(2))
    state, covariance = np.array([[0.5, 1.5, 3.0, 0.0]]), np.diag([0.5, 0.4, 4.0, 4.0])[None]
    share = np.array([[1.0, 0.0]])
    after, spread = update_mixture(state, covariance, share, measured.z, measured.model, measured.noise, measured.full)
    h = np.eye(4) if known else np.eye(2, 4)
    z = np.array([1.0, 2.0, 4.0, -1.0]) if known else np.array([1.0, 2.0])
    noise = h @ found.covariance[0] @ h.T
    information = np.linalg.inv(covariance[0]) + h.T @ np.linalg.inv(noise) @ h
    np.testing.assert_allclose(spread[0], np.linalg.inv(information), atol=1e-9)
    expected = np.linalg.inv(information) @ (np.linalg.inv(covariance[0]) @ state[0] + h.T @ np.linalg.inv(noise) @ z)
    np.testing.assert_allclose(after[0], expected, atol=1e-9)


def test_mixture_matches_the_moments_of_its_parts() -> None:
    found = make_detections(np.array([[1.0, 0.0], [-1.0, 0.5]]))
    measured = make_measurements(found, F2, np.zeros(2))
    state, covariance = np.zeros((1, 4)), np.diag([1.0, 1.0, 4.0, 4.0])[None]
    args = (measured.z, measured.model, measured.noise, measured.full)
    parts = [update_mixture(state, covariance, np.array([s]), *args) for s in ([1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0])]
    weights = np.array([0.5, 0.2, 0.3])
    mean, spread = update_mixture(state, covariance, weights[None], *args)
    expected = sum(w * p[0][0] for w, p in zip(weights, parts, strict=True))
    np.testing.assert_allclose(mean[0], expected)
    second = sum(
        w * (p[1][0] + np.outer(p[0][0] - expected, p[0][0] - expected)) for w, p in zip(weights, parts, strict=True)
    )
    np.testing.assert_allclose(spread[0], second, atol=1e-12)


def test_likelihood_is_the_gaussian_density_inside_the_gate() -> None:
    found = make_detections(np.array([[1.0, 0.3], [30.0, 0.0]]))
    measured = make_measurements(found, F2, np.zeros(2))
    covariance = np.diag([0.3, 0.5, 4.0, 4.0])[None]
    density = likelihoods(np.zeros((1, 4)), covariance, measured.z, measured.model, measured.noise, measured.full, 25.0)
    spread = np.diag([0.34, 0.54])
    expected = np.exp(-0.5 * (1.0 / 0.34 + 0.09 / 0.54)) / (2 * np.pi * np.sqrt(np.linalg.det(spread)))
    np.testing.assert_allclose(density, [[expected, 0.0]])


def test_a_late_position_is_a_measurement_of_the_past() -> None:
    """Moved with unknown velocity, a detection still says exactly where the object was: z = x - lag v."""
    found = make_detections(np.array([[10.0, 2.0]]))
    lag_ns = 80_000_000
    moved = move_detections(TimedDetections(found, np.zeros(1, np.int64)), -lag_ns, BodyMotion.from_twist(np.zeros(6)))
    measured = make_measurements(moved, F2, np.zeros(2))
    np.testing.assert_allclose(measured.model[0, :2, 2:], -0.08 * F2, atol=1e-9)
    np.testing.assert_allclose(measured.noise[0, :2, :2], found.covariance[0, :2, :2], atol=1e-9)
    state = np.array([[10.0 + 0.08 * 12.0, 2.0, 12.0, 0.0]])
    after, _ = update_mixture(
        state,
        np.diag([1.0, 1, 1, 1])[None],
        np.array([[1.0, 0.0]]),
        measured.z,
        measured.model,
        measured.noise,
        measured.full,
    )
    np.testing.assert_allclose(after, state, atol=1e-9)  # it fits: nothing to correct
