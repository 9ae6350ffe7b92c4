"""Street furniture: traffic lights face who must obey them, nothing stands where people walk."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.sim.scenario import RoadConfig, Scenario
from sensorfuse.sim.scene.crossing import STOP_LINE_M
from sensorfuse.sim.scene.layout import KERB_M, PAVEMENT_M
from sensorfuse.sim.scene.shapes import HX, HY, HZ, X, Y, Z
from sensorfuse.sim.scene.street_furniture import furnish, traffic_lights
from sensorfuse.sim.scene.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World(Scenario(road=RoadConfig(crossings=1, radius_m=170.0)), 2)


def test_lamps_hang_before_their_heads_beside_the_stop_lines(world: World) -> None:
    rows, lamps = traffic_lights(world.crossings, 0)
    assert len(lamps) == 12
    crossing = world.crossings[0]
    for lamp in lamps:
        u, v = crossing.local(rows[lamp.row][[X, Y]])[0]
        axis = v if lamp.side_road else u
        line = crossing.edge_m + 6.8 if lamp.side_road else STOP_LINE_M[0]
        assert abs(axis) == pytest.approx(line + 0.14, abs=0.01)  # towards who comes, off the crossing
        assert u * v > 0 if not lamp.side_road else u * v < 0  # on the right of who comes
    heights = {m.colour: rows[m.row][Z] for m in lamps}
    assert heights[0] > heights[1] > heights[2]


def test_furniture_leaves_the_tracks_of_walkers_free(world: World) -> None:
    rows = furnish(world.road, world.edge_m, world.crossings, np.random.default_rng(0))
    assert len(rows) > 60
    s = np.arange(0, world.road.length_m, 0.5)
    loop = [world.road.points(s, side * (world.edge_m + KERB_M + 1.4))[:, :2] for side in (1, -1)]
    for row in rows:
        near = min(np.hypot(*(line - row[[X, Y]]).T).min() for line in loop)
        if row[Z] - row[HZ] < 1.95:
            assert near > 0.9 - 0.16 + min(row[HX], row[HY])
    assert PAVEMENT_M > KERB_M + 1.4
