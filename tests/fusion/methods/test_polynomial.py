"""Polynomial pooling must learn products of as many numbers as its order; its second layer those of neighbours."""

import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES, Read, accuracy, fit, products  # noqa: E402
from torch import Tensor  # noqa: E402

from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.polynomial import PolynomialFusion  # noqa: E402

WIDTH = 8


def score(modalities: int, order: int, seed: int = 0) -> float:
    torch.manual_seed(seed)
    layout = TokenLayout((1,) * modalities)
    fusion = PolynomialFusion(layout, FEATURES, WIDTH, order, rank=4, layers=1, normalise=False)
    model = fit(Read(fusion, WIDTH), *products(modalities, 16000, seed), steps=300)
    return accuracy(model, *products(modalities, 4000, 99 + seed))


@pytest.mark.parametrize(("modalities", "least"), [(2, 0.95), (3, 0.90)])
def test_order_is_the_number_of_factors(modalities: int, least: float) -> None:
    assert score(modalities, order=modalities - 1) <= 0.60
    assert score(modalities, order=modalities) >= least


def neighbours(count: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """Three steps of two modalities (count, 3, 8); whether a's number at step 0 and b's at step 1 have one sign."""
    rng = torch.Generator().manual_seed(seed)
    a, b = (torch.randn((count, 3, FEATURES), generator=rng) for _ in range(2))
    return [a, b], (a[:, 0, :1] * b[:, 1, :1] > 0).float()


@pytest.mark.parametrize(("layers", "low", "high"), [(1, 0.0, 0.60), (2, 0.90, 1.0)])
def test_the_second_layer_multiplies_neighbours(layers: int, low: float, high: float) -> None:
    torch.manual_seed(0)
    fusion = PolynomialFusion(TokenLayout((3, 3)), FEATURES, WIDTH, rank=4, layers=layers)
    model = fit(Read(fusion, WIDTH), *neighbours(8000, 0), steps=350)
    assert low <= accuracy(model, *neighbours(4000, 99)) <= high


def test_what_the_first_layer_makes_is_the_power_written_out() -> None:
    torch.manual_seed(0)
    fusion = PolynomialFusion(TokenLayout((1, 1)), FEATURES, 3, order=3, rank=2, layers=1).double()
    x, y = (torch.randn(4, 1, FEATURES, dtype=torch.float64) for _ in range(2))
    with torch.no_grad():
        fused, _ = fusion(x, y, torch.ones(4, 2, dtype=torch.float64))
        f = torch.cat([torch.ones(4, 1, dtype=torch.float64), x[:, 0], y[:, 0]], dim=1)
        a = torch.cat([fusion.constant[:, None], *(linear.weight for linear in fusion.forms)], dim=1)
        a = a.unflatten(0, (2, 3))  # (R, H, 1 + 2 C)
        z = torch.einsum("rh,rhi,rhj,rhk,bi,bj,bk->bh", fusion.first.mix, a, a, a, f, f, f) + fusion.first.bias
        root = torch.sign(z) * z.abs() / (z**2 + 1e-4) ** 0.25
        unit = root / root.norm(dim=1, keepdim=True) * 3**0.5
    torch.testing.assert_close(fused[:, 0], fusion.out(unit), atol=1e-5, rtol=0)
