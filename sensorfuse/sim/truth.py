"""What really is: objects in base_link, the ego's motion, what can be heard, and what a LiDAR on the roof could see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.messages import Detections, SoundEvent, Truth
from sensorfuse.sensor_config import LidarConfig
from sensorfuse.sim.scene.ground import GroundMap
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.lidar import LidarModel
from sensorfuse.sim.sensors.sound_sources import SoundSources

TRUTH_RANGE_M = 80.0
AUDIBLE_M = 60.0
_ROOF = Transform(np.eye(3), np.array([1.0, 0.0, 1.9]))
_ROOF_LIDAR = LidarConfig(rings=32, columns=256, elevation_deg=(-25.0, 8.0), max_range_m=TRUTH_RANGE_M + 8.0)


class TruthModel:
    """The truth of one world. `ears`: T_base_ears, whence sound directions are taken."""

    def __init__(self, world: World, ears: Transform) -> None:
        self.world, self.ears = world, ears
        self.sources = SoundSources(world)
        self._lidar: LidarModel | None = None

    def _near(self, t_s: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        place, states = self.world.ego(t_s).position[0], self.world.states(t_s)
        return np.flatnonzero(np.hypot(states[:, 0] - place[0], states[:, 1] - place[1]) < TRUTH_RANGE_M), states

    def at(self, stamp_ns: int, t_s: float) -> Truth:
        """Truth at `t_s` seconds after the epoch."""
        who, states = self._near(t_s)
        ego = self.world.ego(t_s)
        pose = ego.pose()
        state, size, n = states[who], self.world.size[who], len(who)
        heading = np.column_stack([np.cos(state[:, 2]), np.sin(state[:, 2])]) @ pose.rotation[:2]
        objects = Detections(
            class_id=self.world.class_id[who],
            score=np.ones(n, np.float32),
            center=pose.inverse() @ np.column_stack([state[:, :2], size[:, 2] / 2]),
            size=size,
            yaw=np.arctan2(heading[:, 1], heading[:, 0]),
            velocity=state[:, 3:5] @ pose.rotation[:2, :2],
            covariance=np.zeros((n, 4, 4)),
            track_id=who.astype(np.int64),
        )
        twist = np.concatenate([pose.rotation.T @ ego.velocity[0], ego.rate[0]])
        return Truth(stamp_ns, objects, pose.matrix(), twist, self._sounds(t_s, pose), True, TRUTH_RANGE_M)

    def _sounds(self, t_s: float, pose: Transform) -> list[SoundEvent]:
        """Sirens and horns heard now: by the sound that arrives now, from where it was emitted."""
        ear = (pose @ self.ears).translation
        heard = []
        for name, who in self.sources.loud(t_s):
            emitted_s, place = self.sources.retarded(who, t_s, ear)
            if np.linalg.norm(place - ear) < AUDIBLE_M and self.sources.sounding(name, who, emitted_s):
                x, y, _ = pose.rotation.T @ (place - ear)
                heard.append(SoundEvent(name, float(np.arctan2(y, x)), 1.0))
        return heard

    def visible(self, t_s: float, ground: GroundMap) -> NDArray[np.int64]:
        """Ideal LiDAR echoes (N,) on each object of `at`, everything standing still at `t_s`."""
        if self._lidar is None:
            self._lidar = LidarModel(self.world, _ROOF_LIDAR, _ROOF, ground)
        hit = self._lidar.sweep(t_s, 0.0, None)[4]
        counts = np.bincount(hit[hit >= 0], minlength=len(self.world.names))
        return np.asarray(counts[self._near(t_s)[0]], dtype=np.int64)
