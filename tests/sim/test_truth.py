"""Truth agrees with itself and with what sensors see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sensorfuse.geometry import Transform
from sensorfuse.messages import CLASSES, SOUND_CLASSES
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.sim.truth import TruthModel

S = 1_000_000_000
H_NS = 1_000_000


@pytest.fixture(scope="module")
def sim(synthetic_rig: Rig) -> SimulatedRig:
    return SimulatedRig(synthetic_rig, "town", 0, epoch_ns=77 * S)


@pytest.mark.parametrize("t_s", [3.0, 41.5, 88.0, 500.0])
def test_velocities_are_derivatives(sim: SimulatedRig, t_s: float) -> None:
    t = 77 * S + round(t_s * S)
    before, now, after = sim.truth(t - H_NS), sim.truth(t), sim.truth(t + H_NS)
    dt = 2 * H_NS / 1e9
    pose = Transform.from_matrix(now.pose)
    moved = (after.pose[:3, 3] - before.pose[:3, 3]) / dt
    np.testing.assert_allclose(now.twist[:3], pose.rotation.T @ moved, atol=1e-4)
    turned = Transform.from_matrix(before.pose).inverse() @ Transform.from_matrix(after.pose)
    np.testing.assert_allclose(now.twist[5], turned.yaw() / dt, atol=1e-5)
    row = {int(i): r for r, i in enumerate(now.objects.track_id)}
    ends = [
        {int(i): Transform.from_matrix(x.pose) @ c for i, c in zip(x.objects.track_id, x.objects.center, strict=True)}
        for x in (before, after)
    ]
    shared = row.keys() & ends[0].keys() & ends[1].keys()
    assert len(shared) > 5
    for i in shared:
        over_ground = pose.rotation.T @ (ends[1][i] - ends[0][i]) / dt
        np.testing.assert_allclose(now.objects.velocity[row[i]], over_ground[:2], atol=1e-3)


def test_objects_are_complete_within_eighty_metres_and_well_formed(sim: SimulatedRig) -> None:
    for t_s in range(0, 120, 17):
        truth = sim.truth(77 * S + t_s * S)
        o = truth.objects
        assert truth.range_m == 80.0
        assert (np.hypot(o.center[:, 0], o.center[:, 1]) < 80.0).all()
        np.testing.assert_allclose(o.center[:, 2], o.size[:, 2] / 2)
        assert (o.class_id < len(CLASSES) - 1).all()
        assert (np.abs(o.yaw) <= np.pi).all()
        assert len(set(o.track_id.tolist())) == len(o)


def test_lidar_points_stand_where_truth_says(sim: SimulatedRig, synthetic_rig: Rig) -> None:
    """Of points above the ground inside a box grown by 30 cm, nearly all lie inside the box itself."""
    pose = synthetic_rig.sensors["lidar"].T_base_sensor.transform()
    grown, strict = 0, 0
    for k in (50, 400, 900):
        sample = sim.sample("lidar", k)
        base = pose @ sample.arrays["points"].astype(float)
        middle = sample.stamp_ns + 50_000_000
        truth = sim.truth(middle)
        for i in np.flatnonzero(np.hypot(*truth.objects.velocity.T) < 0.01):
            motion = truth.twist[:3] * 1.0
            offset = (sample.arrays["time_ns"] - 50_000_000) / 1e9
            still = base + offset[:, None] * motion  # undo the ego's motion, to first order
            angle = offset * truth.twist[5]
            still[:, :2] = np.column_stack([still[:, 0] - angle * still[:, 1], still[:, 1] + angle * still[:, 0]])
            box = Transform.from_rpy(truth.objects.center[i], [0, 0, truth.objects.yaw[i]])
            local = np.abs(box.inverse() @ still)
            half = truth.objects.size[i] / 2
            above = still[:, 2] > 0.15
            grown += (above & (local < half + 0.3).all(axis=1)).sum()
            strict += (above & (local < half + 0.08).all(axis=1)).sum()
    assert grown > 300
    assert strict / grown > 0.95


def test_visible_counts_what_can_be_seen(sim: SimulatedRig) -> None:
    t = 77 * S + 12 * S
    truth, counts = sim.truth(t), sim.visible(t)
    assert len(counts) == len(truth.objects)
    distance = np.hypot(truth.objects.center[:, 0], truth.objects.center[:, 1])
    assert counts[distance < 12].sum() > counts[distance > 40].sum()
    assert (counts == 0).any()  # something is hidden


def test_sounds_are_near_and_known(sim: SimulatedRig) -> None:
    names = set()
    for t_s in np.arange(0, 120, 0.7):
        for sound in sim.truth(77 * S + round(t_s * S)).sounds:
            names.add(sound.name)
            assert sound.name in SOUND_CLASSES
            assert abs(sound.azimuth_rad) <= np.pi
    assert names == {"siren", "horn"}


def test_truth_is_in_the_axes_of_a_tilted_base(stage: Any, shaking_ego: Any) -> None:
    """Boxes and velocities, put back into the world by the whole pose, are where and as fast as they are."""
    scene = stage([("pedestrian", 12.0, 4.0, 0.4, 1.2, 0.5), ("truck", 25.0, -6.0, 2.5, 0, 0)], [], shaking_ego)
    model = TruthModel(scene, Transform.identity())
    for t in (0.0, 0.13, 0.31):
        truth = model.at(round(t * S), t)
        pose = Transform.from_matrix(truth.pose)
        assert abs(pose.rotation[2, 0]) + abs(pose.rotation[2, 1]) > 0.02
        states = scene.states(t)
        np.testing.assert_allclose(
            pose @ truth.objects.center, np.column_stack([states[:, :2], scene.size[:, 2] / 2]), atol=1e-9
        )
        along = np.column_stack([np.cos(states[:, 2]), np.sin(states[:, 2]), [0, 0]]) @ pose.rotation
        np.testing.assert_allclose(np.tan(truth.objects.yaw), along[:, 1] / along[:, 0], atol=1e-9)
        speed = np.column_stack([states[:, 3:5], [0, 0]]) @ pose.rotation
        np.testing.assert_allclose(truth.objects.velocity, speed[:, :2], atol=1e-9)
        h = 1e-4
        before, after = (Transform.from_matrix(model.at(0, t + s * h).pose) for s in (-1, 1))
        over_ground = (after.translation - before.translation) / (2 * h)
        np.testing.assert_allclose(truth.twist[:3], pose.rotation.T @ over_ground, atol=1e-4)
        turned = (before.inverse() @ after).rotation
        skewed = turned - turned.T
        rate = np.array([skewed[2, 1], skewed[0, 2], skewed[1, 0]]) / (4 * h)
        np.testing.assert_allclose(truth.twist[3:], rate, atol=1e-4)
