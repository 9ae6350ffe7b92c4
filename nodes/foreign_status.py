"""What a sensor's process on another host says of itself, as far as it can be believed."""

from __future__ import annotations

import math
from typing import Any

from sensorfuse.sample_limits import MAX_COUNT

_NUMBERS = ("offset_ns", "sigma_ns", "bound_ns", "skew_ppm", "round_trip_ns", "exchanges", "refused", "resets")
_STATES = ("learning", "locked", "coasting")


def read_status(name: str, message: dict[str, Any]) -> dict[str, Any] | None:
    """The fields of a status that count, all of them sound: how much the stream of this name has published, and how
    well the host knows the time (where it is asked, `Timekeeper.status`). None when one of them is not, or is of
    another.
    """
    counts = {key: message.get(key) for key in ("boot", "published")}
    if message.get("stream") != name or not all(_is_count(value) for value in counts.values()):
        return None
    status = {"stream": name, **counts}
    told = message.get("time")
    if told is None:
        return status
    if not isinstance(told, dict) or told.get("state") not in _STATES:
        return None
    time = {key: told.get(key) for key in _NUMBERS}
    if not all(_is_number(value) for value in time.values()):
        return None
    return {**status, "time": {"state": told["state"], **time}}


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_COUNT


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) <= MAX_COUNT
