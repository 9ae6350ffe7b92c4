"""How much of each object each sensor can see: closed cases, and against the LiDAR's own echoes and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sensorfuse.log import open_log
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import Intrinsics, LidarConfig
from sensorfuse.sim import SimulatedRig
from sensorfuse.sim.recording import write_simulated_log
from sensorfuse.sim.scene.shapes import BOX, HOUSE, OWNER, part
from sensorfuse.sim.sensors.camera import pixel_rays
from sensorfuse.sim.sensors.lidar import LidarModel
from sensorfuse.sim.sensors.raycast import cast_rays
from sensorfuse.sim.visibility import VisibilityModel, camera_view

S = 1_000_000_000


def wall(x: float, y: float, half: tuple[float, float, float]) -> np.ndarray:
    return part(BOX, (x, y, half[2]), half, (200, 200, 200), HOUSE)


def look(stage: Any, rig: Rig, objects: list[Any], static: list[np.ndarray], **more: Any) -> dict[str, Any]:
    model = VisibilityModel(stage(objects, static, **more), rig)
    return model.at(0.0, np.arange(len(objects)))


def test_behind_a_house_nothing_is_seen(stage: Any, synthetic_rig: Rig) -> None:
    seen = look(stage, synthetic_rig, [("car", 30.0, 0, 0, 0, 0), ("car", 12.0, 3, 0, 0, 0)], [wall(20, 0, (1, 8, 5))])
    assert set(seen) == {"camera", "lidar", "radar"}
    for share, in_view in seen.values():
        assert share[0] == 0
        assert share[1] == 1
        assert in_view.all()  # hidden things are in the field of view all the same


def test_beside_or_beyond_the_field_of_view_nothing_is_seen(stage: Any, synthetic_rig: Rig) -> None:
    objects = [("car", -15.0, 2, 0, 0, 0), ("car", 8.0, 15, 0, 0, 0), ("bus", 110.0, 0, 0, 0, 0)]
    seen = look(stage, synthetic_rig, objects, [])
    np.testing.assert_array_equal(seen["camera"][0], [0, 0, 1])
    np.testing.assert_array_equal(seen["camera"][1], [False, False, True])
    np.testing.assert_array_equal(seen["lidar"][0], [1, 1, 0])  # reaches 80 m
    np.testing.assert_array_equal(seen["radar"][1], [False, False, False])
    fog = look(stage, synthetic_rig, objects, [], scenario={"weather": {"visibility_m": 100}})
    assert not fog["camera"][1].any()


def test_half_hidden_is_half(stage: Any, synthetic_rig: Rig) -> None:
    """A wall whose edge is on the line from the sensor to the middle of a truck's rear, and no wall."""
    objects = [("truck", 40.0, 0.0, 0, 0, 0)]
    for x, stream in ((1.6, "camera"), (1.0, "lidar"), (2.3, "radar")):
        assert look(stage, synthetic_rig, objects, [])[stream][0][0] == 1.0
        edge = wall(x + 10.0, 4.0, (0.05, 4.0, 6.0))
        assert look(stage, synthetic_rig, objects, [edge])[stream][0][0] == pytest.approx(0.5, abs=0.05)


def test_half_out_of_the_picture_is_half(stage: Any, synthetic_rig: Rig) -> None:
    """A bus far away across the picture's edge: at 239.5 + 0.5 pixels of focal length 260 beside the axis."""
    x = 60.0
    y = -x * 240.0 / 260.0
    yaw = float(np.arctan2(y, x)) + np.pi / 2
    seen = look(stage, synthetic_rig, [("bus", 1.6 + x, y, yaw, 0, 0)], [])
    assert seen["camera"][0][0] == pytest.approx(0.5, abs=0.09)
    assert seen["lidar"][0][0] == 1.0 or not seen["lidar"][1][0]


def test_the_pose_of_the_sensor_counts_in_full(stage: Any, synthetic_rig: Rig) -> None:
    """Looking up by 40 degrees, the camera sees nothing of a car ahead; from above a wall, all of it."""

    def ego(z: float, pitch: float) -> Any:
        def motion(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            place, attitude = np.zeros((2, len(t), 3, 3))
            place[:, 0, 2], attitude[:, 0, 1] = z, pitch
            return place, attitude

        return motion

    car, block = [("car", 20.0, 0, 0, 0, 0)], [wall(10, 0, (1, 8, 1.5))]
    assert look(stage, synthetic_rig, car, [], ego=ego(0.0, -0.7))["camera"][0][0] == 0
    assert look(stage, synthetic_rig, car, block)["camera"][0][0] == 0
    assert look(stage, synthetic_rig, car, block, ego=ego(12.0, 0.6))["camera"][0][0] == 1
    below = look(stage, synthetic_rig, [("car", 1.0, 0, 0, 0, 0)], [], ego=ego(12.0, 1.57))
    assert below["camera"][0][0] == 1


@pytest.fixture(scope="module")
def sim(synthetic_rig: Rig) -> SimulatedRig:
    return SimulatedRig(synthetic_rig, "town", 0, epoch_ns=5 * S)


def test_what_a_dense_lidar_meets_has_a_share_of_the_same_size(sim: SimulatedRig, synthetic_rig: Rig) -> None:
    """Echoes on each object, of all rays that would meet it alone."""
    pose = synthetic_rig.sensors["lidar"].T_base_sensor.transform()
    config = LidarConfig(rings=160, columns=2048, elevation_deg=(-25, 15), max_range_m=80)
    dense = LidarModel(sim.world, config, pose, sim.ground)
    a, e = np.meshgrid(np.pi * (1 - 2 * np.arange(2048) / 2048), np.radians(np.linspace(-25, 15, 160)))
    every_ray = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], -1).reshape(-1, 3)
    errors, many = [], 0
    for t_s in (8.0, 47.0, 93.0):
        truth = sim.truth(5 * S + round(t_s * S), visibility=True)
        hit = dense.sweep(t_s, 0.0, None)[4]
        echoes = np.bincount(hit[hit >= 0], minlength=len(sim.world.names))[truth.objects.track_id]
        share = truth.visibility["lidar"]
        assert (share[echoes > 30] > 0).all()
        assert (echoes[share == 0] <= 5).all()
        T_world_lidar = sim.world.ego_pose(t_s) @ pose
        parts = sim.world.parts(t_s, T_world_lidar.translation, 90.0)
        rays = every_ray @ T_world_lidar.rotation.T
        for i in np.flatnonzero(echoes > 150):
            mine = parts[parts[:, OWNER] == truth.objects.track_id[i]]
            alone = cast_rays(mine, T_world_lidar.translation, rays, 80.0)[1]
            errors.append(share[i] - echoes[i] / (alone >= 0).sum())
            many += 1
    assert many > 15
    assert np.abs(errors).max() < 0.15
    assert np.mean(np.abs(errors)) < 0.03


def test_the_camera_sees_what_is_in_its_picture(sim: SimulatedRig, synthetic_rig: Rig) -> None:
    k = synthetic_rig.sensors["camera"].intrinsics
    assert k is not None
    compared = 0
    for t_s in (12.0, 33.0, 60.0, 101.0):
        truth = sim.truth(5 * S + round(t_s * S), visibility=True)
        pose = sim.world.ego_pose(t_s) @ synthetic_rig.sensors["camera"].T_base_sensor.transform()
        parts = sim.world.parts(t_s, pose.translation, 130.0)
        _, hit = cast_rays(parts, pose.translation, pixel_rays(k).reshape(-1, 3) @ pose.rotation.T, 160.0)
        owner = parts[hit[hit >= 0], OWNER].astype(int)
        pixels = np.bincount(owner[owner >= 0], minlength=len(sim.world.names))[truth.objects.track_id]
        share = truth.visibility["camera"]
        assert (share[pixels > 15] > 0).all()
        assert (pixels[share == 0] <= 15).all()
        compared += (pixels > 15).sum()
    assert compared >= 6


@pytest.mark.parametrize(
    ("model", "coefficients"), [("radtan", (-0.3, 0.1, 0.001, -0.001)), ("equidistant", (0.02, -0.01, 0, 0))]
)
def test_the_field_of_view_ends_where_the_pixels_do(model: Any, coefficients: Any) -> None:
    lens = {"distortion_model": model, "distortion": coefficients}
    k = Intrinsics(width=320, height=200, fx=200, fy=200, cx=160, cy=98, **lens)
    view = camera_view(k)
    matrix = np.array([[k.fx, 0, k.cx], [0, k.fy, k.cy], [0, 0, 1]])
    assert view(pixel_rays(k)).all()
    assert not view(-pixel_rays(k)).any()
    beside = np.array([[[-4.0, 50]], [[324.0, 50]], [[50.0, -4]], [[50.0, 204]]])
    if model == "radtan":
        xy = cv2.undistortPoints(beside, matrix, np.array(coefficients))[:, 0]
    else:
        xy = cv2.fisheye.undistortPoints(beside, matrix, np.array(coefficients))[:, 0]
    assert not view(np.column_stack([xy, np.ones(4)])).any()


def test_nothing_near_gives_empty_arrays(stage: Any, synthetic_rig: Rig) -> None:
    model = VisibilityModel(stage([("car", 10.0, 0, 0, 0, 0)]), synthetic_rig)
    seen = model.at(0.0, np.zeros(0, np.int64))
    assert all(share.shape == in_view.shape == (0,) for share, in_view in seen.values())


def test_a_rig_says_it_per_stream_and_row(sim: SimulatedRig) -> None:
    truth, shares = sim.truth(9 * S), sim.visibility(9 * S)
    assert truth.visibility == {}
    assert list(shares) == ["camera", "lidar", "radar"]
    for share in shares.values():
        assert share.dtype == np.float32
        assert share.shape == (len(truth.objects),)
        assert ((share >= 0) & (share <= 1)).all()


def test_a_simulated_log_holds_it(synthetic_rig: Rig, tmp_path: Path) -> None:
    sim = SimulatedRig(synthetic_rig, "town", 0, epoch_ns=5 * S)
    write_simulated_log(sim, tmp_path / "sim.mcap", S // 5)
    with open_log(tmp_path / "sim.mcap") as reader:
        truths = list(reader.truth())
    assert truths
    for truth in truths:
        known = sim.truth(truth.stamp_ns, visibility=True)
        assert list(truth.visibility) == ["camera", "lidar", "radar"]
        for stream, share in known.visibility.items():
            np.testing.assert_array_equal(truth.visibility[stream], share)
            np.testing.assert_array_equal(truth.in_view[stream], known.in_view[stream])
