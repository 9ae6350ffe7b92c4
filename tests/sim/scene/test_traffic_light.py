"""Laws that obey lights: they pass gates only while these are open, and take whole cycles for a lap."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.sim.scene.traffic_light import AMBER, AMBER_S, GREEN, RED, Gate, Group, Signal, obey
from sensorfuse.sim.scene.trajectory import Driving, Road

CYCLE_S = 46.0
GROUP = Group(lead_s=2.0, lead_m=15.0, tail_s=3.0, tail_m=20.0)


def circle(radius_m: float) -> Road:
    a = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    return Road.through(radius_m * np.column_stack([np.cos(a), np.sin(a)]))


@pytest.mark.parametrize("opens", [0.0, 7.0, 19.0, 31.0, 43.0])
def test_a_group_is_between_the_lines_only_in_its_half_of_the_cycle(opens: float) -> None:
    road = circle(140.0)
    gates = [Gate(100.0, 122.0, 3.0), Gate(400.0, 422.0, 3.0 + opens), Gate(700.0, 722.0, 9.0 + opens)]
    found = obey(road, Driving(10.0), 1, gates, CYCLE_S, GROUP)
    assert found is not None
    assert found.law.period == pytest.approx(found.cycles * CYCLE_S, abs=1e-9)
    t = np.arange(0, found.law.period, 0.1)
    length = road.length_m
    for start, lag in ((GROUP.lead_m, GROUP.lead_s), (-GROUP.tail_m, -GROUP.tail_s), (0.0, 0.0)):
        place = found.law(t + found.shift_s + lag)[:, 0, 0] + start
        for gate, last in zip(gates, found.last_s, strict=True):
            inside = (place - gate.stand_m - 0.3) % length < gate.left_m - gate.stand_m
            since = (t[inside] - gate.opens_s) % CYCLE_S
            assert inside.any()
            assert since.max() <= CYCLE_S / 2
            assert since.min() <= last + 0.2


def test_somebody_waits_and_stands_still() -> None:
    found = obey(circle(140.0), Driving(10.0), 1, [Gate(100.0, 122.0, 0.0)], CYCLE_S, GROUP)
    assert found is not None
    speed = found.law(np.arange(0, found.law.period, 0.1))[:, 1, 0]
    assert speed.min() == pytest.approx(0.0, abs=0.05)
    assert speed.min() > -1e-9


def test_too_short_a_cycle_has_no_law() -> None:
    assert obey(circle(140.0), Driving(10.0), 1, [Gate(100.0, 122.0, 0.0)], 14.0, GROUP) is None


def test_colours_follow_the_cycle() -> None:
    light = Signal(CYCLE_S, 5.0, 15.0, 12.0)
    for lap in (0, -3, 1000):
        t = lap * CYCLE_S + 5.0
        assert [light.colour(t + s, False) for s in (0.1, 15.1, 15.1 + AMBER_S)] == [GREEN, AMBER, RED]
        t += CYCLE_S / 2
        assert [light.colour(t + s, True) for s in (-0.1, 0.1, 12.1, 12.1 + AMBER_S)] == [RED, GREEN, AMBER, RED]
