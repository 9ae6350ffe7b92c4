"""Random curves that repeat without a seam: what shakes a hand, a drone or a road's surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def loop_noise(
    count: int, step: float, band: tuple[float, float], rng: np.random.Generator, *, columns: int = 1, fall: float = 0.0
) -> Array:
    """Gaussian noise (count, columns) of unit variance that repeats after `count * step`.

    Its power lies within `band` (lowest and highest cycles per unit of `step`) and falls there with frequency to the
    power `fall`; it is made from random amplitudes and phases of the harmonics (Shinozuka and Deodatis 1991).

    Raises:
        ValueError: no harmonic lies within the band.
    """
    cycles = np.fft.rfftfreq(count, step)
    inside = (cycles >= band[0]) & (cycles <= band[1]) & (cycles > 0)
    if not inside.any():
        msg = f"no harmonic of a loop of {count * step:g} lies between {band[0]:g} and {band[1]:g} cycles per unit"
        raise ValueError(msg)
    size = np.zeros(len(cycles))
    size[inside] = cycles[inside] ** (-fall / 2)
    draws = rng.standard_normal((2, int(inside.sum()), columns))
    waves = np.zeros((len(cycles), columns), np.complex128)
    waves[inside] = size[inside, None] * (draws[0] + 1j * draws[1])
    # each harmonic adds 2 E|wave|^2 = 4 size^2, over count^2, to the variance
    return np.asarray(np.fft.irfft(waves, count, axis=0) * count / (2 * np.sqrt((size**2).sum())))


def smooth(values: Array, width: int) -> Array:
    """A loop of values (N, ...) averaged under a raised cosine of `width` samples; sums stay as they are."""
    window = np.hanning(width + 2)[1:-1]
    kernel = np.zeros(len(values))
    kernel[np.arange(width) - width // 2] = window / window.sum()  # negative places wrap round
    spectrum = np.fft.rfft(kernel).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(np.fft.irfft(np.fft.rfft(values, axis=0) * spectrum, len(values), axis=0))
