"""Channel exchange: modalities keep networks of their own, and swap channels by rules without parameters. Torch;
training only.

Method: channel exchanging networks (Wang, Huang, Sun, Xu, Rong, Huang, NeurIPS 2020); channel shuffle and pixel shift
(Wang, Sun, Lu, Yao, ACM Multimedia 2020). With h_m^0 the tokens of modality m and, at layer l, N_ml a batch
normalisation of its own with scale g_ml:

    z_m = N_ml(A_ml h_m^l),   h_m^(l+1) = relu(exchange(z)_m)        A_ml is shared by the modalities from l = 1 on
    fused = sum_m w_m O_m h_m^L,   w = softmax over the present m of a_m

exchange = "scale":   channel c of m becomes the mean of the other present modalities' channel c where |g_mlc| < 0.02.
    A channel with a scale near 0 says nothing in m any more, so its place is given to the others. It may happen only in
    the channels with c mod M = m, m's part; training adds  sparsity * mean |g|  there, so that it does happen.
exchange = "shuffle": channel c of m becomes that of modality (m + c) mod M, if that is present.
exchange = "none":    late fusion; for comparison.

`shift` moves an eighth of the channels by one cell up, one down, one left, one right (steps in time: before, after),
before each A_ml but the first, so that neighbours are seen at no cost in parameters. All mixing of modalities is in the
exchange: without it this is a sum of decisions.

Departures: the first A_ml is each modality's own, as our sensors' features do not mean the same; statistics are of the
samples that have the modality; a modality with one token per sample gives it to every place and takes the mean over
places. Scales of m's part begin at 0.25, not 1: what is to happen should happen early in training.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.norm import PresentNorm
from sensorfuse.fusion.methods.presence import present_softmax, without_absent

Exchange = Literal["scale", "shuffle", "none"]

SMALL = 0.02
"""A scale below it means that the channel is free."""
START = 0.25
"""Scales of a modality's own part at the start."""


class ChannelExchangeFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `hidden` is how many channels there are, `layers` is L. The weights are w.
    """

    part: Tensor

    def __init__(
        self,
        layout: TokenLayout,
        features: int,
        width: int,
        hidden: int = 32,
        layers: int = 2,
        exchange: Exchange = "scale",
        shift: bool = True,
        sparsity: float = 0.02,
    ) -> None:
        super().__init__()
        modalities = layout.modalities
        self.layout, self.exchange, self.shift, self.sparsity = layout, exchange, shift, sparsity
        self.enter = nn.ModuleList(nn.Linear(features, hidden, bias=False) for _ in range(modalities))
        self.shared = nn.ModuleList(nn.Linear(hidden, hidden, bias=False) for _ in range(layers - 1))
        self.norms = nn.ModuleList(nn.ModuleList(PresentNorm(hidden) for _ in range(modalities)) for _ in range(layers))
        self.out = nn.ModuleList(nn.Linear(hidden, width) for _ in range(modalities))
        self.trust = nn.Parameter(torch.zeros(modalities))
        turn = torch.arange(hidden) % modalities
        self.register_buffer("part", turn == torch.arange(modalities)[:, None], persistent=False)  # (M, H)
        if exchange == "scale":
            with torch.no_grad():
                for scales in self._scales():
                    for scale, part in zip(scales, self.part, strict=True):
                        scale[part] = START

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        h = [enter(x) for enter, x in zip(self.enter, without_absent(tokens, present), strict=True)]
        for layer, scales in enumerate(self._scales()):
            if layer > 0:
                h = [self.shared[layer - 1](self._shifted(x)) for x in h]
            z = [self.norms[layer][m](x, present[:, m]) for m, x in enumerate(h)]  # type: ignore[operator, index]
            if self.exchange == "scale":
                z = self._by_scale(z, scales, present)
            elif self.exchange == "shuffle":
                z = self._shuffled(z, present)
            h = [torch.relu(x) for x in z]
        weights = present_softmax(self.trust[None, None].expand(present.shape[0], -1, -1), present)[:, 0]
        fused = torch.zeros_like(h[self.layout.placed[0]][..., :1])
        for m, (out, x) in enumerate(zip(self.out, h, strict=True)):
            fused = fused + weights[:, m, None, None] * out(x)
        return fused, weights

    def losses(self, *tokens_and_present: Tensor) -> dict[str, Tensor]:
        """`sparsity`: the mean size of the scales that may free their channel; nothing for the other exchanges."""
        if self.exchange != "scale":
            return {}
        scales = torch.stack([torch.stack(scales) for scales in self._scales()]).abs()  # (L, M, H)
        return {"sparsity": self.sparsity * (scales * self.part).sum() / (len(scales) * self.part.sum())}

    def _scales(self) -> list[list[Tensor]]:
        """g_ml, by layer and modality."""
        return [[norm.scale for norm in norms] for norms in self.norms]  # type: ignore[union-attr, attr-defined]

    def _by_scale(self, z: list[Tensor], scales: list[Tensor], present: Tensor) -> list[Tensor]:
        here = present[..., None, None]  # (B, M, 1, 1)
        places = [here[:, m] * z[m] for m in self.layout.placed]
        vectors = [here[:, m] * z[m] for m in range(len(z)) if m not in self.layout.placed]
        maps, heard = _sum(places), _sum(vectors) if vectors else torch.zeros(())
        swapped = []
        for m, x in enumerate(z):
            everybody = maps + heard if m in self.layout.placed else maps.mean(dim=1, keepdim=True) + heard
            count = (present.sum(dim=1) - present[:, m])[:, None, None]
            others = (everybody - here[:, m] * x) / count.clamp_min(1.0)
            free = self.part[m] & (scales[m].detach().abs() < SMALL)
            swapped.append(torch.where(free & (count > 0.5), others, x))
        return swapped

    def _shuffled(self, z: list[Tensor], present: Tensor) -> list[Tensor]:
        shuffled = []
        for m, x in enumerate(z):
            for step in range(1, len(z)):
                source = (m + step) % len(z)
                given = z[source] if x.shape[1] > 1 else z[source].mean(dim=1, keepdim=True)
                x = torch.where(self.part[step] & (present[:, source, None, None] > 0.5), given, x)
            shuffled.append(x)
        return shuffled

    def _shifted(self, x: Tensor) -> Tensor:
        """Tokens (B, N, H): an eighth of the channels moved by one cell each way there is; nothing comes in."""
        rows, columns = self.layout.grid or (1, self.layout.length)
        eighth = x.shape[2] // 8
        if not self.shift or x.shape[1] == 1 or eighth == 0:
            return x
        x = x.unflatten(1, (rows, columns))
        ways = [(1, 0), (-1, 0), (0, 1), (0, -1)] if self.layout.grid else [(0, 1), (0, -1)]
        moved = []
        for way, (down, right) in enumerate(ways):
            channels = x[..., way * eighth : (way + 1) * eighth]
            channels = F.pad(channels, (0, 0, *_sides(right), *_sides(down)))
            moved.append(channels[:, max(-down, 0) :][:, :rows, max(-right, 0) :][:, :, :columns])
        return torch.cat([*moved, x[..., len(ways) * eighth :]], dim=-1).flatten(1, 2)


def _sides(step: int) -> tuple[int, int]:
    """Padding before and after that makes room for a move by `step`."""
    return max(step, 0), max(-step, 0)


def _sum(parts: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
