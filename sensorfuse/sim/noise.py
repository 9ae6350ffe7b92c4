"""Randomness that depends on nothing but its key: one generator per (seed, stream, message), and counter-based noise
for kernels.

The counter-based numbers are SplitMix64 (Steele, Lea, Flood 2014): a hash of a key and an index, so that the noise
of one ray or pixel depends on no other.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
from numba import njit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


def message_rng(seed: int, stream: str, k: int) -> np.random.Generator:
    """The generator of the `k`-th message of a stream."""
    return np.random.default_rng((seed, zlib.crc32(stream.encode()), k))


def noise_key(seed: int, stream: str, k: int) -> np.uint64:
    """The key of `uniform` and `normal` for the `k`-th message of a stream."""
    return np.uint64(np.random.SeedSequence((seed, zlib.crc32(stream.encode()), k)).generate_state(1, np.uint64)[0])


@njit(cache=True)
def hash64(key: np.uint64, index: int) -> np.uint64:
    """64 well-mixed bits of a key and an index."""
    x = key + np.uint64(index) * _GOLDEN
    x = (x ^ (x >> _S30)) * _MIX1
    x = (x ^ (x >> _S27)) * _MIX2
    return x ^ (x >> _S31)


@njit(cache=True)
def uniform(key: np.uint64, index: int) -> float:
    """A number in (0, 1)."""
    return (float(hash64(key, index) >> _S11) + 0.5) * (1.0 / 9007199254740992.0)


@njit(cache=True)
def normal(key: np.uint64, index: int) -> float:
    """A standard normal number (Box and Muller 1958); uses indices 2 * index and 2 * index + 1."""
    radius = math.sqrt(-2.0 * math.log(uniform(key, 2 * index)))
    return radius * math.cos(2.0 * math.pi * uniform(key, 2 * index + 1))
