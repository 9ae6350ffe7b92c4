"""The memory must hold what one modality said a step ago until another answers it: memories of their own cannot."""

import pytest

torch = pytest.importorskip("torch")
from tasks import accuracy, fit  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.memory import MemoryFusion  # noqa: E402

FEATURES, STEPS, WIDTH = 2, 3, 16


def answered(count: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """Two modalities over three steps (count, 3, 2); whether a's first number one step ago and b's first now have one
    sign.
    """
    rng = torch.Generator().manual_seed(seed)
    a, b = (torch.randn((count, STEPS, FEATURES), generator=rng) for _ in range(2))
    return [a, b], (a[:, -2, :1] * b[:, -1, :1] > 0).float()


class Streaming(nn.Module):
    """A step per call, with the state handed on; read at the last step."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.fusion, self.read = MemoryFusion(TokenLayout((1, 1)), FEATURES, WIDTH, cell=8), nn.Linear(WIDTH, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        state = self.fusion.initial_state(len(a))
        for t in range(STEPS):
            fused, _, *state = self.fusion(a[:, t : t + 1], b[:, t : t + 1], torch.ones(len(a), 2), *state)
        return self.read(fused[:, 0])


class LateMemories(nn.Module):
    """An LSTM for each modality; their decisions are added."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.recur = nn.ModuleList(nn.LSTM(FEATURES, 16, batch_first=True) for _ in range(2))
        self.read = nn.ModuleList(nn.Linear(16, 1) for _ in range(2))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        both = zip(self.read, self.recur, (a, b), strict=True)
        return torch.stack([read(lstm(x)[0][:, -1]) for read, lstm, x in both]).sum(dim=0)


def score(model: nn.Module, seed: int = 0) -> float:
    return accuracy(fit(model, *answered(6000, seed), steps=200, rate=0.015), *answered(3000, 99 + seed))


def test_remembers_across_modalities() -> None:
    assert score(Streaming(0)) >= 0.95


def test_memories_of_their_own_cannot() -> None:
    assert score(LateMemories()) <= 0.60


def test_the_memory_sees_the_cells_before_the_step() -> None:
    torch.manual_seed(0)
    fusion = MemoryFusion(TokenLayout((1, 1)), FEATURES, WIDTH)
    before, after, u = torch.randn(1, 1, 32), torch.randn(1, 1, 32), torch.randn(1, 1, 24)
    changed = before.clone()
    changed[..., 20] += 1.0
    assert (fusion.remember(before, after, u) != fusion.remember(changed, after, u)).any()


def test_a_scan_is_the_steps_one_after_another() -> None:
    torch.manual_seed(0)
    scan = MemoryFusion(TokenLayout((5, 5, 1)), FEATURES, WIDTH, scan=True)
    step = MemoryFusion(TokenLayout((1, 1, 1)), FEATURES, WIDTH)
    step.load_state_dict(scan.state_dict())
    a, b, v, present = torch.randn(2, 5, 2), torch.randn(2, 5, 2), torch.randn(2, 1, 2), torch.ones(2, 3)
    fused, _, *last = scan(a, b, v, present, *scan.initial_state(2))
    state = step.initial_state(2)
    for t in range(5):
        one, _, *state = step(a[:, t : t + 1], b[:, t : t + 1], v, present, *state)
        torch.testing.assert_close(one[:, 0], fused[:, t])
    for x, y in zip(last, state, strict=True):
        torch.testing.assert_close(x, y)


def test_on_a_grid_the_state_is_per_patch() -> None:
    fusion = MemoryFusion(TokenLayout((4096, 1), (64, 64), 4), FEATURES, WIDTH)
    assert [tuple(s.shape) for s in fusion.initial_state(3)] == [(3, 256, 32), (3, 256, 32), (3, 256, 24)]
