"""What the compiler made: a row per engine, scores, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sensorfuse.deploy.networks import LeftOut

from sensorfuse.engine.engine import Precision

Target = Literal["onnxruntime", "tensorrt_rtx", "tensorrt"]
Status = Literal["built", "cached", "left out", "failed"]
MADE: tuple[Status, ...] = ("built", "cached")


@dataclass
class Row:
    """One engine. `parity`: the worst difference to fp32 on the recordings (see `engine/parity.py`), `gate` what it
    may be; `kept`: operators that stayed in fp32; `key`: its name in the cache.
    """

    network: str
    precision: Precision
    target: Target
    architecture: str
    status: Status
    reason: str = ""
    size: int = 0
    seconds: float = 0.0
    parity: float | None = None
    gate: float | None = None
    kept: dict[str, int] = field(default_factory=dict)
    key: str = ""
    file: str = ""


@dataclass
class Score:
    """A strategy's detection score in fp32 and with the encoders in INT8, on the same ticks. `symmetric`: INT8 in the
    form that TensorRT takes.
    """

    strategy: str
    before: float
    after: float
    symmetric: bool = False

    @property
    def loss(self) -> float:
        """Share of the score that is lost."""
        return (self.before - self.after) / max(self.before, 1e-9)


@dataclass
class Compiled:
    """All that a run of the compiler made."""

    rows: list[Row] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not any(r.status == "failed" for r in self.rows)
