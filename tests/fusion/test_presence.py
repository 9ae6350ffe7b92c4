"""Absence: every subset is finite, and what an absent modality holds changes nothing, NaN included."""

import itertools

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from sensorfuse.fusion.cross_modal_attention import CrossModalAttentionFusion  # noqa: E402
from sensorfuse.fusion.hybrid import HybridFusion  # noqa: E402
from sensorfuse.fusion.presence import MissingTokens, present_softmax  # noqa: E402

SUBSETS = [s for s in itertools.product([0.0, 1.0], repeat=5) if any(s)]


def strategies() -> list[nn.Module]:
    torch.manual_seed(0)
    return [
        HybridFusion(5, 6, 8),
        CrossModalAttentionFusion(5, 6, 8, attention_width=8),
        CrossModalAttentionFusion(5, 6, 8, attention_width=8, targets=(0, 1, 2), grid=(4, 4), patch=2),
    ]


@pytest.mark.parametrize("strategy", strategies(), ids=["hybrid", "attention", "attention_on_patches"])
def test_every_subset_and_nothing_from_the_absent(strategy: nn.Module) -> None:
    torch.manual_seed(1)
    tokens = [torch.randn(len(SUBSETS), 16 if m < 3 else 1, 6) for m in range(5)]
    present = torch.tensor(SUBSETS)
    fused, weights = strategy(*tokens, present)
    assert torch.isfinite(fused).all()
    assert torch.isfinite(weights).all()
    assert (weights[present == 0] == 0).all()
    for value in (float("nan"), float("inf"), 1e9):
        spoiled = [torch.where(present[:, m, None, None] > 0, x, torch.tensor(value)) for m, x in enumerate(tokens)]
        again, weights_again = strategy(*spoiled, present)
        assert torch.equal(fused, again)
        assert torch.equal(weights, weights_again)
    for m in range(5):  # and what is there does count
        changed = [x + 1.0 if n == m else x for n, x in enumerate(tokens)]
        other, _ = strategy(*changed, present)
        differs = (other != fused).flatten(1).any(dim=1)
        asking = present[:, list(strategy.targets)].any(dim=1) if hasattr(strategy, "targets") else True
        assert torch.equal(differs, (present[:, m] > 0) & asking)  # with no target there is nobody to ask


def test_missing_token_learns_only_where_it_stands_in() -> None:
    missing = MissingTokens(3, 4)
    present = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    sum(x.sum() for x in missing([torch.randn(2, 5, 4)] * 3, present)).backward()
    assert missing.token.grad is not None
    assert missing.token.grad.abs().sum(dim=1).tolist() == [0.0, 20.0, 0.0]


def test_weights_of_nobody_are_zero() -> None:
    assert not present_softmax(torch.randn(2, 3, 4), torch.zeros(2, 4)).any()
