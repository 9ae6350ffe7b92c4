"""Parameter sharing: what is learned from one modality must serve another, whose units and labels it never saw."""

import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES, accuracy, fit  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.early import EarlyFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.parameter_sharing import ParameterSharingFusion  # noqa: E402

WIDTH = 16
LAYOUT = TokenLayout((1, 1))


def rings(count: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """Two modalities (count, 8), coded alike but in other units; whether the first two numbers have one sign."""
    x = torch.randn((count, FEATURES), generator=torch.Generator().manual_seed(seed))
    return [x, 5.0 * x + 3.0], (x[:, :1] * x[:, 1:2] > 0).float()


class Alone(nn.Module):
    """A fusion that is given one modality only; in training the other's values are looked at too, without a label."""

    def __init__(self, fusion: nn.Module, only: int, look: bool = False) -> None:
        super().__init__()
        self.fusion, self.read, self.only, self.look = fusion, nn.Linear(WIDTH, 1), only, look

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        present = torch.zeros(len(a), 2)
        if self.training and self.look:
            with torch.no_grad():
                self.fusion(a[:, None], b[:, None], present + torch.eye(2)[1 - self.only])
        return self.read(self.fusion(a[:, None], b[:, None], present + torch.eye(2)[self.only])[0][:, 0])


def transfer(fusion: nn.Module, seed: int = 0) -> tuple[float, float]:
    """Accuracy with a, from which it learned, and with b, of which it saw no label."""
    model = Alone(fusion, only=0, look=True)
    fit(model, *rings(4000, seed), batch=128)
    own = accuracy(model, *rings(4000, 99 + seed))
    model.only = 1
    return own, accuracy(model, *rings(4000, 99 + seed))


def test_what_one_modality_taught_serves_another() -> None:
    torch.manual_seed(0)
    own, other = transfer(ParameterSharingFusion(LAYOUT, FEATURES, WIDTH))
    assert own >= 0.92
    assert other >= 0.87
    own, other = transfer(EarlyFusion(LAYOUT, FEATURES, WIDTH))
    assert own >= 0.92
    assert other <= 0.60


def test_a_modality_costs_its_normalisations_only() -> None:
    def count(modalities: int) -> int:
        fusion = ParameterSharingFusion(TokenLayout((1,) * modalities), FEATURES, WIDTH, hidden=32, blocks=2)
        return sum(p.numel() for p in fusion.parameters())

    assert count(2) - count(1) == count(5) - count(4) == 2 * 32 * 3


def test_normalisations_tell_modalities_apart() -> None:
    """The label is turned round for b: only what is a modality's own can learn that."""

    def score(fusion: ParameterSharingFusion) -> float:
        model = Either(fusion)
        return accuracy(fit(model, *either(6000, 0), batch=96), *either(4000, 99))

    torch.manual_seed(0)
    assert score(ParameterSharingFusion(LAYOUT, FEATURES, WIDTH)) >= 0.90
    same = ParameterSharingFusion(LAYOUT, FEATURES, WIDTH)
    same.norms[1] = same.norms[0]
    assert score(same) <= 0.60


class Either(nn.Module):
    """Of two modalities one is present; `which` (B, 1) says which."""

    def __init__(self, fusion: nn.Module) -> None:
        super().__init__()
        self.fusion, self.read = fusion, nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor, which: Tensor) -> Tensor:
        return self.read(self.fusion(x[:, None], x[:, None], torch.cat([1 - which, which], dim=1))[0][:, 0])


def either(count: int, seed: int) -> tuple[list[Tensor], Tensor]:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn((count, FEATURES), generator=rng)
    which = (torch.rand((count, 1), generator=rng) > 0.5).float()
    return [x, which], ((x[:, :1] > 0).float() + which) % 2
