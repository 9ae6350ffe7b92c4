"""Recurrent residual fusion must go deep without new weights, and answer single samples."""

import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES, EarlyLinear, LateSum, Read, accuracy, fit, products  # noqa: E402

from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.recurrent_residual import RecurrentResidualFusion, TokenNorm  # noqa: E402

WIDTH = 8


def reader(repeats: int, seed: int = 0) -> Read:
    torch.manual_seed(seed)
    return Read(RecurrentResidualFusion(TokenLayout((1, 1, 1)), FEATURES, WIDTH, repeats), WIDTH)


def score(repeats: int, seed: int = 0) -> float:
    model = fit(reader(repeats, seed), *products(3, 8000, seed), steps=250)
    return accuracy(model, *products(3, 4000, 99 + seed))


def test_learns_a_product_of_three_that_sums_and_votes_cannot() -> None:
    assert score(3) >= 0.85
    for simpler in (EarlyLinear(3), LateSum(3, hidden=32)):
        assert accuracy(fit(simpler, *products(3, 4000, 0)), *products(3, 4000, 99)) <= 0.60


def weights(fusion: RecurrentResidualFusion) -> int:
    """Parameters without those of batch normalisation."""
    norms = {id(p) for m in fusion.modules() if isinstance(m, TokenNorm) for p in m.parameters()}
    return sum(p.numel() for p in fusion.parameters() if id(p) not in norms)


def test_depth_costs_one_number_per_state() -> None:
    assert [weights(reader(t).fusion) - weights(reader(0).fusion) for t in (1, 3, 7)] == [1, 3, 7]


def test_no_repeats_is_the_plain_block() -> None:
    fusion = reader(0).fusion.double().eval()
    tokens = [torch.randn(5, 1, FEATURES, dtype=torch.float64) for _ in range(3)]
    with torch.no_grad():
        for norm in fusion.modules():
            if isinstance(norm, TokenNorm):
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.5, 2.0)
        fused, _ = fusion(*tokens, torch.ones(5, 3, dtype=torch.float64))
        x = torch.cat([norm(t) for norm, t in zip(fusion.input_norm, tokens, strict=True)], dim=-1)
        a = torch.cat([linear.weight for linear in fusion.inputs], dim=1)
        h = torch.relu(fusion.enter_norm(fusion.enter(torch.relu(x @ a.T))))
        h = h + torch.relu(fusion.again_norm[0](fusion.again(h)))
        plain = fusion.out_norm(fusion.out(torch.relu(fusion.states_norm(fusion.states[0] * h))))
    torch.testing.assert_close(fused, plain, atol=1e-9, rtol=0)


def test_a_sample_alone_is_what_it_is_in_a_batch() -> None:
    model = fit(reader(3), *products(3, 512, 0), steps=5)
    inputs, _ = products(3, 6, 1)
    with torch.no_grad():
        alone = torch.cat([model(*[x[n : n + 1] for x in inputs]) for n in range(6)])
        torch.testing.assert_close(alone, model(*inputs), atol=1e-5, rtol=0)
