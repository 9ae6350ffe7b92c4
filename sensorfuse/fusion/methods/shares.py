"""How much each modality puts into a fusion that has no weights of its own. Torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def norm_shares(parts: Sequence[Tensor], present: Tensor) -> Tensor:
    """Shares (B, M) of what each modality sends in, (B, N_m, K) per modality: the root mean square over its tokens,
    relative to the present ones' sum; 0 for the absent.

    It says how loud a modality is where it enters, not how much the result would miss it.
    """
    sizes = [(x.square().mean(dim=(1, 2)) + 1e-12).sqrt() for x in parts]
    heard = torch.where(present > 0.5, torch.stack(sizes, dim=1), torch.zeros(()))
    return heard / heard.sum(dim=1, keepdim=True).clamp_min(1e-9)
