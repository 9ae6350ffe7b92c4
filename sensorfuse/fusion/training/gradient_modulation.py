"""On-the-fly gradient modulation against modalities that learn faster than the others and leave them behind.

    rho_u = s_u / mean_{j != u} s_j          s: each modality's own score on the batch, in (0, 1]
    k_u   = 1 - tanh(alpha rho_u)            where rho_u > 1, else 1
    grad of encoder u:  k_u grad + noise     noise ~ N(0, std(grad)^2), on weights of convolutions, where k_u < 1

Source: Peng, Wei, Deng, Wang, Hu, "Balanced Multimodal Learning via On-the-fly Gradient Modulation", CVPR 2022
(OGM-GE), for two modalities; here the ratio is to the mean of all others. The noise makes good for the smaller step's
lost generalisation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

TIE = 1e-9
"""Equal scores are no lead, whichever way their mean is rounded."""


def coefficients(scores: Mapping[str, float], alpha: float) -> dict[str, float]:
    """k per modality; 1 for all where fewer than two have a score."""
    if len(scores) < 2:
        return dict.fromkeys(scores, 1.0)
    total = sum(scores.values())
    out = {}
    for name, score in scores.items():
        others = (total - score) / (len(scores) - 1)
        ratio = score / max(others, 1e-12)
        out[name] = 1.0 - math.tanh(alpha * ratio) if ratio > 1 + TIE else 1.0
    return out


def modulate(
    encoders: Mapping[str, nn.Module], scores: Mapping[str, float], alpha: float, generator: torch.Generator
) -> dict[str, float]:
    """Scale the gradients of the encoders that are ahead, in place; the coefficients used."""
    used = coefficients({m: s for m, s in scores.items() if m in encoders}, alpha)
    for name, k in used.items():
        if k == 1.0:
            continue
        for parameter in encoders[name].parameters():
            if parameter.grad is None:
                continue
            spread = parameter.grad.std() if parameter.dim() > 2 else None
            parameter.grad.mul_(k)
            if spread is not None:
                noise = torch.randn(parameter.shape, generator=generator, device=parameter.device)
                parameter.grad.add_(noise * spread)
    return used
