"""Doubts about a match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from sensorfuse.align.content.doubts import BLOCKS, Jackknife
from sensorfuse.align.content.reference import Spans, as_spans


@dataclass(frozen=True)
class Found:
    offset_s: float
    sigma_s: float = 0.001
    peak: float = 0.8


def spans(n: int = 100) -> Spans:
    t = np.arange(n) / 10.0
    return as_spans(np.column_stack([t, t + 0.1]), np.zeros((n, 3)))


def test_spread_of_a_mean_is_that_of_the_jackknife() -> None:
    seen = spans()
    noise = np.random.default_rng(0).normal(0, 0.004, 100)

    def fit(part: Spans) -> Found:
        index = np.round(part.start_s * 10).astype(int)
        return Found(float(noise[index].mean()))

    spread_s, doubt = Jackknife(seen, fit(seen), fit).verdict()
    blocks = noise.reshape(BLOCKS, -1).mean(axis=1)
    assert doubt == ""
    assert spread_s == pytest.approx(blocks.std(ddof=1) / np.sqrt(BLOCKS), rel=1e-6)


def test_one_motion_alone() -> None:
    seen = spans()

    def fit(part: Spans) -> Found:
        return Found(0.1) if (part.start_s > 9.0).any() else Found(-0.2, 0.05)

    _, doubt = Jackknife(seen, fit(seen), fit).verdict()
    assert "one motion, at 8.8 s" in doubt
    assert Jackknife(seen, Found(0.1, peak=0.98), fit).verdict()[1] == ""
