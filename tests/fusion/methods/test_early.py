"""Early fusion must learn a product of modalities, which linear fusion and votes cannot, and know who is absent."""

import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES, EarlyLinear, LateSum, Read, accuracy, fit, products  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.early import EarlyFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402


def score(model: nn.Module, seed: int = 0) -> float:
    return accuracy(fit(model, *products(2, 4000, seed)), *products(2, 4000, 99 + seed))


def test_learns_products_that_sums_and_votes_cannot() -> None:
    torch.manual_seed(0)
    assert score(Read(EarlyFusion(TokenLayout((1, 1)), FEATURES, 32), 32)) >= 0.93
    assert score(EarlyLinear()) <= 0.60
    assert score(LateSum(hidden=32)) <= 0.60


def test_presence_is_an_input_beside_the_learned_token() -> None:
    torch.manual_seed(0)
    fusion = EarlyFusion(TokenLayout((1, 1)), FEATURES, 4).double()
    a, b = (torch.randn(3, 1, FEATURES, dtype=torch.float64) for _ in range(2))
    present = torch.tensor([[1.0, 0.0]] * 3, dtype=torch.float64)
    with torch.no_grad():
        got, _ = fusion(a, b * torch.nan, present)
        x = torch.cat([a[:, 0], fusion.missing.token[1].expand(3, -1), present], dim=1)
        columns = [f.weight for f in (*fusion.first, fusion.first_presence)]
        hidden = torch.relu(x @ torch.cat(columns, dim=1).T + fusion.first_presence.bias)
        want: Tensor = fusion.second(hidden)
    torch.testing.assert_close(got[:, 0], want, atol=1e-9, rtol=0)
