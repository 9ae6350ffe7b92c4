"""Imputing by retrieval: what the absent modality was like where the present ones looked alike. Torch.

A bank holds patches of 4 x 4 cells, and whole scenes for the vectors: per modality a key in a coordinated space, and
the features themselves. With q_m the key of a present modality here and k_im that of entry i,

    s_i = sum_m p_m q_m . k_im / sum_m p_m,   w = softmax(s / tau) over the best k entries
    x = sum_i w_i x_i,   variance = v (sum_i w_i (x_i - x)^2 + floor)

Keys have length 1 and are trained by contrast (CLIP: Radford et al., ICML 2021), so that modalities of one place agree
and those of others do not: what only one modality knows, and could not be told from another, leaves the keys. Where no
map is present patches come from the bank's mean. tau and v are set on ticks that neither training nor bank have seen.
"""

from __future__ import annotations

from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorfuse.fusion.imputation.feature_imputer import LEAST_VARIANCE, MAPS, FeatureImputer, Typical, pooled
from sensorfuse.fusion.training.coordinate import ContrastiveLoss

PATCH = 4
NEIGHBOURS = 8
FLOOR = 0.05
TEMPERATURES = (0.05, 0.1, 0.3)
PAIRED_PATCHES = 96
"""Patches of a batch that are told from one another in a step of training."""


class RetrievalImputer(FeatureImputer):
    """Empty until `remember` has filled its bank; `patches` and `scenes` are how much it holds."""

    patch_keys: Tensor
    patch_values: Tensor
    scene_keys: Tensor
    scene_values: Tensor
    temperature: Tensor

    def __init__(self, typical: Typical, patches: int = 1024, scenes: int = 512, embedding: int = 24) -> None:
        super().__init__(typical)
        count, channels = self.scale.shape
        self.towers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, 32, 2 * PATCH, PATCH, PATCH // 2), nn.ReLU(), nn.Conv2d(32, embedding, 1))
            for _ in range(MAPS)
        )
        self.scene_towers = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * channels if m < MAPS else channels, 32), nn.ReLU(), nn.Linear(32, embedding))
            for m in range(count)
        )
        self.contrast = ContrastiveLoss()
        half = torch.float16
        self.register_buffer("patch_keys", torch.zeros(patches, MAPS, embedding, dtype=half))
        self.register_buffer("patch_values", torch.zeros(patches, MAPS, channels * PATCH**2, dtype=half))
        self.register_buffer("scene_keys", torch.zeros(scenes, count, embedding, dtype=half))
        self.register_buffer("scene_values", torch.zeros(scenes, count - MAPS, channels, dtype=half))
        self.register_buffer("temperature", torch.tensor(TEMPERATURES[-1]))

    def keys(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Of patches, per map (B, P, E); of scenes, per modality (B, E); of length 1."""
        patches = [
            F.normalize(t(x).flatten(2).transpose(1, 2), dim=-1) for t, x in zip(self.towers, features, strict=False)
        ]
        scenes = [
            F.normalize(tower(pooled(x) if m < MAPS else x), dim=-1)
            for m, (tower, x) in enumerate(zip(self.scene_towers, features, strict=True))
        ]
        return patches, scenes

    def loss(self, features: list[Tensor], present: Tensor, keep: Tensor) -> Tensor:
        """Contrast of every pair of modalities, at patches that hold something, and of whole scenes."""
        scaled = self.scaled(features, present)
        patches, scenes = self.keys(scaled)
        chosen = self._patches_to_tell_apart(scaled)
        total = present.new_zeros(())
        for a, b in combinations(range(len(features)), 2):
            both = present[:, a] * present[:, b]
            total = total + self.contrast(scenes[a], scenes[b], both)
            if b < MAPS:
                paired = both[:, None].expand(-1, patches[a].shape[1]).flatten()[chosen]
                total = total + self.contrast(
                    patches[a].flatten(0, 1)[chosen], patches[b].flatten(0, 1)[chosen], paired
                )
        return total

    def _patches_to_tell_apart(self, scaled: list[Tensor]) -> Tensor:
        """Rows of the batch's patches, drawn in proportion to how much they hold."""
        energy = torch.stack([F.avg_pool2d(x.square().mean(dim=1), PATCH).flatten() for x in scaled[:MAPS]]).sum(dim=0)
        return torch.multinomial(energy + 1e-6, min(PAIRED_PATCHES, len(energy)))

    @torch.no_grad()
    def remember(self, features: list[Tensor], present: Tensor, rng: torch.Generator) -> None:
        """Fill the bank from ticks at which every modality is present: patches in proportion to what they hold."""
        rows = present.min(dim=1).values > 0.5
        scaled = self.scaled([x[rows] for x in features], present[rows])
        patches, scenes = self.keys(scaled)
        whole = torch.stack([_to_patches(x) for x in scaled[:MAPS]], dim=2).flatten(0, 1)  # (B * P, 3, 16 C)
        chance = whole.square().mean(dim=(1, 2))
        chance = chance / chance.mean() + 0.5
        count = min(len(self.patch_keys), len(whole))
        drawn = torch.multinomial(chance, count, generator=rng)
        self.patch_keys = torch.stack(patches, dim=2).flatten(0, 1)[drawn].half()
        self.patch_values = whole[drawn].half()
        count = min(len(self.scene_keys), len(scaled[0]))
        drawn = torch.randperm(len(scaled[0]), generator=rng)[:count]
        self.scene_keys = torch.stack(scenes, dim=1)[drawn].half()
        self.scene_values = torch.stack(scaled[MAPS:], dim=1)[drawn].half()

    @torch.no_grad()
    def choose_temperature(self, features: list[Tensor], present: Tensor) -> None:
        """The one with the least mean squared error where each modality is gone in turn."""

        def error(temperature: float) -> float:
            self.temperature.fill_(temperature)
            gone = [m for m in range(len(self.scale)) if (present[:, m] > 0.5).any()]
            return sum(float(self.errors(features, present, m)[0].square().mean()) for m in gone)

        self.temperature.fill_(min(TEMPERATURES, key=error))

    def predict(self, features: list[Tensor], present: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        patches, scenes = self.keys(features)
        weight, index = self._nearest(torch.stack(patches, dim=2), self.patch_keys.float(), present[:, :MAPS])
        any_map = present[:, :MAPS].amax(dim=1)[:, None, None] > 0.5
        means, variances = [], []
        for m, x in enumerate(features[:MAPS]):
            values = self.patch_values[:, m].float()
            mean, variance = _mixed(values, weight, index)  # (B, P, 16 C)
            mean = torch.where(any_map, mean, values.mean(dim=0))
            variance = torch.where(any_map, variance, values.var(dim=0, correction=0))
            means.append(_to_map(mean, x.shape[2]))
            variances.append(_to_map(variance, x.shape[2]) + FLOOR)
        weight, index = self._nearest(torch.stack(scenes, dim=1)[:, None], self.scene_keys.float(), present)
        for k in range(len(features) - MAPS):
            mean, variance = _mixed(self.scene_values[:, k].float(), weight, index)
            means.append(mean[:, 0])
            variances.append(variance[:, 0] + FLOOR)
        return means, [v.clamp_min(LEAST_VARIANCE) for v in variances]

    def _nearest(self, queries: Tensor, keys: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and rows (B, P, k) of the entries nearest to queries (B, P, m, E), by the present modalities."""
        share = present / present.sum(dim=1, keepdim=True).clamp_min(1.0)
        asked = (queries * share[:, None, :, None]).flatten(2)  # (B, P, m E)
        similar = asked @ keys.flatten(1).T
        best, index = torch.topk(similar, min(NEIGHBOURS, len(keys)), dim=-1)
        return torch.softmax(best / self.temperature, dim=-1), index


def _mixed(values: Tensor, weight: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (B, P, V) of bank values (N, V) by weight."""
    near = values[index]  # (B, P, k, V)
    mean = (weight[..., None] * near).sum(dim=2)
    return mean, (weight[..., None] * (near - mean[:, :, None]).square()).sum(dim=2)


def _to_patches(maps: Tensor) -> Tensor:
    """(B, C, X, Y) -> (B, P, 16 C)."""
    b, c, x, y = maps.shape
    cut = maps.reshape(b, c, x // PATCH, PATCH, y // PATCH, PATCH)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(b, (x // PATCH) * (y // PATCH), c * PATCH**2)


def _to_map(patches: Tensor, cells: int) -> Tensor:
    """The inverse of `_to_patches`, of a square grid."""
    n, channels = cells // PATCH, patches.shape[2] // PATCH**2
    cut = patches.reshape(-1, n, n, channels, PATCH, PATCH)
    return cut.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, cells, cells)
