"""Hybrid fusion must learn what neither linear early fusion nor late fusion can: a sum and a product of modalities."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES, EarlyLinear, LateSum, Read, fit  # noqa: E402
from tasks import accuracy as share_right  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.hybrid import HybridFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402


def task(kind: str, count: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """Two modalities N(0, 1) and a label: the sign of an additive score, of a bilinear one, or of their sum."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, count, FEATURES)).astype(np.float32)
    additive, bilinear = a[:, 0] + b[:, 1], 2.0 * a[:, 2] * b[:, 3]
    score = {"additive": additive, "bilinear": bilinear, "both": additive + bilinear}[kind]
    return [torch.from_numpy(a), torch.from_numpy(b)], torch.from_numpy((score > 0).astype(np.float32))[:, None]


def accuracy(model: nn.Module, kind: str) -> float:
    return share_right(fit(model, *task(kind, 4000, 0)), *task(kind, 4000, 99))


def hybrid(seed: int) -> Read:
    torch.manual_seed(seed)
    return Read(HybridFusion(TokenLayout((1, 1)), FEATURES, 32), 32)


@pytest.mark.parametrize("seed", [0, 1])
def test_learns_products_between_modalities(seed: int) -> None:
    assert accuracy(hybrid(seed), "bilinear") >= 0.95


def test_beats_early_and_late_on_sum_plus_product() -> None:
    torch.manual_seed(0)
    simpler = [accuracy(model, "both") for model in (EarlyLinear(), LateSum(), LateSum(hidden=32))]
    assert accuracy(hybrid(0), "both") >= max(simpler) + 0.1
    assert accuracy(hybrid(0), "additive") >= 0.97


def test_the_task_is_out_of_reach_of_late_fusion() -> None:
    torch.manual_seed(0)
    assert accuracy(LateSum(), "bilinear") <= 0.60
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
