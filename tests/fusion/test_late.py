"""Late fusion on the simulated rig: absence, timing, evidence of motion and sound, shares."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.fuser import FusionResult
from sensorfuse.fusion.late import InertialEvidence, LateFusion, name_by_siren
from sensorfuse.geometry import motion_between
from sensorfuse.messages import CLASSES, Detections, Sample, SoundEvent, StreamTick, Tick, Truth
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.track.timed import TimedDetections

STREAMS = ("camera", "lidar", "radar", "imu", "microphones")


class Scene:
    """One instant of a simulated town: samples, the tick that names them, and the truth."""

    def __init__(self, rig: Rig, t_s: float = 12.0, seed: int = 7) -> None:
        world = SimulatedRig(rig, seed=seed)
        t_ns = world.epoch_ns + round(t_s * 1e9)
        self.samples: dict[str, list[Sample]] = {}
        for name in STREAMS[1:]:
            period, first = rig.sensors[name].period_ns, world.sample(name, 0).stamp_ns
            last = (t_ns - first) // period - (1 if name == "lidar" else 0)
            count = 2 if name in ("imu", "microphones") else 1
            self.samples[name] = [world.sample(name, int(k)) for k in range(last - count + 1, last + 1)]
        picture = np.zeros((270, 480, 3), np.uint8)
        self.samples["camera"] = [Sample("camera", "camera", 0, t_ns, t_ns, "camera_optical_frame", {"image": picture})]
        self.truth: Truth = world.truth(t_ns)
        streams = [
            StreamTick(n, rig.sensors[n].modality, "ok", seqs=[s.seq for s in g], dt_ns=g[-1].stamp_ns - t_ns)
            for n, g in self.samples.items()
        ]
        assert self.truth.twist is not None
        self.tick = Tick(0, t_ns, t_ns, False, streams, np.eye(4), self.truth.twist, np.full(6, 0.1))


@pytest.fixture(scope="module")
def scene(synthetic_rig: Rig) -> Scene:
    return Scene(synthetic_rig)


@pytest.fixture(scope="module")
def fuser(synthetic_rig: Rig) -> LateFusion:
    return LateFusion(synthetic_rig)


@pytest.fixture(scope="module")
def evidence(scene: Scene, fuser: LateFusion) -> dict[str, list[Any]]:
    return {name: [fuser.encode(s) for s in got] for name, got in scene.samples.items()}


def check_sound(result: FusionResult) -> None:
    """All numbers finite but for unknown velocities and unobserved sigmas; shares sum to 1."""
    for found in (result.detections, *result.sources.values()):
        for name in ("score", "center", "size", "yaw", "covariance"):
            assert np.isfinite(getattr(found, name)).all()
        assert ((found.score >= 0) & (found.score <= 1)).all()
        if len(found):
            assert np.linalg.eigvalsh(found.covariance).min() > -1e-9
    if result.twist is not None:
        assert np.isfinite(result.twist).all()
        assert result.twist_sigma is not None
        assert not np.isnan(result.twist_sigma).any()
    assert sum(result.weights.values()) == pytest.approx(1.0 if result.weights else 0.0)
    assert all(w >= 0 for w in result.weights.values())


@pytest.mark.parametrize("blind", [False, True])
def test_any_subset_of_streams(scene: Scene, fuser: LateFusion, evidence: dict[str, list[Any]], blind: bool) -> None:
    """All 32 subsets; `blind`: the tick knows nothing of motion either."""
    unknown = replace(scene.tick, twist=np.zeros(6), twist_sigma=np.full(6, np.inf))
    for n in range(len(STREAMS) + 1):
        for present in itertools.combinations(STREAMS, n):
            result = fuser.fuse(unknown if blind else scene.tick, {s: evidence[s] for s in present})
            check_sound(result)
            assert set(result.sources) == {"lidar", "radar"} & set(present)
            assert set(result.weights) == set(present) - {"camera"}
            assert (result.twist is None) == (not {"radar", "imu"} & set(present))


def test_a_dead_sensor_changes_nothing_of_the_others(
    scene: Scene, fuser: LateFusion, evidence: dict[str, list[Any]]
) -> None:
    whole = fuser.fuse(scene.tick, evidence)
    without = fuser.fuse(scene.tick, {k: v for k, v in evidence.items() if k != "radar"})
    np.testing.assert_allclose(without.sources["lidar"].center, whole.sources["lidar"].center, atol=0.05)


def test_objects_lie_on_true_ones(scene: Scene, fuser: LateFusion, evidence: dict[str, list[Any]]) -> None:
    result = fuser.fuse(scene.tick, evidence)
    sure = result.detections.select(
        (result.detections.score > 0.8) & (np.hypot(*result.detections.center[:, :2].T) < 40)
    )
    assert len(sure) >= 3
    away = np.hypot(*(sure.center[:, None, :2] - scene.truth.objects.center[None, :, :2]).transpose(2, 0, 1)).min(
        axis=1
    )
    assert (away < 2.0).mean() > 0.75
    assert np.median(away) < 0.7


def test_motion_comes_from_radar_and_gyro(scene: Scene, fuser: LateFusion, evidence: dict[str, list[Any]]) -> None:
    blind = replace(scene.tick, twist=np.zeros(6), twist_sigma=np.full(6, np.inf))
    result = fuser.fuse(blind, evidence)
    assert result.twist is not None
    assert result.twist_sigma is not None
    assert scene.truth.twist is not None
    assert result.twist[0] == pytest.approx(scene.truth.twist[0], abs=0.3)
    assert result.twist[5] == pytest.approx(scene.truth.twist[5], abs=0.05)
    assert result.twist_sigma[0] < 0.3
    assert np.isinf(result.twist_sigma[2])  # nobody sees vertical speed


def test_the_radars_lever_arm_is_taken_off(synthetic_rig: Rig, fuser: LateFusion) -> None:
    """A body that turns about its base while driving: standing echoes give the base's velocity, not the sensor's."""
    mount = synthetic_rig.sensors["radar"].T_base_sensor.transform()
    rate, speed, rng = 0.6, 7.0, np.random.default_rng(0)
    azimuth, distance = rng.uniform(-1, 1, 40), rng.uniform(5, 60, 40)
    own = np.array([speed, rate * mount.translation[0]])
    rates = -(np.cos(azimuth) * own[0] + np.sin(azimuth) * own[1])
    detections = np.column_stack([distance, azimuth, np.zeros(40), rates, np.full(40, 5.0)]).astype(np.float32)
    sample = Sample("radar", "radar", 0, 0, 0, "radar_link", {"detections": detections})
    tick = Tick(
        0,
        0,
        0,
        False,
        [StreamTick("radar", "radar", "ok"), StreamTick("imu", "imu", "ok")],
        np.eye(4),
        np.zeros(6),
        np.full(6, np.inf),
    )
    gyro = InertialEvidence(np.array([0.0, 0.0, rate]), None)
    result = fuser.fuse(tick, {"radar": [fuser.encode(sample)], "imu": [gyro]})
    assert result.twist is not None
    np.testing.assert_allclose(result.twist[[0, 1, 5]], [speed, 0.0, rate], atol=0.02)
    assert (np.hypot(*result.sources["radar"].velocity.T) < 0.5).all()


def test_evidence_is_moved_to_the_tick(fuser: LateFusion) -> None:
    """A standing object seen 80 ms ago, by a body that drives and turns, is where it is now."""
    twist = np.array([15.0, 0.0, 0.0, 0.0, 0.0, 0.5])
    place = np.array([[20.0, 4.0, 0.8]])
    n = np.ones(1)
    found = Detections(
        np.zeros(1, np.uint8), np.full(1, 0.9, np.float32), place, np.array([[4.4, 1.8, 1.5]]), 0 * n, np.zeros((1, 2)),
        np.diag([0.04, 0.04, 0.25, 0.25])[None], np.full(1, -1, np.int64),
    )  # fmt: skip
    tick = Tick(
        0, 0, 0, False, [StreamTick("lidar", "lidar", "ok", dt_ns=-100_000_000)], np.eye(4), twist, np.full(6, 0.1)
    )
    result = fuser.fuse(tick, {"lidar": [TimedDetections(found, np.array([20_000_000]))]})
    np.testing.assert_allclose(result.detections.center[0], motion_between(twist, 0.08) @ place[0], atol=1e-9)


@pytest.mark.parametrize("length", [160, 800, 1600])
def test_sounds_of_a_synthetic_siren_whatever_the_blocks(synthetic_rig: Rig, length: int) -> None:
    fuser, sensor = LateFusion(synthetic_rig), synthetic_rig.sensors["microphones"]
    places = np.array([[0.1, 0.1, 0.0], [0.1, -0.1, 0.0], [-0.1, -0.1, 0.0], [-0.1, 0.1, 0.0]])
    toward = np.array([np.cos(0.6), np.sin(0.6), 0.0])
    t = np.arange(1600)[:, None] / 16000 + (places @ toward)[None] / 343.0
    pcm = (0.02 * (np.sin(2 * np.pi * 900 * t) + 0.4 * np.sin(2 * np.pi * 1800 * t))).astype(np.float32)
    starts = [k * 62_500 for k in range(0, 1600, length)]
    samples = [
        Sample("microphones", "audio", n, at, at, sensor.frame, {"pcm": pcm[at // 62_500 :][:length]})
        for n, at in enumerate(starts)
    ]
    stream = StreamTick("microphones", "audio", "ok", seqs=list(range(len(samples))), dt_ns=starts[-1] - 60_000_000)
    tick = Tick(0, 60_000_000, 0, False, [stream], np.eye(4), np.zeros(6), np.full(6, np.inf))
    result = fuser.fuse(tick, {"microphones": [fuser.encode(s) for s in samples]})
    assert [s.name for s in result.sounds] == ["siren"]
    assert result.sounds[0].azimuth_rad == pytest.approx(0.6, abs=0.05)
    assert result.weights == {"microphones": 1.0}


def test_sound_is_heard_from_where_the_body_points_at_the_tick(synthetic_rig: Rig) -> None:
    """Turning left at 1 rad/s, the middle of the window 40 ms before the tick: the siren has wandered right since."""
    fuser = LateFusion(synthetic_rig)
    places = np.array([[0.1, 0.1, 0.0], [0.1, -0.1, 0.0], [-0.1, -0.1, 0.0], [-0.1, 0.1, 0.0]])
    t = np.arange(1600)[:, None] / 16000 + (places @ [np.cos(0.6), np.sin(0.6), 0.0])[None] / 343.0
    pcm = (0.02 * (np.sin(2 * np.pi * 900 * t) + 0.4 * np.sin(2 * np.pi * 1800 * t))).astype(np.float32)
    sample = Sample("microphones", "audio", 0, 0, 0, "microphones_link", {"pcm": pcm}, {"sample_rate_hz": 16000})
    stream = StreamTick("microphones", "audio", "ok", seqs=[0], dt_ns=-90_000_000)
    twist = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    tick = Tick(0, 90_000_000, 0, False, [stream], np.eye(4), twist, np.full(6, 0.01))
    result = fuser.fuse(tick, {"microphones": [fuser.encode(sample)]})
    assert result.sounds[0].azimuth_rad == pytest.approx(0.6 - 0.04, abs=0.01)


def test_a_siren_names_the_vehicle_it_comes_from() -> None:
    found = Detections(
        class_id=np.array([1, 0, 1], np.uint8),
        score=np.full(3, 0.9, np.float32),
        center=np.array([[20.0, 0, 1], [20, 8, 0.8], [0, 20, 1]]),
        size=np.array([[5.5, 2, 2.4], [4.4, 1.8, 1.5], [5.5, 2, 2.4]]),
        yaw=np.zeros(3),
        velocity=np.zeros((3, 2)),
        covariance=np.zeros((3, 4, 4)),
        track_id=np.full(3, -1),
    )
    named = name_by_siren(found, [SoundEvent("siren", 0.03, 0.9)])
    assert [CLASSES[c] for c in named.class_id] == ["emergency_vehicle", "car", "van"]
    assert CLASSES[found.class_id[0]] == "van"
    assert name_by_siren(found, [SoundEvent("horn", 0.03, 0.9)]) is found
    assert name_by_siren(found, [SoundEvent("siren", -2.0, 0.9)]) is found


def test_polar_radar(fuser: LateFusion) -> None:
    polar = np.random.default_rng(0).integers(20, 40, (400, 576), dtype=np.uint8)
    polar[395:400, 100:118] = polar[:5, 100:118] = 150
    sample = Sample(
        "radar", "radar", 0, 0, 0, "radar_link", {"polar": polar}, {"range_resolution_m": 0.1736, "scan_s": 0.25}, "mid"
    )
    found = fuser.encode(sample)
    assert isinstance(found, TimedDetections)
    best = int(np.argmax(found.detections.score))
    assert found.detections.center[best, 0] == pytest.approx(2.3 + 109 * 0.1736, abs=0.6)
    assert found.detections.center[best, 1] == pytest.approx(0.0, abs=0.6)


def test_the_same_evidence_gives_the_same_result(
    scene: Scene, fuser: LateFusion, evidence: dict[str, list[Any]]
) -> None:
    a, b = fuser.fuse(scene.tick, evidence), fuser.fuse(scene.tick, dict(reversed(evidence.items())))
    for name in Detections.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(a.detections, name), getattr(b.detections, name))
    assert a.weights == pytest.approx(b.weights)


def test_identity_and_unknown_stream(fuser: LateFusion) -> None:
    assert (fuser.strategy, fuser.model, fuser.engine, fuser.precision) == ("late", "", "numpy", "float64")
    with pytest.raises(SensorfuseError, match="no stream 'sonar'"):
        fuser.encode(Sample("sonar", "lidar", 0, 0, 0, "x", {"points": np.zeros((1, 3), np.float32)}))
