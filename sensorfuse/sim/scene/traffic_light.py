"""Traffic lights, and time laws that obey them.

All lights of a world share one cycle. In its first half the loop goes at a crossing, in the second the side road. The
lap of every time law is a whole number of cycles, so whoever repeats a law some cycles later meets the same lights, and
everything repeats. Behind the first of a group the others repeat its motion shifted in time and space (Newell 2002),
so a group queues and starts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sensorfuse.sim.scene.spline import LoopSpline
from sensorfuse.sim.scene.trajectory import Driving, Pace, Road

RED, AMBER, GREEN = range(3)
START_S = 1.6  # from green to going; more than half of the reach of a control point of the law
MARGIN_S = 0.5
AMBER_S = 2.0
LEAST_WAIT_S = 0.2
_BEHIND_M = 3.0  # between the last of a group and the first of the next
_MISSED = 1000.0  # fault of a law by which somebody would meet red, or the next group
_PACES = (1.0, 0.95, 1.05, 0.9, 1.1, 0.86, 1.14, 0.82)  # tried until nobody stands at a green light


@dataclass(frozen=True)
class Signal:
    """The lights of one crossing. In the cycle that begins at `opens_s` the loop has green for the first
    `loop_green_s`, the side road for `side_green_s` from the middle of the cycle on.
    """

    cycle_s: float
    opens_s: float
    loop_green_s: float
    side_green_s: float

    def colour(self, t_s: float, side_road: bool) -> int:
        """RED, AMBER or GREEN."""
        since = (t_s - self.opens_s - (0.5 * self.cycle_s if side_road else 0.0)) % self.cycle_s
        green = self.side_green_s if side_road else self.loop_green_s
        return GREEN if since < green else AMBER if since < green + AMBER_S else RED


@dataclass(frozen=True)
class Gate:
    """Where a law may have to wait: `stand_m` travelled, where the first of a group stands; the last of it has left
    when the first's path, less the group's length, is `left_m`. Open for half a cycle from `opens_s` on.
    """

    stand_m: float
    left_m: float
    opens_s: float


@dataclass(frozen=True)
class Group:
    """The most that a law's reference is behind the first of a group, and the last behind the reference, in time and
    space. Space is measured from the foremost point to the rearmost.
    """

    lead_s: float = 0.0
    lead_m: float = 0.0
    tail_s: float = 0.0
    tail_m: float = 0.0


@dataclass(frozen=True)
class Obedient:
    """A time law, when to begin it (`shift_s` added to the time), its lap in cycles, and for each gate when the last of
    a group passes it, after it opens.
    """

    law: LoopSpline
    shift_s: float
    cycles: int
    last_s: tuple[float, ...]


def _passing(pace: Pace, begin: int, metres: float) -> float:
    """Seconds of driving from the beginning of a cell to `metres` farther; nobody waits."""
    n = len(pace.seconds)
    whole = np.concatenate([[0.0], np.cumsum(np.roll(pace.seconds, -begin))])
    laps, rest = divmod(metres / pace.cell_m, n)
    return float(laps * whole[-1] + np.interp(rest, np.arange(n + 1), whole))


def obey(
    road: Road, driving: Driving, direction: int, gates: Sequence[Gate], cycle_s: float, group: Group
) -> Obedient | None:
    """The law of a lane with lights at `gates`: it passes those that are open for the whole group, waits at the others.

    It waits at one gate at least, which makes its lap a whole number of cycles. The top speed is changed a little until
    nobody stands long at a light that is still green. None if there is no such law.
    """
    best: tuple[float, Obedient] | None = None
    for factor in _PACES:
        for first in range(len(gates)):
            fault, law = _attempt(
                road, replace(driving, top_mps=factor * driving.top_mps), direction, gates, first, cycle_s, group
            )
            if best is None or fault < best[0]:
                best = fault, law
        if best is not None and best[0] == 0.0:
            break
    return best[1] if best is not None and best[0] < _MISSED else None


def _attempt(
    road: Road, driving: Driving, direction: int, gates: Sequence[Gate], first: int, cycle_s: float, group: Group
) -> tuple[float, Obedient]:
    """The law that waits at the gate `first`, and its faults: seconds that it stands at open gates, and `_MISSED` for
    each gate that a group cannot leave in time and where the next group would run into it.
    """
    length, half = road.length_m, 0.5 * cycle_s
    ahead = START_S + group.lead_s
    ordered = sorted(range(len(gates)), key=lambda i: (gates[i].stand_m - gates[first].stand_m) % length)
    stops = [gates[first].stand_m - group.lead_m]
    begin = stops[0]
    clock = start = gates[first].opens_s + ahead  # when it goes on from the last stop
    waits: dict[float, float] = {}
    last = np.zeros(len(gates))
    fault = 0.0
    for i in [*ordered[1:], first]:
        gate = gates[i]
        at = gate.stand_m - group.lead_m
        way = (at - stops[-1]) % length or length
        pace = Pace.of(road, replace(driving, stops_m=(*driving.stops_m, *stops)), direction)
        here = pace.cell(stops[-1])
        arrives = clock + _passing(pace, here, way)
        opened = (arrives - group.lead_s - gate.opens_s) % cycle_s
        over = gate.left_m - gate.stand_m + group.lead_m + group.tail_m
        leaves = opened + _passing(pace, pace.cell(at), over) + group.lead_s + group.tail_s
        if i != first and opened > MARGIN_S and leaves < half - MARGIN_S:
            last[i] = opened + _passing(pace, pace.cell(at), group.lead_m + group.tail_m) + group.lead_s + group.tail_s
            continue
        stops.append(at)
        pace = Pace.of(road, replace(driving, stops_m=(*driving.stops_m, *stops)), direction)
        arrives = clock + _passing(pace, here, way)
        due = gate.opens_s + ahead
        clock = due + np.ceil((arrives + LEAST_WAIT_S - due) / cycle_s) * cycle_s
        waits[at] = clock - arrives
        fault += max(0.0, 0.6 * half - (arrives - group.lead_s - gate.opens_s) % cycle_s)
    pace = Pace.of(road, replace(driving, stops_m=(*driving.stops_m, *stops)), direction)
    for at in stops[:-1]:
        i = next(k for k in ordered if gates[k].stand_m - group.lead_m == at)
        queue = _passing(pace, pace.cell(at), group.lead_m + group.tail_m)
        last[i] = START_S + queue + group.lead_s + group.tail_s
        over = gates[i].left_m - gates[i].stand_m + group.lead_m + group.tail_m
        leaves = START_S + _passing(pace, pace.cell(at), over) + group.lead_s + group.tail_s
        fault += _MISSED * (leaves > half - MARGIN_S)
    by_cell = {pace.cell(at): seconds for at, seconds in waits.items()}
    law = pace.law(by_cell)
    cycles = round((clock - start) / cycle_s)
    law = LoopSpline(law.control, cycles * cycle_s, law.advance)
    t = np.arange(0.0, law.period, 0.4)
    space = (law(t + cycle_s - group.lead_s - group.tail_s) - law(t))[:, 0, 0].min() if cycles > 1 else np.inf
    fault += _MISSED * (space < group.lead_m + group.tail_m + _BEHIND_M)
    gone = sum(pace.seconds[: pace.cell(begin)]) + sum(s for cell, s in by_cell.items() if cell <= pace.cell(begin))
    return fault, Obedient(law, float(gone - start), cycles, tuple(float(s) for s in last))
