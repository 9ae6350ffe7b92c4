"""Crossings: lights are obeyed, motion is exact and repeats, and the ground is painted where it should be."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.sim.scenario import RoadConfig, Scenario, load_scenario
from sensorfuse.sim.scene import traffic_light
from sensorfuse.sim.scene.crossing import (
    KEEP_CLEAR_M,
    SIDE_KERB_M,
    SIDE_STAND_M,
    SIDE_STOP_LINE_M,
    SIDE_ZEBRA_M,
    STAND_M,
    STOP_LINE_M,
    ZEBRA_M,
)
from sensorfuse.sim.scene.ground import ASPHALT, MARK, GroundMap, material_at
from sensorfuse.sim.scene.population import EGO_CENTRE_M, EGO_HALF_LENGTH_M
from sensorfuse.sim.scene.shapes import BLUE, BOUND, CYLINDER, HX, HZ, KIND, LAMP, RED, TEXTURE, X, Y, Z
from sensorfuse.sim.scene.street_furniture import DARK, LIT
from sensorfuse.sim.scene.world import World

CITY = Scenario(road=RoadConfig(crossings=2, radius_m=170.0, stops=0))


@pytest.fixture(scope="module")
def world() -> World:
    return World(CITY, 4)


def test_crossings_are_where_the_loop_is_straight_and_the_side_roads_leave_it(world: World) -> None:
    assert len(world.crossings) == 2
    loop = world.road.points(np.arange(0, world.road.length_m, 1.0))[:, :2]
    for crossing in world.crossings:
        uv = crossing.local(loop)
        near = uv[(np.abs(uv[:, 0]) < KEEP_CLEAR_M) & (np.abs(uv[:, 1]) < 20)]
        assert np.abs(near[:, 1]).max() < 0.5
        np.testing.assert_allclose(crossing.local(crossing.world(uv[:9])), uv[:9], atol=1e-9)
        up, down = crossing.road.points([0.0, crossing.downwards_m])
        assert crossing.local(up[:2])[0] == pytest.approx([1.625, 0.0], abs=0.05)
        assert crossing.local(down[:2])[0] == pytest.approx([-1.625, 0.0], abs=0.05)
        assert np.cos(up[2] - crossing.heading - np.pi / 2) > 0.999
        assert np.abs(crossing.local(crossing.line())[:, 1]).max() > 50.0


def test_a_world_without_crossings_draws_nothing_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = World(load_scenario("town"), 3)
    monkeypatch.setattr("sensorfuse.sim.scene.world.CROSSING_DRAWS", 1)
    monkeypatch.setattr("sensorfuse.sim.scene.world.CITY_DRAWS", 2)
    again = World(load_scenario("town"), 3)
    assert not plain.crossings
    assert not plain.lights
    assert plain.states(17.0).tobytes() == again.states(17.0).tobytes()
    assert plain.static.tobytes() == again.static.tobytes()


def test_crossings_need_an_urban_road() -> None:
    with pytest.raises(SensorfuseError, match="urban"):
        World(Scenario(road=RoadConfig(crossings=1, urban=False)), 0)


def fronts(world: World, t: float) -> np.ndarray:
    """x, y of the fronts (N, 2), and of the ego's body last."""
    states = world.states(t)
    heading = np.column_stack([np.cos(states[:, 2]), np.sin(states[:, 2])])
    ego = world.ego(t).at(np.array([EGO_CENTRE_M + EGO_HALF_LENGTH_M, 0.0, 0.0]))[0]
    return np.vstack([states[:, :2] + heading * world.size[:, :1] / 2, ego[:, :2]])


@pytest.mark.parametrize("seed", [0, 4])
def test_red_means_that_nobody_drives_over_the_stop_line(seed: int) -> None:
    world = World(CITY, seed)
    vehicles = np.array([*(n != "pedestrian" for n in world.names), True])
    waiting = set()
    crossed = 0
    step = 0.25
    before = fronts(world, 0.0)
    for t in np.arange(step, 1.1 * world.lap_s, step):
        after = fronts(world, t)
        for crossing, light in zip(world.crossings, world.lights, strict=True):
            old, new = crossing.local(before), crossing.local(after)
            loop = vehicles & (np.abs(new[:, 1]) < crossing.edge_m + 1.5)
            side = vehicles & (np.abs(new[:, 0]) < SIDE_KERB_M)
            for who, axis, line, side_road in (
                (loop, 0, STAND_M, False),
                (side, 1, crossing.edge_m + SIDE_STAND_M, True),
            ):
                inwards = (np.abs(old[:, axis]) > line - 0.3) & (np.abs(new[:, axis]) <= line - 0.3) & who
                crossed += int(inwards.sum())
                if light.colour(t, side_road) == light.colour(t - step, side_road) == traffic_light.RED:
                    assert not inwards.any(), f"{np.flatnonzero(inwards)} at {t} s"
                    moved = np.hypot(*(after - before).T) > 1e-4
                    at_line = who & (np.abs(np.abs(new[:, axis]) - line) < 0.6) & ~moved
                    waiting |= set(np.flatnonzero(at_line).tolist())
        before = after
    assert len(waiting) >= 4
    assert crossed > 30


def test_the_two_roads_never_have_green_or_amber_together(world: World) -> None:
    for light in world.lights:
        t = np.arange(0, 2 * light.cycle_s, 0.1)
        loop = np.array([light.colour(x, False) for x in t])
        side = np.array([light.colour(x, True) for x in t])
        assert ((loop == traffic_light.RED) | (side == traffic_light.RED)).all()
        assert set(loop) == set(side) == {traffic_light.RED, traffic_light.AMBER, traffic_light.GREEN}


def test_everybody_moves_as_their_positions_say(world: World) -> None:
    going = np.flatnonzero(world.moving)
    h = 1e-3
    for t in (3.7, 41.0, 77.7):
        now = world.motion(going, t)
        before, after = world.motion(going, t - h), world.motion(going, t + h)
        np.testing.assert_allclose((after - before)[:, :2] / (2 * h), now[:, 3:5], atol=1e-4)
        turn = (after - before)[:, 2]
        np.testing.assert_allclose((turn + np.pi) % (2 * np.pi) - np.pi, 2 * h * now[:, 5], atol=1e-6)
        np.testing.assert_allclose((after - before)[:, 3:6] / (2 * h), now[:, 6:9], atol=1e-3)


def test_laps_are_whole_cycles_and_nothing_jumps_between_them(world: World) -> None:
    cycle = world.lights[0].cycle_s
    assert (world.lap_s / cycle) == pytest.approx(round(world.lap_s / cycle), abs=1e-9)
    going = np.flatnonzero(world.moving)
    for law in world._laws.values():
        assert law.period / cycle == pytest.approx(round(law.period / cycle), abs=1e-9)
        for near in law.period * np.array([1.0, 2.0]):
            before, after = world.motion(going, near - 1e-4), world.motion(going, near + 1e-4)
            np.testing.assert_allclose((after - before)[:, :2], 2e-4 * before[:, 3:5], atol=1e-6)
            np.testing.assert_allclose(after[:, 3:9], before[:, 3:9], atol=5e-3)


def test_cross_traffic_is_mixed_and_drives_queues_and_turns_round(world: World) -> None:
    on_side = world._road_of > 0
    kinds = {world.names[i] for i in np.flatnonzero(on_side)}
    assert {"car", "bus", "cyclist", "pedestrian"} <= kinds
    states = np.stack([world.states(t)[on_side] for t in np.arange(0, 120, 1.0)])
    speed = np.hypot(states[..., 3], states[..., 4])
    assert (speed.min(axis=0) < 0.05).mean() > 0.5
    assert (speed.max(axis=0) > 1.0).all()


def test_zebras_and_stop_lines_are_painted(world: World) -> None:
    ground = GroundMap.of(CITY.road, world.road, world.crossings)

    def share(crossing, u: tuple[float, float], v: tuple[float, float]) -> float:  # type: ignore[no-untyped-def]
        uu, vv = np.meshgrid(np.linspace(*u, 60), np.linspace(*v, 60))
        xy = crossing.world(np.column_stack([uu.ravel(), vv.ravel()]))
        kinds = [material_at(ground.material, ground.x0_m, ground.y0_m, ground.cell_m, x, y) for x, y in xy]
        assert set(kinds) <= {ASPHALT, MARK}
        return float(np.mean(np.array(kinds) == MARK))

    for crossing in world.crossings:
        edge = crossing.edge_m
        for side in (1, -1):
            assert 0.35 < share(crossing, (side * ZEBRA_M[0], side * ZEBRA_M[1]), (-edge, edge)) < 0.65
            inside = side * (edge + SIDE_ZEBRA_M[0]), side * (edge + SIDE_ZEBRA_M[1])
            assert 0.35 < share(crossing, (-5.5, 5.5), inside) < 0.65
            line = side * (STOP_LINE_M[0] + 0.1), side * (STOP_LINE_M[1] - 0.1)
            assert share(crossing, line, (side * 0.4, side * (edge - 0.3))) > 0.9
            assert share(crossing, line, (-side * 0.4, -side * (edge - 0.5))) < 0.1
            line = side * (edge + SIDE_STOP_LINE_M[0] + 0.1), side * (edge + SIDE_STOP_LINE_M[1] - 0.1)
            assert share(crossing, (-side * 0.4, -side * 2.9), line) > 0.9
        assert share(crossing, (-5.0, 5.0), (-edge, edge)) == 0.0


def test_nothing_stands_on_the_roads_or_in_the_way_of_walkers(world: World) -> None:
    for row in world.static:
        for crossing in world.crossings:
            u, v = np.abs(crossing.local(row[[X, Y]])[0])
            low = row[Z] - row[HZ]
            reach = min(row[BOUND], 0.1) if row[KIND] == CYLINDER else row[HX]
            if low < 1.9 and v < 40.0:  # what hangs higher is above the heads
                assert u - reach > SIDE_KERB_M
    parked = world.states(0.0)[~world.moving & world.motors]
    for crossing in world.crossings:
        uv = crossing.local(parked[:, :2])
        assert not ((np.abs(uv[:, 0]) < KEEP_CLEAR_M - 1) & (np.abs(uv[:, 1]) < 12)).any()


def test_lamps_show_the_state_of_the_lights(world: World) -> None:
    crossing, light = world.crossings[0], world.lights[0]
    for t in np.arange(0.0, light.cycle_s, 1.7):
        lamps = world.parts(t, crossing.middle, 22.0)
        lamps = lamps[lamps[:, TEXTURE] == LAMP]
        assert len(lamps) == 12
        bright = [tuple(row[RED : BLUE + 1]) for row in lamps if tuple(row[RED : BLUE + 1]) != DARK]
        expected = [tuple(LIT[light.colour(t, side)]) for side in (False, False, True, True)]
        assert sorted(bright) == sorted(expected)


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_there_is_room_for_crossings_of_every_width(lanes: int) -> None:
    world = World(Scenario(road=RoadConfig(crossings=4, radius_m=170.0, lanes=lanes)), 1)
    assert len(world.crossings) == len(world.lights) == 4
