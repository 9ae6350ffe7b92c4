"""Points brought to one time, against motion in closed form and against the simulated carriers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from sensorfuse.align.deskew import BodyMotion, deskew
from sensorfuse.geometry import Transform, motion_between, skew
from sensorfuse.messages import Tick

TWIST = np.array([12.0, 0.3, 0.1, 0.5, -0.3, 1.2])
MS = 1_000_000


def exact(dt_s: float) -> np.ndarray:
    """T_ref_t of TWIST in closed form."""
    motion = np.zeros((4, 4))
    motion[:3, :3], motion[:3, 3] = skew(TWIST[3:]), TWIST[:3]
    return np.asarray(expm(motion * dt_s))


def test_a_constant_twist_is_undone() -> None:
    rng = np.random.default_rng(0)
    real = rng.uniform(-30, 30, (300, 3))
    after = rng.integers(-100 * MS, 100 * MS, 300)
    seen = np.array([(np.linalg.inv(exact(t / 1e9)) @ [*p, 1.0])[:3] for p, t in zip(real, after, strict=True)])
    np.testing.assert_allclose(deskew(seen, after, BodyMotion.from_twist(TWIST)), real, atol=1e-3)
    assert np.abs(seen - real).max() > 1.0


@pytest.mark.parametrize("twist", [TWIST, np.array([5.0, 0, 0, 0, 0, 0]), np.zeros(6)])
def test_agrees_with_motion_between_at_the_knots(twist: np.ndarray) -> None:
    motion = BodyMotion.from_twist(twist)
    for ms in (-200, -50, 0, 100):
        there = motion.transform(ms * MS).matrix()
        np.testing.assert_allclose(there, motion_between(twist, -ms / 1e3).matrix(), atol=1e-12)


def test_each_point_goes_by_its_own_knots_in_any_order() -> None:
    """Knots at odd times with turns of up to half a turn between them: rotation at a constant rate, exactly."""
    rng = np.random.default_rng(1)
    times = np.array([-90, -40, -33, 5]) * MS
    turns = [Transform.from_rpy(rng.uniform(-1, 1, 3), rng.uniform(-1.5, 1.5, 3)) for _ in times]
    motion = BodyMotion(times, np.array([t.matrix()[:3] for t in turns]))
    mount = Transform.from_rpy([0.2, 0.1, 1.0], [0.1, 0.2, -0.3])
    points, after = rng.uniform(-20, 20, (200, 3)), rng.integers(-150 * MS, 50 * MS, 200)
    expected = [motion.transform(int(t)) @ (mount @ p) for p, t in zip(points, after, strict=True)]
    np.testing.assert_allclose(deskew(points, after, motion, mount), expected, atol=1e-9)
    for knot, pose in zip(times.tolist(), turns, strict=True):
        np.testing.assert_allclose(motion.transform(knot).matrix(), pose.matrix(), atol=1e-9)


def test_nan_stays_and_the_type_stays() -> None:
    cloud = np.array([[1.0, 2.0, 3.0], [np.nan, 0.0, 0.0], [4.0, 5.0, 6.0]], np.float32)
    out = deskew(cloud, np.array([0, -50, -90], np.int32), BodyMotion.from_twist(TWIST))
    assert out.dtype == np.float32
    assert np.isnan(out[1]).all()
    assert np.isfinite(out[[0, 2]]).all()
    assert deskew(cloud[:0], np.zeros(0, np.int32), BodyMotion.from_twist(TWIST)).shape == (0, 3)
    with pytest.raises(ValueError, match="2 times"):
        deskew(cloud, np.zeros(2, np.int32), BodyMotion.from_twist(TWIST))


def test_the_ticks_own_motion_comes_first() -> None:
    tick = Tick(0, 0, 0, False, [], np.eye(4), TWIST, np.full(6, np.inf))
    np.testing.assert_array_equal(BodyMotion.of_tick(tick).poses, BodyMotion.from_twist(TWIST).poses)
    assert not BodyMotion.of_tick(tick, np.full(6, np.inf)).poses[:, :, 3].any()  # what is not known is 0
    tick.motion_ns = np.array([-10 * MS, 0])
    tick.motion = np.tile(np.eye(4)[:3], (2, 1, 1))
    np.testing.assert_array_equal(BodyMotion.of_tick(tick, TWIST).transform(-5 * MS).matrix(), np.eye(4))
