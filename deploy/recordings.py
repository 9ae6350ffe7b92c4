"""What a rig's networks are given when they run on recordings: for calibration, and to compare engines by.

From a log, the pipeline itself runs at several moments of it: clocks, alignment, encoders, fusion. Without a log, ticks
of the rig's simulated world take its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sensorfuse.engine.engine import Engine
from sensorfuse.engine.onnxruntime import OnnxRuntimeEngine
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.evaluation.accuracy import encode_run, fuse_run, runs
from sensorfuse.fusion.explain.moment import find_moment
from sensorfuse.fusion.learned import LearnedFusion
from sensorfuse.log import open_log
from sensorfuse.messages import MODALITIES
from sensorfuse.rig import Rig

Arrays = dict[str, NDArray[Any]]
Recordings = dict[str, list[Arrays]]
"""By network (a modality, `sweeps`, or the strategy's name) its inputs, each with its batch axis."""
DRAWN = 4
"""Inputs drawn per untrained network."""
WORLD_SEED = 4000
"""Worlds to record in: neither those of training (below 1000) nor those that judge (from 5000)."""


class RecordingEngine:
    """Runs a network and keeps copies of what it was given, spread over the whole recording: at most `limit`."""

    def __init__(self, engine: Engine, limit: int) -> None:
        self._engine = engine
        self._limit = limit
        self._stride = 1
        self._count = 0
        self.recorded: list[Arrays] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        if self._count % self._stride == 0:
            self.recorded.append({name: array.copy() for name, array in inputs.items()})
            if len(self.recorded) > self._limit:  # every other one goes, and fewer come from now on
                self.recorded = self.recorded[::2]
                self._stride *= 2
        self._count += 1
        return self._engine.run(inputs)


class RecordingFusion(LearnedFusion):
    """`LearnedFusion` whose networks are recorded.

    Raises:
        SensorfuseError: a network or its description is missing or unreadable.
    """

    def __init__(self, rig: Rig, strategy: str, weights: Path | None = None, limit: int = 32) -> None:
        super().__init__(rig, strategy, weights)
        self._encoders = cast(Any, {m: RecordingEngine(e, limit) for m, e in self._encoders.items()})
        self._sweeps = cast(Any, RecordingEngine(self._sweeps, limit))
        self._fusion = cast(Any, RecordingEngine(self._fusion, limit))

    def recordings(self) -> Recordings:
        """What every network that ran was given."""
        engines: dict[str, Any] = {str(m): e for m, e in self._encoders.items()}
        engines |= {"sweeps": self._sweeps, self.strategy: self._fusion}
        found = {name: engine.recorded for name, engine in engines.items()}
        return {name: inputs for name, inputs in found.items() if inputs}


def record_log(
    log: Path, rig: Rig, strategy: str, weights: Path | None, moments: int = 6, limit: int = 32
) -> Recordings:
    """What the networks are given at moments spread over a log.

    Raises:
        SensorfuseError: the log can't be read, or has nothing of the rig's.
    """
    fuser = RecordingFusion(rig, strategy, weights, limit)
    lasts_s = _duration_s(log, rig)
    for n in range(moments):
        fuser.forget()
        find_moment(log, rig, fuser, lasts_s * (n + 0.5) / moments)
    return fuser.recordings()


def _duration_s(log: Path, rig: Rig) -> float:
    first = last = None
    with open_log(log, offsets_ns=rig.clock_offsets_ns()) as reader:
        for sample in reader.samples():
            first = sample.recv_ns if first is None else first
            last = sample.recv_ns
    if first is None or last is None:
        raise SensorfuseError(f"{log}: no readable sample")
    return (last - first) / 1e9


def record_worlds(
    rig: Rig, strategy: str, weights: Path | None, scenarios: Iterable[str], ticks: int = 8, limit: int = 32
) -> Recordings:
    """What the networks are given on ticks of simulated worlds: all sensors there, and one after another gone.

    Raises:
        SensorfuseError: a scenario is unknown, or the rig's sensors can't be simulated.
    """
    fuser = RecordingFusion(rig, strategy, weights, limit)
    fused = [m for m in MODALITIES if m in rig.fusion.modalities]
    gone: list[str | None] = [None, *fused]
    for scenario in scenarios:
        for number, run in enumerate(runs(rig, scenario, WORLD_SEED, ticks)):
            evidence = encode_run(fuser, run, {})
            present = [m for m in fused if m != gone[number % len(gone)]]
            fuse_run(fuser, run, evidence, present, rig)
    return fuser.recordings()


def drawn_inputs(network: Path, count: int = DRAWN) -> list[dict[str, NDArray[Any]]]:
    """Inputs drawn for a network that nothing was recorded of: uniform in [0, 1], `present` 0 or 1."""
    shapes = OnnxRuntimeEngine(network).input_shapes
    rng = np.random.default_rng(0)
    out = []
    for _ in range(count):
        one = {
            n: rng.random([d if isinstance(d, int) else 1 for d in shape], dtype=np.float32)
            for n, shape in shapes.items()
        }
        if "present" in one:
            one["present"] = (one["present"] > 0.3).astype(np.float32)
        out.append(one)
    return out
