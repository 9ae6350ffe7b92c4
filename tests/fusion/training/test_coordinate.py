"""Losses that coordinate: against sums written out, on retrieval between sensors, and on pairs shifted in time."""

import math
from typing import Literal

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.training.canonical import find_canonical_axes  # noqa: E402
from sensorfuse.fusion.training.coordinate import (  # noqa: E402
    ContrastiveLoss,
    Tower,
    contrast,
    deep_cca_loss,
    draw_negatives,
    far_apart,
    sampled_softmax_loss,
)

torch.set_num_threads(1)


def unit(count: int, width: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn((count, width), generator=rng, dtype=torch.float64), dim=1)


@pytest.mark.parametrize("kind", ["clip", "nt_xent"])
def test_contrast_is_the_sum_written_out(kind: Literal["clip", "nt_xent"]) -> None:
    a, b, scale = unit(5, 3, 0), unit(5, 3, 1), 3.0
    paired = torch.tensor([1.0, 1, 0, 1, 1], dtype=torch.float64)
    stamps = torch.tensor([0.0, 0.5, 2, 4, 4.2])
    apart = far_apart(stamps, 1.0)
    views = {("a", i): a[i].numpy() for i in range(5)} | {("b", i): b[i].numpy() for i in range(5)}
    terms = []
    for (side, i), mine in views.items():
        if i == 2:
            continue
        positive, total = None, 0.0
        for (other, j), yours in views.items():
            if (kind == "clip" and other == side) or (other, j) == (side, i) or j == 2:
                continue
            value = math.exp(scale * float(mine @ yours))
            if i == j:
                positive, total = value, total + value
            elif abs(stamps[i] - stamps[j]) >= 1.0:
                total += value
        assert positive is not None
        terms.append(-math.log(positive / total))
    got = contrast(a, b, scale, kind, paired, apart)
    assert got.item() == pytest.approx(sum(terms) / len(terms), abs=1e-12)


@pytest.mark.parametrize("kind", ["clip", "nt_xent"])
def test_absent_and_near_samples_teach_nothing(kind: Literal["clip", "nt_xent"]) -> None:
    a, b = unit(6, 3, 0).requires_grad_(), unit(6, 3, 1).requires_grad_()
    paired = torch.tensor([1.0, 1, 1, 1, 1, 0], dtype=torch.float64)
    contrast(a, b, 3.0, kind, paired).backward()
    assert a.grad is not None
    assert not a.grad[5].any()
    assert a.grad[:5].any(dim=1).all()
    assert contrast(a, b, 3.0, kind, apart=far_apart(torch.zeros(6), 1.0)).item() == 0
    assert contrast(a, b, 3.0, kind, torch.zeros_like(paired)).item() == 0


def test_the_scale_is_learned_within_bounds_and_never_stuck() -> None:
    loss, a = ContrastiveLoss("clip", window_s=1.0), unit(8, 4, 0).float()
    assert loss.log_scale.exp().item() == pytest.approx(1 / 0.07)
    for far, bound in ((9.0, 100.0), (-9.0, 1.0)):
        loss.log_scale.data.fill_(far)
        loss.zero_grad()
        loss(a, a.roll(1, 0)).backward()
        assert loss.log_scale.exp().item() == pytest.approx(bound)
        assert loss.log_scale.grad is not None
        assert loss.log_scale.grad.abs() > 0
    stamps = torch.arange(8, dtype=torch.float64) * 0.6 + 1.7e9
    assert loss(a, a, stamps_s=stamps) < loss(a, a)  # fewer negatives


class Sensors:
    """Two sensors (T, 12) and (T, 10) of one scene of four numbers: each its own curved mixture of them, with noise.

    `memory` 0: every sample is another scene; else the scene's correlation from tick to tick.
    """

    def __init__(self) -> None:
        rng = np.random.default_rng(11)
        self.mix = [rng.standard_normal((4, d)) for d in (12, 10)]

    def record(self, ticks: int, seed: int, memory: float = 0.0) -> list[Tensor]:
        rng = np.random.default_rng(seed)
        scene = rng.standard_normal((ticks, 4))
        for t in range(1, ticks):
            scene[t] = memory * scene[t - 1] + math.sqrt(1 - memory**2) * scene[t]
        out = [np.tanh(0.7 * scene @ m) + 0.1 * rng.standard_normal((ticks, m.shape[1])) for m in self.mix]
        return [torch.from_numpy(x.astype(np.float32)) for x in out]


def recall(a: Tensor, b: Tensor) -> float:
    """Share of rows of a whose nearest row of b is their own."""
    return float(((a @ b.T).argmax(dim=1) == torch.arange(len(a))).float().mean())


@pytest.mark.parametrize("kind", ["clip", "nt_xent"])
def test_retrieval_between_sensors(kind: Literal["clip", "nt_xent"]) -> None:
    torch.manual_seed(0)
    towers = nn.ModuleList(nn.Sequential(nn.Linear(d, 32), nn.ReLU(), nn.Linear(32, 16)) for d in (12, 10))
    loss = ContrastiveLoss(kind)
    training, test = Sensors().record(4000, 0), Sensors().record(512, 1)

    def embed(inputs: list[Tensor]) -> list[Tensor]:
        return [F.normalize(t(x), dim=1) for t, x in zip(towers, inputs, strict=True)]

    before = recall(*embed(test))
    optimizer = torch.optim.Adam([*towers.parameters(), *loss.parameters()], lr=0.01, fused=True)
    rng = np.random.default_rng(1)
    for _ in range(150):
        pick = torch.from_numpy(rng.integers(0, 4000, 256))
        value = loss(*embed([x[pick] for x in training]))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    with torch.no_grad():
        assert before <= 0.02  # chance is 1 in 512
        assert recall(*embed(test)) >= 0.5


def score_auc(same: Tensor, other: Tensor) -> float:
    """Chance that a pair of the same moment scores above one that is not."""
    return float((same[:, None] > other[None]).double().mean())


def test_dssm_tells_the_same_moment_from_two_seconds_later() -> None:
    """10 Hz, a scene that changes within half a second; trained on one recording, asked about another."""
    torch.manual_seed(0)
    towers = nn.ModuleList([Tower([12, 32, 16]), Tower([10, 32, 16])])
    training, test = Sensors().record(3000, 0, 0.8), Sensors().record(600, 1, 0.8)
    optimizer = torch.optim.Adam(towers.parameters(), lr=0.01, fused=True)
    rng, draw = np.random.default_rng(1), torch.Generator().manual_seed(1)
    for _ in range(150):
        pick = torch.from_numpy(rng.integers(0, 3000, 128))
        a, b = (t(x[pick]) for t, x in zip(towers, training, strict=True))
        negatives = draw_negatives(far_apart(pick * 0.1, 1.0), 4, draw)
        value = sampled_softmax_loss(a, b, negatives)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    with torch.no_grad():
        a, b = (t(x) for t, x in zip(towers, test, strict=True))
        mixed = b[torch.randperm(len(b), generator=draw)]
    assert score_auc((a * b)[:-20].sum(dim=1), (a[:-20] * b[20:]).sum(dim=1)) >= 0.95
    unrelated = score_auc((a * mixed)[:-20].sum(dim=1), (a[:-20] * mixed[20:]).sum(dim=1))
    assert unrelated == pytest.approx(0.5, abs=0.08)  # towers share nothing but the moment


def test_negatives_are_never_near_in_time() -> None:
    stamps = torch.arange(20) * 0.25
    drawn = draw_negatives(far_apart(stamps, 1.0), 50, torch.Generator().manual_seed(0))
    assert drawn.shape == (20, 50)
    assert (stamps[drawn] - stamps[:, None]).abs().min() >= 1.0
    with pytest.raises(AssertionError, match="mix recordings"):
        draw_negatives(far_apart(stamps, 9.0), 4)


def test_sampled_softmax_written_out() -> None:
    a, b = unit(3, 4, 0), unit(3, 4, 1)
    negatives = torch.tensor([[1, 2], [0, 0], [1, 0]])
    want = 0.0
    for i in range(3):
        good = math.exp(5 * float(a[i] @ b[i]))
        want -= math.log(good / (good + sum(math.exp(5 * float(a[i] @ b[j])) for j in negatives[i]))) / 3
    assert sampled_softmax_loss(a, b, negatives, gamma=5.0).item() == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("count", [None, 2])
def test_deep_cca_loss_is_minus_the_sum_of_canonical_correlations(count: int | None) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((200, 4)), rng.standard_normal((200, 6))
    b[:, :3] += a[:, :3]
    axes = find_canonical_axes(a, b, count, regularisation=1e-3)
    got = deep_cca_loss(torch.from_numpy(a), torch.from_numpy(b), 1e-3, count)
    assert got.item() == pytest.approx(-axes.correlations.sum(), abs=1e-9)


def test_deep_cca_finds_what_linear_cca_cannot() -> None:
    """The second sensor reads the square of what the first one reads."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    a = rng.standard_normal((4000, 3)).astype(np.float32)
    b = np.column_stack([a[:, 0] ** 2 + 0.1 * rng.standard_normal(4000), *rng.standard_normal((2, 4000))])
    assert find_canonical_axes(a[:2000], b[:2000]).correlations[0] <= 0.15
    inputs = [torch.from_numpy(a), torch.from_numpy(b.astype(np.float32))]
    networks = nn.ModuleList(nn.Sequential(nn.Linear(3, 24), nn.Tanh(), nn.Linear(24, 2)) for _ in inputs)
    optimizer = torch.optim.Adam(networks.parameters(), lr=0.02, fused=True)
    for _ in range(150):
        pick = torch.from_numpy(rng.integers(0, 2000, 400))
        value = deep_cca_loss(*[f(x[pick]) for f, x in zip(networks, inputs, strict=True)])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    with torch.no_grad():
        x, y = (f(x).double().numpy() for f, x in zip(networks, inputs, strict=True))
    axes = find_canonical_axes(x[:2000], y[:2000])
    assert axes.agreement(x[2000:], y[2000:])[0] >= 0.85
