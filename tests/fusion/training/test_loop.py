"""The training loop, on a task of two numbers that takes no time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.errors import SensorfuseError  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.memory import MemoryFusion  # noqa: E402
from sensorfuse.fusion.training.loop import TrainConfig, Trained, train  # noqa: E402
from sensorfuse.fusion.training.task import Step, in_runs  # noqa: E402


@dataclass
class Pairs:
    x: Tensor
    y: Tensor

    def to(self, device: torch.device) -> Pairs:
        return replace(self, x=self.x.to(device), y=self.y.to(device))


class Toy:
    """The sum of two modalities' numbers, to be learned with batch normalisation, dropout and noise in the data."""

    name = "toy"
    modalities = ("left", "right")
    run_length = 1

    def __init__(self, count: int = 24, held_out: bool = True) -> None:
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(count, 2)).astype(np.float32)
        self.judge, self.kept, self.calls = held_out, np.zeros((0, 2), np.float32), 0

    def __len__(self) -> int:
        return len(self.x)

    def make_model(self, strategies: Sequence[str]) -> nn.Module:
        def one() -> nn.Module:
            return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 1))

        return nn.ModuleDict({s: one() for s in strategies})

    def encoders(self, model: nn.Module) -> Mapping[str, nn.Module]:
        return {}

    def batch(self, index: NDArray[np.int64], keep: NDArray[np.float32], rng: np.random.Generator) -> Pairs:
        self.kept = np.concatenate([self.kept, keep])
        noisy = self.x[index] + rng.normal(0, 0.01, (len(index), 2)).astype(np.float32)
        return Pairs(torch.from_numpy(noisy * keep), torch.from_numpy(self.x[index].sum(axis=1, keepdims=True)))

    def step(self, model: nn.Module, batch: Pairs, strategy: str, state: tuple[Tensor, ...] = ()) -> Step:
        return Step(F.mse_loss(model[strategy](batch.x), batch.y))  # type: ignore[index]

    def held_out(self, model: nn.Module, batch_size: int, rng: np.random.Generator) -> dict[str, float]:
        if not self.judge:
            return {}
        self.calls += 1
        return {s: float(self.calls) for s in model}  # type: ignore[attr-defined]  # worse every time


def config(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"strategies": ("hybrid",), "epochs": 4, "batch": 6, "patience": 99, **changes})


def weights(trained: Trained) -> dict[str, Tensor]:
    return trained.model.state_dict()


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


def interrupted(monkeypatch: pytest.MonkeyPatch, after: int, task: Toy, settings: TrainConfig, out: Path) -> None:
    """A run that is stopped right after it has saved epoch `after`."""
    import sensorfuse.fusion.training.loop as loop

    saved, save = 0, loop._Run.save

    def save_and_stop(run: Any) -> None:
        nonlocal saved
        save(run)
        saved += 1
        if saved == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train(task, settings, out)


def test_same_seed_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    first = weights(train(Toy(held_out=False), config(), tmp_path / "a"))
    assert same(first, weights(train(Toy(held_out=False), config(), tmp_path / "b")))
    assert not same(first, weights(train(Toy(held_out=False), config(seed=1), tmp_path / "c")))


@pytest.mark.parametrize("averaging", [0.0, 0.9])
@pytest.mark.parametrize("after", [1, 3])
def test_a_resumed_run_equals_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, averaging: float
) -> None:
    settings = config(averaging=averaging, strategies=("hybrid", "early"))
    whole = train(Toy(held_out=False), settings, tmp_path / "whole")
    interrupted(monkeypatch, after, Toy(held_out=False), settings, tmp_path / "cut")
    resumed = train(Toy(held_out=False), settings, tmp_path / "cut", resume=True)
    assert same(weights(whole), weights(resumed))
    assert [h["train"] for h in whole.history] == [h["train"] for h in resumed.history]
    assert [h["epoch"] for h in resumed.history] == [1, 2, 3, 4]


def test_a_finished_run_is_not_trained_further(tmp_path: Path) -> None:
    whole = weights(train(Toy(held_out=False), config(), tmp_path))
    assert same(whole, weights(train(Toy(held_out=False), config(), tmp_path, resume=True)))


def test_without_resume_a_run_begins_anew(tmp_path: Path) -> None:
    train(Toy(held_out=False), config(seed=1), tmp_path)
    other = weights(train(Toy(held_out=False), config(), tmp_path))
    assert same(other, weights(train(Toy(held_out=False), config(), tmp_path / "elsewhere")))


def test_resuming_with_other_settings_or_data_is_refused(tmp_path: Path) -> None:
    train(Toy(), config(epochs=2), tmp_path)
    for task, settings in ((Toy(), config(epochs=3)), (Toy(), config(epochs=2, seed=1)), (Toy(30), config(epochs=2))):
        with pytest.raises(SensorfuseError, match="other settings"):
            train(task, settings, tmp_path, resume=True)
    train(Toy(), config(epochs=2, patience=7, threads=2), tmp_path, resume=True)  # these change no weights


def test_patience_stops_and_the_best_epoch_is_kept(tmp_path: Path) -> None:
    trained = train(Toy(), config(epochs=9, patience=2), tmp_path / "stopped")
    assert len(trained.history) == 3  # the first was the best, two were worse
    once = train(Toy(), config(epochs=9, patience=2), tmp_path / "again")
    assert same(weights(trained), weights(once))
    state = torch.load(tmp_path / "stopped" / "state.pt", weights_only=True)
    assert same(weights(trained), state["best_state"])
    assert not same(weights(trained), state["model"])


def test_without_a_held_out_score_all_epochs_are_run_and_the_last_is_kept(tmp_path: Path) -> None:
    trained = train(Toy(held_out=False), config(patience=1), tmp_path)
    assert len(trained.history) == 4
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert same(weights(trained), state["model"])


def test_the_average_is_of_the_weights_after_each_step(tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []

    class Watched(Toy):
        def step(self, model: nn.Module, batch: Pairs, strategy: str, state: tuple[Tensor, ...] = ()) -> Step:
            seen.append({k: v.clone() for k, v in model.state_dict().items()})
            return super().step(model, batch, strategy, state)

    trained = train(Watched(held_out=False), config(averaging=0.5, epochs=2), tmp_path)
    last = torch.load(tmp_path / "state.pt", weights_only=True)["model"]
    expected = seen[0]["hybrid.0.weight"]
    for step, after in enumerate([*seen[1:], last]):
        share = 1 - min(0.5, (1 + step) / (10 + step))
        expected = expected + share * (after["hybrid.0.weight"] - expected)
    kept = weights(trained)
    assert torch.allclose(kept["hybrid.0.weight"], expected, atol=1e-6)
    assert kept["hybrid.1.num_batches_tracked"] == last["hybrid.1.num_batches_tracked"] == 8


def test_strategies_take_turns_and_learn(tmp_path: Path) -> None:
    task = Toy(120, held_out=False)
    settings = config(strategies=("hybrid", "early"), epochs=20, batch=20, dropout=(0.0,), learning_rate=0.03)
    model = train(task, settings, tmp_path).model
    x = torch.from_numpy(task.x)
    for network in model.children():
        assert (network(x)[:, 0] - x.sum(dim=1)).square().mean().item() < 0.2  # 2 is what zero would get


def test_examples_are_trained_with_each_modality_left_out_at_its_rate(tmp_path: Path) -> None:
    task = Toy(120, held_out=False)
    train(task, config(dropout=(0.0, 0.6), epochs=10), tmp_path / "a")
    assert 1 - task.kept.mean(axis=0) == pytest.approx([0.0, 0.6], abs=0.06)
    in_time = config(dropout=(0.0, 0.6), outage_length=10.0).keep(task, np.random.default_rng(0))
    changes = np.abs(np.diff(in_time[:, 1])).mean()
    assert changes < 0.2  # independent draws would change at 2 * 0.6 * 0.4 of the steps


def test_what_cannot_be_trained_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match="24 examples, fewer than one batch of 32"):
        train(Toy(), config(batch=32), tmp_path)
    with pytest.raises(SensorfuseError, match="one for each of left, right; got 3"):
        train(Toy(), config(dropout=(0.1, 0.1, 0.1)), tmp_path)
    with pytest.raises(SensorfuseError, match="less than 1"):
        train(Toy(), config(dropout=(1.0, 0.1)), tmp_path)
    assert not tmp_path.joinpath("state.pt").exists()


def test_a_run_killed_while_it_saves_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config()
    interrupted(monkeypatch, 2, Toy(held_out=False), settings, tmp_path)
    before = (tmp_path / "state.pt").read_bytes()

    def broken(state: Any, file: Path) -> None:
        Path(file).write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", broken)
        with pytest.raises(OSError, match="disk full"):
            train(Toy(held_out=False), settings, tmp_path, resume=True)
    assert (tmp_path / "state.pt").read_bytes() == before


class Answered(Toy):
    """Runs of six steps in time; whether what `left` said a step ago and what `right` says now have one sign. Memory
    fusion learns it, which sees one step at a time.
    """

    run_length = 6

    def __init__(self, runs: int, seed: int = 0) -> None:
        super().__init__(held_out=False)
        self.x = np.random.default_rng(seed).normal(size=(runs * self.run_length, 2)).astype(np.float32)
        self.begins = np.arange(len(self.x)) % self.run_length == 0
        self.y = (np.roll(self.x[:, 0], 1) * self.x[:, 1] > 0).astype(np.float32)
        self.seen: list[NDArray[np.int64]] = []

    def make_model(self, strategies: Sequence[str]) -> nn.Module:
        return nn.ModuleDict(
            {s: nn.ModuleList([MemoryFusion(TokenLayout((1, 1)), 1, 16, cell=8), nn.Linear(16, 1)]) for s in strategies}
        )

    def batch(self, index: NDArray[np.int64], keep: NDArray[np.float32], rng: np.random.Generator) -> Pairs:
        self.seen.append(index)
        return Pairs(torch.from_numpy(self.x[index]), torch.from_numpy(self.y[index])[:, None])

    def step(self, model: nn.Module, batch: Pairs, strategy: str, state: tuple[Tensor, ...] = ()) -> Step:
        answer, after = self.answer(model, batch.x, strategy, state)
        return Step(F.binary_cross_entropy_with_logits(answer, batch.y), state=after)

    def answer(
        self, model: nn.Module, x: Tensor, strategy: str, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        fusion, read = model[strategy]  # type: ignore[index]
        tokens = [x[:, m : m + 1, None] for m in range(2)]
        fused, _, *after = fusion(*tokens, torch.ones(len(x), 2), *(state or fusion.initial_state(len(x))))
        return read(fused[:, 0]), tuple(after)

    @torch.no_grad()
    def accuracy(self, model: nn.Module, carried: bool = True) -> float:
        """Of the steps that have one before them."""
        runs, right = np.arange(len(self) // self.run_length), []
        state: tuple[Tensor, ...] = ()
        for index, begins in in_runs(runs, self.run_length, len(runs)):
            before = state if carried and not begins else ()
            answer, state = self.answer(model, torch.from_numpy(self.x[index]), "memory", before)
            if not begins:
                right.append((answer[:, 0].numpy() > 0) == (self.y[index] > 0.5))
        return float(np.mean(right))


def test_what_was_a_step_ago_is_learned_where_state_is_handed_on_and_not_without(tmp_path: Path) -> None:
    settings = config(strategies=("memory",), batch=50, epochs=12, learning_rate=0.02, dropout=(0.0,), back=3)
    task, unseen = Answered(600), Answered(200, seed=1)
    model = train(task, settings, tmp_path / "runs").model
    assert unseen.accuracy(model) >= 0.9
    assert unseen.accuracy(model, carried=False) <= 0.6
    alone = Answered(600)
    alone.run_length = 1
    assert unseen.accuracy(train(alone, settings.model_copy(update={"epochs": 3}), tmp_path / "alone").model) <= 0.6


def test_runs_are_gone_through_in_the_order_of_time(tmp_path: Path) -> None:
    task = Answered(9)
    train(task, config(strategies=("memory",), batch=4, epochs=1, back=4), tmp_path)
    assert len(task.seen) == 2 * task.run_length  # two batches of four runs; the ninth is left over
    for group in (task.seen[:6], task.seen[6:]):
        assert task.begins[group[0]].all()
        for k, index in enumerate(group):
            assert np.array_equal(index, group[0] + k)
    assert len(np.unique(np.concatenate(task.seen))) == 48
    with pytest.raises(SensorfuseError, match="9 runs of 6 examples, fewer than one batch of 10"):
        train(task, config(strategies=("memory",), batch=10), tmp_path)
