"""How well a strategy detects on worlds it was not trained on, with every sensor and with each one missing.

    sensorfuse eval accuracy --strategy late --strategy hybrid --json scores.json

Score: mean average precision over 0.5, 1, 2 and 4 m and over the groups vehicle, cyclist and pedestrian, as in
`track/scoring.py` (nuScenes: Caesar et al., CVPR 2020), of objects on the grid that some LiDAR rays can reach.
Detections near objects that nothing reaches do not count. Runs the same fuser that a robot runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.decode import GROUP_OF_CLASS, GROUPS, on_grid
from sensorfuse.fusion.fuser import FusionResult
from sensorfuse.fusion.strategies import make_fuser, ready_strategies
from sensorfuse.fusion.training.dataset import Sampler, ideal_tick, visible_objects
from sensorfuse.messages import CLASSES, MODALITIES, Detections, Sample, Tick, Truth
from sensorfuse.rig import Rig, shipped_rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.track.scoring import ERRORS, ScoringConfig, score_sequence

HEARD_SCORE = 0.5
REPRESENTATIVES = ("car", "cyclist", "pedestrian")
"""The class that stands for each of `GROUPS` in the scores."""


@dataclass
class Scene:
    """One tick to judge: what was measured, what is true, and which true objects count."""

    tick: Tick
    samples: dict[str, list[Sample]]
    truth: Truth
    visible: NDArray[np.bool_]


@dataclass
class Tally:
    """Collects one strategy's results under one condition."""

    pairs: list[tuple[Detections, Truth]] = field(default_factory=list)
    motion_errors: list[tuple[float, float]] = field(default_factory=list)
    sound_right: int = 0
    sound_wrong: int = 0
    sound_true: int = 0
    direction_errors: list[float] = field(default_factory=list)

    def add(self, result: FusionResult, scene: Scene) -> None:
        truth = scene.truth
        inside = on_grid(truth.objects)
        real, hidden = truth.objects.select(inside & scene.visible), truth.objects.select(inside & ~scene.visible)
        found = result.detections.select(on_grid(result.detections))
        found = found.select(~near_any(found, hidden) | near_any(found, real))
        self.pairs.append((by_group(found), replace(truth, objects=by_group(real))))
        if truth.twist is not None and result.twist is not None:
            error = result.twist - truth.twist
            self.motion_errors.append((float(error[0]), float(error[5])))
        true: dict[str, list[float]] = {}
        for event in truth.sounds:
            true.setdefault(event.name, []).append(event.azimuth_rad)
        heard = {e.name: e.azimuth_rad for e in result.sounds if e.score >= HEARD_SCORE}
        self.sound_true += len(true)
        self.sound_right += len(true.keys() & heard.keys())
        self.sound_wrong += len(heard.keys() - true.keys())
        for name in true.keys() & heard.keys():  # of several sources of one kind, the one nearest in direction
            away = np.angle(np.exp(1j * (heard[name] - np.array(true[name]))))
            self.direction_errors.append(float(np.abs(away).min()))

    def summary(self) -> dict[str, Any]:
        """Detection scores, and errors of own motion and of sounds where there are any."""
        score = score_sequence(self.pairs, ScoringConfig(by_class=True))
        out: dict[str, Any] = {"map": score["mean_ap"], "nds": score["nds"]}
        names = dict(zip(REPRESENTATIVES, GROUPS, strict=True))
        out |= {f"ap_{names[c]}": v["mean_ap"] for c, v in score["classes"].items() if v["truths"]}
        out |= {name: score[name] for name in ERRORS}
        if self.motion_errors:
            out["vx_rms_mps"], out["yaw_rate_rms_radps"] = np.sqrt(np.square(self.motion_errors).mean(axis=0)).tolist()
        if self.sound_true:
            out["sound_recall"] = self.sound_right / self.sound_true
            out["sound_precision"] = self.sound_right / max(self.sound_right + self.sound_wrong, 1)
        errors = [e for e in self.direction_errors if np.isfinite(e)]
        if errors:
            out["direction_median_deg"] = float(np.degrees(np.median(errors)))
        return {name: round(float(value), 4) for name, value in out.items() if np.isfinite(value)}


def by_group(objects: Detections) -> Detections:
    """The same objects, every class replaced by its group's representative."""
    names = [REPRESENTATIVES[GROUP_OF_CLASS[CLASSES[c]]] for c in objects.class_id]
    return replace(objects, class_id=np.array([CLASSES.index(n) for n in names], dtype=np.uint8))


def near_any(found: Detections, others: Detections, radius_m: float = 2.0) -> NDArray[np.bool_]:
    """Which found objects (N,) lie within `radius_m` of any of the others."""
    if not len(found) or not len(others):
        return np.zeros(len(found), dtype=bool)
    away = found.center[:, None, :2] - others.center[None, :, :2]
    return np.asarray((np.hypot(away[..., 0], away[..., 1]) <= radius_m).any(axis=1))


def scenes(rig: Rig, scenario: str, seed: int, ticks: int) -> Iterator[Scene]:
    """Ticks of one world at random times of a lap, which fall between the sensors' own."""
    world = SimulatedRig(rig, scenario=scenario, seed=seed)
    sampler = Sampler(world, rig)
    rng = np.random.default_rng([seed, *scenario.encode()])
    for n in range(ticks):
        t_ns = world.epoch_ns + round((1.0 + (n + rng.random()) * world.duration_s / ticks) * 1e9)
        samples, truth = sampler.samples(t_ns, rng), world.truth(t_ns)
        yield Scene(ideal_tick(rig, t_ns, samples, truth, n), samples, truth, visible_objects(world, t_ns))


def conditions(rig: Rig) -> dict[str, tuple[str, ...]]:
    """Per condition the modalities that are there: all, all but one, and each heavy one alone with the IMU."""
    every: tuple[str, ...] = tuple(m for m in MODALITIES if m in rig.fusion.modalities)
    out: dict[str, tuple[str, ...]] = {"all": every, **{f"no_{m}": tuple(x for x in every if x != m) for m in every}}
    for m in ("camera", "lidar", "radar"):
        if m in every:
            out[f"only_{m}"] = tuple(x for x in every if x in (m, "imu"))
    return out


def evaluate(
    rig: Rig, strategies: Sequence[str], worlds: Sequence[tuple[str, int]], ticks: int, progress: bool = False
) -> dict[str, Any]:
    """Scores by strategy and condition, and the fuser's identity and median times."""
    cases = conditions(rig)
    started = time.monotonic()
    fusers = {s: make_fuser(rig, s) for s in strategies}
    tallies = {s: {c: Tally() for c in cases} for s in strategies}
    times: dict[str, dict[str, list[float]]] = {s: {} for s in strategies}
    for w, (scenario, seed) in enumerate(worlds):
        for scene in scenes(rig, scenario, seed, ticks):
            for name, fuser in fusers.items():
                evidence: dict[str, list[Any]] = {}
                for stream, got in scene.samples.items():
                    for sample in got:
                        before = time.perf_counter()
                        evidence.setdefault(stream, []).append(fuser.encode(sample))
                        times[name].setdefault(f"encode_{sample.modality}", []).append(time.perf_counter() - before)
                for case, present in cases.items():
                    held = {n: e for n, e in evidence.items() if rig.sensors[n].modality in present}
                    before = time.perf_counter()
                    result = fuser.fuse(scene.tick, held)
                    times[name].setdefault("fuse", []).append(time.perf_counter() - before)
                    tallies[name][case].add(result, scene)
        if progress:
            left = (time.monotonic() - started) / (w + 1) * (len(worlds) - w - 1)
            print(f"\rworld {w + 1}/{len(worlds)}, {left / 60:.1f} min left ", end="", file=sys.stderr, flush=True)
    return {
        name: {
            "model": fuser.model,
            "engine": fuser.engine,
            "median_ms": {k: round(1e3 * float(np.median(v)), 2) for k, v in times[name].items()},
            "conditions": {c: t.summary() for c, t in tallies[name].items()},
        }
        for name, fuser in fusers.items()
    }


def table(scores: dict[str, Any]) -> str:
    """Mean average precision: a row per condition, a column per strategy."""
    names = list(scores)
    rows = ["condition".ljust(14) + "".join(n.rjust(max(len(n) + 2, 10)) for n in names)]
    for case in next(iter(scores.values()))["conditions"]:
        cells = (f"{scores[n]['conditions'][case].get('map', 0.0):.3f}".rjust(max(len(n) + 2, 10)) for n in names)
        rows.append(case.ljust(14) + "".join(cells))
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser(prog="sensorfuse eval accuracy", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--strategy", action="append", help=f"may be repeated; default: {', '.join(ready_strategies())}"
    )
    parser.add_argument("--rig", default="synthetic")
    parser.add_argument("--scenario", action="append", help="may be repeated; default: the rig's own")
    parser.add_argument(
        "--seed", type=int, default=5000, help="of the first world; those below 5000 may be training worlds"
    )
    parser.add_argument("--worlds", type=int, default=6, help="per scenario")
    parser.add_argument("--ticks", type=int, default=30, help="per world")
    parser.add_argument("--json", type=Path, help="write the scores here")
    parser.add_argument("--into-weights", type=Path, help="folder whose <strategy>.json gets the scores as `accuracy`")
    given = parser.parse_args(arguments)
    try:
        rig = shipped_rig(given.rig)
        scenarios = given.scenario or [rig.sim.scenario if rig.sim else "town"]
        worlds = [(s, given.seed + k) for k in range(given.worlds) for s in scenarios]
        scores = evaluate(rig, given.strategy or ready_strategies(), worlds, given.ticks, progress=True)
    except SensorfuseError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    print(f"\nmean average precision over {len(worlds)} unseen worlds, {given.ticks} ticks each", file=sys.stderr)
    print(table(scores))
    judged = {"worlds": [f"{s} {k}" for s, k in worlds], "ticks_per_world": given.ticks, "strategies": scores}
    if given.json:
        given.json.write_text(json.dumps(judged, indent=1) + "\n", encoding="utf-8")
    if given.into_weights:
        for name, score in scores.items():
            card_file = given.into_weights / f"{name}.json"
            if card_file.exists():
                card = json.loads(card_file.read_text(encoding="utf-8"))
                card["accuracy"] = {"worlds": judged["worlds"], "ticks_per_world": given.ticks, **score}
                card_file.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
