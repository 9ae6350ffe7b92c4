from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.training.gradient_modulation import coefficients, modulate  # noqa: E402

CLASSES = 4
scores = st.dictionaries(st.sampled_from("abcde"), st.floats(1e-3, 1.0), min_size=2, max_size=5)
alphas = st.floats(0.05, 3.0)


@given(scores, alphas)
def test_only_those_that_are_ahead_are_damped(given_scores: dict[str, float], alpha: float) -> None:
    k = coefficients(given_scores, alpha)
    assert k.keys() == given_scores.keys()
    assert all(0 <= value <= 1 for value in k.values())
    for name, score in given_scores.items():
        others = [s for n, s in given_scores.items() if n != name]
        ahead = score / (sum(others) / len(others))
        if ahead > 1 + 1e-9:
            assert k[name] == pytest.approx(1 - math.tanh(alpha * ahead))
        elif ahead < 1 - 1e-9:
            assert k[name] == 1.0
    assert k[min(given_scores, key=given_scores.__getitem__)] == 1.0


@given(scores, alphas)
def test_who_is_further_ahead_is_damped_more(given_scores: dict[str, float], alpha: float) -> None:
    k = coefficients(given_scores, alpha)
    ordered = sorted(given_scores, key=given_scores.__getitem__)
    assert all(k[a] >= k[b] - 1e-12 for a, b in itertools.pairwise(ordered))
    stronger = coefficients(given_scores, 2 * alpha)
    assert all(stronger[n] <= k[n] for n in k)


@given(st.floats(0.01, 1.0), st.integers(2, 5), alphas)
def test_where_all_are_equal_nobody_is_damped(score: float, count: int, alpha: float) -> None:
    assert set(coefficients(dict.fromkeys("abcde"[:count], score), alpha).values()) == {1.0}


def test_only_the_ratio_counts() -> None:
    assert coefficients({"a": 0.6, "b": 0.4, "c": 0.1}, 0.7) == pytest.approx(
        coefficients({"a": 0.06, "b": 0.04, "c": 0.01}, 0.7)
    )


def test_two_modalities_as_in_the_paper_and_one_alone() -> None:
    k = coefficients({"fast": 0.8, "slow": 0.4}, 0.5)
    assert k == {"fast": pytest.approx(1 - math.tanh(0.5 * 2)), "slow": 1.0}
    assert coefficients({"fast": 0.8}, 0.5) == {"fast": 1.0}
    assert coefficients({}, 0.5) == {}


class Encoder(nn.Module):
    """A convolution, a linear layer, and a weight that got no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(3, 16, 5)
        self.linear = nn.Linear(4, 4)
        self.idle = nn.Parameter(torch.zeros(3))

    def fill(self, seed: int) -> dict[str, Tensor]:
        rng = torch.Generator().manual_seed(seed)
        for p in (*self.convolution.parameters(), *self.linear.parameters()):
            p.grad = torch.randn(p.shape, generator=rng)
        return {n: p.grad.clone() for n, p in self.named_parameters() if p.grad is not None}


def modulated(noise_seed: int = 0) -> tuple[dict[str, Encoder], dict[str, dict[str, Tensor]], dict[str, float]]:
    encoders = {"fast": Encoder(), "slow": Encoder()}
    before = {n: e.fill(k) for k, (n, e) in enumerate(encoders.items())}
    used = modulate(encoders, {"fast": 0.9, "slow": 0.3}, 0.4, torch.Generator().manual_seed(noise_seed))
    return encoders, before, used


def test_gradients_of_the_one_behind_stay_and_of_the_one_ahead_shrink() -> None:
    encoders, before, used = modulated()
    assert used == {"fast": pytest.approx(1 - math.tanh(1.2)), "slow": 1.0}
    assert all(torch.equal(encoders["slow"].get_parameter(n).grad, g) for n, g in before["slow"].items())
    assert torch.allclose(encoders["fast"].linear.weight.grad, used["fast"] * before["fast"]["linear.weight"])
    assert encoders["fast"].idle.grad is None


def test_noise_on_convolutions_has_the_size_of_the_gradient_and_a_seed() -> None:
    encoders, before, used = modulated()
    was = before["fast"]["convolution.weight"]
    noise = encoders["fast"].convolution.weight.grad - used["fast"] * was
    assert float(noise.std()) == pytest.approx(float(was.std()), rel=0.15)
    assert abs(float(noise.mean())) < 0.2
    again, other = modulated()[0]["fast"], modulated(noise_seed=1)[0]["fast"]
    assert torch.equal(again.convolution.weight.grad, encoders["fast"].convolution.weight.grad)
    assert not torch.equal(other.convolution.weight.grad, encoders["fast"].convolution.weight.grad)


def test_frozen_encoders_and_unscored_modalities_are_left_alone() -> None:
    encoder = Encoder()
    before = encoder.fill(0)
    for known, given_scores in (({"slow": encoder}, {"fast": 0.9, "slow": 0.3}), ({"fast": encoder}, {})):
        used = modulate(known, given_scores, 1.0, torch.Generator().manual_seed(0))
        assert all(k == 1.0 for k in used.values())
        assert all(torch.equal(encoder.get_parameter(n).grad, g) for n, g in before.items())


@pytest.fixture(scope="module")
def windows() -> list[tuple[dict[str, Tensor], Tensor]]:
    """Training and test examples: class plain to see in `fast`; in `slow` hidden in products of signs."""

    def draw(count: int, seed: int) -> tuple[dict[str, Tensor], Tensor]:
        rng = torch.Generator().manual_seed(seed)
        y = torch.randint(0, CLASSES, (count,), generator=rng)
        fast = 0.8 * torch.randn(count, 8, generator=rng) + 3 * F.one_hot(y, 8)
        sign = torch.randn(count, 2, generator=rng).sign()
        pairs = torch.cat([sign, sign * torch.stack([2 * (y % 2) - 1, 2 * (y // 2) - 1], dim=1)], dim=1)
        mixing = torch.randn(4, 16, generator=torch.Generator().manual_seed(9))
        return {"fast": fast, "slow": 0.5 * (pairs @ mixing) + 0.65 * torch.randn(count, 16, generator=rng)}, y

    return [draw(1200, 1), draw(1200, 2)]


def learn(windows: list[tuple[dict[str, Tensor], Tensor]], alpha: float, seed: int) -> tuple[float, float]:
    """Accuracy of the sum of both modalities' answers, and of a linear probe of the slow encoder."""
    (x, y), (x_test, y_test) = windows
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    sizes = {m: v.shape[1] for m, v in x.items()}
    encode = nn.ModuleDict(
        {m: nn.Sequential(nn.Linear(n, 24), nn.ReLU(), nn.Linear(24, 12), nn.ReLU()) for m, n in sizes.items()}
    )
    answer = nn.ModuleDict({m: nn.Linear(12, CLASSES) for m in sizes})
    optimizer = torch.optim.SGD([*encode.parameters(), *answer.parameters()], lr=0.02, momentum=0.9)
    rng = torch.Generator().manual_seed(seed)
    for _ in range(200):
        rows = torch.randint(0, len(y), (64,), generator=rng)
        logits = {m: answer[m](encode[m](x[m][rows])) for m in sizes}
        optimizer.zero_grad()
        F.cross_entropy(logits["fast"] + logits["slow"], y[rows]).backward()
        if alpha:
            right = {m: torch.softmax(v.detach(), dim=1)[torch.arange(64), y[rows]].mean() for m, v in logits.items()}
            modulate(dict(encode.items()), {m: float(v) for m, v in right.items()}, alpha, rng)
        optimizer.step()
    with torch.no_grad():
        joint = sum(answer[m](encode[m](x_test[m])) for m in sizes).argmax(dim=1) == y_test
        seen, unseen = (F.pad(encode["slow"](v["slow"]), (0, 1), value=1.0).double() for v in (x, x_test))
        ridge = seen.T @ seen + 1e-3 * torch.eye(13, dtype=torch.float64)
        probe = torch.linalg.solve(ridge, seen.T @ F.one_hot(y, CLASSES).double())
        alone = (unseen @ probe).argmax(dim=1) == y_test
    return float(joint.float().mean()), float(alone.float().mean())


def test_the_slow_modality_learns_more_and_both_together_no_less(
    windows: list[tuple[dict[str, Tensor], Tensor]],
) -> None:
    plain = torch.tensor([learn(windows, 0.0, seed) for seed in range(2)])
    balanced = torch.tensor([learn(windows, 1.0, seed) for seed in range(2)])
    joint, slow = (balanced - plain).T
    assert (slow > 0.05).all()
    assert (joint > -0.002).all()
