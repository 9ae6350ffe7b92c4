"""The camera: a box is drawn where OpenCV projects it, for each lens model; light, fog and noise behave."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from sensorfuse.geometry import Transform
from sensorfuse.rig import Intrinsics
from sensorfuse.sim.camera import CameraModel
from sensorfuse.sim.ground import GroundMap
from sensorfuse.sim.noise import noise_key
from sensorfuse.sim.rigid_motion import RigidMotion
from sensorfuse.sim.scenario import Scenario, load_scenario
from sensorfuse.sim.shapes import BOX, COS, PLAIN, SIN, part
from sensorfuse.sim.world import World

SIZE: dict[str, Any] = {"width": 480, "height": 270, "fx": 260.0, "fy": 262.0, "cx": 236.0, "cy": 137.0}
LENSES = [
    Intrinsics(**SIZE),
    Intrinsics(**SIZE, distortion_model="radtan", distortion=(-0.2, 0.06, 0.001, -0.002)),
    Intrinsics(**SIZE, distortion_model="equidistant", distortion=(0.02, -0.01, 0.003, 0.0)),
]
POSE = Transform.from_rpy([1.6, 0.1, 1.4], np.radians([-93.0, 2.0, -80.0]))
NO_MAP = GroundMap(np.zeros((1, 1), np.uint8), 0.0, 0.0, 1.0)


def fake_world(parts: np.ndarray, ego: np.ndarray) -> Any:
    place, rpy = np.zeros((2, 1, 3, 3))
    place[0, 0, :2], rpy[0, 0, 2] = ego[:2], ego[2]
    motion = RigidMotion.from_derivatives(place, rpy)
    return SimpleNamespace(scenario=Scenario(), ego=lambda t: motion, parts=lambda t, around, radius: parts)


@pytest.mark.parametrize("lens", LENSES, ids=lambda i: i.distortion_model)
def test_a_box_is_drawn_where_opencv_projects_its_corners(lens: Intrinsics) -> None:
    ego = np.array([40.0, -7.0, 0.6])
    base = Transform.from_rpy([ego[0], ego[1], 0.0], [0, 0, ego[2]])
    centre, half, yaw = base @ np.array([11.0, 3.5, 1.6]), np.array([1.2, 0.8, 0.6]), 0.9
    row = part(BOX, tuple(centre), tuple(half), (255.0, 0.0, 255.0), PLAIN)
    row[COS], row[SIN] = np.cos(yaw), np.sin(yaw)
    image = CameraModel(fake_world(row[None], ego), lens, POSE, NO_MAP).picture(0.0, None).astype(int)
    drawn = (image[..., 0] - image[..., 1] > 40) & (image[..., 2] - image[..., 1] > 40)
    v, u = np.nonzero(drawn)
    box = Transform.from_rpy(centre, [0, 0, yaw])
    corners = box @ (half * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]))
    optical = (base @ POSE).inverse() @ corners
    matrix = np.array([[lens.fx, 0, lens.cx], [0, lens.fy, lens.cy], [0, 0, 1]])
    coefficients = np.array(lens.distortion or (0.0, 0.0, 0.0, 0.0))
    project = cv2.fisheye.projectPoints if lens.distortion_model == "equidistant" else cv2.projectPoints
    pixels = project(optical.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), matrix, coefficients)[0].reshape(-1, 2)
    assert len(u) > 500
    np.testing.assert_allclose([u.min(), u.max()], [pixels[:, 0].min(), pixels[:, 0].max()], atol=1.5)
    np.testing.assert_allclose([v.min(), v.max()], [pixels[:, 1].min(), pixels[:, 1].max()], atol=1.5)


def test_the_horizon_is_where_rays_are_level() -> None:
    pose = Transform.from_rpy([0, 0, 1.4], np.radians([-90.0, 0.0, -90.0]))
    image = (
        CameraModel(fake_world(np.zeros((0, 20)), np.zeros(3)), LENSES[0], pose, NO_MAP).picture(0.0, None).astype(int)
    )
    blue = image[..., 2] > image[..., 1]
    assert blue[:136].all()
    assert not blue[160:].any()


def picture(name: str, key: np.uint64 | None = None, seed: int = 0, t_s: float = 20.0) -> np.ndarray:
    world = World(load_scenario(name), seed)
    model = CameraModel(
        world,
        LENSES[0],
        Transform.from_rpy([1.6, 0, 1.4], np.radians([-90, 0, -90])),
        GroundMap.of(world.scenario.road, world.road),
    )
    return model.picture(t_s, key).astype(float)


def test_night_is_dark_and_fog_takes_contrast() -> None:
    day, night, fog = picture("town"), picture("town_night"), picture("town_fog")
    assert night.mean() < 0.4 * day.mean()
    far = slice(100, 150)
    assert fog[far].std() < 0.6 * day[far].std()


def test_noise_is_keyed_unbiased_and_small() -> None:
    clean = picture("town")
    a, b = picture("town", noise_key(0, "camera", 1)), picture("town", noise_key(0, "camera", 2))
    assert (a != b).any()
    np.testing.assert_array_equal(a, picture("town", noise_key(0, "camera", 1)))
    inside = (clean > 20) & (clean < 235)
    assert abs((a - clean)[inside].mean()) < 0.1
    assert 1.0 < (a - clean)[inside].std() < 5.0


def test_road_marks_are_on_the_road() -> None:
    image = picture("town", seed=1, t_s=5.0)
    lower = image[180:, :, :].min(axis=2)
    assert 0.005 < (lower > 150).mean() < 0.3
