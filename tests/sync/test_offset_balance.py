"""Who gives way where two streams differ."""

from __future__ import annotations

import pytest

from sensorfuse.sync.offset_balance import Difference, balance

CAMERA, LIDAR = Difference("camera", "imu", 0.030, 0.001), Difference("lidar", "imu", -0.020, 0.002)


def test_the_reference_stays_where_the_rig_says_nothing() -> None:
    found = balance([CAMERA, LIDAR, Difference("microphones", "camera", 0.005, 0.004)], {})
    assert set(found) == {"camera", "lidar", "microphones"}
    assert found["camera"] == pytest.approx((0.030, 0.001), rel=1e-3)
    assert found["lidar"] == pytest.approx((-0.020, 0.002), rel=1e-3)
    assert found["microphones"] == pytest.approx((0.035, (0.004**2 + 0.001**2) ** 0.5), rel=1e-3)
    assert balance([], {}) == {}


def test_who_is_known_worse_gives_way_more() -> None:
    found = balance([Difference("lidar", "imu", -0.100, 0.001)], {"lidar": 0.02, "imu": 0.04})
    assert found["imu"][0] - found["lidar"][0] == pytest.approx(0.1, abs=1e-3)
    assert found["imu"][0] / -found["lidar"][0] == pytest.approx(4.0, rel=1e-3)
    assert found["lidar"][1] < 0.04
    kept = balance([Difference("lidar", "imu", -0.100, 0.001)], {"lidar": 0.0, "imu": 0.04})
    assert abs(kept["lidar"][0]) < 1e-3


def test_what_the_rig_is_wrongly_sure_of_gives_way_all_the_same() -> None:
    found = balance([Difference("lidar", "imu", -0.300, 0.001)], {"lidar": 0.001})
    assert found["lidar"] == pytest.approx((-0.300, 0.001), abs=2e-4)
    both = balance([CAMERA, LIDAR], {"lidar": 0.01})  # nothing is said of the camera's, nor of the reference's
    assert both["camera"] == pytest.approx((0.030, 0.001), abs=2e-4)


def test_a_reference_far_from_all_others_is_off_itself() -> None:
    far = [Difference("camera", "imu", 65.5, 0.001), Difference("lidar", "imu", 65.4, 0.001)]
    found = balance(far, {"lidar": 0.02})
    assert found["imu"][0] == pytest.approx(-65.5, abs=0.01)  # the camera's is taken for exact
    assert found["lidar"][0] == pytest.approx(-0.1, abs=0.01)
