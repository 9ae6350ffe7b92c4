"""The parts that attending methods are built of: multi-head attention, feed-forward, and a layer of both. Torch.

Scaled dot-product attention and its layer: Vaswani et al., NeurIPS 2017; normalised before each part, not after (Xiong
et al., ICML 2020), which trains without a warm-up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.presence import NEVER


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, heard: Tensor | None = None) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V per head: (B, N, W), (B, K, W), (B, K, W) -> (B, N, W).

    `heard` (B, K) is 1 or 0 per key; keys with 0 get no weight, unless all have 0: then the caller must not use it.
    """
    if key.shape[1] == 1:
        return value.expand(-1, query.shape[1], -1)  # the softmax over one key is 1
    q, k, v = (
        x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, key, value)
    )  # (B, heads, N or K, W / heads)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)
    if heard is not None:
        scores = scores + (NEVER * (1 - heard))[:, None, None]
    return (torch.softmax(scores, dim=-1) @ v).transpose(1, 2).flatten(2)


class FeedForward(nn.Sequential):
    """FFN(LN x), twice as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))


class TransformerLayer(nn.Module):
    """x <- x + attention of LN(x) to itself; x <- x + FFN(LN x)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.normalise = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.feed_forward = FeedForward(width)

    def forward(self, x: Tensor, heard: Tensor | None = None) -> Tensor:
        """Tokens (B, N, W); `heard` (B, N) as in `attend`."""
        query, key, value = self.query_key_value(self.normalise(x)).chunk(3, dim=-1)
        x = x + self.out(attend(query, key, value, self.heads, heard))
        return x + self.feed_forward(x)
