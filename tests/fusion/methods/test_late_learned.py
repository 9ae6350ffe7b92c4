"""Late fusion with learned weights must trust who is precise, and be without an absent modality what it never knew."""

import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES, LateSum, Read, fit, products  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.late_learned import LateLearnedFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402

COARSE = 1.0
FINE = 0.1


def readings(count: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """Two modalities (count, 8) that measure a number (count, 1), each finely or coarsely, as its second feature says;
    never both coarsely."""
    rng = torch.Generator().manual_seed(seed)
    truth = torch.randn((count, 1), generator=rng)
    coarse = torch.randint(0, 3, (count, 1), generator=rng)  # which one is, or 2: none
    modalities = []
    for m in range(2):
        x = torch.randn((count, FEATURES), generator=rng)
        spread = torch.where(coarse == m, COARSE, FINE)
        x[:, :1] = truth + spread * x[:, :1]
        x[:, 1:2] = (coarse == m).float()
        modalities.append(x)
    return modalities, truth


@torch.no_grad()
def error(model: nn.Module, seed: int = 99) -> float:
    inputs, truth = readings(4000, seed)
    return float((model(*inputs) - truth).square().mean())


def trained(model: nn.Module, seed: int = 0) -> nn.Module:
    return fit(model, *readings(4000, seed), steps=400, loss=nn.functional.mse_loss)


def test_follows_the_one_that_is_precise() -> None:
    torch.manual_seed(0)
    model = trained(Read(LateLearnedFusion(TokenLayout((1, 1)), FEATURES, 8), 8))
    assert error(model) <= 0.02
    assert error(trained(LateSum(hidden=32))) >= 0.06  # decisions that are added cannot give way to each other
    inputs, _ = readings(2000, 7)
    _, weights = model.fusion(*[x[:, None] for x in inputs], torch.ones(2000, 2))
    for m in range(2):
        assert weights[inputs[m][:, 1] == 1, m].mean() <= 0.1


def test_no_decision_sees_another_modality() -> None:
    """What one modality adds, weight aside, stays as it is when another's values change."""
    torch.manual_seed(0)
    fusion = LateLearnedFusion(TokenLayout((1, 1)), FEATURES, 8)
    with torch.no_grad():
        for decide in fusion.decide:
            decide.weight[-1], decide.bias[-1] = 0.0, 0.0  # equal trust
        (a, b), _ = products(2, 2, 0)
        mixed = [fusion(x[None, None], y[None, None], torch.ones(1, 2))[0] for x in a for y in b]
    torch.testing.assert_close(mixed[0] + mixed[3], mixed[1] + mixed[2])


def test_without_a_modality_it_is_the_fusion_built_without_it() -> None:
    torch.manual_seed(0)
    fusion = LateLearnedFusion(TokenLayout((4, 1, 4)), FEATURES, 5).double()
    smaller = LateLearnedFusion(TokenLayout((4, 4)), FEATURES, 5).double()
    for own, other in ((0, 0), (1, 2)):
        smaller.hidden[own], smaller.decide[own] = fusion.hidden[other], fusion.decide[other]
    a, v, b = (torch.randn(2, n, FEATURES, dtype=torch.float64) for n in (4, 1, 4))
    with torch.no_grad():
        got, weights = fusion(a, v * torch.nan, b, torch.tensor([[1.0, 0.0, 1.0]] * 2, dtype=torch.float64))
        want, others = smaller(a, b, torch.ones(2, 2, dtype=torch.float64))
    torch.testing.assert_close(got, want, atol=1e-9, rtol=0)
    torch.testing.assert_close(weights[:, [0, 2]], others, atol=1e-9, rtol=0)
