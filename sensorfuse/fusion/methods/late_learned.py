"""Late fusion of tokens: every modality decides on its own, and the decisions are averaged by learned weights and their
own confidence. Torch; training only.

Method: decision-level fusion (Baltrusaitis, Ahuja, Morency, TPAMI 2019). For each token, with p_m the presence of
modality m:

    h_m = relu(H_m x_m + h_m0),   y_m = V_m h_m + v_m               its own prediction of the fused token
    w = softmax over the present m of (a_m + c_m . h_m)             a_m: trust in general, c_m . h_m: confidence here
    fused = sum_m w_m y_m

The weights sum to 1 over the present, so that c_m . h_m = -log variance makes the average the best one for independent
errors (inverse variances), and the fusion without a modality is exactly the fusion that was built without it: no
learned token is needed. No decision sees another modality; only the weights know of the others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import present_softmax, without_absent


class LateLearnedFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `hidden` is the width of h_m. The weights are w, averaged over tokens.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, hidden: int = 32) -> None:
        super().__init__()
        self.count = layout.length
        self.hidden = nn.ModuleList(nn.Linear(features, hidden) for _ in layout.counts)
        self.decide = nn.ModuleList(nn.Linear(hidden, width + 1) for _ in layout.counts)  # y_m and a_m + c_m . h_m

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        tokens = without_absent(tokens, present)
        decisions, scores = [], []
        for hidden, decide, x in zip(self.hidden, self.decide, tokens, strict=True):
            decision = decide(torch.relu(hidden(x)))
            decisions.append(decision[..., :-1])
            scores.append(decision[..., -1:].expand(-1, self.count, -1))
        weights = present_softmax(torch.cat(scores, dim=-1), present)  # (B, N, M)
        fused = weights[..., :1] * decisions[0]
        for m, decision in enumerate(decisions[1:], start=1):
            fused = fused + weights[..., m : m + 1] * decision
        return fused, weights.mean(dim=1)
