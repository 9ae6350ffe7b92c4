"""One stream's content against the reference's: whichever of turns, yaw, speed and onsets the two have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from sensorfuse.align.content.doubts import AGAIN_S, ANY_GATE, Jackknife, Offset, implausible, implausible_gain
from sensorfuse.align.content.onset_offset import onset_offset
from sensorfuse.align.content.rate_offset import RateOffset, match_rates, mean_rates
from sensorfuse.align.content.reference import Reference, Spans, as_reference, as_spans
from sensorfuse.align.content.scalar_offset import ScalarOffset, match_scalars
from sensorfuse.align.content.search import Gate
from sensorfuse.geometry import Transform
from sensorfuse.sync.content_series import ContentSeries, Floats, turns_of_rates
from sensorfuse.sync.stream_report import OffsetReport

NEAR_S, FAR_S, FARTHEST_S = 0.5, 4.0, 110.0  # searched first, and where nothing fits
HEAD_S = 60.0
NEAR_GATE = Gate(sigma_s=0.02)  # a report may say how little it knows
FAR_GATE = Gate(peak=0.8, gap=0.15, sigma_s=0.05)  # of so many lags some fit by chance
SPEED_GATE = Gate(peak=0.8, gap=0.2, sigma_s=0.05, moving=0.1)  # m/s, or m/s^2 of its change
LEAST_STEP_S = 1e-3
STRETCH_S = 2.0  # of the reference beyond the stream on either side


@dataclass(frozen=True)
class Side:
    """One of the two that are compared. `T_base_sensor` is None where the rig does not tell."""

    name: str
    series: ContentSeries
    T_base_sensor: Transform


def match(
    stream: Side, reference: Side, centre_s: float, reach_s: float, start_s: float = -np.inf, end_s: float = np.inf
) -> OffsetReport | None:
    """The offset within `centre_s` +- `reach_s` by the first kind of content that tells it; else the first kind's
    refusal. None where the two have nothing in common.
    """
    refused = None
    for found in _attempts(stream, reference, centre_s, reach_s, start_s, end_s):
        if found.accepted:
            return found
        refused = refused or found
    return refused


def find(stream: Side, reference: Side) -> OffsetReport | None:
    """The offset wherever it is within +-110 s: near the rig's first, then further and further off, there by the
    stream's first minute.
    """
    near = match(stream, reference, 0.0, NEAR_S)
    if near is None or near.accepted:
        return near
    first_s, (known_s, known_end_s) = stream.series.extent()[0], reference.series.extent()
    end_s = min(first_s + HEAD_S, stream.series.extent()[1])
    possible_s = max(known_end_s - first_s, end_s - known_s)  # further off they do not overlap
    for reach_s in (FAR_S, min(FARTHEST_S, possible_s)):
        far = match(stream, reference, 0.0, reach_s, first_s, end_s)
        if far is not None and far.accepted:
            again = match(stream, reference, far.offset_s, NEAR_S)
            return again if again is not None and again.accepted else far
    return near


def _attempts(
    stream: Side, reference: Side, centre_s: float, reach_s: float, start_s: float, end_s: float
) -> Iterator[OffsetReport]:
    search = _Search(stream, reference, centre_s, reach_s, start_s, end_s)
    yield from search.turns()
    yield from search.axis()
    yield from search.speed()
    yield from search.sound()


class _Search:
    def __init__(
        self, stream: Side, reference: Side, centre_s: float, reach_s: float, start_s: float, end_s: float
    ) -> None:
        self.stream, self.reference = stream, reference
        self.centre_s, self.reach_s = centre_s, reach_s
        self.start_s, self.end_s = start_s, end_s

    def _seen(self, kind: str) -> Floats:
        return self.stream.series.table(kind, self.start_s, self.end_s)

    def _known(self, kind: str) -> Floats:
        margin = self.reach_s + STRETCH_S
        return self.reference.series.table(
            kind, self.start_s + self.centre_s - margin, self.end_s + self.centre_s + margin
        )

    def _gate(self, gate: Gate) -> Gate:
        return FAR_GATE if self.reach_s > NEAR_S and gate is NEAR_GATE else gate

    def _judged(
        self, method: str, seen: Spans, found: RateOffset | ScalarOffset, fit: Callable[[Spans], Offset], doubt: str
    ) -> OffsetReport:
        """The estimate as it is, or refused for a doubt, with the larger sigma of its own and the jackknife's."""
        excitation = found.excitation if isinstance(found, ScalarOffset) else float(found.excitation[0])
        middle_s = float(seen.middle_s.mean()) if len(seen) else 0.0
        report = OffsetReport(
            self.reference.name,
            method,
            found.accepted,
            found.reason,
            found.offset_s,
            found.sigma_s,
            found.peak,
            found.gap,
            excitation,
            middle_s,
        )
        if not found.accepted:
            return report
        spread_s, alone = (0.0, doubt) if doubt else Jackknife(seen, found, fit).verdict()
        if alone:
            return replace(report, accepted=False, reason=alone)
        return replace(report, sigma_s=max(found.sigma_s, spread_s))

    def turns(self) -> Iterator[OffsetReport]:
        """Rotations in three axes, against the gyro."""
        rates = self._known("rates")
        turns, own = self._seen("turns"), self._seen("rates")
        if not len(rates) or (not len(turns) and not len(own)):
            return
        if len(turns):
            spans, angles, sigmas = turns[:, :2], turns[:, 2:5], turns[:, 5:8]
            if not np.isfinite(sigmas).all(axis=1).any():
                return
        else:
            spans, angles = turns_of_rates(own)
            sigmas = None
        gyro, seen = as_reference(rates[:, 0], rates[:, 1:4]), mean_rates(spans, angles, sigmas)
        found = match_rates(gyro, seen, self.reach_s, self.centre_s, self._gate(NEAR_GATE))
        mounted = self.stream.T_base_sensor.rotation.T @ self.reference.T_base_sensor.rotation
        doubt = implausible(gyro, seen, found.offset_s, found.rotation, mounted) if found.accepted else ""
        yield self._judged(
            "turning", seen, found, lambda part: match_rates(gyro, part, AGAIN_S, found.offset_s, ANY_GATE), doubt
        )

    def axis(self) -> Iterator[OffsetReport]:
        """The turn about one axis, where only that one is seen: the gyro about the same axis of the base."""
        rates, turns = self._known("rates"), self._seen("turns")
        if not len(rates) or not len(turns):
            return
        finite = np.isfinite(turns[:, 5:8])
        axis = int(np.argmax(finite.sum(axis=0)))
        seen = turns[finite[:, axis]]
        if not len(seen):
            return
        rotation = self.stream.T_base_sensor.rotation.T @ self.reference.T_base_sensor.rotation
        length = np.maximum(seen[:, 1] - seen[:, 0], 1e-9)
        known = as_reference(rates[:, 0], rates[:, 1:4] @ rotation[axis])
        yield self._scalar(
            "turning about one axis", known, as_spans(seen[:, :2], seen[:, 2 + axis] / length), self._gate(NEAR_GATE)
        )

    def speed(self) -> Iterator[OffsetReport]:
        """Velocity: against an INS's speed where there is one, else its change against the forward acceleration."""
        speeds = self._seen("speeds")
        if len(speeds) < 2:
            return
        velocity, forces = self._known("velocities"), self._known("forces")
        if len(velocity):
            known = as_reference(velocity[:, 0], np.linalg.norm(velocity[:, 1:4], axis=1))
            seen = as_spans(speeds[:, [0, 0]], np.linalg.norm(speeds[:, 1:3], axis=1))
            yield self._scalar("speed", known, seen, SPEED_GATE)
        elif len(forces):
            order = np.argsort(speeds[:, 0], kind="stable")
            time, forward = speeds[order, 0], speeds[order, 1]
            step = np.diff(time)
            good = step > LEAST_STEP_S
            known = as_reference(forces[:, 0], forces[:, 1:4] @ self.reference.T_base_sensor.rotation[0])
            seen = as_spans(np.column_stack([time[:-1], time[1:]])[good], np.diff(forward)[good] / step[good])
            yield self._scalar("acceleration", known, seen, SPEED_GATE)

    def _scalar(self, method: str, known: Reference, seen: Spans, gate: Gate) -> OffsetReport:
        found = match_scalars(known, seen, self.reach_s, self.centre_s, gate)
        doubt = implausible_gain(found.gain) if found.accepted else ""
        again = replace(ANY_GATE, moving=gate.moving)
        return self._judged(
            method, seen, found, lambda part: match_scalars(known, part, AGAIN_S, found.offset_s, again), doubt
        )

    def sound(self) -> Iterator[OffsetReport]:
        """Onsets of sound against motion in the picture; `reference` is then a camera."""
        onsets, motion = self._seen("onsets"), self._known("motion")
        if not len(onsets) or not len(motion):
            return
        reach_s = min(self.reach_s, NEAR_S)
        found = onset_offset(motion[:, :2], motion[:, 2], onsets[:, 0], onsets[:, 1], reach_s, centre_s=self.centre_s)
        yield OffsetReport(
            self.reference.name,
            "onsets",
            found.accepted,
            found.reason,
            found.offset_s,
            found.sigma_s,
            found.peak,
            found.gap,
            float(np.std(motion[:, 2])),
            float(onsets[:, 0].mean()),
        )
