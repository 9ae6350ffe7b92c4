"""A long run's worth of faults, drawn from a seed: one every few seconds, each over before the next begins."""

from __future__ import annotations

import numpy as np

from sensorfuse.endpoints import SLOTS
from sensorfuse.inject.fault import MACHINE, Fault
from sensorfuse.rig import Rig

QUIET_S = 10.0  # at the beginning and at the end of the run
PAUSE_S = (3.0, 6.0)  # between one fault's end and the next one's beginning
LASTS_S = (0.5, 3.0)
STREAM_FAULTS: dict[str, tuple[float, float] | None] = {
    # kind: least and most of its value, None where it takes none
    "drop": (0.1, 1.0),
    "delay": (0.02, 0.5),
    "jitter": (0.005, 0.1),
    "reorder": (0.1, 0.5),
    "duplicate": (0.2, 1.0),
    "freeze": None,
    "clock_step": (-10.0, 10.0),
    "skew": (-2000.0, 2000.0),
    "slow": (2.0, 10.0),
    "blackout": None,
    "noise": (0.2, 1.0),
    "garbage": (0.3, 1.0),
    "bit_flips": (1e-5, 1e-2),
    "truncate": (0.2, 1.0),
}
STREAM_SHARE = 0.6  # of the faults are of streams, the others of processes and of the machine


def random_faults(rig: Rig, duration_s: float, seed: int) -> tuple[Fault, ...]:
    """Faults of streams, processes and the machine for a run of `duration_s`, the same for the same seed."""
    rng = np.random.default_rng(seed)
    streams = rig.streams()
    twins = [f"{name}.{slot}" for name in ("align", "fusion") for slot in SLOTS]
    out: list[Fault] = []
    at_s = QUIET_S
    while True:
        lasts = float(rng.uniform(*LASTS_S))
        if at_s + lasts > duration_s - QUIET_S:
            return tuple(out)
        target, kind, value = _draw(rng, streams, twins)
        out.append(Fault(target=target, kind=kind, value=value, at_s=round(at_s, 2), for_s=round(lasts, 2)))
        at_s += lasts + float(rng.uniform(*PAUSE_S))


def _draw(rng: np.random.Generator, streams: list[str], twins: list[str]) -> tuple[str, str, float | None]:
    if rng.random() < STREAM_SHARE:
        kind = str(rng.choice(list(STREAM_FAULTS)))
        span = STREAM_FAULTS[kind]
        return str(rng.choice(streams)), kind, None if span is None else round(float(rng.uniform(*span)), 6)
    kind = str(rng.choice(["kill", "kill", "kill", "stop", "disk_full", "cpu"]))
    if kind == "cpu":
        return MACHINE, kind, float(rng.integers(1, 3))
    if kind == "disk_full":
        return "recorder", kind, 0.0
    victims = [*streams, *twins] if kind == "stop" else [*streams, *twins, "recorder", "nursery"]
    return str(rng.choice(victims)), kind, None
