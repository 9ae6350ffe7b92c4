"""A remembered map lies, at a later tick, where the world it shows then lies."""

import numpy as np

from sensorfuse.fusion.feature_memory import FeatureMemory, RememberedMap
from sensorfuse.fusion.grid import GRID
from sensorfuse.geometry import Transform

SECOND = 10**9


def peak_at(xy_m: tuple[float, float]) -> np.ndarray:
    features = np.zeros((1, GRID.cells, GRID.cells), np.float32)
    i, j = np.round(GRID.index(xy_m)).astype(int)
    features[0, i, j] = 1
    return features


def at(x: float, y: float, yaw: float = 0.0) -> Transform:
    return Transform.from_rpy((x, y, 0.0), (0.0, 0.0, yaw))


def test_what_stands_still_stays_where_it_is_while_the_body_moves() -> None:
    pole = np.array([20.0, 5.0])  # in odom
    then, now = at(2.5, 0.0), at(10.0, -2.5)
    moved = RememberedMap(peak_at(tuple(pole - [2.5, 0.0])), 0, then).at_tick(now)
    place = GRID.metres(np.array(np.unravel_index(moved[0].argmax(), moved[0].shape)))
    assert np.abs(place - (pole - [10.0, -2.5])).max() <= GRID.cell_m


def test_the_map_before_is_the_last_different_one_and_not_too_old() -> None:
    memory = FeatureMemory()
    first, second = peak_at((5.0, 0.0)), peak_at((6.0, 0.0))
    memory.put("lidar", RememberedMap(first, 0, at(0, 0)))
    assert memory.before("lidar") is None
    memory.put("lidar", RememberedMap(second, SECOND // 10, at(1, 0)))
    memory.put("lidar", RememberedMap(second, SECOND // 10 + 1000, at(1, 0)))  # the same sweep, its time known better
    before = memory.before("lidar")
    assert before is not None
    assert before.features is first
    memory.put("lidar", RememberedMap(first.copy(), 2 * SECOND, at(3, 0)))  # after a gap
    assert memory.before("lidar") is None
    memory.put("lidar", RememberedMap(second.copy(), SECOND, at(3, 0)))  # a log that starts anew
    assert memory.before("lidar") is None
    memory.forget()
    memory.put("lidar", RememberedMap(second.copy(), SECOND + SECOND // 10, at(3, 0)))
    assert memory.before("lidar") is None
