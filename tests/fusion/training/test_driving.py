"""The driving task: what its losses reach, what stays frozen, what a sweep before changes, features in a file."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_examples import write_shard  # noqa: E402

from sensorfuse.errors import SensorfuseError  # noqa: E402
from sensorfuse.fusion.training.driving import DrivingTask, Encoders, Trainee, load_encoders  # noqa: E402
from sensorfuse.fusion.training.examples import Examples  # noqa: E402
from sensorfuse.fusion.training.feature_task import FeatureTask  # noqa: E402
from sensorfuse.fusion.training.loop import TrainConfig, train  # noqa: E402
from sensorfuse.rig import Rig  # noqa: E402

EVERYTHING = np.ones((2, 5), np.float32)


@pytest.fixture
def data(tmp_path: Path, synthetic_rig: Rig) -> Examples:
    return Examples([write_shard(tmp_path / "shard.npz", 4, synthetic_rig)])


@pytest.fixture
def encoders_file(tmp_path: Path) -> Path:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    file = tmp_path / "encoders.safetensors"
    save_file({k: v.contiguous() for k, v in Encoders().state_dict().items()}, file)
    return file


def test_a_few_steps_fit_a_few_examples(data: Examples) -> None:
    torch.manual_seed(0)
    task = DrivingTask(data, data, disturbance=0.0)
    model = task.make_model(("hybrid",)).to(memory_format=torch.channels_last)
    batch = task.batch(np.arange(2), EVERYTHING, np.random.default_rng(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    record = []
    for _ in range(12):
        step = task.step(model, batch, "hybrid")
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        record.append(step.parts)
    for part, share in (
        ("heat", 0.75),
        ("place", 0.75),
        ("own_camera", 0.95),
        ("own_lidar", 0.95),
        ("own_radar", 0.95),
    ):
        assert record[-1][part] < share * record[0][part], part
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoders.sweeps.parameters())


def test_an_absent_modality_teaches_nothing(data: Examples) -> None:
    task = DrivingTask(data, data, disturbance=0.0)
    model = task.make_model(("hybrid",))
    batch = task.batch(np.arange(2), np.array([[1, 0, 1, 1, 1]] * 2, np.float32), np.random.default_rng(0))
    step = task.step(model, batch, "hybrid")
    step.loss.backward()
    assert all(p.grad is None for p in model.encoders.by_modality["lidar"].parameters())
    assert set(step.scores) == {"camera", "radar"}


def test_without_a_sweep_before_its_values_count_for_nothing(data: Examples) -> None:
    encoders = Encoders().eval()
    batch = data.batch(np.arange(2), np.zeros(2, bool), EVERYTHING)
    both = encoders(batch)[1]
    batch.has_before[:] = 0
    alone = encoders(batch)[1]
    batch.inputs["lidar_before"][0].mul_(-3.0)
    assert torch.equal(encoders(batch)[1], alone)
    assert not torch.allclose(both, alone)


def test_features_in_a_file_are_what_the_encoders_make(data: Examples, encoders_file: Path, tmp_path: Path) -> None:
    task = FeatureTask(data, data, encoders_file, tmp_path / "features")
    model = Trainee(("hybrid",), frozen=True).eval()
    load_encoders(model.encoders, encoders_file)
    keep = np.array([[1, 1, 0, 1, 1], [0, 1, 1, 1, 1]], np.float32)
    with torch.no_grad():
        direct = DrivingTask(data, data).validation.batch(np.arange(2), np.zeros(2, bool), keep)
        expected = model.features(direct)
        loss = task.held_out(model, 2, np.random.default_rng(0))
        assert loss == pytest.approx(DrivingTask(data, data).held_out(model, 2, np.random.default_rng(0)), rel=2e-3)
    got = task._batch("held_out", np.arange(2), keep)
    for mine, theirs in zip(got.features, expected, strict=True):
        assert torch.allclose(mine, theirs, atol=2e-3 * float(theirs.abs().max()) + 1e-6)
    files = list((tmp_path / "features").iterdir())
    stamps = [f.stat().st_mtime_ns for f in files]
    FeatureTask(data, data, encoders_file, tmp_path / "features")
    assert [f.stat().st_mtime_ns for f in files] == stamps  # made once


def test_frozen_encoders_stay_as_they_are(data: Examples, encoders_file: Path, tmp_path: Path) -> None:
    task = FeatureTask(data, data, encoders_file, tmp_path / "features")
    trained = train(task, TrainConfig(epochs=1, batch=2), tmp_path / "out").model
    before = Encoders()
    load_encoders(before, encoders_file)
    assert isinstance(trained, Trainee)
    assert all(torch.equal(v, trained.encoders.state_dict()[k]) for k, v in before.state_dict().items())
    encoders_file.write_bytes(b"none")
    with pytest.raises(SensorfuseError, match=r"encoders\.safetensors"):
        load_encoders(before, encoders_file)
