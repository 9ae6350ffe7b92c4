"""The camera: a box is drawn where OpenCV projects it, for each lens model; light, fog and noise behave."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from sensorfuse.geometry import Transform
from sensorfuse.rig import Rig, shipped_rig
from sensorfuse.sensor_config import Intrinsics
from sensorfuse.sim import SimulatedRig
from sensorfuse.sim.noise import noise_key
from sensorfuse.sim.scenario import Scenario, load_scenario
from sensorfuse.sim.scene.ground import GroundMap
from sensorfuse.sim.scene.rigid_motion import RigidMotion
from sensorfuse.sim.scene.shapes import BOX, COS, PLAIN, SIN, VX, VY, X, Y, part
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.camera import CameraModel

SIZE: dict[str, Any] = {"width": 480, "height": 270, "fx": 260.0, "fy": 262.0, "cx": 236.0, "cy": 137.0}
LENSES = [
    Intrinsics(**SIZE),
    Intrinsics(**SIZE, distortion_model="radtan", distortion=(-0.2, 0.06, 0.001, -0.002)),
    Intrinsics(**SIZE, distortion_model="equidistant", distortion=(0.02, -0.01, 0.003, 0.0)),
]
POSE = Transform.from_rpy([1.6, 0.1, 1.4], np.radians([-93.0, 2.0, -80.0]))
NO_MAP = GroundMap(np.zeros((1, 1), np.uint8), 0.0, 0.0, 1.0)


def fake_world(
    parts: np.ndarray,
    place: Any,
    rpy: Any = (0, 0, 0),
    velocity: Any = (0, 0, 0),
    yaw_rate: float = 0.0,
    **weather: Any,
) -> Any:
    """A world with an ego in uniform motion: at `place` with attitude `rpy` at time 0."""
    scenario = Scenario.model_validate({"weather": weather})

    def ego(t_s: Any) -> RigidMotion:
        t = np.atleast_1d(t_s)
        where, attitude = np.zeros((2, len(t), 3, 3))
        where[:, 0], where[:, 1] = np.asarray(place) + t[:, None] * np.asarray(velocity), velocity
        attitude[:, 0] = rpy
        attitude[:, 0, 2] += t * yaw_rate
        attitude[:, 1, 2] = yaw_rate
        return RigidMotion.from_derivatives(where, attitude)

    def moved(t: float, around: Any, radius: float) -> np.ndarray:
        out = parts.copy()
        out[:, X] += t * out[:, VX]
        out[:, Y] += t * out[:, VY]
        return out

    return SimpleNamespace(scenario=scenario, ego=ego, parts=moved)


ATTITUDES = {
    "level": ([40.0, -7.0, 0.0], [0.0, 0.0, 0.6]),
    "tilted": ([40.0, -7.0, 0.4], [0.12, -0.09, 0.6]),
    "steep": ([40.0, -7.0, 12.0], [-0.1, 0.75, 0.6]),
}


@pytest.mark.parametrize("attitude", ATTITUDES)
@pytest.mark.parametrize("lens", LENSES, ids=lambda i: i.distortion_model)
def test_a_box_is_drawn_where_opencv_projects_its_corners(lens: Intrinsics, attitude: str) -> None:
    place, rpy = ATTITUDES[attitude]
    base = Transform.from_rpy(place, rpy)
    ahead = Transform.from_rpy([place[0], place[1], 0.0], [0, 0, rpy[2]])
    centre, half, yaw = ahead @ np.array([11.0, 3.5, 1.6]), np.array([1.2, 0.8, 0.6]), 0.9
    row = part(BOX, tuple(centre), tuple(half), (255.0, 0.0, 255.0), PLAIN)
    row[COS], row[SIN] = np.cos(yaw), np.sin(yaw)
    image = CameraModel(fake_world(row[None], place, rpy), lens, POSE, NO_MAP).picture(0.0, None).astype(int)
    drawn = (image[..., 0] - image[..., 1] > 40) & (image[..., 2] - image[..., 1] > 40)
    v, u = np.nonzero(drawn)
    box = Transform.from_rpy(centre, [0, 0, yaw])
    corners = box @ (half * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]))
    optical = (base @ POSE).inverse() @ corners
    matrix = np.array([[lens.fx, 0, lens.cx], [0, lens.fy, lens.cy], [0, 0, 1]])
    coefficients = np.array(lens.distortion or (0.0, 0.0, 0.0, 0.0))
    project = cv2.fisheye.projectPoints if lens.distortion_model == "equidistant" else cv2.projectPoints
    pixels = project(optical.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), matrix, coefficients)[0].reshape(-1, 2)
    assert len(u) > 300
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


LEVEL = Transform.from_rpy([0, 0, 1.4], np.radians([-90.0, 0.0, -90.0]))
MAGENTA = (255.0, 0.0, 255.0)


def magenta(radiance: np.ndarray) -> np.ndarray:
    """How far each pixel (H, W) shows the magenta box rather than anything else: 0 to 1."""
    excess = np.minimum(radiance[..., 0], radiance[..., 2]) - radiance[..., 1]
    return np.asarray(np.clip(excess / np.quantile(excess, 0.995), 0, 1))


@pytest.mark.parametrize(
    ("velocity", "yaw_rate", "box_velocity"),
    [((0, 0, 0), 1.5, (0, 0)), ((0, 18, 0), 0.0, (0, 0)), ((0, 0, 0), 0.0, (0, -18)), ((6, 9, 0), -0.8, (3, 5))],
)
@pytest.mark.parametrize("readout_s", [0.0, 0.03])
def test_each_row_is_seen_at_its_own_time(velocity: Any, yaw_rate: float, box_velocity: Any, readout_s: float) -> None:
    lens = Intrinsics(**SIZE, readout_s=readout_s)
    centre, half = np.array([9.0, 0.4, 3.0]), np.array([0.5, 0.7, 3.0])
    box = part(BOX, tuple(centre), tuple(half), MAGENTA, PLAIN)
    box[VX], box[VY] = box_velocity
    world = fake_world(box[None], (0, 0, 0), velocity=velocity, yaw_rate=yaw_rate)
    start_s = 0.02
    drawn = magenta(CameraModel(world, lens, LEVEL, NO_MAP).radiance(start_s)) > 0.15
    matrix = np.array([[lens.fx, 0, lens.cx], [0, lens.fy, lens.cy], [0, 0, 1]])
    corners = half * np.array([[x, y, 0] for x in (-1, 1) for y in (-1, 1)])
    for v in range(40, 180, 20):
        t = start_s + readout_s * v / (lens.height - 1)
        at = centre + np.array([*box_velocity, 0.0]) * t + corners
        optical = (world.ego(t).pose() @ LEVEL).inverse() @ at
        u = cv2.projectPoints(optical.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), matrix, None)[0][:, 0, 0]
        seen = np.flatnonzero(drawn[v])
        np.testing.assert_allclose([seen[0] - 0.5, seen[-1] + 0.5], [u.min(), u.max()], atol=0.8)


@pytest.mark.parametrize("exposure_s", [0.004, 0.012])
def test_a_blurred_edge_is_as_wide_as_it_moves_in_one_exposure(exposure_s: float) -> None:
    lens = Intrinsics(**SIZE, exposure_s=exposure_s)
    box = part(BOX, (12.0, 0.0, 3.0), (0.5, 1.5, 3.0), MAGENTA, PLAIN)
    yaw_rate = 3.0
    model = CameraModel(fake_world(box[None], (0, 0, 0), yaw_rate=yaw_rate), lens, LEVEL, NO_MAP)
    share = magenta(model.radiance(-exposure_s / 2))[100:130, : int(lens.cx)]
    # the integral of f (1 - f) over a straight ramp is a sixth of its width; the edge is 1.5 m aside of 11.5
    width = 6 * (share * (1 - share)).sum(axis=1).mean()
    assert width == pytest.approx(yaw_rate * exposure_s * lens.fx * (1 + (1.5 / 11.5) ** 2), abs=1.2)


def test_contrast_falls_with_distance_as_koschmieder_says() -> None:
    fog = {"visibility_m": 80.0}
    light = []
    for distance in (15.0, 35.0, 70.0):
        wall = part(BOX, (distance + 0.5, 0, 20), (0.5, 80, 20), (0.0, 0.0, 0.0), PLAIN)
        model = CameraModel(fake_world(wall[None], (0, 0, 0), **fog), LENSES[0], LEVEL, NO_MAP)
        light.append(model.radiance(0.0)[137, 236])
    empty = CameraModel(fake_world(np.zeros((0, 20)), (0, 0, 0), **fog), LENSES[0], LEVEL, NO_MAP).radiance(0.0)
    air = empty[137, 236]
    for seen, distance in zip(light, (15.0, 35.0, 70.0), strict=True):
        np.testing.assert_allclose((air - seen) / air, np.exp(-3.912 / 80.0 * distance), rtol=0.02)


def test_a_camera_that_looks_straight_down_sees_what_is_under_it() -> None:
    down = Transform.from_rpy([0, 0, 0], np.radians([180.0, 0.0, -90.0]))
    box = part(BOX, (0.0, 0.0, 1.0), (1.0, 0.5, 1.0), MAGENTA, PLAIN)
    lens = Intrinsics(width=301, height=301, fx=260.0, fy=260.0, cx=150.0, cy=150.0)
    drawn = magenta(CameraModel(fake_world(box[None], (0, 0, 10.0)), lens, down, NO_MAP).radiance(0.0)) > 0.5
    half = np.array([0.5, 1.0]) / 8.0 * 260.0  # of the roof; the base x axis points up in the picture
    v, u = np.nonzero(drawn)
    np.testing.assert_allclose([u.min(), u.max(), v.min(), v.max()],
                               [150 - half[0], 150 + half[0], 150 - half[1], 150 + half[1]], atol=1.0)  # fmt: skip
    assert drawn[v.min() + 1 : v.max() - 1, u.min() + 1 : u.max() - 1].all()


def test_a_low_sun_dazzles_unless_something_hides_it() -> None:
    low = {"sun_elevation_deg": 8.0, "sun_azimuth_deg": 5.0}
    wall = part(BOX, (8.0, 1.0, 5.0), (0.5, 3.0, 5.0), (120.0, 120.0, 120.0), PLAIN)
    free, hidden = (
        CameraModel(fake_world(parts, (0, 0, 0), **low), LENSES[0], LEVEL, NO_MAP).radiance(0.0)
        for parts in (np.zeros((0, 20)), wall[None])
    )
    v, u = np.unravel_index(free.sum(axis=2).argmax(), free.shape[:2])
    e, a = np.radians([8.0, 5.0])
    np.testing.assert_allclose([u, v], [236 - 260 * np.tan(a), 137 - 262 * np.tan(e) / np.cos(a)], atol=1.5)
    assert (CameraModel(fake_world(np.zeros((0, 20)), (0, 0, 0), **low), LENSES[0], LEVEL, NO_MAP).picture(0.0, None)[
        v, u
    ] == 255).all()  # fmt: skip
    assert (free[:100, :100] - hidden[:100, :100]).mean() > 5


def test_three_cameras_see_three_ways_and_do_not_change_each_other() -> None:
    front = shipped_rig("synthetic").model_dump(mode="json", exclude_defaults=True)["sensors"]["camera"]
    front["intrinsics"] |= {"width": 160, "height": 90, "fx": 87, "fy": 87, "cx": 79.5, "cy": 44.5}

    def rig(exposure_s: float) -> Rig:
        sensors = {}
        for name, yaw in (("camera", -90.0), ("camera_left", 0.0), ("camera_rear", 90.0)):
            sensors[name] = front | {"frame": f"{name}_optical", "T_base_sensor": {"xyz": [0.5, 0, 1.8],
                                     "rpy_deg": [-90.0, 0.0, yaw]}}  # fmt: skip
        sensors["camera_left"] |= {"intrinsics": front["intrinsics"] | {"exposure_s": exposure_s, "readout_s": 0.01}}
        return Rig.model_validate({"name": "three", "sensors": sensors, "fusion": {"modalities": ["camera"]},
                                   "sim": {"scenario": "town", "seed": 3}})  # fmt: skip

    a, b = SimulatedRig(rig(0.001)), SimulatedRig(rig(0.008))
    images = [a.sample(name, 7).arrays["image"] for name in ("camera", "camera_left", "camera_rear")]
    for i in range(3):
        assert images[i].shape == (90, 160, 3)
        assert np.abs(images[i].astype(int) - images[i - 1]).mean() > 10
    np.testing.assert_array_equal(images[2], b.sample("camera_rear", 7).arrays["image"])
    assert (images[1] != b.sample("camera_left", 7).arrays["image"]).any()


def test_the_same_drops_stay_on_the_lens() -> None:
    scenario = load_scenario("town_downpour")
    world = World(scenario, 2)
    ground = GroundMap.of(scenario.road, world.road)
    pose = Transform.from_rpy([1.6, 0, 1.4], np.radians([-90, 0, -90]))
    model, other = (CameraModel(world, LENSES[0], pose, ground, key) for key in (1, 2))
    np.testing.assert_array_equal(model.picture(9.0, None), model.picture(9.0, None))
    assert (model.picture(9.0, None) != other.picture(9.0, None)).mean() > 0.05
