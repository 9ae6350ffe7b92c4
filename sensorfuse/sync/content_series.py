"""What one stream saw over time, ready to be compared: signatures collected on the reference clock, as arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.messages import Sample

Floats = NDArray[np.float64]
Rows = list[tuple[float, ...]]

TURN_S = 0.02  # an IMU's rates are joined to turns over so long


class ContentSeries:
    """Rows of numbers per kind, in the order of receipt. Times are seconds since the log's beginning.

    rates: time, gyro (3). velocities: time, velocity (3) of an INS. forces: time, specific force (3). turns: start,
    end, rotation vector (3), sigmas (3). speeds: time, ego velocity (3), sigmas (3). motion: start, end, energy.
    onsets: time, strength.
    """

    KINDS = ("rates", "velocities", "forces", "turns", "speeds", "motion", "onsets")

    def __init__(self) -> None:
        self._rows: dict[str, Rows] = {kind: [] for kind in self.KINDS}
        self._tables: dict[str, Floats] = {}  # the same as arrays, made where they are asked for
        self.newest_s = -np.inf

    def add(self, sample: Sample, signature: dict[str, Any], to_s: Callable[[int], float]) -> None:
        """Take what a sample tells; `to_s` maps its device's nanoseconds to seconds of the log."""
        rows = self._rows
        if "gyro_radps" in sample.arrays:
            arrays = sample.arrays
            times = [to_s(sample.stamp_ns + int(d)) for d in arrays["time_ns"]]
            rows["rates"] += [(t, *w) for t, w in zip(times, arrays["gyro_radps"].tolist(), strict=True)]
            rows["forces"] += [(t, *f) for t, f in zip(times, arrays["accel_mps2"].tolist(), strict=True)]
            if "velocity_mps" in arrays:
                rows["velocities"] += [(t, *v) for t, v in zip(times, arrays["velocity_mps"].tolist(), strict=True)]
            self.newest_s = max(self.newest_s, *times)
        if "turn_rad" in signature:
            a, b = (to_s(t) for t in signature["turn_span_ns"])
            rows["turns"].append((a, b, *signature["turn_rad"], *signature["turn_sigma_rad"]))
            self.newest_s = max(self.newest_s, b)
        if "ego_velocity_mps" in signature:
            a, b = signature.get("turn_span_ns", (sample.stamp_ns, sample.stamp_ns))  # a mean over the same span
            t = (to_s(a) + to_s(b)) / 2
            rows["speeds"].append((t, *signature["ego_velocity_mps"], *signature["ego_velocity_sigma_mps"]))
            self.newest_s = max(self.newest_s, t)
        if "motion" in signature:
            a, b = (to_s(t) for t in signature["motion_span_ns"])
            rows["motion"].append((a, b, float(signature["motion"])))
            self.newest_s = max(self.newest_s, b)
        if signature.get("onset"):
            start, hop = signature["onset_start_ns"], signature["onset_hop_ns"]
            times = [to_s(int(start + (k + 0.5) * hop)) for k in range(len(signature["onset"]))]
            rows["onsets"] += list(zip(times, signature["onset"], strict=True))
            self.newest_s = max(self.newest_s, times[-1])

    def table(self, kind: str, start_s: float = -np.inf, end_s: float = np.inf) -> Floats:
        """Rows (N, m) of a kind that begin in a stretch of time."""
        known = self._tables.get(kind)
        if known is None or len(known) != len(self._rows[kind]):
            known = self._tables[kind] = np.array(self._rows[kind], dtype=np.float64)
        if not len(known):
            return np.zeros((0, 0))
        return np.asarray(known[(known[:, 0] >= start_s) & (known[:, 0] < end_s)])

    def extent(self) -> tuple[float, float]:
        """When what is held begins and ends; (inf, -inf) where nothing is."""
        tables = [t for t in map(self.table, self.KINDS) if len(t)]
        return min((t[0, 0] for t in tables), default=np.inf), max((t[-1, 0] for t in tables), default=-np.inf)

    def forget(self, before_s: float) -> None:
        for kind, rows in self._rows.items():
            self._rows[kind] = [r for r in rows if r[0] >= before_s]
        self._tables.clear()


def turns_of_rates(rates: Floats) -> tuple[Floats, Floats]:
    """Spans (K, 2) and turns (K, 3) of a gyro's rates (N, 4): time and rate, joined over `TURN_S`. Turns so short are
    the mean rate times the span.
    """
    order = np.argsort(rates[:, 0], kind="stable")
    time, rate = rates[order, 0], rates[order, 1:4]
    step = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
    n = max(1, round(TURN_S / step)) if step > 0 else 1
    ends = np.arange(0, len(time), n)
    spans = np.column_stack([time[ends[:-1]], time[ends[1:]]])
    integral = np.concatenate(
        [np.zeros((1, 3)), np.cumsum((rate[1:] + rate[:-1]) / 2 * np.diff(time)[:, None], axis=0)]
    )
    whole = (spans[:, 1] - spans[:, 0]) < 2 * n * step
    return spans[whole], (integral[ends[1:]] - integral[ends[:-1]])[whole]
