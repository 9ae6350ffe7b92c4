"""How well streams are brought to one clock, against the goals set for it: every part that has a known truth."""

from __future__ import annotations

from collections.abc import Callable

from sensorfuse.bench import bounds, clocks, content, exchange, motion, recordings, sets
from sensorfuse.bench.goals import Goal

PARTS: dict[str, tuple[str, Callable[[], list[Goal]]]] = {
    "clocks": ("clock models from one-way stamps", clocks.measure),
    "exchange": ("another host's clock from two-way exchanges", exchange.measure),
    "content": ("offsets from what streams saw of motion", content.measure),
    "sets": ("which messages make a tick, and when", sets.measure),
    "motion": ("poses and clouds at the tick", motion.measure),
    "recordings": ("offsets in real recordings", recordings.measure),
    "bounds": ("the error bound of each tick", bounds.measure),
}
