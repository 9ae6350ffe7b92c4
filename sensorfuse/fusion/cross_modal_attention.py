"""Directed cross-modal attention between the token sets of modalities. Torch; training only.

Method: the cross-modal blocks of MulT (Tsai et al., ACL 2019), one layer per ordered pair. For target a and source b:

    Z_a = P_a x_a + pos,   Y_b = P_b x_b + pos
    Z_a <- Z_a + sum_b p_b softmax( LN(Z_a) W_Q (LN(Y_b) W_K)^T / sqrt(d) ) LN(Y_b) W_V W_O
    Z_a <- Z_a + FFN(LN Z_a)
    fused = sum_a w_a (V_a x_a + U Z_a),   w = softmax over the present a of (s_a . Z_a)

Two departures, both for speed: sources stay the low-level tokens (as in MulT) but the M - 1 blocks of a target are
summed, not concatenated; and on a grid, attention runs between patches while V_a x_a keeps the full resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.presence import MissingTokens, present_softmax


class DirectedAttention(nn.Module):
    """One block: queries (B, N, W) read a source (B, K, W), both already normalised -> (B, N, W)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)  # (B, heads, N, W / heads)

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        key, value = self.key_value(source).chunk(2, dim=-1)
        if source.shape[1] == 1:  # softmax over one key is 1
            return self.out(value).expand(-1, target.shape[1], -1)
        q, k, v = self._split(self.query(target)), self._split(key), self._split(value)
        attention = torch.softmax(q @ k.transpose(2, 3) * q.shape[-1] ** -0.5, dim=-1)
        return self.out((attention @ v).transpose(1, 2).flatten(2))


class CrossModalAttentionFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `targets` are the modalities that ask (all by default; every modality answers); those with one token are heard by
    all N. `grid` (rows, columns) with `patch` > 1: sets of N = rows * columns tokens are cut into patch x patch
    squares. The weights are the shares of the targets, averaged over tokens; a modality that only answers has weight 0.
    """

    def __init__(
        self,
        modalities: int,
        features: int,
        width: int,
        attention_width: int = 48,
        heads: int = 2,
        targets: tuple[int, ...] = (),
        grid: tuple[int, int] | None = None,
        patch: int = 1,
    ) -> None:
        super().__init__()
        self.targets = targets or tuple(range(modalities))
        self.modalities, self.width, self.grid, self.patch = modalities, width, grid, patch
        self.missing = MissingTokens(modalities, features)
        # A modality's tokens are patches where it lies on the grid; targets do, and with no grid none does.
        sizes = [features * patch**2 if grid and m in self.targets else features for m in range(modalities)]
        self.embed = nn.ModuleList(nn.Linear(size, attention_width) for size in sizes)
        positions = grid[0] * grid[1] // patch**2 if grid else 1
        self.position = nn.Parameter(0.02 * torch.randn(positions, attention_width))
        self.normalise = nn.ModuleList(nn.LayerNorm(attention_width) for _ in range(modalities))
        self.blocks = nn.ModuleDict(
            {
                f"{a}_{b}": DirectedAttention(attention_width, heads)
                for a in self.targets
                for b in range(modalities)
                if a != b
            }
        )
        self.feed_forward = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(attention_width),
                nn.Linear(attention_width, 2 * attention_width),
                nn.ReLU(),
                nn.Linear(2 * attention_width, attention_width),
            )
            for _ in self.targets
        )
        self.score = nn.ModuleList(nn.Linear(attention_width, 1) for _ in self.targets)
        self.fine = nn.ModuleList(nn.Linear(features, width) for _ in self.targets)
        self.out = nn.Linear(attention_width, width * patch**2)

    def _to_patches(self, x: Tensor) -> Tensor:
        if self.grid is None or self.patch == 1 or x.shape[1] == 1:
            return x
        (rows, columns), p = self.grid, self.patch
        x = x.reshape(x.shape[0], rows // p, p, columns // p, p, x.shape[2])
        return x.permute(0, 1, 3, 2, 4, 5).flatten(3).flatten(1, 2)  # (B, N / p^2, p^2 C)

    def _to_cells(self, x: Tensor) -> Tensor:
        if self.grid is None or self.patch == 1:
            return x
        (rows, columns), p = self.grid, self.patch
        x = x.reshape(x.shape[0], rows // p, columns // p, p, p, -1)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(x.shape[0], rows * columns, -1)

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        tokens = self.missing(tokens, present)
        count = max(x.shape[1] for x in tokens)
        low = []
        for embed, x in zip(self.embed, tokens, strict=True):
            patches = embed(self._to_patches(x))
            low.append(patches + self.position if self.grid is not None and x.shape[1] > 1 else patches)
        sources = [norm(x) for norm, x in zip(self.normalise, low, strict=True)]

        asked, scores = [], []
        for t, a in enumerate(self.targets):
            z = low[a]
            for b in range(self.modalities):
                if b != a:
                    z = z + present[:, b, None, None] * self.blocks[f"{a}_{b}"](sources[a], sources[b])
            z = z + self.feed_forward[t](z)
            asked.append(z)
            scores.append(self.score[t](z))
        most = max(s.shape[1] for s in scores)
        asked_present = present[:, list(self.targets)]
        weights = present_softmax(
            torch.cat([s.expand(-1, most, -1) for s in scores], dim=-1), asked_present
        )  # (B, N', T)
        coarse = torch.zeros_like(asked[0][:, :1])
        for t, z in enumerate(asked):
            coarse = coarse + weights[..., t : t + 1] * z
        fused = self._to_cells(self.out(coarse))  # (B, N or 1, D)

        p2 = self.patch**2 if self.grid is not None else 1
        at_cells = weights if p2 == 1 else self._to_cells(weights.repeat(1, 1, p2))
        for t, a in enumerate(self.targets):
            fused = fused + at_cells[..., t : t + 1] * self.fine[t](tokens[a])
        shares = [
            weights[..., self.targets.index(m)].mean(dim=1) if m in self.targets else torch.zeros_like(present[:, m])
            for m in range(self.modalities)
        ]
        return fused.expand(-1, count, -1), torch.stack(shares, dim=1)
