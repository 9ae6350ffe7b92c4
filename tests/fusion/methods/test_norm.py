"""Normalisation by present samples: the absent must not count, and nobody must not spoil what is known."""

import pytest

torch = pytest.importorskip("torch")

from sensorfuse.fusion.methods.norm import PresentNorm  # noqa: E402


def test_present_samples_come_out_normalised_and_are_remembered() -> None:
    torch.manual_seed(0)
    norm, x = PresentNorm(3), 5.0 * torch.randn(64, 7, 3) + 2.0
    here = (torch.arange(64) % 2).float()
    x[here == 0] = 1e6
    for _ in range(200):
        out = norm(x, here)[here == 1]
    torch.testing.assert_close(out.mean(dim=(0, 1)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.var(dim=(0, 1), unbiased=False), torch.ones(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(norm.eval()(x, here)[here == 1], out, atol=1e-3, rtol=0)


def test_a_batch_without_the_modality_changes_nothing() -> None:
    norm = PresentNorm(3)
    norm(torch.randn(8, 2, 3), torch.ones(8))
    mean, variance = norm.running_mean.clone(), norm.running_var.clone()
    out = norm(torch.randn(8, 2, 3), torch.zeros(8))
    assert torch.isfinite(out).all()
    assert torch.equal(norm.running_mean, mean)
    assert torch.equal(norm.running_var, variance)
