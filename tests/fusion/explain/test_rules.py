"""The rules of relevance, by hand on two streams of two tokens."""

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402

from sensorfuse.fusion.explain.rules import Relevance, head_mean, normalised  # noqa: E402


def matrix(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows)


def test_heads_are_averaged_where_the_gradient_favours_them() -> None:
    attention = torch.stack([matrix((0.5, 0.5), (1.0, 0.0)), matrix((0.2, 0.8), (0.0, 1.0))])
    gradient = torch.stack([matrix((2.0, -2.0), (1.0, 5.0)), matrix((-1.0, 1.0), (3.0, 0.5))])
    assert torch.allclose(head_mean(attention, gradient), matrix((0.5, 0.4), (0.5, 0.25)))


def test_by_hand() -> None:
    state = Relevance([2, 2])
    s, q = 0, 1
    state.self_attention(q, matrix((0.5, 0.0), (0.25, 0.25)))
    assert torch.equal(state.own(q), matrix((1.5, 0.0), (0.25, 1.25)))
    assert torch.equal(normalised(state.own(q)), matrix((2.0, 0.0), (0.5, 1.5)))

    state.rows[s] = state.rows[s] + state.heard(s, q, matrix((1.0, 0.0), (0.0, 0.5)))
    assert torch.equal(state.rows[s], matrix((1.0, 0.0, 2.0, 0.0), (0.0, 1.0, 0.25, 0.75)))

    gain = state.heard(q, s, matrix((0.0, 1.0), (0.0, 0.0)))  # back: R_qs by rule 10, R_qq by rule 11
    assert torch.equal(gain, matrix((0.0, 2.0, 0.25, 0.75), (0.0, 0.0, 0.0, 0.0)))

    assert torch.equal(state.read(s, torch.tensor([1.0, 2.0])), torch.tensor([1.0, 2.0, 2.5, 1.5]))


def test_what_a_source_heard_of_a_third_is_passed_on() -> None:
    state = Relevance([1, 1, 1])
    state.rows[1] = state.rows[1] + state.heard(1, 2, matrix((0.5,)))
    assert torch.equal(state.heard(0, 1, matrix((0.4,))), matrix((0.0, 0.4, 0.2)))
