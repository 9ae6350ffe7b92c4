"""Auto-fusion: a code of all modalities from which they can be rebuilt. Torch; training only.

Method: Auto-Fusion (Sahu and Vechtomova, EACL 2021). For each token, with x the tokens of all modalities side by side
(learned ones for the absent):

    fused z = relu(E_2 tanh(E_1 x)),   r = D_2 relu(D_1 z),   training adds  scale * mean_m p_m ||r_m - x_m||^2 / C

The task alone may forget what it does not need; the rebuilding keeps in z what the modalities say about each other.
So the error of r is more than a loss: a modality that does not fit the others is rebuilt badly, though it may look
sound on its own (`fault_scores`).

Departures: only modalities that are there are to be rebuilt; the error does not move what it is measured against, or
encoders that learn at the same time would shrink their features to please it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import MissingTokens
from sensorfuse.fusion.methods.shares import norm_shares


class Compression(nn.Module):
    """Tokens of some modalities to one code: E_2 tanh(E_1 x), E_1 held by modality."""

    def __init__(self, modalities: int, features: int, code: int) -> None:
        super().__init__()
        hidden = max(modalities * features // 2, 1)
        self.first = nn.ModuleList(nn.Linear(features, hidden, bias=False) for _ in range(modalities))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.second = nn.Linear(hidden, code)

    def parts(self, tokens: list[Tensor]) -> list[Tensor]:
        """E_1 x_m (B, N_m, hidden) of each modality."""
        return [linear(x) for linear, x in zip(self.first, tokens, strict=True)]

    def combine(self, parts: list[Tensor]) -> Tensor:
        """The code (B, N, L) from the modalities' parts."""
        total: Tensor = self.bias
        for part in sorted(parts, key=lambda x: x.shape[1]):  # the fewest tokens first
            total = total + part
        code: Tensor = self.second(torch.tanh(total))
        return code

    def forward(self, tokens: list[Tensor]) -> Tensor:
        """The code (B, N, L) of tokens without gaps."""
        return self.combine(self.parts(tokens))


class Rebuilding(nn.Module):
    """A code (B, N, L) back to the tokens it was made of, modality by modality."""

    def __init__(self, modalities: int, features: int, code: int) -> None:
        super().__init__()
        hidden = max(modalities * features // 2, 1)
        self.modalities = modalities
        self.layers = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, modalities * features))

    def forward(self, code: Tensor, tokens: list[Tensor]) -> Tensor:
        """Mean square errors (B, M) of the rebuilt tokens; one token per sample is to be rebuilt at every place."""
        rebuilt = self.layers(code).chunk(self.modalities, dim=-1)
        return torch.stack([(r - x).square().mean(dim=(1, 2)) for r, x in zip(rebuilt, tokens, strict=True)], dim=1)


class AutoFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `scale` weighs the rebuilding against the task. The weights are shares of the sizes of E_1 x_m.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, scale: float = 0.1) -> None:
        super().__init__()
        self.scale = scale
        self.missing = MissingTokens(layout.modalities, features)
        self.compress = Compression(layout.modalities, features, width)
        self.rebuild = Rebuilding(layout.modalities, features, width)

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        parts = self.compress.parts(self.missing(tokens, present))
        return torch.relu(self.compress.combine(parts)), norm_shares(parts, present)

    def fault_scores(self, *tokens_and_present: Tensor) -> Tensor:
        """How badly each modality is rebuilt, (B, M), mean square; 0 for the absent. A faulty one stands out."""
        *tokens, present = tokens_and_present
        tokens = self.missing(tokens, present)
        code = torch.relu(self.compress(tokens))
        errors: Tensor = self.rebuild(code, [x.detach() for x in tokens])
        return errors * present

    def losses(self, *tokens_and_present: Tensor) -> dict[str, Tensor]:
        """`rebuild`: the error of the modalities that are there."""
        present = tokens_and_present[-1]
        errors = self.fault_scores(*tokens_and_present)
        return {"rebuild": self.scale * errors.sum() / present.sum().clamp_min(1.0)}
