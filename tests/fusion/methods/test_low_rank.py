"""Low-rank fusion must learn products of modalities with factors that train, and equal the full tensor."""

import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES, EarlyLinear, LateSum, Read, accuracy, fit, products  # noqa: E402

from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.low_rank import LowRankFusion  # noqa: E402


def reader(order: int) -> Read:
    torch.manual_seed(0)
    return Read(LowRankFusion(TokenLayout((1,) * order), FEATURES, 16), 16)


@pytest.mark.parametrize(("order", "least"), [(2, 0.95), (3, 0.90)])
def test_learns_products_that_sums_and_votes_cannot(order: int, least: float) -> None:
    inputs, label = products(order, 4000, 0)
    fresh, answer = products(order, 4000, 99)
    assert accuracy(fit(reader(order), inputs, label), fresh, answer) >= least
    for simpler in (EarlyLinear(order), LateSum(order, hidden=32)):
        assert accuracy(fit(simpler, inputs, label), fresh, answer) <= 0.60


def test_factors_that_do_not_train_learn_nothing() -> None:
    inputs, label = products(2, 4000, 0)
    frozen = reader(2)
    trained = {n for n, _ in frozen.fusion.named_parameters()}
    assert trained == {"factors.0.weight", "factors.1.weight", "ones", "mix", "bias"}
    for p in (*frozen.fusion.factors.parameters(), frozen.fusion.ones):
        p.requires_grad_(False)
    assert accuracy(fit(frozen, inputs, label), *products(2, 4000, 99)) <= 0.75


def test_equals_the_full_tensor_and_absence_is_exact() -> None:
    torch.manual_seed(0)
    fusion = LowRankFusion(TokenLayout((4, 4, 1)), FEATURES, 5, rank=3).double()
    with torch.no_grad():
        fusion.ones.normal_()
    tokens = [torch.randn(2, n, FEATURES, dtype=torch.float64) for n in (4, 4, 1)]
    present = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]], dtype=torch.float64)
    with torch.no_grad():
        fused, _ = fusion(*tokens, present)
        factors = [  # (R, D, C + 1)
            torch.cat([one[:, None], f.weight], dim=1).unflatten(0, (3, 5))
            for one, f in zip(fusion.ones, fusion.factors, strict=True)
        ]
        weight = torch.einsum("rd,rdi,rdj,rdk->dijk", fusion.mix, *factors)
        x, y, z = (
            torch.cat([torch.ones_like(t[..., :1]), t * present[:, m, None, None]], dim=-1)
            for m, t in enumerate(tokens)
        )
        full = torch.einsum("dijk,bni,bnj,bnk->bnd", weight, x, y, z.expand(-1, 4, -1)) + fusion.bias
    torch.testing.assert_close(fused, full, atol=1e-9, rtol=0)
