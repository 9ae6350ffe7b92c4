"""Health on simulated sensors: false alarms on sound data of every scenario, how soon a fault is seen and its end
believed, and what the checks cost.

Run `python -m sensorfuse.bench.health --seconds 300` for about an hour of simulated time.
"""

from __future__ import annotations

import heapq
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console

from sensorfuse.align.aligner import Aligner
from sensorfuse.bench.goals import Goal
from sensorfuse.errors import SensorfuseError
from sensorfuse.health.content import ContentCheck
from sensorfuse.messages import Modality, Sample, Tick
from sensorfuse.rig import Rig, shipped_rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.sim.scenario import load_scenario, scenarios
from sensorfuse.wire import envelope_of

S = 1_000_000_000
EPOCH_NS = 1_000_000 * S
WARM_UP_S = 2.0  # before which a stream that has not spoken is none
FAULT_S, FAULT_FOR_S = 6.0, 3.0


@dataclass
class Watch:
    """What health said over a stretch of a world."""

    duration_s: float
    alarms: list[str] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)
    cost_us: dict[Modality, list[float]] = field(default_factory=dict)


def small_rig() -> Rig:
    """The synthetic rig with small pictures and clouds, as health looks at thinned ones anyway."""
    data = shipped_rig("synthetic").model_dump()
    data["sensors"]["camera"]["intrinsics"].update(width=160, height=90, fx=87.0, fy=87.0, cx=79.5, cy=44.5)
    data["sensors"]["lidar"]["lidar"].update(columns=256)
    return Rig.model_validate(data)


def received(sim: SimulatedRig, duration_s: float) -> Iterator[Sample]:
    """What every stream of a rig sends, in the order of receipt."""
    until = sim.epoch_ns + round(duration_s * S)

    def of(stream: str) -> Iterator[tuple[int, int, str, int]]:
        for seq, delivery in enumerate(sim.deliveries(stream)):
            if delivery.recv_ns > until:
                return
            yield delivery.recv_ns, seq, stream, delivery.k

    for recv_ns, seq, stream, k in heapq.merge(*(of(s) for s in sim.rig.streams())):
        sample = sim.sample(stream, k)
        sample.seq, sample.recv_ns = seq, recv_ns
        yield sample


def watch(rig: Rig, scenario: str, seed: int, duration_s: float) -> Watch:
    """Run a world's samples through the content checks and the aligner, as the processes would."""
    out = Watch(duration_s)
    sim = SimulatedRig(rig, scenario, seed, EPOCH_NS)
    checks = {name: ContentCheck(config) for name, config in rig.sensors.items()}
    aligner = Aligner(rig, EPOCH_NS)
    for sample in received(sim, duration_s):
        before = time.process_time()
        verdict = checks[sample.stream].examine(sample)
        out.cost_us.setdefault(sample.modality, []).append(1e6 * (time.process_time() - before))
        words = {"problem": verdict.problem, "suspect": verdict.suspect, "repeat": verdict.repeat}
        envelope = envelope_of(sample, 1, sample.recv_ns, **words)
        aligner.push(envelope, sample.recv_ns)
        out.ticks += aligner.poll(sample.recv_ns)
    return out


def _sound_world(name: str, folder: Path) -> tuple[str, frozenset[str]]:
    """A scenario without its faults, as a file where it has any; and the streams of which messages are really lost."""
    scenario = load_scenario(name)
    if not scenario.devices:
        return name, frozenset()
    devices = {n: d.model_copy(update={"faults": ()}) for n, d in scenario.devices.items()}
    lossy = frozenset(n for n, d in devices.items() if d.transport.drop_share or d.transport.burst_share)
    sound = scenario.model_copy(update={"devices": devices})
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(sound.model_dump(mode="json", exclude_defaults=True)), encoding="utf-8")
    return str(path), lossy


def false_alarms(seen: Watch, lossy: frozenset[str] = frozenset()) -> list[str]:
    """Stretches of ticks in which a stream of a sound world was not ok, or odd. That a stream which really loses
    messages is late is true.
    """
    out, standing = [], dict.fromkeys((s.stream for s in seen.ticks[0].streams), "") if seen.ticks else {}
    for tick in seen.ticks:
        if tick.t_ref_ns < EPOCH_NS + WARM_UP_S * S:
            continue
        for s in tick.streams:
            told = "" if s.health.state == "ok" and not s.health.reason else f"{s.health.state}: {s.health.reason}"
            if s.stream in lossy and s.health.state == "late":
                told = ""
            if told and told != standing[s.stream]:
                out.append(f"{(tick.t_ref_ns - EPOCH_NS) / S:.1f} s {s.stream}: {told}")
            standing[s.stream] = told
    return out


def _fault_world(kind: str, folder: Path) -> str:
    fault = {"kind": kind, "at_s": FAULT_S, "for_s": FAULT_FOR_S}
    devices = {m: {"faults": [fault]} for m in ("camera", "lidar", "radar", "imu", "audio")}
    path = folder / f"{kind}.yaml"
    path.write_text(yaml.safe_dump({"devices": devices}), encoding="utf-8")
    return str(path)


def noticed_and_recovered_s(seen: Watch) -> tuple[float, float, float]:
    """Of a fault of every stream at once, the slowest stream's: seconds until it has no vote, and after the end of the
    fault until it votes again, and until its vote is whole.
    """
    begin, end = EPOCH_NS + FAULT_S * S, EPOCH_NS + (FAULT_S + FAULT_FOR_S) * S
    worst = np.zeros(3)
    for name in (s.stream for s in seen.ticks[0].streams):
        states = [(t.t_ref_ns, s.health) for t in seen.ticks for s in t.streams if s.stream == name]
        dead = [t - begin for t, h in states if t >= begin and h.weight == 0.0]
        votes = [t - end for t, h in states if t >= end and h.weight > 0.0]
        whole = [t - end for t, h in states if t >= end and h.weight == 1.0]
        worst = np.maximum(worst, [min(v, default=S * 1e6) / S for v in (dead, votes, whole)])
    return float(worst[0]), float(worst[1]), float(worst[2])


def measure(seconds: float = 6.0, worlds: Sequence[str] | None = None, seed: int = 40) -> list[Goal]:
    """The health goals, over so many seconds of each scenario, each with another seed.

    Raises:
        SensorfuseError: a scenario would end before anything counts.
    """
    if seconds <= WARM_UP_S:
        raise SensorfuseError(f"--seconds {seconds:g}: the first {WARM_UP_S:g} s do not count; take more")
    chosen = scenarios() if worlds is None else worlds
    rig = small_rig()
    alarms: list[str] = []
    total_s = 0.0
    cost: dict[Modality, list[float]] = {}
    goals: list[Goal] = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for i, name in enumerate(chosen):
            world, lossy = _sound_world(name, folder)
            seen = watch(rig, world, seed + i, seconds)
            alarms += [f"{name} {seed + i}: {a}" for a in false_alarms(seen, lossy)]
            total_s += seconds - WARM_UP_S
            for modality, values in seen.cost_us.items():
                cost.setdefault(modality, []).extend(values)
        for kind in ("freeze", "outage"):
            seen = watch(rig, _fault_world(kind, folder), seed, FAULT_S + FAULT_FOR_S + 3.0)
            noticed, votes, whole = noticed_and_recovered_s(seen)
            goals.append(Goal(f"{kind} of every stream: until the slowest has no vote", 2.0, noticed, "s"))
            goals.append(Goal(f"{kind} of every stream: until all vote again", 1.0, votes, "s"))
            goals.append(Goal(f"{kind} of every stream: until every vote is whole", 2.0, whole, "s"))
    for alarm in alarms:
        Console(stderr=True).print(alarm, highlight=False)
    first = Goal(f"false health alarms an hour, over {total_s:.0f} s of {len(chosen)} scenarios", 0.0, 3600 * len(alarms) / total_s)  # fmt: skip  # noqa: E501
    costs = [Goal(f"content check of a small {m} sample, median", 1000.0, float(np.median(v)), "us") for m, v in cost.items()]  # fmt: skip  # noqa: E501
    return [first, *goals, *costs]
