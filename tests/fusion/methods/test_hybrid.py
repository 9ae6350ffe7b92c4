"""Hybrid fusion must learn what neither linear early fusion nor late fusion can: a sum and a product of modalities."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.hybrid import HybridFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402

FEATURES = 8


class Classifier(nn.Module):
    """A fusion strategy on single tokens, with a linear read-out."""

    def __init__(self, fusion: nn.Module, width: int) -> None:
        super().__init__()
        self.fusion, self.read = fusion, nn.Linear(width, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        fused, _ = self.fusion(a[:, None], b[:, None], torch.ones(len(a), 2))
        return self.read(fused[:, 0])[:, 0]


class EarlyLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(2 * FEATURES, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.read(torch.cat([a, b], dim=1))[:, 0]


class Late(nn.Module):
    """Each modality decides on its own, by a network if `hidden`; the decisions are added."""

    def __init__(self, hidden: int) -> None:
        super().__init__()

        def one() -> nn.Module:
            if not hidden:
                return nn.Linear(FEATURES, 1)
            return nn.Sequential(nn.Linear(FEATURES, hidden), nn.ReLU(), nn.Linear(hidden, 1))

        self.a, self.b = one(), one()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (self.a(a) + self.b(b))[:, 0]


def task(kind: str, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two modalities N(0, 1) and a label: the sign of an additive score, of a bilinear one, or of their sum."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, count, FEATURES)).astype(np.float32)
    additive, bilinear = a[:, 0] + b[:, 1], 2.0 * a[:, 2] * b[:, 3]
    score = {"additive": additive, "bilinear": bilinear, "both": additive + bilinear}[kind]
    return torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy((score > 0).astype(np.float32))


def accuracy(model: nn.Module, kind: str, steps: int = 300) -> float:
    a, b, label = task(kind, 4000, 0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    order = np.random.default_rng(1)
    for _ in range(steps):
        pick = torch.from_numpy(order.integers(0, len(a), 256))
        loss = nn.functional.binary_cross_entropy_with_logits(model(a[pick], b[pick]), label[pick])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    a, b, label = task(kind, 4000, 99)
    with torch.no_grad():
        return float(((model(a, b) > 0).float() == label).float().mean())


def hybrid(seed: int) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(HybridFusion(TokenLayout((1, 1)), FEATURES, 32), 32)


@pytest.mark.parametrize("seed", [0, 1])
def test_learns_products_between_modalities(seed: int) -> None:
    assert accuracy(hybrid(seed), "bilinear") >= 0.95


def test_beats_early_and_late_on_sum_plus_product() -> None:
    torch.manual_seed(0)
    simpler = [accuracy(model, "both") for model in (EarlyLinear(), Late(0), Late(32))]
    assert accuracy(hybrid(0), "both") >= max(simpler) + 0.1
    assert accuracy(hybrid(0), "additive") >= 0.97


def test_the_task_is_out_of_reach_of_late_fusion() -> None:
    torch.manual_seed(0)
    assert accuracy(Late(0), "bilinear") <= 0.60
    assert accuracy(EarlyLinear(), "bilinear") <= 0.60


def test_vector_is_heard_by_every_token() -> None:
    torch.manual_seed(0)
    fusion = HybridFusion(TokenLayout((10, 1)), 4, 8)
    grid, vector, present = torch.randn(3, 10, 4), torch.randn(3, 1, 4), torch.ones(3, 2)
    fused, weights = fusion(grid, vector, present)
    assert fused.shape == (3, 10, 8)
    assert torch.allclose(weights.sum(dim=1), torch.ones(3))
    everywhere, _ = fusion(grid, vector.expand(-1, 10, -1), present)
    assert torch.allclose(fused, everywhere, atol=1e-6)
    other, _ = fusion(grid, vector + 1, present)
    assert (other != fused).any(dim=-1).all()
