"""A stage: a few objects and walls on bare ground, and an ego that moves as a test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sensorfuse.messages import CLASSES
from sensorfuse.sim.scenario import Scenario
from sensorfuse.sim.scene.rigid_motion import RigidMotion
from sensorfuse.sim.scene.shapes import COS, OWNER, SIN, VX, VY, X, Y, make_shape


class Stage:
    """What sensor models ask of a `World`. Objects are (class, x, y, yaw, vx, vy) at t = 0 and don't turn.

    `ego` gives place and roll, pitch, yaw with two derivatives each, (K, 3 orders, 3), at times (K,).
    """

    def __init__(
        self,
        objects: list[tuple[str, float, float, float, float, float]],
        static: list[np.ndarray] | None = None,
        ego: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None,
        scenario: dict[str, Any] | None = None,
    ) -> None:
        rng = np.random.default_rng(0)
        self.scenario = Scenario.model_validate(scenario or {})
        self.names = tuple(o[0] for o in objects)
        shapes = [make_shape(name, rng) for name in self.names]
        self.class_id = np.array([CLASSES.index(name) for name in self.names], np.uint8)
        self.size = np.array([s.size for s in shapes]).reshape(-1, 3)
        self.moving = np.array([o[4] != 0 or o[5] != 0 for o in objects], bool)
        self.motors = np.array([name not in ("pedestrian", "cyclist") for name in self.names], bool)
        self._start = np.array([o[1:] for o in objects]).reshape(-1, 5)
        self._shapes = [s.parts for s in shapes]
        self.static = np.array(static or []).reshape(-1, 20)
        self._ego = ego or (lambda t: (np.zeros((len(t), 3, 3)), np.zeros((len(t), 3, 3))))

    def states(self, t_s: float) -> np.ndarray:
        out = np.zeros((len(self.names), 6))
        out[:, :5] = self._start
        out[:, :2] += t_s * self._start[:, 3:]
        return out

    def ego(self, t_s: Any) -> RigidMotion:
        return RigidMotion.from_derivatives(*self._ego(np.atleast_1d(np.asarray(t_s, float))))

    def ego_distance(self, t_s: Any) -> np.ndarray:
        return np.zeros(len(np.atleast_1d(t_s)))

    def parts(self, t_s: float, around: Any, radius_m: float) -> np.ndarray:
        rows = [self.static]
        for i, (state, shape) in enumerate(zip(self.states(t_s), self._shapes, strict=True)):
            part = shape.copy()
            c, s = np.cos(state[2]), np.sin(state[2])
            part[:, X] = state[0] + c * shape[:, X] - s * shape[:, Y]
            part[:, Y] = state[1] + s * shape[:, X] + c * shape[:, Y]
            part[:, COS], part[:, SIN], part[:, VX], part[:, VY], part[:, OWNER] = c, s, state[3], state[4], i
            rows.insert(len(rows) - 1, part)
        return np.ascontiguousarray(np.vstack(rows))


def shaking(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A vehicle that drives a bend while it heaves, rolls and pitches hard."""

    def wave(mean: float, slope: float, size: float, w: float, phase: float) -> np.ndarray:
        angle = w * t + phase
        return np.stack(
            [mean + slope * t + size * np.sin(angle), slope + size * w * np.cos(angle), -size * w * w * np.sin(angle)],
            axis=-1,
        )

    place = np.stack([wave(0, 9, 2, 0.5, 0), wave(0, 1, 1, 0.8, 1), wave(1.0, 0, 0.1, 9, 0.3)], axis=-1)
    attitude = np.stack([wave(0.05, 0, 0.12, 6, 0), wave(-0.04, 0, 0.1, 7, 1), wave(0.2, 0.15, 0.1, 2, 2)], axis=-1)
    return place, attitude


@pytest.fixture(scope="session")
def stage() -> type[Stage]:
    return Stage


@pytest.fixture(scope="session")
def shaking_ego() -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    return shaking
