"""What makes sound: sirens of emergency vehicles, horns, engines with their tyres; when, and where it came from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sensorfuse.sim.scene.world import World

Array = NDArray[np.float64]

SPEED_OF_SOUND_MPS = 343.0
SIREN, HORN, ENGINE = 0, 1, 2
NAMES = ("siren", "horn", "engine")
REACH_M = (150.0, 150.0, 35.0)
"""Beyond this a source of that kind is silent; it fades out towards it, so that nothing clicks."""


class SoundSources:
    """Every source of a world. The kind of siren and the times of honking follow from the actors, so from the seed."""

    def __init__(self, world: World) -> None:
        self.world = world
        n = len(world.names)
        rng = np.random.default_rng(np.ascontiguousarray(world.size).view(np.uint64).ravel())
        self.drivers = np.flatnonzero(world.motors & world.moving)
        self.sirens = np.array([i for i in self.drivers if world.names[i] == "emergency_vehicle"], dtype=np.int64)
        self.siren_style = rng.integers(0, 3, n).astype(np.float64)  # wail, yelp, two tones
        self.pitch = rng.uniform(0.9, 1.12, n)
        self.siren_period_s, self.siren_phase = rng.uniform(30, 60, n), rng.random(n)
        self.horn_period_s = world.scenario.traffic.horn_period_s * rng.uniform(0.6, 1.4, n)
        self.horn_phase, self.horn_s = rng.random(n), rng.uniform(0.4, 1.1, n)

    def position(self, who: NDArray[np.int64], t_s: ArrayLike) -> Array:
        """Where the sound of actors (K,) leaves them at times (K,): (K, 3), world axes."""
        motion = self.world.motion(who, t_s)
        return np.column_stack([motion[:, :2], 0.7 * self.world.size[who, 2]])

    def retarded(self, who: int, t_s: float, ear: Array) -> tuple[float, Array]:
        """When and where the sound was emitted that arrives at `ear` (3,) at `t_s`."""
        emitted, place = self.retarded_all(np.array([who]), np.array([t_s]), ear[None])
        return float(emitted[0]), place[0]

    def retarded_all(self, who: NDArray[np.int64], t_s: Array, ear: Array) -> tuple[Array, Array]:
        """Emission times (K,) and places (K, 3) of what arrives at `ear` (K, 3) at times (K,).

        Fixed-point iteration of t' = t - |place(t') - ear| / c: it converges by a factor of speed / c per step.
        """
        emitted = t_s.copy()
        for _ in range(5):
            place = self.position(who, emitted)
            emitted = t_s - np.linalg.norm(place - ear, axis=1) / SPEED_OF_SOUND_MPS
        return emitted, place

    def sounding(self, name: str, who: int, t_s: float) -> bool:
        """Whether an actor's siren or horn is on at an emission time."""
        if name == "siren":
            return bool((t_s / self.siren_period_s[who] + self.siren_phase[who]) % 1.0 < 0.75)
        period = self.horn_period_s[who]
        return bool((t_s / period + self.horn_phase[who]) % 1.0 * period < self.horn_s[who])

    def loud(self, t_s: float) -> list[tuple[str, int]]:
        """Sirens and horns that are, or just were, on."""
        out = [("siren", int(i)) for i in self.sirens]
        period = self.horn_period_s[self.drivers]
        since = (t_s / period + self.horn_phase[self.drivers]) % 1.0 * period
        honking = since < self.horn_s[self.drivers] + 0.5
        return out + [("horn", int(i)) for i in self.drivers[honking]]

    def near(self, t_s: float, ear: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Kinds (S,) and actors (S,) of all sources that may be heard around `t_s` at `ear` (3,)."""
        place = self.position(self.drivers, t_s)
        distance = np.hypot(place[:, 0] - ear[0], place[:, 1] - ear[1])
        engines = self.drivers[distance < REACH_M[ENGINE] + 5]
        within = {int(i) for i in self.drivers[distance < REACH_M[SIREN] + 5]}
        loud = [(NAMES.index(name), i) for name, i in self.loud(t_s) if i in within]
        kinds = np.array([k for k, _ in loud] + [ENGINE] * len(engines), dtype=np.int64)
        return kinds, np.concatenate([np.array([i for _, i in loud], dtype=np.int64), engines])
