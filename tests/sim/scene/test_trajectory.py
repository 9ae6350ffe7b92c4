"""Motion on a road: derivatives, speed limits, stops."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.sim.scene.trajectory import Driving, Road, time_law


@pytest.fixture(scope="module")
def road() -> Road:
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    radius = 90 + 25 * np.cos(3 * angle)
    return Road.through(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]))


@pytest.mark.parametrize(("offset", "direction"), [(-1.75, 1.0), (6.0, -1.0)])
def test_derivatives_are_those_of_the_position(road: Road, offset: float, direction: float) -> None:
    law = time_law(road, Driving(10.0, stops_m=(80.0,), dwell_s=5.0))
    h = 1e-3
    t = np.linspace(0.0, law.period, 200)

    def motion(at: np.ndarray) -> np.ndarray:
        s = law(at)[:, :, 0] * direction
        return road.motion(s[:, 0], s, np.full(len(s), offset), np.full(len(s), direction < 0))

    now, before, after = motion(t), motion(t - h), motion(t + h)
    np.testing.assert_allclose(now[:, 3:5], (after[:, :2] - before[:, :2]) / (2 * h), atol=1e-4)
    np.testing.assert_allclose(now[:, 6:8], (after[:, 3:5] - before[:, 3:5]) / (2 * h), atol=1e-4)
    turned = (after[:, 2] - before[:, 2] + np.pi) % (2 * np.pi) - np.pi
    np.testing.assert_allclose(now[:, 5], turned / (2 * h), atol=1e-5)
    np.testing.assert_allclose(now[:, 8], (after[:, 5] - before[:, 5]) / (2 * h), atol=1e-4)
    speed = np.hypot(now[:, 3], now[:, 4])
    along = now[:, 3] * np.cos(now[:, 2]) + now[:, 4] * np.sin(now[:, 2])
    np.testing.assert_allclose(along, speed, atol=1e-9)  # it faces where it goes


def test_a_stop_is_a_full_stop_and_limits_hold(road: Road) -> None:
    driving = Driving(11.0, lateral_mps2=2.0, accelerate_mps2=1.4, brake_mps2=2.0, stops_m=(60.0, 300.0), dwell_s=6.0)
    law = time_law(road, driving)
    t = np.arange(0, law.period, 0.05)
    s, v, a = law(t)[:, 0, 0], law(t)[:, 1, 0], law(t)[:, 2, 0]
    standing = v < 1e-6
    assert standing.sum() * 0.05 == pytest.approx(2 * (6.0 - 2.5), abs=0.8)  # smoothing takes five half-second steps
    places = np.unique(np.round(s[standing]))
    np.testing.assert_allclose(places, [60.0, 300.0], atol=1.0)
    assert v.min() > -1e-9
    assert v.max() <= 11.0 + 1e-6
    assert a.min() > -2.3
    assert a.max() < 1.7
    assert (v**2 * np.abs(road.curvature(s))).max() < 2.0 * 1.25


def test_offset_points_lie_at_their_distance(road: Road) -> None:
    s = np.linspace(0, road.length_m, 40)
    centre, left = road.points(s), road.points(s, 5.0)
    np.testing.assert_allclose(np.hypot(*(left - centre)[:, :2].T), 5.0, atol=1e-9)
    side = np.cos(centre[:, 2]) * (left - centre)[:, 1] - np.sin(centre[:, 2]) * (left - centre)[:, 0]
    assert (side > 0).all()
