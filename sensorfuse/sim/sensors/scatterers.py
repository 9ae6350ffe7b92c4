"""The places on objects that a radar sees: corners and middles of their sides, with a cross-section each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensorfuse.messages import CLASSES
from sensorfuse.sim.scene.world import World

Array = NDArray[np.float64]

RCS_DBSM = {
    "car": 9.0,
    "van": 12.0,
    "truck": 18.0,
    "bus": 17.0,
    "emergency_vehicle": 13.0,
    "cyclist": -1.0,
    "pedestrian": -5.0,
}
CLASS_RCS_DBSM = np.array([RCS_DBSM.get(name, 0.0) for name in CLASSES])
LIMB_MPS = 0.35
FACING = 0.08
"""A side is seen from where the cosine between its normal and the line of sight exceeds this."""

# Scatterers of a unit box: x, y in half sizes, and the outward normals of the sides they lie on (zero: none).
_SPOTS = np.array(
    [
        [1, 1, 1, 1], [1, -1, 1, -1], [-1, 1, -1, 1], [-1, -1, -1, -1],
        [1, 0, 1, 0], [-1, 0, -1, 0], [0, 1, 0, 1], [0, -1, 0, -1],
    ],
    dtype=np.float64,
)  # fmt: skip


@dataclass(frozen=True)
class Scatterers:
    """K places on objects at one instant, world axes."""

    point: Array  # (K, 3)
    velocity: Array  # (K, 3)
    owner: NDArray[np.int64]  # (K,)
    heading: Array  # (K, 2) cosine and sine of the object's
    sides: Array  # (K, 2) outward normals along and across the heading: -1, 0 or 1
    level: Array  # (K,) mean cross-section in dBsm, seen square on

    def __len__(self) -> int:
        return len(self.level)

    def select(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Scatterers:
        """The rows that an index array or a mask picks."""
        return Scatterers(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def facing(self, view: Array) -> Array:
        """Cosine (K,) between the better of a place's sides and the horizontal line to `view` (3,) or (K, 3)."""
        line = view[..., :2] - self.point[:, :2]
        x, y = line[:, 0], line[:, 1]
        cos, sin = self.heading[:, 0], self.heading[:, 1]
        along, across = (cos * x + sin * y) * self.sides[:, 0], (cos * y - sin * x) * self.sides[:, 1]
        return np.asarray(np.maximum(along, across) / np.maximum(np.hypot(x, y), 1e-6))

    def levels(self, facing: Array) -> Array:
        """Mean cross-sections (K,) in dBsm, seen at these cosines (K,)."""
        return np.asarray(self.level + 10 * np.log10(np.clip(facing, 0.05, 1.0)))

    @staticmethod
    def near(world: World, t_s: float, place: Array, reach_m: float, rng: np.random.Generator) -> Scatterers:
        """Those of all objects within `reach_m` of a place x, y, at slightly random spots of each object."""
        states = world.states(t_s)
        who = np.flatnonzero(np.hypot(states[:, 0] - place[0], states[:, 1] - place[1]) < reach_m)
        state, size = states[who], world.size[who]
        small = np.minimum(size[:, 0], size[:, 1]) < 1.0
        jitter = rng.uniform(-0.12, 0.12, (len(who), len(_SPOTS), 2))
        half = 0.5 * size[:, None, :2] * np.where(small, 0.4, 0.96)[:, None, None]
        local = half * np.clip(_SPOTS[None, :, :2] + jitter, -1, 1)  # (objects, 8, 2)
        cos, sin = np.cos(state[:, 2])[:, None], np.sin(state[:, 2])[:, None]
        dx, dy = cos * local[..., 0] - sin * local[..., 1], sin * local[..., 0] + cos * local[..., 1]
        height = size[:, None, 2] * rng.uniform(0.25, 0.6, dx.shape)
        point = np.stack([state[:, None, 0] + dx, state[:, None, 1] + dy, height], axis=-1)
        spin = state[:, None, 5]
        velocity = np.stack([state[:, None, 3] - spin * dy, state[:, None, 4] + spin * dx, np.zeros_like(dx)], axis=-1)
        limbs = ~world.motors[who] & world.moving[who]  # arms, legs and wheels move on their own
        velocity[..., :2] += np.where(limbs, LIMB_MPS, 0.0)[:, None, None] * rng.standard_normal((*dx.shape, 2))
        every = len(_SPOTS)
        return Scatterers(
            point.reshape(-1, 3),
            velocity.reshape(-1, 3),
            np.repeat(who, every),
            np.repeat(np.hstack([cos, sin]), every, axis=0),
            np.tile(_SPOTS[:, 2:], (len(who), 1)),
            np.repeat(CLASS_RCS_DBSM[world.class_id[who]] - 3.0, every),
        )
