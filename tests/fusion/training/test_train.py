from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_examples import write_shard  # noqa: E402

from sensorfuse.errors import SensorfuseError  # noqa: E402
from sensorfuse.fusion.training.examples import Examples  # noqa: E402
from sensorfuse.fusion.training.train import TrainConfig, Trainee, batch_loss, load_encoders, train  # noqa: E402
from sensorfuse.rig import Rig  # noqa: E402


@pytest.fixture
def data(tmp_path: Path, synthetic_rig: Rig) -> Examples:
    return Examples([write_shard(tmp_path / "shard.npz", 4, synthetic_rig)])


def config(out: Path, **changes: object) -> TrainConfig:
    return TrainConfig(strategies=("hybrid",), out=out, epochs=2, batch=2, **changes)  # type: ignore[arg-type]


def test_same_seed_same_weights_and_resuming_changes_nothing(data: Examples, tmp_path: Path) -> None:
    whole, record = train(config(tmp_path / "a"), data, data)
    assert [h["epoch"] for h in record["history"]] == [1, 2]
    state = torch.load(tmp_path / "a" / "state.pt", weights_only=True)

    interrupted = config(tmp_path / "b")
    saves = 0
    save = torch.save

    def save_once(*args: object) -> None:
        nonlocal saves
        save(*args)
        saves += 1
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "save", save_once)
        with pytest.raises(KeyboardInterrupt):
            train(interrupted, data, data)
    assert saves == 1
    resumed, _ = train(interrupted.model_copy(update={"resume": True}), data, data)
    other = torch.load(tmp_path / "b" / "state.pt", weights_only=True)
    assert all(torch.equal(state["model"][k], other["model"][k]) for k in state["model"])
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in whole.state_dict().items())


def test_a_few_steps_fit_a_few_examples(data: Examples) -> None:
    torch.manual_seed(0)
    model = Trainee(("hybrid",))
    batch = data.batch(np.arange(2), np.zeros(2, bool), np.ones((2, 5), np.float32))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    record = []
    for _ in range(15):
        loss, parts = batch_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        record.append(parts["hybrid"])
    for part in ("heat", "place", "yaw", "sound"):
        assert record[-1][part] < 0.75 * record[0][part], part


def test_frozen_encoders_stay_as_they_are(data: Examples, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    file = tmp_path / "encoders.safetensors"
    before = Trainee(("hybrid",)).encoders.state_dict()
    save_file({k: v.contiguous() for k, v in before.items()}, file)
    trained, _ = train(config(tmp_path / "out", encoders=file).model_copy(update={"epochs": 1}), data, data)
    assert all(torch.equal(v, before[k]) for k, v in trained.encoders.state_dict().items())
    file.write_bytes(b"none")
    with pytest.raises(SensorfuseError, match=r"encoders\.safetensors"):
        load_encoders(trained, file)


def test_strategies_that_learn_nothing_are_refused(data: Examples, tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match="late"):
        train(config(tmp_path).model_copy(update={"strategies": ("late",)}), data, data)
