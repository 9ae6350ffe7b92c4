"""Coordination must carry what was learned of labels with one sensor over to another that never saw a label."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.coordinated import CoordinatedFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402

CLASSES = 4
ONLY_FIRST, ONLY_SECOND = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])


def scenes(count: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """Two sensors (count, 1, 8) that see the same four numbers, each by its own curved mixture; which is largest."""
    mix = np.random.default_rng(3).standard_normal((2, 4, FEATURES))
    rng = np.random.default_rng(seed)
    scene = rng.standard_normal((count, 4))
    x = np.tanh(0.5 * scene @ mix) + 0.05 * rng.standard_normal((2, count, FEATURES))
    return [torch.from_numpy(m[:, None].astype(np.float32)) for m in x], torch.from_numpy(scene.argmax(axis=1))


def train(agreement: float, seed: int = 0, steps: int = 150) -> tuple[CoordinatedFusion, nn.Module]:
    """Labels are seen with the first sensor alone; the pair is seen without."""
    torch.manual_seed(seed)
    fusion = CoordinatedFusion(TokenLayout((1, 1)), FEATURES, 16, agreement=agreement)
    read = nn.Linear(16, CLASSES)
    tokens, label = scenes(4000, 0)
    optimizer = torch.optim.Adam([*fusion.parameters(), *read.parameters()], lr=0.01, fused=True)
    rng = np.random.default_rng(1)
    for _ in range(steps):
        pick = torch.from_numpy(rng.integers(0, 4000, 128))
        pair = [x[pick] for x in tokens]
        fused, _ = fusion(*pair, ONLY_FIRST.expand(128, 2))
        loss = nn.functional.cross_entropy(read(fused[:, 0]), label[pick])
        loss = loss + fusion.losses(*pair, torch.ones(128, 2))["agreement"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return fusion.eval(), read.eval()


@torch.no_grad()
def by(present: Tensor, fusion: CoordinatedFusion, read: nn.Module) -> float:
    tokens, label = scenes(2000, 99)
    fused, _ = fusion(*tokens, present.expand(2000, 2))
    return float((read(fused[:, 0]).argmax(dim=1) == label).float().mean())


def test_labels_learned_with_one_sensor_hold_for_the_other() -> None:
    coordinated, separate = train(0.5), train(0.0)
    assert by(ONLY_FIRST, *separate) >= 0.8
    assert by(ONLY_SECOND, *separate) <= 0.5
    assert by(ONLY_FIRST, *coordinated) >= 0.8
    assert by(ONLY_SECOND, *coordinated) >= 0.8
    tokens, _ = scenes(256, 99)
    with torch.no_grad():
        a, b = coordinated[0].embed_samples(*tokens, torch.ones(256, 2))
        c, d = separate[0].embed_samples(*tokens, torch.ones(256, 2))
    own = torch.arange(256)
    assert ((a @ b.T).argmax(dim=1) == own).float().mean() >= 0.3  # retrieval, chance is 1 in 256
    assert ((c @ d.T).argmax(dim=1) == own).float().mean() <= 0.05


def test_absent_pairs_do_not_agree_or_differ() -> None:
    torch.manual_seed(0)
    fusion = CoordinatedFusion(TokenLayout((4, 4, 1)), 5, 6)
    tokens = [torch.randn(6, n, 5, requires_grad=True) for n in (4, 4, 1)]
    present = torch.ones(6, 3)
    present[:, 1] = 0
    present[2, 2] = 0
    fusion.losses(*tokens, present)["agreement"].backward()
    assert not tokens[1].grad.any()
    assert not tokens[0].grad[2].any()
    assert tokens[0].grad[3].any()
    assert fusion.losses(*tokens, torch.zeros(6, 3))["agreement"].item() == 0
    assert CoordinatedFusion(TokenLayout((4,)), 5, 6).losses(tokens[0], present[:, :1])["agreement"].item() == 0
