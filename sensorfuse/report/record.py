"""What one run leaves in memory for its summary and report, and which of its ticks a person is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sensorfuse.messages import FusedFrame, Sample, Truth
from sensorfuse.rig import Rig

STAGES: dict[str, tuple[str, str]] = {
    # name: (label, what it measures), in the order in which a tick passes them
    "capture_to_fused": ("capture to fused", "from the tick's reference time to its published frame"),
    "align_wait": ("alignment wait", "from the reference time until the aligner closed the tick"),
    "decide": ("decision", "from the arrival of the tick's last needed sample until the aligner closed it"),
    "queue": ("queue", "from the aligner to the fusion process"),
    "data_wait": ("data wait", "for the arrays of samples whose headers were there"),
    "encode": ("encoders", "all encoders of the samples used; most run before the tick closes"),
    "encode_on_path": ("encoders on the path", "encoding after the tick's last needed sample had come"),
    "fuse": ("fusion", "the fusion model and its heads"),
    "track": ("tracking", "the tracker"),
    "publish": ("publishing", "serialising and sending the frame"),
    "overhead": ("overhead", "from the tick's last needed sample to its frame, without encoders, fusion and tracking"),
}

MAX_SNAPSHOTS = 6
MIN_STRETCH_TICKS = 5  # a shorter one is a blip, not shown for its own sake
SETTLE_TICKS = 10  # what a tracker needs to confirm its tracks after a change


@dataclass
class Event:
    """Something that happened to a process; `t_ns` is on the clock of the ticks' reference times."""

    t_ns: int
    process: str
    what: str


@dataclass
class RunRecord:
    """One run: how it was made, and what was counted while it ran.

    `rate` is "live", "max", or log seconds per second. `published` and `received` are per stream; `ledger` is stream ->
    reason -> count with every ledger reason present; `unaccounted` has per stream the messages that were received and
    ended by nobody; `timings_ms` is stage -> one value per tick (empty where a replay without a clock has none);
    `rejected` counts the log's records that could not be read, by "stream: reason". `exchanges` has what each process
    on another host last said of its time exchange (`Timekeeper.status`).
    """

    rig: Rig
    strategy: str
    engine: str
    model: str
    source: str
    command: str
    rate: str
    deterministic: bool
    ticks_expected: int
    published: dict[str, int]
    received: dict[str, int]
    ledger: dict[str, dict[str, int]]
    timings_ms: Mapping[str, Sequence[float]]
    events: list[Event]
    frames_path: Path
    rejected: dict[str, int] = field(default_factory=dict)
    exchanges: dict[str, dict[str, Any]] = field(default_factory=dict)
    unaccounted: dict[str, int] = field(default_factory=dict)


@dataclass
class Snapshot:
    """One tick to show: the frame, the samples that it used by stream, and the truth at its time where it is known."""

    frame: FusedFrame
    samples: dict[str, Sample]
    truth: Truth | None


@dataclass
class _Stretch:
    """Successive ticks of one mode."""

    mode: str
    ticks: list[int]

    def settled(self) -> int:
        """A tick at which the pipeline has got used to the mode, or the stretch's last."""
        return self.ticks[min(SETTLE_TICKS, len(self.ticks) - 1)]

    def middle(self) -> int:
        return self.ticks[len(self.ticks) // 2]


def choose_snapshots(frames: Iterable[FusedFrame], limit: int = MAX_SNAPSHOTS) -> list[int]:
    """Ids of the ticks worth showing, ascending, at most `limit`; reads `tick_id` and `mode` only.

    In order of rank: the first full tick, the longest losses (their middle), the recovery after each, and ticks spread
    over the rest of the run. A full tick is taken a little after its stretch begins, once tracks are confirmed.
    Stretches of a few ticks, and a short one before the first sensors speak, count as part of what surrounds them.
    """
    stretches: list[_Stretch] = []
    for frame in frames:
        if stretches and stretches[-1].mode == frame.mode:
            stretches[-1].ticks.append(frame.tick_id)
        else:
            stretches.append(_Stretch(frame.mode, [frame.tick_id]))
    ticks = sorted({t for s in stretches for t in s.ticks})
    lasting = _without_blips(stretches)
    wanted: list[int] = []
    full = [s for s in lasting if s.mode == "full"]
    if full:
        wanted.append(next((s for s in full if len(s.ticks) > SETTLE_TICKS), full[0]).settled())
    losses = [i for i, s in enumerate(lasting) if s.mode != "full"]
    for i in sorted(losses, key=lambda i: -len(lasting[i].ticks)):
        wanted.append(lasting[i].middle())
        if i + 1 < len(lasting) and lasting[i + 1].mode == "full":
            wanted.append(lasting[i + 1].settled())
    chosen = list(dict.fromkeys(wanted))[:limit]

    def loneliness(t: int) -> int:
        """Distance to the nearest chosen tick, and half of that for the run's ends, which show little."""
        return min([2 * (t - ticks[0]), 2 * (ticks[-1] - t), *(abs(t - c) for c in chosen)])

    while len(chosen) < min(limit, len(ticks)):
        chosen.append(max((t for t in ticks if t not in chosen), key=loneliness))
    return sorted(chosen)


def _without_blips(stretches: list[_Stretch]) -> list[_Stretch]:
    """Stretches long enough to matter, those of one mode joined over what was left out; all of them if none is."""
    kept = [s for s in stretches if len(s.ticks) >= MIN_STRETCH_TICKS]
    if len(kept) > 1 and kept[0] is stretches[0] and kept[0].mode != "full" and len(kept[0].ticks) <= SETTLE_TICKS:
        kept = kept[1:]
    joined: list[_Stretch] = []
    for stretch in kept or stretches:
        if joined and joined[-1].mode == stretch.mode:
            joined[-1] = _Stretch(stretch.mode, joined[-1].ticks + stretch.ticks)
        else:
            joined.append(stretch)
    return joined
