"""Which modalities an example is trained with: independent draws, or blocks of time in which one is gone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def draw_dropout(rng: np.random.Generator, count: int, rates: Sequence[float]) -> NDArray[np.float32]:
    """Presence (count, M) with each modality absent at its own rate, never all."""
    rate = np.asarray(rates)
    keep = rng.random((count, len(rate))) >= rate
    while (empty := ~keep.any(axis=1)).any():
        keep[empty] = rng.random((int(empty.sum()), len(rate))) >= rate
    return keep.astype(np.float32)


def draw_outages(
    rng: np.random.Generator, count: int, rates: Sequence[float], mean_length: float
) -> NDArray[np.float32]:
    """Presence (count, M) along time: each modality is away for blocks of geometric length (mean `mean_length` steps),
    so often that its share of absence is its rate. Where all would be away, the one with the lowest rate stays.

    A two-state Markov chain per modality (Gilbert, 1960): leaves absence with 1 / mean_length.
    """
    rate = np.asarray(rates, dtype=np.float64)
    back = 1.0 / max(mean_length, 1.0)
    away = np.clip(back * rate / np.maximum(1.0 - rate, 1e-9), 0.0, 1.0)
    keep = np.ones((count, len(rate)), bool)
    present = rng.random(len(rate)) >= rate
    for n in range(count):
        keep[n] = present
        draw = rng.random(len(rate))
        present = np.where(present, draw >= away, draw < back)
    alone = ~keep.any(axis=1)
    keep[alone, int(np.argmin(rate))] = True
    return keep.astype(np.float32)
