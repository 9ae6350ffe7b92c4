"""What the fusion process asks of a strategy: encode on arrival, fuse on tick.

`encode` is pure: it depends on nothing but the sample, so it may run as soon as the sample arrives, in any order and
on any thread. `fuse` runs once per tick, in tick order; it may remember earlier ticks. Both are given to the process by
`make_fuser`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sensorfuse.messages import Detections, Sample, SoundEvent, Tick


@dataclass
class FusionResult:
    """What a strategy makes of one tick, in base_link at t_ref.

    `sources` holds what the tracker is fed: detections per independent source (one per sensor for object-level
    fusion, one in all for a learned strategy). `detections` is this tick's fused evidence. `weights` is each stream's
    share, summing to 1 over the streams used. `twist` is an estimate of the strategy's own, or None to keep the
    tick's.
    """

    detections: Detections
    sources: dict[str, Detections]
    weights: dict[str, float] = field(default_factory=dict)
    sounds: list[SoundEvent] = field(default_factory=list)
    twist: NDArray[np.float64] | None = None
    twist_sigma: NDArray[np.float64] | None = None


class Fuser(Protocol):
    """One strategy, ready to run. `model` names the weights ("" when there are none); fusers of the same `encoders`
    take what any of them encoded. `engine` and `precision` may change in the run, when an engine fails and the next one
    takes over; `failures` tells of that, for the process to report.
    """

    strategy: str
    encoders: str
    model: str
    failures: deque[str]

    @property
    def engine(self) -> str:
        """What runs the networks: backend, version, device."""

    @property
    def precision(self) -> str:
        """Of the arithmetic."""

    def encode(self, sample: Sample) -> Any:
        """Turn one sample into what `fuse` takes for its stream (features, or detections in the sensor's own time)."""

    def fuse(self, tick: Tick, evidence: dict[str, list[Any]]) -> FusionResult:
        """Fuse one tick. `evidence[stream]` holds what `encode` made of `tick`'s `seqs`, in order; absent streams are
        left out.

        `dt_ns` of each stream in `tick.streams` and `tick.twist` say how far to move evidence to t_ref.
        """

    def forget(self) -> None:
        """Drop what is remembered of earlier ticks: the next one begins something else."""
