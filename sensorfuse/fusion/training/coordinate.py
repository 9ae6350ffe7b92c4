"""Losses that make the spaces of modalities agree without joining them. Torch; training only.

Contrast (`contrast`): rows i of a and b, of length 1, belong together; all others of the batch do not. With s the
scale, learned as exp of a parameter and kept in [1, 100]:

    CLIP (Radford et al., ICML 2021)       1/2 mean_i [ -log softmax_j(s a_i . b_j)_i - log softmax_j(s b_i . a_j)_i ]
    NT-Xent (Chen et al., ICML 2020)       the same over the 2B rows of [a; b] against all 2B - 1 others: rows of the
                                           same modality are negatives too

Samples near in time are no negatives of one another: they show the same thing (`far_apart`).

DSSM (Huang, He, Gao, Deng, Acero, Heck, CIKM 2013): towers of tanh layers, cosine, and J drawn negatives per row:

    -log softmax over {b_i, b_n1 .. b_nJ} of  gamma cos(a_i, b)

Deep CCA (Andrew, Arora, Bilmes, Livescu, ICML 2013): minus the sum of canonical correlations of two networks' outputs,
the nuclear norm of S_a^-1/2 S_ab S_b^-1/2. Here L_a^-1 S_ab L_b^-T is taken, L the Cholesky factors: its singular
values are the same (each is a rotation of the other), and its gradient has no differences of eigenvalues in a
denominator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorfuse.fusion.methods.presence import NEVER

SCALE_START, SCALE_MOST = 1 / 0.07, 100.0


def far_apart(stamps_s: Tensor, window_s: float) -> Tensor:
    """(B, B) true where two samples are at least `window_s` apart and so may be negatives of one another.

    Stamps (B,) are in float64: seconds of a wall clock have no fractions left in float32.
    """
    return (stamps_s[:, None] - stamps_s[None]).abs() >= window_s


def contrast(
    a: Tensor,
    b: Tensor,
    scale: Tensor | float,
    kind: Literal["clip", "nt_xent"] = "clip",
    paired: Tensor | None = None,
    apart: Tensor | None = None,
) -> Tensor:
    """The loss of embeddings a, b (B, E) of length 1; a scalar.

    Args:
        paired: (B,) 1 where both modalities are present; other rows are neither asked nor answers. Default all.
        apart: (B, B), as `far_apart` gives it; default all.
    """
    count = len(a)
    own = torch.eye(count, dtype=torch.bool, device=a.device)
    paired = torch.ones_like(a[:, 0]) if paired is None else paired
    negative = (~own if apart is None else apart & ~own) & (paired > 0.5)
    if kind == "clip":
        questions, answers, allowed = (a, b), (b, a), own | negative
    else:
        both = torch.cat([b, a]), torch.cat([a, b])
        questions, answers, allowed = (a, b), both, torch.cat([own | negative, negative], dim=1)
    total = torch.zeros((), dtype=a.dtype, device=a.device)
    for question, answer in zip(questions, answers, strict=True):
        logits = torch.where(allowed, scale * question @ answer.T, NEVER)
        total = total - torch.log_softmax(logits, dim=1).diagonal() @ paired
    return 0.5 * total / paired.sum().clamp_min(1.0)


class ContrastiveLoss(nn.Module):
    """`contrast` with its learned scale. `window_s`: samples nearer in time than this are no negatives."""

    def __init__(self, kind: Literal["clip", "nt_xent"] = "clip", window_s: float = 0.0) -> None:
        super().__init__()
        self.kind, self.window_s = kind, window_s
        self.log_scale = nn.Parameter(torch.tensor(math.log(SCALE_START)))

    def forward(self, a: Tensor, b: Tensor, paired: Tensor | None = None, stamps_s: Tensor | None = None) -> Tensor:
        """Embeddings (B, E) of length 1, pairs that count (B,), and stamps (B,) if neighbours are to be left out."""
        with (
            torch.no_grad()
        ):  # the parameter itself: a clamp of its value would leave it stuck outside, without gradient
            self.log_scale.clamp_(0.0, math.log(SCALE_MOST))
        apart = None if stamps_s is None else far_apart(stamps_s, self.window_s)
        return contrast(a, b, self.log_scale.exp(), self.kind, paired, apart)


class Tower(nn.Sequential):
    """A DSSM tower: tanh layers of these sizes, the first being the input's; gives (B, sizes[-1]) of length 1."""

    def __init__(self, sizes: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for size, following in pairwise(sizes):
            layers += [nn.Linear(size, following), nn.Tanh()]
        super().__init__(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(super().forward(x), dim=-1, eps=1e-6)


def draw_negatives(apart: Tensor, count: int, rng: torch.Generator | None = None) -> Tensor:
    """(B, count) rows that each row is told from, drawn among those that `apart` (B, B) allows."""
    assert apart.any(dim=1).all(), "a row has no sample far enough in time to serve as its negative; mix recordings"
    return torch.multinomial(apart.to(torch.float32), count, replacement=True, generator=rng)


def sampled_softmax_loss(a: Tensor, b: Tensor, negatives: Tensor, gamma: float = 10.0) -> Tensor:
    """DSSM's loss of embeddings a, b (B, E) of length 1, negatives (B, J) by `draw_negatives`; a scalar."""
    candidates = torch.cat([b[:, None], b[negatives]], dim=1)  # (B, 1 + J, E)
    logits = gamma * (candidates @ a[:, :, None])[..., 0]
    return -torch.log_softmax(logits, dim=1)[:, 0].mean()


def deep_cca_loss(a: Tensor, b: Tensor, regularisation: float = 1e-3, count: int | None = None) -> Tensor:
    """Minus the sum of the `count` largest canonical correlations (default all) of outputs a (B, K), b (B, L).

    B must be several times K + L: with fewer samples anything correlates. Float64 is used inside.
    """
    assert len(a) > a.shape[1] + b.shape[1], f"{len(a)} samples are too few for {a.shape[1]} + {b.shape[1]} outputs"
    a, b = (x.double() - x.double().mean(dim=0) for x in (a, b))
    spread = len(a) - 1

    def factor(x: Tensor) -> Tensor:
        return torch.linalg.cholesky(x.T @ x / spread + regularisation * torch.eye(x.shape[1], dtype=x.dtype))

    whitened = torch.linalg.solve_triangular(factor(a), a.T @ b / spread, upper=False)
    whitened = torch.linalg.solve_triangular(factor(b), whitened.T, upper=False)
    return -torch.linalg.svdvals(whitened)[:count].sum()
