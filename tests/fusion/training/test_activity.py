from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from activity_folder import draw_windows  # noqa: E402
from torch import Tensor  # noqa: E402

from sensorfuse.fusion.training.activity import (  # noqa: E402
    ACTIVITY_CONFIG,
    VIEWS,
    ActivityBatch,
    ActivitySettings,
    ActivityTask,
    predict,
)
from sensorfuse.fusion.training.activity_augmentation import Augmentation  # noqa: E402
from sensorfuse.fusion.training.activity_data import ACTIONS, Windows  # noqa: E402
from sensorfuse.fusion.training.activity_model import ActivityModel  # noqa: E402
from sensorfuse.fusion.training.loop import TrainConfig, train  # noqa: E402

BOTH = np.ones((4, 2), np.float32)


@pytest.fixture(scope="module")
def windows() -> Windows:
    return draw_windows((0, 1, 2), (1, 2, 3), repetitions=2)


@pytest.fixture(scope="module")
def trained(windows: Windows, tmp_path_factory: pytest.TempPathFactory) -> ActivityModel:
    """A few steps, which are enough for actions as different as these."""
    config = ACTIVITY_CONFIG.model_copy(update={"strategies": ("hybrid",), "epochs": 20, "batch": 6, "averaging": 0.5})
    gentle = Augmentation(pace=0.1, heading_rad=0.1, size=0.02, joint_offset=0.0)
    task = ActivityTask(windows.of_subjects([1, 2]), settings=ActivitySettings(dropout=0.0, augmentation=gentle))
    model = train(task, config, tmp_path_factory.mktemp("run")).model
    assert isinstance(model, ActivityModel)
    return model


def one_batch(task: ActivityTask, keep: np.ndarray = BOTH, seed: int = 0) -> ActivityBatch:
    return task.batch(np.arange(len(keep)), keep, np.random.default_rng(seed))


def fresh(task: ActivityTask) -> ActivityModel:
    torch.manual_seed(0)
    return task.make_model(("hybrid",)).eval()


def test_a_trained_model_knows_a_new_person_by_both_and_by_each_alone(trained: ActivityModel, windows: Windows) -> None:
    other = windows.of_subjects([3])
    answers = predict(trained, other)["hybrid"]
    assert answers.shape == (3, len(other), ACTIONS)
    assert torch.allclose(answers.sum(dim=2), torch.ones(3, len(other)), atol=1e-5)
    right = (answers.argmax(dim=2) == torch.from_numpy(other.action)).float().mean(dim=1)
    assert (right >= 0.8).all()  # a third would be by chance


def test_an_answer_by_one_modality_does_not_look_at_the_other(trained: ActivityModel, windows: Windows) -> None:
    shuffled = Windows(windows.inertial, windows.skeleton[::-1], windows.action, windows.subject)
    first, second = predict(trained, windows)["hybrid"], predict(trained, shuffled)["hybrid"]
    assert torch.allclose(first[1], second[1], atol=1e-6)
    assert not torch.allclose(first[2], second[2], atol=1e-2)
    assert torch.allclose(first[2], second[2].flip(0), atol=1e-5)


def test_an_answer_is_the_mean_over_views(trained: ActivityModel, windows: Windows) -> None:
    one, two, five = (predict(trained, windows, VIEWS[:n])["hybrid"] for n in (1, 2, 5))
    assert not torch.allclose(one, five, atol=1e-4)
    second = 2 * two - one  # so much the second view alone says
    assert torch.allclose(second.sum(dim=2), torch.ones(second.shape[:2]), atol=1e-5)
    assert (second > -1e-5).all()


def test_the_loss_of_a_batch_is_of_both_and_of_each_alone(windows: Windows) -> None:
    task = ActivityTask(windows, settings=ActivitySettings(own_weight=0.0, smoothing=0.0))
    model, batch = fresh(task), one_batch(task)
    step = task.step(model, batch, "hybrid")
    encoded, label = model.tokens(batch.inertial, batch.skeleton), batch.action

    def loss(present: tuple[float, float]) -> Tensor:
        logits = model.network("hybrid")(*encoded, torch.tensor([present] * 4))
        return torch.nn.functional.cross_entropy(logits, label)

    expected = loss((1.0, 1.0)) + loss((1.0, 0.0)) + loss((0.0, 1.0))
    assert step.loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert step.scores == {}


def test_what_is_left_out_is_not_learned_from(windows: Windows) -> None:
    task = ActivityTask(windows)
    model = task.make_model(("hybrid",))
    without_skeleton = np.tile(np.array([[1.0, 0.0]], np.float32), (4, 1))
    step = task.step(model, one_batch(task, without_skeleton), "hybrid")
    step.loss.backward()
    assert set(step.scores) == {"inertial"}
    assert all(p.grad is None or not p.grad.any() for p in model.encoders["skeleton"].parameters())
    assert any(p.grad is not None and p.grad.any() for p in model.encoders["inertial"].parameters())


def test_scores_say_how_well_each_encoder_does_alone(trained: ActivityModel, windows: Windows) -> None:
    task = ActivityTask(windows)
    known = task.step(trained, one_batch(task), "hybrid").scores
    unknown = task.step(fresh(task), one_batch(task), "hybrid").scores
    assert set(known) == set(unknown) == {"inertial", "skeleton"}
    assert all(0 < unknown[m] < known[m] <= 1 for m in known)
    assert set(task.encoders(trained)) == set(known)


def test_without_held_out_windows_there_is_no_score(windows: Windows) -> None:
    model, rng = fresh(ActivityTask(windows)), np.random.default_rng(0)
    assert ActivityTask(windows).held_out(model, 8, rng) == {}
    scores = ActivityTask(windows, windows.of_subjects([3])).held_out(model, 8, rng)
    assert scores["hybrid"] == pytest.approx(np.log(ACTIONS), abs=1.0)  # it knows nothing yet


def test_the_task_trains_by_the_common_loop_the_same_twice(windows: Windows, tmp_path: Path) -> None:
    config = TrainConfig(strategies=("late_learned",), epochs=2, batch=6, dropout=(0.3,), modulation=0.3)
    first, second = (train(ActivityTask(windows, windows), config, tmp_path / name) for name in "ab")
    other = second.model.state_dict()
    assert all(torch.equal(v, other[k]) for k, v in first.model.state_dict().items())
    assert set(first.history[0]["held_out"]) == {"late_learned"}
