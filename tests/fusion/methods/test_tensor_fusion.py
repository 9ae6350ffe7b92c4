"""Tensor fusion must learn products of two and of three modalities, and be without an absent one what it never knew."""

import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES, EarlyLinear, LateSum, Read, accuracy, fit, products  # noqa: E402
from torch import Tensor  # noqa: E402

from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.tensor_fusion import TensorFusion, code_width  # noqa: E402


@pytest.mark.parametrize(("order", "least"), [(2, 0.95), (3, 0.90)])
def test_learns_products_that_sums_and_votes_cannot(order: int, least: float) -> None:
    torch.manual_seed(0)
    inputs, label = products(order, 4000, 0)
    fresh, answer = products(order, 4000, 99)
    tensor = Read(TensorFusion(TokenLayout((1,) * order), FEATURES, 32, code=3), 32)
    assert accuracy(fit(tensor, inputs, label), fresh, answer) >= least
    for simpler in (EarlyLinear(order), LateSum(order, hidden=32)):
        assert accuracy(fit(simpler, inputs, label), fresh, answer) <= 0.60


def fused_by_hand(fusion: TensorFusion, codes: list[Tensor]) -> Tensor:
    """One sample's fused vector from its codes, by the outer product written out; the tensor's axes in given order."""
    tensor = torch.ones(1, dtype=torch.float64)
    for code in codes:
        tensor = torch.tensordot(tensor, torch.cat([torch.ones(1, dtype=torch.float64), code]), dims=0)
    hidden = torch.relu(tensor.flatten() @ fusion.first.flatten(0, 1) + fusion.first_bias)
    return fusion.second(hidden)


def test_is_the_outer_product_and_absence_leaves_the_tensor_of_the_others() -> None:
    torch.manual_seed(0)
    fusion = TensorFusion(TokenLayout((6, 1, 6)), FEATURES, 5, code=3).double()
    a, v, b = (torch.randn(1, n, FEATURES, dtype=torch.float64) for n in (6, 1, 6))
    codes = [torch.tanh(f(x)) for f, x in zip(fusion.project, (a, v, b), strict=True)]
    with torch.no_grad():
        both, _ = fusion(a, v, b, torch.ones(1, 3, dtype=torch.float64))
        without, _ = fusion(a, v * torch.nan, b, torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64))
        smaller = TensorFusion(TokenLayout((6, 6)), FEATURES, 5, code=3).double()
        smaller.project[0], smaller.project[1], smaller.second = fusion.project[0], fusion.project[2], fusion.second
        smaller.first.copy_(fusion.first[:, :1])  # the entries that hold nothing of the vector
        torch.testing.assert_close(without, smaller(a, b, torch.ones(1, 2))[0], atol=1e-9, rtol=0)
        for n in range(6):
            by_hand = fused_by_hand(fusion, [codes[0][0, n], codes[2][0, n], codes[1][0, 0]])
            torch.testing.assert_close(both[0, n], by_hand, atol=1e-9, rtol=0)


def test_the_tensor_stays_affordable() -> None:
    assert code_width(5, 3, 64 * 64) == 4
    assert code_width(2, 2, 1) == 16
    assert code_width(9, 3, 64 * 64) == 1
    for modalities in range(1, 9):
        code = code_width(modalities, modalities, 100)
        assert code == 1 or (code + 1) ** modalities <= 3125
