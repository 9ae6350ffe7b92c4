"""How well streams are brought to one clock, against the goals set for it: every part that has a known truth."""

from __future__ import annotations

from collections.abc import Callable

from sensorfuse.bench import clocks
from sensorfuse.bench.goals import Goal

PARTS: dict[str, tuple[str, Callable[[], list[Goal]]]] = {
    "clocks": ("clock models from one-way stamps", clocks.measure),
}
