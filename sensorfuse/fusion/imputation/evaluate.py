"""What filling in an absent modality does to detection, against three ways of doing without.

    python -m sensorfuse.fusion.imputation.evaluate --weights OUT --strategy hybrid --json scores.json

Unseen simulated worlds, the shipped encoders and fusion network. Each modality goes away in turn, and the network is

- masked: told that it is absent, nothing filled in (what it was trained for, by modality dropout);
- mean: given the mean features of other ticks, as if it were present;
- hold: given the last features that it gave, `--age` seconds ago, moved to the tick by own motion;
- given what an imputer makes of the others, as if it were present.

Judged by the heatmap's focal loss against the true objects, and by mean average precision: a likely-looking blur has a
small squared error and still may hide every object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.decode import DecodeConfig, decode_boxes, on_grid
from sensorfuse.fusion.evaluation.accuracy import Scene, Tally
from sensorfuse.fusion.explain.tapped import Tap, TappedFusion
from sensorfuse.fusion.fuser import FusionResult
from sensorfuse.fusion.imputation.imputer import METHODS, Imputer, file_name
from sensorfuse.fusion.training.dataset import Sampler, ideal_tick, visible_objects
from sensorfuse.messages import MODALITIES, Modality
from sensorfuse.rig import Rig, shipped_rig
from sensorfuse.sim import SimulatedRig

Array = NDArray[np.float32]
LOW = DecodeConfig(thresholds=(0.05, 0.05, 0.05))


@dataclass
class Case:
    """One tick: features of now, those of `age` ago at its place, and the scene to judge by."""

    now: dict[Modality, Array]
    held: dict[Modality, Array]
    scene: Scene


def cases(rig: Rig, strategy: str, worlds: Sequence[tuple[str, int]], ticks: int, age_s: float) -> Iterator[Case]:
    """Ticks at random times of unseen worlds."""
    for scenario, seed in worlds:
        fuser = TappedFusion(rig, strategy)  # each world begins anew: its time goes back
        world = SimulatedRig(rig, scenario=scenario, seed=seed)
        sampler = Sampler(world, rig)
        rng = np.random.default_rng([seed, *scenario.encode()])
        for n in range(ticks):
            at_s = 1.0 + age_s + (n + rng.random()) * (world.duration_s - 1.0 - age_s) / ticks
            t_ns = world.epoch_ns + round(at_s * 1e9)
            truth = world.truth(t_ns)
            features = []
            for then_ns in (t_ns - round(age_s * 1e9), t_ns):
                samples = sampler.samples(then_ns, rng)
                tick = ideal_tick(rig, t_ns, samples, truth, n)
                fuser.fuse(tick, {s: [fuser.encode(one) for one in got] for s, got in samples.items()})
                features.append({m: fuser.tap.inputs[m][0] for m in fuser.tap.present()})
            yield Case(features[1], features[0], Scene(tick, samples, truth, visible_objects(world, t_ns)))


class Judge:
    """Losses and average precision of one way, over ticks."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.tally = Tally()

    def add(self, out: dict[str, Any], scene: Scene) -> None:
        self.losses.append(heat_loss(out["heat"][0], scene))
        found = decode_boxes(out["heat"][0], out["box"][0], LOW)
        self.tally.add(FusionResult(found, {"fusion": found}), scene)

    def summary(self) -> dict[str, float]:
        return {"heat_loss": round(float(np.mean(self.losses)), 4), "map": self.tally.summary()["map"]}


def heat_loss(logits: Array, scene: Scene) -> float:
    """The focal loss of the heatmap that networks are trained with."""
    import torch

    from sensorfuse.fusion.training.losses import focal_loss, heat_target

    inside = on_grid(scene.truth.objects)
    heat, counted = heat_target(scene.truth.objects.select(inside), scene.visible[inside])
    given = (torch.from_numpy(np.ascontiguousarray(x))[None] for x in (logits, heat, counted))
    return float(focal_loss(*given))


def evaluate(
    rig: Rig, strategy: str, imputers: dict[str, Imputer], worlds: Sequence[tuple[str, int]], ticks: int, age_s: float
) -> dict[str, Any]:
    """Scores by modality that is gone and way of doing without it; under `all`, with everything present."""
    tap = TappedFusion(rig, strategy).tap
    judges: dict[str, dict[str, Judge]] = {}
    squares: dict[str, dict[str, list[float]]] = {}
    found = list(cases(rig, strategy, worlds, ticks, age_s))
    total = {m: np.sum([c.now[m] for c in found if m in c.now], axis=0) for m in MODALITIES}
    count = {m: sum(m in c.now for c in found) for m in MODALITIES}
    for case in found:
        _judge(tap, judges, "all", "all present", case, case.now)
        for gone in case.now:
            left = {m: x for m, x in case.now.items() if m != gone}
            mean = (total[gone] - case.now[gone]) / max(count[gone] - 1, 1)
            ways: dict[str, Array | None] = {"masked": None, "mean": mean.astype(np.float32)}
            ways["hold"] = case.held.get(gone, ways["mean"])
            ways |= {name: one.fill(left).features[gone] for name, one in imputers.items()}
            for way, made in ways.items():
                _judge(tap, judges, f"no {gone}", way, case, left if made is None else left | {gone: made})
                if made is not None:
                    error = float(np.square(made - case.now[gone]).mean())
                    squares.setdefault(f"no {gone}", {}).setdefault(way, []).append(error)
    return {
        which: {
            way: judge.summary()
            | ({"mse": round(float(np.mean(squares[which][way])), 5)} if way in squares.get(which, {}) else {})
            for way, judge in ways.items()
        }
        for which, ways in judges.items()
    }


def _judge(
    tap: Tap, judges: dict[str, dict[str, Judge]], which: str, way: str, case: Case, given: dict[Modality, Array]
) -> None:
    shapes = tap.engine.input_shapes
    inputs: dict[str, Array] = {
        m: given[m][None] if m in given else np.zeros((1, *shapes[m][1:]), np.float32) for m in MODALITIES
    }
    inputs["present"] = np.array([[m in given for m in MODALITIES]], np.float32)
    out = tap.engine.run(inputs)
    judges.setdefault(which, {}).setdefault(way, Judge()).add(out, case.scene)


def table(scores: dict[str, Any]) -> str:
    """Heatmap loss, average precision and squared error: a row per modality that is gone and way."""
    rows = [f"{'gone':<12}{'way':<22}{'heat loss':>10}{'mAP':>8}{'mse':>10}"]
    for which, ways in scores.items():
        for way, score in ways.items():
            mse = f"{score['mse']:.4f}" if "mse" in score else ""
            rows.append(f"{which:<12}{way:<22}{score['heat_loss']:>10.3f}{score['map']:>8.3f}{mse:>10}")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m sensorfuse.fusion.imputation.evaluate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--weights", type=Path, required=True, help="folder with trained imputers")
    parser.add_argument("--strategy", default="hybrid")
    parser.add_argument("--rig", default="synthetic")
    parser.add_argument("--scenario", action="append", help="may be repeated; default: the rig's own")
    parser.add_argument("--seed", type=int, default=5000, help="of the first world")
    parser.add_argument("--worlds", type=int, default=2, help="per scenario")
    parser.add_argument("--ticks", type=int, default=20, help="per world")
    parser.add_argument("--age", type=float, default=1.0, metavar="S", help="of what `hold` holds")
    parser.add_argument("--json", type=Path, help="write the scores here")
    given = parser.parse_args(arguments)
    try:
        rig = shipped_rig(given.rig)
        scenarios = given.scenario or [rig.sim.scenario if rig.sim else "town"]
        worlds = [(s, given.seed + k) for k in range(given.worlds) for s in scenarios]
        imputers = {m: Imputer(m, given.weights) for m in METHODS if (given.weights / file_name(m)).exists()}
        scores = evaluate(rig, given.strategy, imputers, worlds, given.ticks, given.age)
    except SensorfuseError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    print(table(scores))
    if given.json:
        judged = {"worlds": [f"{s} {k}" for s, k in worlds], "ticks_per_world": given.ticks, "age_s": given.age}
        given.json.write_text(json.dumps(judged | {"scores": scores}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
