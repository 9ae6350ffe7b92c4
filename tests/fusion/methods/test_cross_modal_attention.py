"""Cross-modal attention must look up the value whose key matches: pooling cannot (chance is 1 in 4)."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.cross_modal_attention import CrossModalAttentionFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402

KEYS, VALUES, PAIRS = 8, 4, 6
FEATURES = KEYS + VALUES


def lookup(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """One asking token (a key), six answering tokens (key, value) in random order, and the value that belongs to it."""
    rng = np.random.default_rng(seed)
    keys = np.stack([rng.permutation(KEYS)[:PAIRS] for _ in range(count)])
    values = rng.integers(0, VALUES, (count, PAIRS))
    asked = rng.integers(0, PAIRS, count)
    ask = np.zeros((count, 1, FEATURES), np.float32)
    ask[np.arange(count), 0, keys[np.arange(count), asked]] = 1
    answer = np.concatenate([np.eye(KEYS)[keys], np.eye(VALUES)[values]], axis=2).astype(np.float32)
    return torch.from_numpy(ask), torch.from_numpy(answer), torch.from_numpy(values[np.arange(count), asked])


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fusion = CrossModalAttentionFusion(TokenLayout((1, PAIRS)), FEATURES, 32, attention_width=32)
        self.read = nn.Linear(32, VALUES)

    def forward(self, ask: Tensor, answer: Tensor) -> Tensor:
        fused, _ = self.fusion(ask, answer, torch.ones(len(ask), 2))
        return self.read(fused.mean(dim=1))


class Pooling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * FEATURES, 64), nn.ReLU(), nn.Linear(64, VALUES))

    def forward(self, ask: Tensor, answer: Tensor) -> Tensor:
        return self.layers(torch.cat([ask[:, 0], answer.mean(dim=1)], dim=1))


def accuracy(model: nn.Module, steps: int = 200) -> float:
    ask, answer, value = lookup(8000, 0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    order = np.random.default_rng(1)
    for _ in range(steps):
        pick = torch.from_numpy(order.integers(0, len(ask), 256))
        loss = nn.functional.cross_entropy(model(ask[pick], answer[pick]), value[pick])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ask, answer, value = lookup(2000, 99)
    with torch.no_grad():
        return float((model(ask, answer).argmax(dim=1) == value).float().mean())


def test_looks_up_what_pooling_cannot() -> None:
    torch.manual_seed(0)
    assert accuracy(Pooling()) <= 0.6
    assert accuracy(Attending()) >= 0.95


def make_grid_fusion() -> CrossModalAttentionFusion:
    torch.manual_seed(0)
    return CrossModalAttentionFusion(TokenLayout((96, 96, 1), (8, 12), 4), 5, 6, attention_width=8)


def test_a_change_in_one_source_reaches_distant_cells_of_the_target() -> None:
    fusion = make_grid_fusion()
    a, b, vector, present = torch.randn(1, 96, 5), torch.randn(1, 96, 5), torch.randn(1, 1, 5), torch.ones(1, 3)
    before, weights = fusion(a, b, vector, present)
    assert before.shape == (1, 96, 6)
    assert weights[0, :2].sum().item() == pytest.approx(1, abs=1e-6)
    assert weights[0, 2] == 0
    b[0, 0] += 3.0
    after, _ = fusion(a, b, vector, present)
    assert ((after - before).abs().amax(dim=-1) > 1e-7).float().mean() > 0.9
