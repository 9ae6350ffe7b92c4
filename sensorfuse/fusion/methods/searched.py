"""A fusion network whose wiring a search has found: which depths of the modalities meet, in what order, and how. Torch;
training only.

Method: the networks of MFAS (Perez-Rua, Vielzeuf, Pateux, Baccouche, Jurie, CVPR 2019). A modality's trunk is read at
several depths, its taps; a genotype says for each fusion layer which tap of each modality enters, and through what
activation the sum goes:

    tap_m0 = x_m,   tap_mk = tap_m(k-1) + relu(A_mk near_mk(tap_m(k-1)))      near: 3 x 3 cells, or 3 steps in time
    h_l = s_l(W_l [tap_1,g(l,1); ...; tap_M,g(l,M); h_{l-1}] + w_l)           g: the genotype's taps, s_l its activation
    fused = O h_L

A learned token stands in for an absent modality. `sensorfuse.fusion.training.search` holds the search, and the command
that found the genotype below.

Departures: M modalities, not two; the trunks are shallow, learn together with the rest, and only their used part
exists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import MissingTokens
from sensorfuse.fusion.methods.shares import norm_shares

TAPS = 3
"""Depths at which a trunk can be read."""
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "leaky_relu": F.leaky_relu,
}


@dataclass(frozen=True)
class Genotype:
    """Per fusion layer: the tap of each modality, and the activation's name."""

    taps: tuple[tuple[int, ...], ...]
    activations: tuple[str, ...]

    def __post_init__(self) -> None:
        assert self.taps, "a genotype has a layer or more"
        assert len(self.taps) == len(self.activations), "a genotype has one activation per layer"
        assert set(self.activations) <= set(ACTIVATIONS), f"activations are {', '.join(ACTIVATIONS)}"

    def of(self, modalities: int) -> Genotype:
        """The same for another number of modalities: its taps in turn."""
        taps = tuple(tuple(layer[m % len(layer)] for m in range(modalities)) for layer in self.taps)
        return Genotype(taps, self.activations)


FOUND = Genotype(((0, 0, 0, 1, 0), (2, 0, 0, 1, 0)), ("leaky_relu", "leaky_relu"))


class FusionLayers(nn.Module):
    """The layers of a genotype on taps that are there already: taps[m][k] (B, N_m, C) -> h_L (B, N, D)."""

    def __init__(self, genotype: Genotype, features: int, width: int) -> None:
        super().__init__()
        self.genotype = genotype
        self.enter = nn.ModuleList(nn.Linear(features, width, bias=False) for layer in genotype.taps for _ in layer)
        self.onward = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in genotype.taps[1:])
        self.bias = nn.Parameter(torch.zeros(len(genotype.taps), width))

    def forward(self, taps: Sequence[Sequence[Tensor]]) -> tuple[Tensor, list[Tensor]]:
        """h_L, and what each modality sent into all layers (B, N_m, L D)."""
        sent: list[list[Tensor]] = [[] for _ in taps]
        h = self.bias[0]
        for number, (layer, name) in enumerate(zip(self.genotype.taps, self.genotype.activations, strict=True)):
            parts = [self.enter[number * len(layer) + m](taps[m][k]) for m, k in enumerate(layer)]
            total = self.bias[number]
            for part in sorted(parts, key=lambda x: x.shape[1]):  # the fewest tokens first
                total = total + part
            h = ACTIVATIONS[name](total + self.onward[number - 1](h) if number else total)
            for m, part in enumerate(parts):
                sent[m].append(part)
        return h, [torch.cat(each, dim=-1) for each in sent]


class Deeper(nn.Module):
    """One layer of a trunk: tokens (B, N, C) and their neighbours -> (B, N, C)."""

    def __init__(self, layout: TokenLayout, features: int, placed: bool) -> None:
        super().__init__()
        self.layout = layout
        window = (3, 3) if layout.grid else (1, 3)
        self.near = (
            nn.Conv2d(features, features, window, padding=(window[0] // 2, 1), groups=features, bias=False)
            if placed and layout.length > 1
            else None
        )
        self.layer = nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        near = x if self.near is None else self.near(self.layout.to_map(x)).flatten(2).transpose(1, 2)
        return x + torch.relu(self.layer(near))


class Trunk(nn.ModuleList):
    """A modality's layers; gives all its taps, tokens (B, N_m, C) first."""

    def forward(self, x: Tensor) -> list[Tensor]:
        taps = [x]
        for layer in self:
            taps.append(layer(taps[-1]))
        return taps


class SearchedFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    The weights are shares of the sizes of what enters the layers.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, genotype: Genotype = FOUND) -> None:
        super().__init__()
        genotype = genotype.of(layout.modalities)
        self.missing = MissingTokens(layout.modalities, features)
        deepest = [max(taps) for taps in zip(*genotype.taps, strict=True)]
        self.trunks = nn.ModuleList(
            Trunk(Deeper(layout, features, m in layout.placed) for _ in range(depth)) for m, depth in enumerate(deepest)
        )
        self.layers = FusionLayers(genotype, features, width)
        self.out = nn.Linear(width, width)

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        tokens = self.missing(tokens, present)
        h, sent = self.layers([trunk(x) for trunk, x in zip(self.trunks, tokens, strict=True)])
        return self.out(h), norm_shares(sent, present)
