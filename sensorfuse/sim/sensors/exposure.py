"""From radiance to a picture: exposure control, photon and read noise, the response curve.

The control looks only at the picture itself, so a picture depends on no other: it closes when the mean is above
`BRIGHT`, and opens, at most `max_gain`, when it is below `DARK`. The response is a straight line with a shoulder that
ends at saturation. Noise variance is a constant plus a share of the signal, as photons give (EMVA 1288).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.sim.noise import hash64

BRIGHT, DARK = 185.0, 62.0
SHOULDER = 238.0  # where the response leaves the straight line
LEAST_GAIN = 0.25
METER_STEP, METER_TOP = 6, 900.0


def exposure_gain(radiance: NDArray[np.float32], max_gain: float) -> float:
    """The factor that the control puts on a picture (H, W, 3) of linear radiance."""
    mean = float(np.minimum(radiance[METER_STEP // 2 :: METER_STEP, METER_STEP // 2 :: METER_STEP], METER_TOP).mean())
    if mean > BRIGHT:
        return max(BRIGHT / mean, LEAST_GAIN)
    return min(DARK / max(mean, 1e-3), max_gain) if mean < DARK else 1.0


@njit(cache=True, fastmath=True)
def develop(radiance, gain, key, noisy, read_noise, shot_noise, image):  # type: ignore[no-untyped-def]
    """Fill `image` (H, W, 3) uint8 from `radiance` (H, W, 3); the noise of a pixel depends on `key` and its place."""
    height, width = radiance.shape[0], radiance.shape[1]
    room = 255.5 - SHOULDER
    colour = np.zeros(3)
    for row in range(height):
        for column in range(width):
            for c in range(3):
                colour[c] = radiance[row, column, c] * gain
            sigma = 0.0
            bits = np.uint64(0)
            if noisy:
                total = min(colour[0], 400.0) + min(colour[1], 400.0) + min(colour[2], 400.0)
                sigma = math.sqrt(read_noise * read_noise + shot_noise * gain * total) / 64.0
                bits = hash64(key, row * width + column)
            for c in range(3):
                value = colour[c]
                if noisy:
                    seven = np.uint64(7)
                    mask = np.uint64(127)
                    sum_of_three = int(bits & mask) + int((bits >> seven) & mask) + int((bits >> np.uint64(14)) & mask)
                    bits = bits >> np.uint64(21)
                    value += sigma * (sum_of_three - 190.5)
                if value > SHOULDER:
                    value = 255.5 - room * math.exp((SHOULDER - value) / room)
                image[row, column, c] = min(max(int(value + 0.5), 0), 255)
