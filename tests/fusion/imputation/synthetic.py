"""Five modalities that see one hidden world: three as maps, two as vectors. It changes slowly from tick to tick."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from sensorfuse.fusion.training.feature_rows import FeatureRows

CELLS, CHANNELS, KNOWN = 16, 4, 2
STAY = 0.5
"""Correlation of the hidden world from one tick to the next."""


def make_features(ticks: int, seed: int) -> FeatureRows:
    """Every number of every modality is a ReLU of a linear map of the hidden fields, with noise of its own."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(1)
    world = np.zeros((KNOWN, CELLS, CELLS))
    fields = []
    for _ in range(ticks + 20):
        fresh = gaussian_filter(rng.normal(size=(KNOWN, CELLS, CELLS)), (0, 1.5, 1.5)) * 4.0
        fresh += 0.5 * rng.normal(size=(KNOWN, 1, 1))
        world = STAY * world + np.sqrt(1 - STAY**2) * fresh
        fields.append(world)
    hidden = np.stack(fields[20:])  # (T, K, X, Y)
    values = []
    for _ in range(3):
        mixed = np.einsum("ck,tkxy->tcxy", fixed.normal(size=(CHANNELS, KNOWN)), hidden)
        noise = 0.3 * rng.normal(size=mixed.shape)
        values.append(np.maximum(mixed + noise + 0.5, 0).reshape(ticks, -1))
    for _ in range(2):
        mixed = hidden.mean(axis=(2, 3)) @ fixed.normal(size=(KNOWN, CHANNELS)) * 1.5
        values.append(np.maximum(mixed + 0.2 * rng.normal(size=mixed.shape) + 0.5, 0))
    return FeatureRows(np.concatenate(values, axis=1).astype(np.float16), torch.ones(ticks, 5), CHANNELS, CELLS)
