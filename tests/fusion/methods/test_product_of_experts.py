"""A product of experts must weigh sensors by what they know, sample by sample, and know how much that is."""

import pytest

torch = pytest.importorskip("torch")
from tasks import EarlyLinear, Read, fit  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn.functional import mse_loss  # noqa: E402

from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.product_of_experts import ProductOfExpertsFusion  # noqa: E402


def readings(count: int, seed: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """Two sensors' readings of one number z ~ N(0, 1), each with the log of its own noise beside it (count, 2); z; and
    the best that can be made of them, by the readings' and the prior's inverse variances.
    """
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn((count, 1), generator=rng)
    modalities, precision, pull = [], torch.ones(count, 1), torch.zeros(count, 1)
    for _ in range(2):
        log_sigma = 4 * torch.rand((count, 1), generator=rng) - 3
        reading = z + log_sigma.exp() * torch.randn((count, 1), generator=rng)
        modalities.append(torch.cat([reading, log_sigma], dim=1))
        precision = precision + torch.exp(-2 * log_sigma)
        pull = pull + torch.exp(-2 * log_sigma) * reading
    return modalities, z, pull / precision


def error(estimate: Tensor, truth: Tensor) -> float:
    return float((estimate - truth).square().mean().sqrt())


def test_weighs_readings_by_their_noise() -> None:
    torch.manual_seed(0)
    inputs, z, _ = readings(8000, 0)
    fresh, truth, best = readings(4000, 99)
    fusion = ProductOfExpertsFusion(TokenLayout((1, 1)), 2, 2, scale=0.0)
    experts = fit(Read(fusion, 2), inputs, z, steps=400, rate=0.02, loss=mse_loss)
    linear = fit(EarlyLinear(2, features=2), inputs, z, steps=400, rate=0.02, loss=mse_loss)
    with torch.no_grad():
        floor, got, simple = error(best, truth), error(experts(*fresh), truth), error(linear(*fresh), truth)
        _, weights = fusion(*[x[:, None] for x in fresh], torch.ones(4000, 2))
    print(f"error: best {floor:.3f}, experts {got:.3f}, linear {simple:.3f}")
    assert got <= 1.15 * floor
    assert simple >= 1.5 * floor
    quieter = fresh[0][:, 1] < fresh[1][:, 1] - 1.0
    assert weights[quieter, 0].mean() >= 0.75


def test_variance_says_how_far_off_the_mean_is() -> None:
    """Trained by likelihood of draws, so that the variance is an answer too: standardised errors have deviation 1."""
    torch.manual_seed(0)
    inputs, z, _ = readings(8000, 0)
    fresh, truth, _ = readings(4000, 99)
    fusion = ProductOfExpertsFusion(TokenLayout((1, 1)), 2, 1)
    optimizer = torch.optim.Adam(fusion.parameters(), lr=0.02)
    for _ in range(300):
        pick = torch.randint(len(z), (256,))
        mean, variance, _ = fusion.posterior(*[x[pick, None] for x in inputs], torch.ones(256, 2))
        loss = torch.nn.functional.gaussian_nll_loss(mean[:, 0], z[pick], variance[:, 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        for present in ([1.0, 1.0], [1.0, 0.0], [0.0, 1.0]):
            mean, variance, _ = fusion.posterior(*[x[:, None] for x in fresh], torch.tensor([present] * 4000))
            assert 0.8 <= float(((mean[:, 0] - truth) / variance[:, 0].sqrt()).std()) <= 1.2


def test_nobody_is_the_prior_and_absence_is_exact() -> None:
    torch.manual_seed(0)
    fusion = ProductOfExpertsFusion(TokenLayout((4, 1, 4)), 6, 5).double().eval()
    a, v, b = (torch.randn(2, n, 6, dtype=torch.float64) for n in (4, 1, 4))
    with torch.no_grad():
        mean, variance, shares = fusion.posterior(a, v, b, torch.zeros(2, 3, dtype=torch.float64))
        assert torch.equal(mean, torch.zeros_like(mean))
        assert torch.equal(variance, torch.ones_like(variance))
        assert not shares.any()
        assert fusion.losses(a, v, b, torch.zeros(2, 3))["kl"] == 0
        smaller = ProductOfExpertsFusion(TokenLayout((4, 4)), 6, 5).double().eval()
        smaller.experts[0], smaller.experts[1] = fusion.experts[0], fusion.experts[2]
        without = fusion(a, v * torch.nan, b, torch.tensor([[1.0, 0.0, 1.0]] * 2, dtype=torch.float64))[0]
        torch.testing.assert_close(without, smaller(a, b, torch.ones(2, 2))[0], atol=1e-9, rtol=0)


def test_product_and_divergence_agree_with_integrals() -> None:
    torch.manual_seed(0)
    fusion = ProductOfExpertsFusion(TokenLayout((1, 1)), 3, 1, scale=1.0).double().eval()
    x = [torch.randn(1, 1, 3, dtype=torch.float64) for _ in range(2)]
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    with torch.no_grad():
        log_density = -0.5 * z**2
        for expert, one in zip(fusion.experts, x, strict=True):
            mu, log_precision = expert(one)[0, 0]
            log_density = log_density - 0.5 * log_precision.exp() * (z - mu) ** 2
        step = float(z[1] - z[0])
        density = (log_density - log_density.max()).exp()
        density = density / (density.sum() * step)
        mean, variance, _ = fusion.posterior(*x, torch.ones(1, 2, dtype=torch.float64))
        by_integral = (density * z).sum() * step
        torch.testing.assert_close(mean[0, 0, 0], by_integral, atol=1e-9, rtol=0)
        torch.testing.assert_close(
            variance[0, 0, 0], (density * (z - by_integral) ** 2).sum() * step, atol=1e-9, rtol=0
        )
        normal = (-0.5 * z**2).exp() / (2 * torch.pi) ** 0.5
        divergence = (density * (density.clamp_min(1e-300) / normal.clamp_min(1e-300)).log()).sum() * step
        torch.testing.assert_close(fusion.losses(*x, torch.ones(1, 2))["kl"], divergence, atol=1e-7, rtol=0)
