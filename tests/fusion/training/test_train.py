"""From data to files that a robot runs: a strategy that remembers, trained on runs of consecutive ticks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sensorfuse.errors import SensorfuseError  # noqa: E402
from sensorfuse.fusion.evaluation.accuracy import evaluate, fuse_run, runs  # noqa: E402
from sensorfuse.fusion.learned import LearnedFusion  # noqa: E402
from sensorfuse.fusion.model_files import ENCODERS_FILE, read_card, weights_folder  # noqa: E402
from sensorfuse.fusion.training.dataset import DataConfig, make_data  # noqa: E402
from sensorfuse.fusion.training.loop import TrainConfig  # noqa: E402
from sensorfuse.fusion.training.train import train_driving  # noqa: E402
from sensorfuse.messages import MODALITIES  # noqa: E402
from sensorfuse.rig import Rig, shipped_rig  # noqa: E402


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of `memory`, on the shipped encoders."""
    data, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("out")
    for _ in make_data(DataConfig(scenarios=("highway",), worlds=2, held_out=1, ticks=4, run_ticks=2), data):
        pass
    encoders = weights_folder() / ENCODERS_FILE
    train_driving(TrainConfig(strategies=("memory",), epochs=1, batch=2), data, out, "the command", encoders)
    return out


class Played:
    """A short run of ticks, encoded once, for fusers of the trained weights."""

    def __init__(self, rig: Rig, weights: Path, ticks: int) -> None:
        self.rig, self.weights = rig, weights
        (self.scenes,) = runs(rig, "highway", 5000, 1, ticks)
        fuser = self.fuser()
        self.evidence = [
            {n: [fuser.encode(s) for s in got] for n, got in scene.samples.items()} for scene in self.scenes
        ]

    def fuser(self) -> LearnedFusion:
        return LearnedFusion(self.rig, "memory", self.weights)

    def play(self, fuser: LearnedFusion, which: range, present: tuple[str, ...] = MODALITIES) -> list[Any]:
        """The own motion that each tick told; what sound was heard before goes along, for it is no state of the
        network.
        """
        out = []
        for k in which:
            held = {n: e for n, e in self.evidence[k].items() if self.rig.sensors[n].modality in present}
            out.append(fuser.fuse(self.scenes[k].tick, held).twist)
        return out


@pytest.fixture(scope="module")
def played(trained: Path) -> Played:
    return Played(shipped_rig("synthetic"), trained, 4)


def test_a_strategy_trained_on_shipped_encoders_runs_beside_them(synthetic_rig: Rig, trained: Path) -> None:
    card = read_card(trained, "memory")
    assert card["command"] == "the command"
    assert card["parity"] < 1e-4
    assert len(card["history"]) == 1
    assert card["dataset"]["run_ticks"] == 2
    scores = evaluate(synthetic_rig, ["memory"], [("highway", 5000)], 1, trained)
    assert scores["strategies"]["memory"]["model"].startswith("memory-")


def test_what_it_remembers_counts_until_it_forgets_or_time_jumps(played: Played) -> None:
    fuser = played.fuser()
    first, carried = *played.play(fuser, range(1)), *played.play(fuser, range(1, 2), ("radar",))
    fuser.forget()
    anew = played.play(fuser, range(1, 2), ("radar",))[0]
    assert not np.array_equal(carried, anew)
    fuser.forget()
    played.play(fuser, range(1), ("radar",))
    played.scenes[1].tick.t_ref_ns += 10**9
    after_gap = played.play(fuser, range(1, 2), ("radar",))[0]
    played.scenes[1].tick.t_ref_ns -= 10**9
    assert np.array_equal(after_gap, anew)
    assert np.isfinite([first, carried]).all()


def test_state_taken_out_and_put_back_goes_on_as_if_nothing_had_happened(played: Played) -> None:
    whole, one, other = (played.fuser() for _ in range(3))
    expected = played.play(whole, range(4))
    before = played.play(one, range(2))
    other._state, other._memory, other._hearing = one._state, one._memory, one._hearing
    assert np.array_equal([*before, *played.play(other, range(2, 4))], expected)


def test_every_set_of_sensors_is_finite_at_every_tick(played: Played) -> None:
    fuser = played.fuser()
    for subset in (("camera",), ("lidar",), ("radar",), ("imu",), ("audio",), ("lidar", "audio")):
        result, _ = fuse_run(fuser, played.scenes, played.evidence, subset, played.rig)
        assert result.twist is not None
        assert np.isfinite(result.twist).all()
        assert np.isfinite(result.detections.center).all()
        assert all(np.isfinite(x).all() for x in fuser._state.at(played.scenes[-1].tick.t_ref_ns + 1).values())


def test_weights_beside_other_encoders_are_refused(trained: Path) -> None:
    (trained / ENCODERS_FILE).write_bytes(b"others")
    with pytest.raises(SensorfuseError, match="other encoders"):
        read_card(trained, "memory")
