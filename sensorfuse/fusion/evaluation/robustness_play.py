"""Plays a run to contestants: encode each sample once, fuse every tick, keep what was found and how long that took."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sensorfuse.fusion.evaluation.accuracy import AHEAD_RAD, Tally
from sensorfuse.fusion.evaluation.robustness_runs import Condition, Scene
from sensorfuse.fusion.fuser import Fuser, FusionResult
from sensorfuse.messages import Modality
from sensorfuse.track.scoring import ERRORS, ScoringConfig, score_sequence

METRICS = ("nds", "map", "nds_ahead", "map_ahead", "sound_f1")
"""Scores of which more is better. `sound_f1`: of which sounds there are; absent where there are none."""

Evidence = list[dict[str, list[Any]]]
"""Per tick and stream, what `encode` made of the samples that the tick takes."""


@dataclass(frozen=True)
class Contestant:
    """A strategy that is given some modalities and no others."""

    strategy: str
    fuser: Fuser
    present: tuple[Modality, ...]


@dataclass
class Outcome:
    """What a contestant made of one tick, what there was, and how long fusing took."""

    result: FusionResult
    scene: Scene
    fuse_ms: float


@dataclass
class Record:
    """What one contestant made of one condition, over all runs."""

    tally: Tally = field(default_factory=Tally)
    fuse_ms: list[float] = field(default_factory=list)
    _scores: dict[str, float] = field(default_factory=dict)
    _parts: list[float] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.tally.add(outcome.result, outcome.scene)
        self.fuse_ms.append(outcome.fuse_ms)
        self._scores, self._parts = {}, []

    def scores(self) -> dict[str, float]:
        """All of `METRICS` that can be told, the errors of what was found, and those of own motion."""
        self._scores = self._scores or self._judge()
        return self._scores

    def _judge(self) -> dict[str, float]:
        out: dict[str, float] = {}
        for suffix, width_rad in (("", 2 * np.pi), ("_ahead", AHEAD_RAD)):
            score = score_sequence(self.tally.pairs, ScoringConfig(by_class=True, overlaps=(), field_rad=width_rad))
            out["nds" + suffix], out["map" + suffix] = score["nds"], score["mean_ap"]
            if not suffix:
                out |= {name: score[name] for name in ERRORS}
        if self.tally.sound_true:
            right, wrong = self.tally.sound_right, self.tally.sound_wrong
            out["sound_f1"] = 2 * right / (right + wrong + self.tally.sound_true)
        out |= self.tally.motion_rms()
        return {name: round(float(value), 5) for name, value in out.items() if np.isfinite(value)}

    def nds_of_parts(self, parts: int) -> list[float]:
        """NDS of equal parts of what was added, in order: of each world by itself."""
        if len(self._parts) != parts:
            size = len(self.tally.pairs) // parts
            config = ScoringConfig(by_class=True, overlaps=())
            pieces = (self.tally.pairs[n * size : (n + 1) * size] for n in range(parts))
            self._parts = [float(score_sequence(piece, config)["nds"]) for piece in pieces]
        return self._parts

    def latency_ms(self) -> dict[str, float]:
        """Median and 99th percentile of the time to fuse a tick."""
        return {f"p{q}": round(float(np.percentile(self.fuse_ms, q)), 2) for q in (50, 99)}


class Player:
    """Encodes every sample once for all fusers with the same encoders."""

    def __init__(self, fusers: Mapping[str, Fuser]) -> None:
        self.kind = {strategy: fuser.encoders for strategy, fuser in fusers.items()}
        self._encoder = {self.kind[strategy]: fuser for strategy, fuser in fusers.items()}

    def encode(self, condition: Condition, clean: Mapping[str, Evidence] | None = None) -> dict[str, Evidence]:
        """Evidence by kind of encoder. What the condition does not touch is the `clean` run's."""
        ticks = [condition.messages(t) for t in condition.run.times_ns]
        return {
            kind: self._encode(condition, fuser, ticks, None if clean is None else clean[kind])
            for kind, fuser in self._encoder.items()
        }

    def _encode(self, condition: Condition, fuser: Fuser, ticks: list[Any], clean: Evidence | None) -> Evidence:
        fuser.forget()
        known: dict[Any, Any] = {}
        out: Evidence = []
        for n, messages in enumerate(ticks):
            out.append({})
            for stream, taken in messages.items():
                if clean is not None and condition.run.rig.sensors[stream].modality not in condition.touched:
                    out[n][stream] = clean[n][stream]
                    continue
                for message in taken:
                    if (stream, message) not in known:
                        known[stream, message] = fuser.encode(condition.sample(stream, message))
                out[n][stream] = [known[stream, message] for message in taken]
        return out

    def play(self, condition: Condition, evidence: Mapping[str, Evidence], contestant: Contestant) -> list[Outcome]:
        """One outcome per tick of the run."""
        contestant.fuser.forget()
        outcomes = []
        for n, scene in enumerate(condition.scenes(contestant.present)):
            held = {s: e for s, e in evidence[self.kind[contestant.strategy]][n].items() if s in scene.samples}
            before = time.perf_counter()
            result = contestant.fuser.fuse(scene.tick, held)
            outcomes.append(Outcome(result, scene, 1e3 * (time.perf_counter() - before)))
        return outcomes
