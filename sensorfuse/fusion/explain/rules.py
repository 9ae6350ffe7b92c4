"""Relevance through attention: the rules of Chefer, Gur, Wolf (ICCV 2021). Torch; offline only.

A stream s of tokens keeps a matrix R_sq of how much each of its tokens draws on each input token of stream q: at the
start R_ss = I, R_sq = 0. With A the attention of a layer (heads, N, K) and dA the gradient of what is explained,

    A' = mean over heads of (dA * A)+                       head_mean
    self-attention       R_sq += A' R_sq  for all q         (rules 5 to 7)
    s asks q             R_sq += R^_ss' A' R^_qq            (rule 10),   R^ = rownorm(R - I) + I  (rules 8, 9)
                         R_sr += A' R_qr  for all r but q   (rule 11, and the same for third streams)

A stream's rows here are (N_s, all input tokens): the matrices R_sq side by side.
"""

from __future__ import annotations

import torch
from torch import Tensor


def head_mean(attention: Tensor, gradient: Tensor) -> Tensor:
    """A' (N, K) of attention and its gradient (heads, N, K)."""
    return (gradient * attention).clamp_min(0).mean(dim=0)


def normalised(own: Tensor) -> Tensor:
    """R^ (N, N) of R_ss: what came on top of the identity, with rows that sum to 1 (or are 0), and the identity."""
    eye = torch.eye(len(own), dtype=own.dtype)
    more = own - eye
    total = more.sum(dim=1, keepdim=True)
    return torch.where(total > 0, more / total.clamp_min(1e-30), torch.zeros(())) + eye


class Relevance:
    """The rows of every stream.

    Args:
        counts: how many tokens each stream begins with. They are the input tokens, in this order.
    """

    def __init__(self, counts: list[int]) -> None:
        ends = torch.cumsum(torch.tensor(counts), 0).tolist()
        self.columns = [slice(end - n, end) for end, n in zip(ends, counts, strict=True)]
        eye = torch.eye(ends[-1])
        self.rows = [eye[c].clone() for c in self.columns]

    def own(self, s: int) -> Tensor:
        """R_ss."""
        return self.rows[s][:, self.columns[s]]

    def self_attention(self, s: int, attention: Tensor) -> None:
        """Stream s attended to itself by A' (N_s, N_s)."""
        self.rows[s] = self.rows[s] + attention @ self.rows[s]

    def heard(self, s: int, q: int, attention: Tensor) -> Tensor:
        """What the rows of s gain where s asks q by A' (N_s, N_q); nothing is changed."""
        gain = attention @ self.rows[q]
        gain[:, self.columns[q]] = normalised(self.own(s)).T @ attention @ normalised(self.own(q))
        return gain

    def read(self, s: int, readout: Tensor) -> Tensor:
        """Relevance of all input tokens, where the output is read from the tokens of s by `readout` (N_s,)."""
        return readout @ self.rows[s]
