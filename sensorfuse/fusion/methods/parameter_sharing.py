"""Parameter sharing: one trunk for all modalities; only the normalisations are a modality's own. Torch; training only.

Method: a single network for several modalities with private batch normalisation (Wang, Sun, Lu, Yao, ACM Multimedia
2020). For each token, with x_m the token of modality m, p_m its presence and N_ml a normalisation that only m uses:

    h_m = relu(N_m0(A_0 x_m))
    h_m <- h_m + relu(N_ml(A_l h_m))            l = 1 .. L; every A_l is shared by all modalities
    fused = O_2 relu(O_1 mean over the present m of h_m)

The shift of N_ml is the modality's embedding, its scale says which of the shared channels the modality uses; batch
statistics take away its units. So a further modality costs 2 (L + 1) numbers per channel, and what the trunk learns
from one serves all that are coded alike.

Departures: the paper's backbone is a residual network for pictures; here a residual one for tokens. Statistics are of
the samples that have the modality. The paper's parameter-free mixing inside the trunk is an option of channel exchange
(`channel_exchange.py`); here modalities meet after the trunk.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.norm import PresentNorm
from sensorfuse.fusion.methods.presence import without_absent
from sensorfuse.fusion.methods.shares import norm_shares


class ParameterSharingFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `blocks` is L, `hidden` the trunk's width. The weights are shares of the sizes of h_m.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, hidden: int = 32, blocks: int = 2) -> None:
        super().__init__()
        sizes = [features, *[hidden] * blocks]
        self.trunk = nn.ModuleList(nn.Linear(size, hidden, bias=False) for size in sizes)
        self.norms = nn.ModuleList(nn.ModuleList(PresentNorm(hidden) for _ in sizes) for _ in layout.counts)
        self.join = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, width)

    def through_trunk(self, modality: int, x: Tensor, here: Tensor) -> Tensor:
        """Tokens (B, N_m, C) of one modality -> h_m (B, N_m, H); `here` (B,) says which samples have it."""
        norms: nn.ModuleList = self.norms[modality]  # type: ignore[assignment]
        h = torch.relu(norms[0](self.trunk[0](x), here))
        for layer, norm in zip(list(self.trunk)[1:], list(norms)[1:], strict=True):
            h = h + torch.relu(norm(layer(h), here))
        return h

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        parts = [self.through_trunk(m, x, present[:, m]) for m, x in enumerate(without_absent(tokens, present))]
        shares = (present / present.sum(dim=1, keepdim=True).clamp_min(1.0))[..., None, None]  # (B, M, 1, 1)
        total: Tensor | None = None
        for m, part in sorted(enumerate(parts), key=lambda x: x[1].shape[1]):  # the fewest tokens first
            total = shares[:, m] * part if total is None else total + shares[:, m] * part
        assert total is not None
        return self.out(torch.relu(self.join(total))), norm_shares(parts, present)
