from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.fusion.evaluation.corruptions import audio
from sensorfuse.messages import Sample

RATE = 16000


def block(pcm: np.ndarray | None = None) -> Sample:  # type: ignore[type-arg]
    if pcm is None:
        t = np.arange(1600) / RATE
        pcm = 0.02 * np.sin(2 * np.pi * 700 * t)[:, None] * np.ones(4)
    return Sample("m", "audio", 0, 0, 0, "m", {"pcm": pcm.astype(np.float32)}, {"sample_rate_hz": RATE})


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def power(pcm: np.ndarray) -> float:  # type: ignore[type-arg]
    return float(np.square(pcm, dtype=np.float64).mean())


def test_noise_is_as_loud_as_it_says_and_another_at_every_microphone() -> None:
    clean = block().arrays["pcm"]
    added = audio.noise(block(), 1.0, rng()).arrays["pcm"] - clean
    assert 10 * np.log10(power(clean) / power(added)) == pytest.approx(-10, abs=0.2)
    half = audio.noise(block(), 0.5, rng()).arrays["pcm"] - clean
    assert 10 * np.log10(power(clean) / power(half)) == pytest.approx(-10 + 20 * np.log10(2), abs=0.2)
    assert np.abs(np.corrcoef(added.T) - np.eye(4)).max() < 0.1


def test_clipping_flattens_peaks() -> None:
    clipped = audio.clipping(block(), 1.0, rng()).arrays["pcm"]
    clean = block().arrays["pcm"]
    assert np.abs(clipped).max() == pytest.approx(np.abs(clean).max(), rel=1e-5)
    assert (np.abs(clipped) > 0.999 * np.abs(clipped).max()).mean() > 0.9
    assert (np.sign(clipped) == np.sign(clean)).all()
    assert not audio.clipping(block(np.zeros((100, 2))), 1.0, rng()).arrays["pcm"].any()


def test_dropout_silences_whole_pieces_of_all_microphones() -> None:
    noise = np.random.default_rng(1).uniform(0.1, 0.5, (RATE, 2))
    kept = audio.dropout(block(noise), 1.0, rng()).arrays["pcm"] != 0
    pieces = kept.reshape(-1, round(audio.PIECE_S * RATE), 2)
    assert (pieces.all(axis=(1, 2)) | ~pieces.any(axis=(1, 2))).all()
    assert kept.mean() == pytest.approx(1 - audio.MOST_LOST, abs=0.06)


def test_reverberation_adds_the_power_it_says_and_smears_a_click() -> None:
    noise = 0.02 * np.random.default_rng(2).standard_normal((1600, 2))
    wet = audio.reverberation(block(noise), 0.5, rng()).arrays["pcm"]
    assert power(wet - noise) / power(noise) == pytest.approx(audio.MOST_REVERBERANT * 0.5, rel=0.35)
    click = np.zeros((8000, 1))
    click[100] = 0.5
    tail = np.abs(audio.reverberation(block(click), 1.0, rng()).arrays["pcm"][:, 0])
    early, late = tail[101:1100].mean(), tail[6000:7000].mean()
    assert early > 4 * late > 0
