"""Batches: mirroring must turn the whole world over."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sensorfuse.fusion.lift import lift_grid  # noqa: E402
from sensorfuse.fusion.sound import BANDS, SOUND_FEATURES, azimuth_bins  # noqa: E402
from sensorfuse.fusion.training.examples import Examples  # noqa: E402
from sensorfuse.messages import CLASSES, SOUND_CLASSES  # noqa: E402
from sensorfuse.rig import Rig  # noqa: E402


def write_shard(path: Path, ticks: int, rig: Rig, seed: int = 0) -> Path:
    """A shard of random arrays with three objects per tick."""
    rng = np.random.default_rng(seed)
    camera = rig.sensor("camera")
    assert camera.intrinsics is not None
    count = 3 * ticks
    sounds = np.zeros((ticks, 3, 2), np.float32)
    sounds[:, 0] = 1, 0.7
    np.savez(
        path,
        camera=rng.integers(0, 256, (ticks, 3, 128, 240), dtype=np.uint8),
        lift=lift_grid(camera.intrinsics, camera.T_base_sensor.transform()),
        lidar=rng.random((ticks, 6, 128, 128)).astype(np.float16),
        lidar_before=rng.random((ticks, 6, 128, 128)).astype(np.float16),
        radar=rng.random((ticks, 6, 64, 64)).astype(np.float16),
        imu=rng.normal(size=(ticks, 2, 14)).astype(np.float32),
        audio=rng.random((ticks, 2, SOUND_FEATURES)).astype(np.float32),
        present=np.ones((ticks, 5), np.float32),
        warp=np.tile(np.array([1, 0.01, 0.5, 0.1], np.float32), (ticks, 4, 1)),
        motion=rng.normal(size=(ticks, 2)).astype(np.float32),
        sounds=sounds,
        count=np.full(ticks, 3),
        class_id=np.tile(np.array([0, 5, 6], np.uint8), ticks),
        center=rng.uniform(-35, 35, (count, 3)),
        size=rng.uniform(0.5, 5, (count, 3)),
        yaw=rng.uniform(-3, 3, count),
        velocity=rng.normal(size=(count, 2)),
        visible=np.tile([True, True, False], ticks),
    )
    return path


@pytest.fixture
def examples(tmp_path: Path, synthetic_rig: Rig) -> Examples:
    return Examples([write_shard(tmp_path / f"{k}.npz", 2, synthetic_rig, k) for k in range(2)])


def batch_of(examples: Examples, mirror: bool):  # type: ignore[no-untyped-def]
    index = np.arange(len(examples))
    return examples.batch(index, np.full(len(index), mirror), np.ones((len(index), 5), np.float32))


def test_shards_are_joined_in_order(examples: Examples, synthetic_rig: Rig, tmp_path: Path) -> None:
    assert len(examples) == 4
    second = np.load(tmp_path / "1.npz")
    truth, visible = examples.objects(2)
    assert np.array_equal(truth.center, second["center"][:3])
    assert [CLASSES[c] for c in truth.class_id] == ["car", "cyclist", "pedestrian"]
    assert visible.tolist() == [True, True, False]
    assert [e.name for e in examples.events(2)] == [SOUND_CLASSES[0]]


def test_mirrored_targets_are_the_targets_of_the_mirrored_world(examples: Examples) -> None:
    plain, mirrored = batch_of(examples, False), batch_of(examples, True)
    assert torch.allclose(mirrored.targets.heat, plain.targets.heat.flip(-1))
    assert torch.allclose(mirrored.targets.counted, plain.targets.counted.flip(-1))
    sign = torch.tensor([1, -1, 1, 1, 1, 1, -1, 1, 1, -1.0])  # y offset, sine of yaw, lateral speed
    assert torch.allclose(mirrored.targets.values, plain.targets.values * sign, atol=1e-5)
    assert torch.allclose(mirrored.targets.motion, plain.targets.motion * torch.tensor([1.0, -1.0]))
    assert torch.allclose(mirrored.targets.toward, plain.targets.toward * torch.tensor([-1.0, 1.0]))


def test_mirrored_inputs_are_the_mirrored_world(examples: Examples) -> None:
    plain, mirrored = batch_of(examples, False), batch_of(examples, True)
    for modality in ("lidar", "lidar_before", "radar"):
        assert torch.equal(mirrored.inputs[modality][0], plain.inputs[modality][0].flip(-1))
    image, lift = plain.inputs["camera"]
    image_m, lift_m = mirrored.inputs["camera"]
    read = torch.nn.functional.grid_sample(image, lift, align_corners=False)
    read_m = torch.nn.functional.grid_sample(image_m, lift_m, align_corners=False)
    assert torch.allclose(read_m, read.flip(-1), atol=1e-4)  # each cell sees the same pixels as its mirror cell did
    steered = slice(2 * BANDS + 1, -1)
    at = plain.inputs["audio"][0][0, 0, steered].argmax()
    at_m = mirrored.inputs["audio"][0][0, 0, steered].argmax()
    assert azimuth_bins()[at_m] == pytest.approx(-azimuth_bins()[at])
    assert torch.equal(mirrored.warp[..., 1], -plain.warp[..., 1])
    assert torch.equal(mirrored.inputs["imu"][0][..., 2], -plain.inputs["imu"][0][..., 2])


def test_warp_and_mirror_commute(examples: Examples) -> None:
    from sensorfuse.fusion.training.driving import warp_features

    plain, mirrored = batch_of(examples, False), batch_of(examples, True)
    maps = torch.rand(4, 2, 64, 64)
    moved = warp_features(maps, plain.warp[:, 0])
    assert torch.allclose(warp_features(maps.flip(-1), mirrored.warp[:, 0]), moved.flip(-1), atol=1e-5)


def test_invisible_objects_are_neither_wanted_nor_forbidden(examples: Examples) -> None:
    targets = batch_of(examples, False).targets
    assert len(targets.cell) == 2 * len(examples)
    assert (targets.heat[:, 2] < 0.999).all()  # the pedestrians are hidden
    assert (targets.counted[:, 2] == 0).flatten(1).any(dim=1).all()
    assert (targets.counted[targets.heat >= 0.999] == 1).all()
