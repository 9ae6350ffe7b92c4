"""How well fusion strategies hold when sensors get worse, get out of step, or go missing.

Every strategy gets the same runs of the same unseen worlds with the same random numbers: clean; with each corruption of
`corruptions` at each level; with each of the 2^M - 1 sets of modalities; and with a gap of a second in camera, LiDAR,
radar and all three. Late fusion and the best single sensor are always beside. Scores are NDS and mean average precision
as in `accuracy.py`; of sound, F1 of which sounds there are. Measures of robustness: see `robustness_metrics.py`.

Camera and radar look ahead only, 85 and 120 degrees wide; the LiDAR looks around. Without it nothing behind the robot
can be seen by anyone, and a score all around says as much about where sensors look as about fusion. So scores are
given within 80 degrees ahead too (`nds_ahead`, `map_ahead`), where all of them look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.evaluation.corruptions import CORRUPTIONS, Corruption, find_corruption
from sensorfuse.fusion.evaluation.robustness_gaps import judge_gaps
from sensorfuse.fusion.evaluation.robustness_play import Contestant, Player, Record
from sensorfuse.fusion.evaluation.robustness_runs import Condition, Run, World, make_runs, modality_subsets
from sensorfuse.fusion.evaluation.robustness_summary import SINGLE, summarise
from sensorfuse.fusion.fuser import Fuser
from sensorfuse.fusion.strategies import make_fuser
from sensorfuse.messages import Modality
from sensorfuse.rig import Rig

BASE = "late"
TICK_BUDGET = 216
"""Scored ticks times strategies that take about a quarter of an hour on one core, with all corruptions at 4 levels."""
MOST_WORLDS, LEAST_WORLDS = 6, 3
QUICK_STEP = 3
"""One corruption of so many, with --quick."""

Progress = Callable[[str, float], None]
"""Told what is being done and what share of it is done."""


@dataclass(frozen=True)
class Protocol:
    """What is judged, and how much of it.

    Args:
        worlds: scenario and seed of each.
        runs: per world, of `warm_up` ticks that do not count and `ticks` that do.
        levels: of the corruptions, from 0 (clean) to 1.
        gap_runs: per world, longer ones for the recovery after gaps.
    """

    worlds: tuple[World, ...]
    runs: int = 3
    ticks: int = 4
    warm_up: int = 1
    levels: tuple[float, ...] = (0.0, 1 / 3, 2 / 3, 1.0)
    corruptions: tuple[Corruption, ...] = CORRUPTIONS
    gap_runs: int = 1

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.levels, self.levels[1:], strict=False))
        if len(self.levels) < 2 or self.levels[0] != 0 or self.levels[-1] != 1 or not rising:
            raise SensorfuseError(f"robustness: levels must rise from 0 to 1, got {self.levels}")
        counts = {"worlds": len(self.worlds), "runs": self.runs, "ticks": self.ticks, "gap_runs": self.gap_runs}
        for name, count in counts.items():
            if count < 1:
                raise SensorfuseError(f"robustness: {name} must be at least 1, got {count}")

    def make_runs(self, rig: Rig) -> Iterable[Run]:
        return make_runs(rig, self.worlds, self.runs, self.warm_up + self.ticks)


def assess(
    rig: Rig, strategies: Sequence[str], protocol: Protocol, progress: Progress = lambda what, share: None
) -> dict[str, Any]:
    """Everything that the protocol asks for, as plain values. Late fusion is judged even where it is not asked for.

    Raises:
        SensorfuseError: an unknown strategy, or one whose weights are missing.
    """
    fusers = {s: make_fuser(rig, s) for s in dict.fromkeys([BASE, *strategies])}
    player = Player(fusers)
    subsets = judge_subsets(protocol.make_runs(rig), fusers, player, protocol, progress)
    every = modality_subsets(rig)[0]
    alone = {key: record.scores().get("nds", 0.0) for key, record in subsets.items() if len(key[1]) == 1}
    best, one = max(alone, key=lambda key: alone[key])
    contestants = {s: Contestant(s, f, every) for s, f in fusers.items()}
    contestants[SINGLE] = Contestant(best, fusers[best], one)
    corrupted = judge_corruptions(protocol.make_runs(rig), contestants, player, protocol, progress)
    del contestants[SINGLE]
    gaps = judge_gaps(rig, protocol.worlds, protocol.gap_runs, contestants, player, progress)
    records = [*subsets.values(), *corrupted.values()]
    for n, record in enumerate(records):  # takes a while, so let it be seen; records remember their scores
        record.scores()
        record.nds_of_parts(len(protocol.worlds))
        progress("scores", (n + 1) / len(records))
    return {
        "rig": rig.name,
        "protocol": {
            "worlds": [f"{s} {k}" for s, k in protocol.worlds],
            "runs_per_world": protocol.runs,
            "ticks_per_run": protocol.ticks,
            "ticks": len(protocol.worlds) * protocol.runs * protocol.ticks,
            "levels": [round(x, 4) for x in protocol.levels],
            "base": BASE,
            "single": {"strategy": best, "modality": one[0]},
        },
        "strategies": summarise(
            fusers, subsets, corrupted, gaps, protocol.levels, (best, one), BASE, len(protocol.worlds)
        ),
    }


def judge_subsets(
    runs: Iterable[Run], fusers: Mapping[str, Fuser], player: Player, protocol: Protocol, progress: Progress
) -> dict[tuple[str, tuple[Modality, ...]], Record]:
    """Every strategy with every set of modalities, by (strategy, set)."""
    records: dict[tuple[str, tuple[Modality, ...]], Record] = {}
    for n, run in enumerate(runs):
        condition = Condition(run)
        evidence = player.encode(condition)
        for subset in modality_subsets(run.rig):
            for strategy, fuser in fusers.items():
                outcomes = player.play(condition, evidence, Contestant(strategy, fuser, subset))
                _keep(records.setdefault((strategy, subset), Record()), outcomes, protocol)
        progress("sets of modalities", (n + 1) / (len(protocol.worlds) * protocol.runs))
    return records


def judge_corruptions(
    runs: Iterable[Run], contestants: Mapping[str, Contestant], player: Player, protocol: Protocol, progress: Progress
) -> dict[tuple[str, str, int], Record]:
    """Every contestant under every corruption at every level but 0, by (contestant, corruption, number of the level);
    what a contestant does not see is left out, for nothing changes.
    """
    records: dict[tuple[str, str, int], Record] = {}
    cells = [(c, k) for c in protocol.corruptions for k in range(1, len(protocol.levels))]
    total = len(protocol.worlds) * protocol.runs * len(cells)
    for n, run in enumerate(runs):
        clean = player.encode(Condition(run))
        for m, (corruption, k) in enumerate(cells):
            condition = Condition(run, corruption, protocol.levels[k])
            evidence = player.encode(condition, clean)
            for label, contestant in contestants.items():
                if set(contestant.present) & set(corruption.modalities):
                    outcomes = player.play(condition, evidence, contestant)
                    _keep(records.setdefault((label, corruption.name, k), Record()), outcomes, protocol)
            progress("corruptions", (n * len(cells) + m + 1) / total)
    return records


def _keep(record: Record, outcomes: Sequence[Any], protocol: Protocol) -> None:
    for outcome in outcomes[protocol.warm_up :]:
        record.add(outcome)


def default_extent(strategies: int, ticks: int) -> tuple[int, int]:
    """Worlds, and runs in each, that keep the whole within about a quarter of an hour on one core; never fewer than
    three worlds.
    """
    runs = TICK_BUDGET // (strategies * max(ticks, 1))
    worlds = min(MOST_WORLDS, max(LEAST_WORLDS, runs))
    return worlds, max(1, runs // worlds)


class RobustnessConfig(BaseModel):
    """What a user may choose; None and empty: `protocol` does.

    `worlds`: per scenario, seeds counted from `seed` (from 5000 on they are unseen). `runs`: per world, of `ticks` that
    count. `levels`: how many, from 0 to 1. `quick`: one tick, every third corruption, only the worst level.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    corruptions: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    seed: int = 5000
    worlds: int | None = None
    runs: int | None = None
    ticks: int = 4
    levels: int = 4
    quick: bool = False

    def protocol(self, rig: Rig, strategies: Sequence[str]) -> Protocol:
        """The protocol for some strategies on a rig.

        Raises:
            SensorfuseError: a corruption is unknown, or a number cannot be.
        """
        count, runs = default_extent(len({BASE, *strategies}), self.ticks)
        count = 1 if self.quick else count if self.worlds is None else self.worlds
        scenarios = self.scenarios or (rig.sim.scenario if rig.sim else "town",)
        protocol = Protocol(
            tuple((s, self.seed + k) for k in range(count) for s in scenarios),
            runs=runs if self.runs is None else self.runs,
            ticks=self.ticks,
            levels=tuple(k / max(self.levels - 1, 1) for k in range(self.levels)),
            corruptions=tuple(find_corruption(c) for c in self.corruptions) or CORRUPTIONS,
        )
        if not self.quick:
            return protocol
        some = protocol.corruptions if self.corruptions else CORRUPTIONS[::QUICK_STEP]
        return replace(protocol, runs=1, ticks=1, levels=(0.0, 1.0), corruptions=some)
