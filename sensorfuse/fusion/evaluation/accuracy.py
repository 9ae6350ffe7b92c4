"""How well a strategy detects on worlds it was not trained on, with every sensor and with each one missing.

Score: mean average precision over 0.5, 1, 2 and 4 m and over the groups vehicle, cyclist and pedestrian, as in
`track/scoring.py` (nuScenes: Caesar et al., CVPR 2020), of objects on the grid that some LiDAR rays can reach.
Detections near objects that nothing reaches do not count. Runs the same fuser that a robot runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from sensorfuse.errors import SensorfuseError, first_line
from sensorfuse.fusion.decode import GROUP_OF_CLASS, GROUPS, on_grid
from sensorfuse.fusion.evaluation.robustness_runs import Condition, Scene, make_runs
from sensorfuse.fusion.fuser import Fuser, FusionResult
from sensorfuse.fusion.grid import SPATIAL
from sensorfuse.fusion.strategies import make_fuser
from sensorfuse.messages import CLASSES, MODALITIES, Detections, Truth
from sensorfuse.plain_json import read_object
from sensorfuse.rig import Rig
from sensorfuse.track.scoring import ERRORS, ScoringConfig, score_sequence

HEARD_SCORE = 0.5
RUN_TICKS = 2
"""Ticks before and with the one that is judged, since strategies remember: the sweep before, above all."""
AHEAD_RAD = np.radians(80.0)
"""What every sensor sees of the surroundings: camera and radar look ahead only."""
REPRESENTATIVES = ("car", "cyclist", "pedestrian")
"""The class that stands for each of `GROUPS` in the scores."""


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

    def motion_rms(self) -> dict[str, float]:
        """Root mean square errors of own motion; empty where none was known."""
        if not self.motion_errors:
            return {}
        vx_mps, yaw_rate_radps = np.sqrt(np.square(self.motion_errors).mean(axis=0)).tolist()
        return {"vx_rms_mps": vx_mps, "yaw_rate_rms_radps": yaw_rate_radps}

    def summary(self) -> dict[str, Any]:
        """Detection scores, and errors of own motion and of sounds where there are any."""
        score = score_sequence(self.pairs, ScoringConfig(by_class=True))
        ahead = score_sequence(self.pairs, ScoringConfig(by_class=True, field_rad=AHEAD_RAD))
        out: dict[str, Any] = {"map": score["mean_ap"], "nds": score["nds"]}
        out |= {"map_ahead": ahead["mean_ap"], "nds_ahead": ahead["nds"]}
        names = dict(zip(REPRESENTATIVES, GROUPS, strict=True))
        out |= {f"ap_{names[c]}": v["mean_ap"] for c, v in score["classes"].items() if v["truths"]}
        out |= {name: score[name] for name in ERRORS}
        out |= self.motion_rms()
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


def runs(rig: Rig, scenario: str, seed: int, count: int, length: int = RUN_TICKS) -> Iterator[list[Scene]]:
    """Runs of consecutive ticks of one world, spread over its lap, at times between the sensors' own."""
    for run in make_runs(rig, [(scenario, seed)], count, length):
        yield Condition(run).scenes()


def encode_run(fuser: Fuser, run: Sequence[Scene], times: dict[str, list[float]]) -> list[dict[str, list[Any]]]:
    """What a fuser's encoders make of each tick's samples, by stream; how long each took goes to `times`."""
    out = []
    for scene in run:
        evidence: dict[str, list[Any]] = {}
        for stream, got in scene.samples.items():
            for sample in got:
                before = time.perf_counter()
                evidence.setdefault(stream, []).append(fuser.encode(sample))
                times.setdefault(f"encode_{sample.modality}", []).append(time.perf_counter() - before)
        out.append(evidence)
    return out


def fuse_run(
    fuser: Fuser, run: Sequence[Scene], evidence: Sequence[dict[str, list[Any]]], present: Sequence[str], rig: Rig
) -> tuple[FusionResult, float]:
    """The result at the last tick of a run with only some modalities there, and how long that tick took in seconds."""
    fuser.forget()
    for scene, known in zip(run, evidence, strict=True):
        held = {n: e for n, e in known.items() if rig.sensors[n].modality in present}
        before = time.perf_counter()
        result = fuser.fuse(scene.tick, held)
    return result, time.perf_counter() - before


def conditions(rig: Rig) -> dict[str, tuple[str, ...]]:
    """Per condition the modalities that are there: all, all but one, and of camera, LiDAR and radar only one."""
    every: tuple[str, ...] = tuple(m for m in MODALITIES if m in rig.fusion.modalities)
    out: dict[str, tuple[str, ...]] = {"all": every, **{f"no_{m}": tuple(x for x in every if x != m) for m in every}}
    for m in SPATIAL:
        if m in every:
            out[f"only_{m}"] = tuple(x for x in every if x == m or x not in SPATIAL)
    return out


def evaluate(
    rig: Rig,
    strategies: Sequence[str],
    worlds: Sequence[tuple[str, int]],
    ticks: int,
    weights: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Scores by strategy and condition, and each fuser's identity and median times: of fusing, and per modality of
    encoding, which strategies with the same encoders share.

    Args:
        rig: has a simulated world.
        worlds: (scenario, seed) pairs.
        ticks: judged per world.
        weights: folder of the learned strategies' networks, default the shipped ones.
        progress: told how many worlds are done.

    Raises:
        SensorfuseError: a strategy or scenario is unknown, or weights are missing.
    """
    cases = conditions(rig)
    fusers = {s: make_fuser(rig, s, weights) for s in strategies}
    tallies = {s: {c: Tally() for c in cases} for s in strategies}
    encode_s: dict[str, dict[str, list[float]]] = {f.encoders: {} for f in fusers.values()}
    fuse_s: dict[str, list[float]] = {s: [] for s in strategies}
    for done, (scenario, seed) in enumerate(worlds, 1):
        for run in runs(rig, scenario, seed, ticks):
            encoded: dict[str, list[dict[str, list[Any]]]] = {}
            for name, fuser in fusers.items():
                if fuser.encoders not in encoded:
                    encoded[fuser.encoders] = encode_run(fuser, run, encode_s[fuser.encoders])
                for case, present in cases.items():
                    result, took_s = fuse_run(fuser, run, encoded[fuser.encoders], present, rig)
                    fuse_s[name].append(took_s)
                    tallies[name][case].add(result, run[-1])
        if progress is not None:
            progress(done)
    return {
        "worlds": [f"{s} {k}" for s, k in worlds],
        "ticks_per_world": ticks,
        "strategies": {
            name: {
                "model": fuser.model,
                "engine": fuser.engine,
                "median_ms": {
                    part: round(1e3 * float(np.median(took)), 2)
                    for part, took in {**encode_s[fuser.encoders], "fuse": fuse_s[name]}.items()
                },
                "conditions": {c: t.summary() for c, t in tallies[name].items()},
            }
            for name, fuser in fusers.items()
        },
    }


def print_scores(scores: dict[str, Any], console: Console) -> None:
    """Mean average precision, all around and ahead: a row per strategy, a column per condition."""
    first = next(iter(scores["strategies"].values()))
    for measure, title in (("map", "mean average precision, all around"), ("nds_ahead", "detection score, 80° ahead")):
        told = f"{title}: {len(scores['worlds'])} unseen worlds, {scores['ticks_per_world']} ticks each"
        table = Table(title=told, box=box.SIMPLE, padding=0)
        table.add_column("strategy", no_wrap=True)
        for case in first["conditions"]:
            table.add_column(
                case.replace("_", "\n").replace("camera", "cam"), justify="right", no_wrap=True, min_width=5
            )
        for name, score in scores["strategies"].items():
            table.add_row(name, *(f"{c.get(measure, 0.0):.3f}".lstrip("0") for c in score["conditions"].values()))
        console.print(table)


def into_cards(scores: dict[str, Any], weights: Path) -> None:
    """Put each strategy's scores into its record beside the weights, as `accuracy`.

    Raises:
        SensorfuseError: a record can't be read or written.
    """
    judged = {k: v for k, v in scores.items() if k != "strategies"}
    for name, score in scores["strategies"].items():
        card_file = weights / f"{name}.json"
        try:
            card = read_object(card_file.read_text(encoding="utf-8")) if card_file.exists() else {"strategy": name}
            card_file.write_text(json.dumps(card | {"accuracy": judged | score}, indent=1) + "\n", encoding="utf-8")
        except (OSError, ValueError, TypeError) as error:
            raise SensorfuseError(f"{card_file}: the scores cannot be put there: {first_line(error)}") from None
