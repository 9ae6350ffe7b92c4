"""Absent modalities: a learned token stands in, and nobody's weight is zero."""

import pytest

torch = pytest.importorskip("torch")

from sensorfuse.fusion.methods.presence import MissingTokens, present_softmax  # noqa: E402


def test_missing_token_learns_only_where_it_stands_in() -> None:
    missing = MissingTokens(3, 4)
    present = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    sum(x.sum() for x in missing([torch.randn(2, 5, 4)] * 3, present)).backward()
    assert missing.token.grad is not None
    assert missing.token.grad.abs().sum(dim=1).tolist() == [0.0, 20.0, 0.0]


def test_weights_of_nobody_are_zero() -> None:
    assert not present_softmax(torch.randn(2, 3, 4), torch.zeros(2, 4)).any()
