"""Motion between sweeps of made-up surfaces that a sensor moves past, each ray at its own time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sensorfuse.align.signature import SignatureExtractor
from sensorfuse.geometry import exp_rotation
from sensorfuse.messages import Sample
from sensorfuse.rig import shipped_rig
from sensorfuse.sensor_config import SensorConfig

PERIOD_NS = 100_000_000
COLUMNS, RINGS = 360, 24
GROUND = [((0.0, 0.0, 1.0), -2.0)]  # planes n . p = d
TUNNEL = [*GROUND, ((0.0, 1.0, 0.0), 4.0), ((0.0, 1.0, 0.0), -4.0), ((0.0, 0.0, 1.0), 3.0)]
ROOM = [*GROUND, ((0.0, 1.0, 0.0), 7.0), ((0.0, 1.0, 0.0), -6.0), ((1.0, 0.0, 0.0), 9.0), ((1.0, 0.0, 0.0), -11.0)]
RATE, VELOCITY = np.array([0.1, -0.2, 0.6]), np.array([2.0, 0.5, 0.1])  # sensor axes and world axes


@pytest.fixture(scope="module")
def config() -> SensorConfig:
    rig = shipped_rig("synthetic").sensors["lidar"].model_dump()
    rig["lidar"] |= {"rings": RINGS, "columns": COLUMNS}
    return SensorConfig.model_validate(rig)


def _sweep(planes: list[Any], k: int, rng: np.random.Generator, rate: NDArray[np.float64] = RATE) -> Sample:
    azimuth, elevation = np.linspace(np.pi, -np.pi, COLUMNS, endpoint=False), np.radians(np.linspace(-25, 15, RINGS))
    a, e = (v.ravel() for v in np.meshgrid(azimuth, elevation, indexing="ij"))
    rays = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=1)
    late = np.repeat(np.arange(COLUMNS) / COLUMNS, RINGS) * 0.1
    at = k * 0.1 + late
    place, turned = at[:, None] * VELOCITY, np.einsum("nij,nj->ni", exp_rotation(at[:, None] * rate), rays)
    reach = np.full(len(rays), np.inf)
    for normal, d in planes:
        with np.errstate(divide="ignore"):
            r = (d - place @ normal) / (turned @ normal)
        reach = np.where((r > 0) & (r < reach), r, reach)
    seen = reach < 60
    noisy = reach[seen] + rng.normal(0, 0.02, int(seen.sum()))
    arrays = {
        "points": (rays[seen] * noisy[:, None]).astype(np.float32),
        "time_ns": np.round(1e9 * late[seen]).astype(np.int32),
    }
    return Sample("lidar", "lidar", k, k * PERIOD_NS, k * PERIOD_NS, "f", arrays)


def _signatures(config: SensorConfig, planes: list[Any], count: int = 5) -> list[dict[str, Any]]:
    rng, extractor = np.random.default_rng(0), SignatureExtractor(config)
    return [extractor.measure(_sweep(planes, k, rng)) for k in range(count)]


def test_turn_and_velocity_of_a_sensor_that_moves_while_it_sweeps(config: SensorConfig) -> None:
    got = _signatures(config, ROOM)
    assert "turn_rad" not in got[0]
    for k, signature in enumerate(got[2:], start=2):
        error = np.array(signature["turn_rad"]) - 0.1 * RATE
        assert np.abs(error).max() < 1.5e-3
        assert (np.abs(error) < 3 * np.array(signature["turn_sigma_rad"])).all()
        a, b = signature["turn_span_ns"]
        assert b - a == pytest.approx(PERIOD_NS, abs=1e6)
        assert b == pytest.approx(k * PERIOD_NS + PERIOD_NS / 2, abs=1e6)
        velocity = exp_rotation(-0.5 * (a + b) / 1e9 * RATE) @ VELOCITY
        off = np.array(signature["ego_velocity_mps"]) - velocity
        assert np.abs(off).max() < 0.1
        assert (np.abs(off) < 3 * np.array(signature["ego_velocity_sigma_mps"])).all()


def test_flat_ground_holds_no_yaw_and_no_way(config: SensorConfig) -> None:
    for signature in _signatures(config, GROUND)[1:]:
        sigma = np.array(signature["turn_sigma_rad"])
        assert np.isinf(sigma[2])
        assert signature["turn_rad"][2] == 0.0
        assert np.isfinite(sigma[:2]).all()
        assert np.isinf(signature.get("ego_velocity_sigma_mps", [np.inf] * 3)[:2]).all()


def test_a_tunnel_holds_no_way_along_it(config: SensorConfig) -> None:
    still = np.zeros(3)
    rng, extractor = np.random.default_rng(0), SignatureExtractor(config)
    got = [extractor.measure(_sweep(TUNNEL, k, rng, rate=still)) for k in range(4)]
    for signature in got[1:]:
        assert np.isinf(signature["ego_velocity_sigma_mps"][0])
        assert np.isfinite(signature["ego_velocity_sigma_mps"][1:]).all()
        assert np.isfinite(signature["turn_sigma_rad"]).all()
        assert np.abs(signature["turn_rad"]).max() < 3e-3


def test_nothing_of_unusable_sweeps(config: SensorConfig) -> None:
    rng = np.random.default_rng(1)
    good = _sweep(ROOM, 0, rng)
    empty = {"points": np.zeros((0, 3), np.float32)}
    missing = {"points": np.full((900, 3), np.nan, np.float32)}
    scatter = {"points": rng.normal(0, 20, (3000, 3)).astype(np.float32)}
    near = {"points": rng.normal(0, 0.1, (3000, 3)).astype(np.float32)}
    for arrays in (empty, missing, scatter, near, good.arrays):
        extractor = SignatureExtractor(config)
        extractor.measure(good)
        assert "turn_rad" not in extractor.measure(Sample("lidar", "lidar", 1, PERIOD_NS, 0, "f", arrays))
