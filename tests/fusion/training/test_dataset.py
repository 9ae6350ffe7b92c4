"""Training data from the simulated rig, and the commands around it."""

import json
from pathlib import Path

import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.preprocess import INPUT_SHAPES, Preprocessor
from sensorfuse.fusion.training.dataset import (
    DataConfig,
    Sampler,
    event_ns,
    ideal_tick,
    make_data,
    make_shard,
    read_index,
    visible_objects,
)
from sensorfuse.messages import MODALITIES
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig


@pytest.fixture(scope="module")
def world() -> SimulatedRig:
    from sensorfuse.rig import shipped_rig

    return SimulatedRig(shipped_rig("synthetic"), "town", seed=7)


def test_the_nearest_samples_are_chosen(world: SimulatedRig, synthetic_rig: Rig) -> None:
    sampler = Sampler(world, synthetic_rig)
    for t_ns in (3_000_000_000, 7_123_456_789):
        for stream, got in sampler.samples(t_ns, np.random.default_rng(0)).items():
            period = synthetic_rig.sensors[stream].period_ns
            event = event_ns(got[-1], synthetic_rig)
            if synthetic_rig.sensors[stream].modality in ("imu", "audio"):
                assert [s.seq for s in got] == [got[-1].seq - 1, got[-1].seq]
                assert 0 <= t_ns - event < period
            else:
                assert abs(event - t_ns) <= period // 2 + 1


def test_stale_samples_are_older(world: SimulatedRig, synthetic_rig: Rig) -> None:
    sampler, t_ns = Sampler(world, synthetic_rig), 5_000_000_000
    fresh, stale = sampler.samples(t_ns, np.random.default_rng(0)), sampler.samples(t_ns, np.random.default_rng(0), 1.0)
    for stream in ("camera", "lidar", "radar"):
        assert stale[stream][0].seq in (fresh[stream][0].seq - 1, fresh[stream][0].seq - 2)
    tick = ideal_tick(synthetic_rig, t_ns, stale, world.truth(t_ns))
    assert {s.stream: s.dt_ns for s in tick.streams}["lidar"] == event_ns(stale["lidar"][0], synthetic_rig) - t_ns


def test_shards_hold_what_a_robot_would_compute(world: SimulatedRig, synthetic_rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "shard.npz"
    make_shard(synthetic_rig, 3, 1, "town", 7, path)
    shard = np.load(path)
    again = tmp_path / "again.npz"
    make_shard(synthetic_rig, 3, 1, "town", 7, again)
    assert all(np.array_equal(shard[k], np.load(again)[k], equal_nan=shard[k].dtype.kind == "f") for k in shard.files)
    assert shard["lidar"].shape == (3, *INPUT_SHAPES["lidar"]["bev"])
    assert shard["imu"].shape == (3, 2, *INPUT_SHAPES["imu"]["window"])
    assert shard["present"].all()
    assert shard["count"].sum() == len(shard["yaw"]) == len(shard["visible"])
    bev = Preprocessor(synthetic_rig).inputs(world.sample("lidar", 40))["bev"]
    assert shard["lidar"].astype(np.float32).max(axis=(0, 2, 3)) == pytest.approx(bev.max(axis=(1, 2)), abs=0.6)


def test_visible_objects_are_nearer_than_hidden_ones(world: SimulatedRig) -> None:
    near, far = [], []
    for t_s in range(5, 60, 10):
        t_ns = world.epoch_ns + t_s * 10**9
        distance = np.hypot(*world.truth(t_ns).objects.center[:, :2].T)
        seen = visible_objects(world, t_ns)
        near.extend(distance[seen])
        far.extend(distance[~seen])
    assert np.median(near) < np.median(far)


def test_data_folders_are_checked(tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match="sensorfuse train --data"):
        read_index(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps({"training": ["a.npz"], "held_out": ["b.npz"]}))
    with pytest.raises(SensorfuseError, match=r"a\.npz"):
        read_index(tmp_path)


def test_data_that_is_made_reads_back_and_is_not_made_again(tmp_path: Path) -> None:
    config = DataConfig(scenarios=("highway",), worlds=2, held_out=1, ticks=1)
    assert list(make_data(config, tmp_path)) == [(1, 2), (2, 2)]
    index = read_index(tmp_path)
    assert index["training"] == ["highway_1000.npz"]
    assert index["held_out"] == ["highway_1001.npz"]
    made = tmp_path / "highway_1001.npz"
    shard = np.load(made)
    assert shard["present"].shape == (1, len(MODALITIES))
    assert shard["lidar_before"].shape == shard["lidar"].shape
    stamp = made.stat().st_mtime_ns
    list(make_data(config, tmp_path))
    assert made.stat().st_mtime_ns == stamp
    with pytest.raises(SensorfuseError, match="held-out"):
        list(make_data(DataConfig(worlds=2, held_out=2), tmp_path))
