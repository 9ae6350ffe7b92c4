"""A car on springs: how its body heaves, pitches and rolls on the road that it drives.

Heave, pitch and roll are three damped oscillators: a half-car whose dynamic index is one, as cars nearly have it, in
which they do not couple (Gillespie 1992, "Fundamentals of Vehicle Dynamics", ch. 5; Rajamani 2012, "Vehicle Dynamics
and Control", ch. 10). Braking and cornering act as inertia forces on the height of the centre of mass: the car dives,
squats and leans outwards. The road lifts the front axle first and the rear axle a wheelbase later; wheels follow it.

The motion is the periodic steady state of one lap, solved harmonic by harmonic; as control points of a spline it is
the world's exact truth from then on. The road is felt, not seen: for rays the ground stays flat at z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensorfuse.sim.scenario import RoadConfig
from sensorfuse.sim.scene.loop_noise import loop_noise
from sensorfuse.sim.scene.rigid_motion import RigidMotion
from sensorfuse.sim.scene.spline import LoopSpline

Array = NDArray[np.float64]

STEP_S = 0.01
WHEELBASE_M, TRACK_M = 2.8, 1.55
MASS_AHEAD_M = 1.4  # of the rear axle
HEAVE_HZ, PITCH_HZ, ROLL_HZ = 1.3, 1.5, 1.7
DAMPING = 0.3
DIVE, LEAN = np.radians(0.35), np.radians(0.4)
"""Steady pitch and roll per m/s^2 of acceleration of the body, rad."""
BUMP_M, BUMP_HEIGHT_M = 3.6, 0.07
_PROFILE_STEP_M = 0.05
_ROUGH_PER_M = (1 / 60.0, 1 / 0.5)  # wavelengths that are felt; the tyre bridges what is shorter
_CROSS_PER_M = (1 / 8.0, 1 / 0.5)  # longer waves lift both wheels of an axle alike


def bump_places(config: RoadConfig, length_m: float, seed: int) -> tuple[float, ...]:
    """Where the speed bumps of a road lie (middle, metres along), spread over the lap."""
    rng = np.random.default_rng((seed, 0xB0B5))
    slots = (np.arange(config.bumps) + rng.uniform(0.25, 0.75, config.bumps)) / max(config.bumps, 1)
    return tuple(float(s) for s in slots * length_m)


@dataclass(frozen=True)
class RoadSurface:
    """Height of a closed road along its ego lane: (N,) metres, and how much higher the left wheel stands than the
    right, (N,) metres; evenly spread over `length_m`.
    """

    length_m: float
    height: Array
    cross: Array

    @staticmethod
    def of(config: RoadConfig, length_m: float, seed: int) -> RoadSurface:
        """Speed bumps are raised cosines across the lane. Roughness has the spectrum of ISO 8608: power falls with the
        square of the spatial frequency.
        """
        count = round(length_m / _PROFILE_STEP_M)
        at = np.arange(count) * length_m / count
        height, cross = np.zeros(count), np.zeros(count)
        for place in bump_places(config, length_m, seed):
            off = (at - place + length_m / 2) % length_m - length_m / 2
            over = np.abs(off) < BUMP_M / 2
            height[over] += 0.5 * BUMP_HEIGHT_M * (1 + np.cos(2 * np.pi * off[over] / BUMP_M))
        if config.roughness_mm > 0:
            rng = np.random.default_rng((seed, 0x20AD))
            sigma, step = config.roughness_mm / 1000, length_m / count
            height += sigma * loop_noise(count, step, _ROUGH_PER_M, rng, fall=2.0)[:, 0]
            cross += 0.5 * sigma * loop_noise(count, step, _CROSS_PER_M, rng, fall=2.0)[:, 0]
        return RoadSurface(length_m, height, cross)

    def under(self, s: Array) -> tuple[Array, Array]:
        """`height` and `cross` (K,) at `s` (K,) metres along."""
        at = np.arange(len(self.height)) * self.length_m / len(self.height)
        height, cross = (np.interp(s, at, v, period=self.length_m) for v in (self.height, self.cross))
        return height, cross


def _oscillate(force: Array, base: Array, step_s: float, hz: float) -> Array:
    """Periodic answer (N,) of x'' + 2 z w x' + w^2 x = w^2 force + 2 z w base' + w^2 base, with w = 2 pi hz."""
    own, turn = 2 * np.pi * hz, 2j * np.pi * np.fft.rfftfreq(len(force), step_s)
    damper = 2 * DAMPING * own * turn
    stiff = own**2 + damper + turn**2
    wave = (own**2 * np.fft.rfft(force) + (own**2 + damper) * np.fft.rfft(base)) / stiff
    return np.asarray(np.fft.irfft(wave, len(force)))


def ride(motion: RigidMotion, along_m: Array, surface: RoadSurface, lap_s: float) -> LoopSpline:
    """Height of base_link, roll and pitch (D = 3) over one lap, as control points of a spline.

    `motion` (N rows, evenly spread over the lap) is that of the level car, `along_m` (N,) where its rear axle is.
    """
    step = lap_s / len(motion)
    push = np.einsum("kij,ki->kj", motion.rotation, motion.at([MASS_AHEAD_M, 0.0, 0.0])[2])  # body axes
    rear, rear_cross = surface.under(along_m)
    front, front_cross = surface.under(along_m + WHEELBASE_M)
    still = np.zeros(len(motion))
    heave = _oscillate(still, (rear + front) / 2, step, HEAVE_HZ)
    pitch = _oscillate(-DIVE * push[:, 0], (rear - front) / WHEELBASE_M, step, PITCH_HZ)  # positive: nose down
    roll = _oscillate(LEAN * push[:, 1], (rear_cross + front_cross) / 2 / TRACK_M, step, ROLL_HZ)  # left side up
    return LoopSpline(np.column_stack([heave + pitch * WHEELBASE_M / 2, roll, pitch]), lap_s, np.zeros(3))
