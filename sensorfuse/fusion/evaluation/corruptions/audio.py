"""What spoils a block of sound. Every function: (sample, level in [0, 1], rng) -> a new sample; level 0 changes
nothing.

Noise is told by its ratio to the block's own power. Reverberation is Polack's model (1988): white noise that decays by
60 dB in the reverberation time, another for every microphone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sensorfuse.messages import Sample

WORST_SNR_DB = -10.0
LEAST_CEILING = 0.05  # of the block's peak
MOST_LOST = 0.9
PIECE_S = 0.005
REVERBERATION_S = 0.6
MOST_REVERBERANT = 4.0  # power of what the walls give, of what comes directly
RATE_HZ = 16000  # where the block does not say


def noise(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """White noise at every microphone for itself: at level 1 ten decibels louder than the block."""
    pcm = sample.arrays["pcm"]
    draw = rng.standard_normal(pcm.shape, dtype=np.float32)
    if level == 0:
        return sample
    power = float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64))))
    return _with(sample, pcm + draw * np.float32(power * level * 10 ** (-WORST_SNR_DB / 20)))


def clipping(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """The gain is too high: what is louder than a ceiling is cut, down to a twentieth of the block's peak, and the rest
    is turned up to where the peak was.
    """
    if level == 0:
        return sample
    pcm = sample.arrays["pcm"]
    peak = float(np.abs(pcm).max(initial=0.0))
    ceiling = LEAST_CEILING**level
    return _with(sample, np.clip(pcm, -peak * ceiling, peak * ceiling) / np.float32(ceiling))


def dropout(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Pieces of 5 ms are silent, at random, up to 90 % of them."""
    pcm = sample.arrays["pcm"]
    length = max(round(PIECE_S * int(sample.meta.get("sample_rate_hz", RATE_HZ))), 1)
    draw = rng.random(-(-len(pcm) // length))
    if level == 0:
        return sample
    lost = np.repeat(draw < MOST_LOST * level, length)[: len(pcm)]
    return _with(sample, np.where(lost[:, None], np.float32(0), pcm))


def reverberation(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """What walls give back, up to four times the power of what comes directly. What sounded before the block is taken
    to be like the block. Give the same `rng` for every sample of a run: a room stays as it is.
    """
    pcm = sample.arrays["pcm"]
    rate_hz = int(sample.meta.get("sample_rate_hz", RATE_HZ))
    length = round(REVERBERATION_S * rate_hz)
    tail = rng.standard_normal((length, pcm.shape[1])) * 10 ** (-3 * np.arange(length) / length)[:, None]
    if level == 0:
        return sample
    tail *= np.sqrt(MOST_REVERBERANT * level / np.square(tail).sum(axis=0))
    room = np.zeros((len(pcm), pcm.shape[1]))
    np.add.at(room, np.arange(length) % len(pcm), tail)  # the block over and over: a circular convolution
    wet = np.fft.irfft(np.fft.rfft(pcm, axis=0) * np.fft.rfft(room, axis=0), n=len(pcm), axis=0)
    return _with(sample, pcm + wet)


def _with(sample: Sample, pcm: NDArray[np.floating]) -> Sample:
    return replace(sample, arrays=sample.arrays | {"pcm": np.clip(pcm, -1, 1).astype(np.float32)})
