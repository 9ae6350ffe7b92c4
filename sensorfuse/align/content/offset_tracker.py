"""An offset over time: estimates in, what to add to the stamps out.

Two states, offset and skew, in a Kalman filter. Estimates that disagree are not taken in, until several in a row agree
with one another: then the offset has moved and the filter starts anew there. What is put out moves slowly, so that no
stamp runs backwards, or steps once where the change is great and sure.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, NamedTuple

import numpy as np

OffsetState = Literal["locked", "coasting", "unobservable", "reacquiring"]

SKEW_SIGMA = 50e-6  # of a stream whose clock model has settled
WANDER = 2e-5  # offset, per square root of a second: heat, cables, queues
SKEW_WANDER = 1e-6  # skew, per square root of a second
RESTLESS_S, RESTLESS_WANDER = 30.0, 2e-3  # after the offset has moved, its skew is held to be moving for a while
GATE_SIGMAS = 4.0
CONSISTENT = 4
SURER = 3.0  # an estimate with so much more sigma says nothing against those that disagree with the track
MAX_SKEW = 0.05  # between estimates that are still taken as of one motion
SLEW = 1e-3
STEP_S, STEP_SIGMA_S = 0.020, 0.002
STEP_SIGMAS = 10.0  # a change of so many sigmas is sure, too
MOVING = 1e-3  # seconds per second: an offset that moves so fast stays under suspicion of moving
COASTING_S = 5.0
LOST_S = 60.0


class Estimate(NamedTuple):
    """An offset at `t_s` and how it moves, with a sigma each."""

    t_s: float
    offset_s: float
    sigma_s: float
    skew: float
    skew_sigma: float


class OffsetTracker:
    """Times in seconds of the reference clock, rising. `epoch` counts the steps of the output."""

    def __init__(self, prior_sigma_s: float, prior_s: float = 0.0) -> None:
        self.epoch = 0
        self.state: OffsetState = "unobservable"
        self._prior_s, self._prior_sigma_s = prior_s, prior_sigma_s
        self._at_s: float | None = None
        self._x = np.array([prior_s, 0.0])
        self._cov = np.diag([prior_sigma_s**2, SKEW_SIGMA**2])
        self._odd: deque[Estimate] = deque(maxlen=CONSISTENT)
        self._accepted_s: float | None = None
        self._moved_s: float | None = None
        self._lag_s = 0.0  # estimate less output, at
        self._lag_at_s = 0.0

    @property
    def skew(self) -> float:
        """Seconds per second by which the offset moves."""
        return float(self._x[1])

    def restless(self, t_s: float) -> bool:
        """Whether the offset moved so lately that it may be moving still."""
        return self._moved_s is not None and t_s - self._moved_s < RESTLESS_S

    def push(
        self,
        t_s: float,
        offset_s: float,
        sigma_s: float,
        accepted: bool,
        fresh: float = 1.0,
        skew: float = 0.0,
        skew_sigma: float = float("inf"),
    ) -> None:
        """Take in an estimate for the time `t_s`.

        fresh: share of its data that no earlier estimate had, in (0, 1]: it counts as so much of a measurement. skew:
        how the offset moves, where the estimate says so, with one sigma.
        """
        if not self._sound(t_s, offset_s, sigma_s):
            return
        if self._disagrees(Estimate(t_s, offset_s, sigma_s, skew, skew_sigma), accepted):
            return
        if accepted:
            x, cov = self._predict(t_s)
            before = self._estimate(t_s) - self._lag(t_s)
            share = min(max(fresh, 1e-3), 1.0)
            for k, value, sigma in ((0, offset_s, sigma_s), (1, skew, skew_sigma)):
                gain = cov[:, k] / (cov[k, k] + sigma**2 / share)
                x, cov = x + gain * (value - x[k]), cov - np.outer(gain, cov[k])
            self._x, self._cov = x, cov
            self._at_s = self._accepted_s = t_s
            self._let_out(t_s, before)
            if abs(self.skew) > MOVING:
                self._moved_s = t_s
        self._name_state(t_s)

    def check(
        self,
        t_s: float,
        offset_s: float,
        sigma_s: float,
        accepted: bool,
        skew: float = 0.0,
        skew_sigma: float = float("inf"),
    ) -> None:
        """Hold an estimate from a short window against the track, without taking it in: it shows a change sooner."""
        if self._accepted_s is not None and self._sound(t_s, offset_s, sigma_s):
            self._disagrees(Estimate(t_s, offset_s, sigma_s, skew, skew_sigma), accepted)

    def look(self, t_s: float) -> None:
        """Nothing was measured by `t_s`: the state says for how long."""
        self._name_state(t_s)

    def reacquire(
        self, t_s: float, offset_s: float, sigma_s: float, skew: float = 0.0, skew_sigma: float = SKEW_SIGMA
    ) -> None:
        """Begin anew from what is known of the offset at `t_s`."""
        before = self._estimate(t_s) - self._lag(t_s)
        self._x = np.array([offset_s, skew])
        self._cov = np.diag([sigma_s**2, skew_sigma**2])
        self._at_s = self._accepted_s = t_s
        self._moved_s = t_s
        self._odd.clear()
        self._let_out(t_s, before)
        self.state = "locked"

    def newest_odd(self) -> Estimate:
        """The last estimate that disagreed; call it only while reacquiring."""
        last = self._odd[-1]
        return last._replace(skew_sigma=min(last.skew_sigma, MAX_SKEW))

    def predicted_s(self, t_s: float) -> float:
        """The estimate itself, not slewed."""
        return self._estimate(t_s)

    def offset_s(self, t_s: float) -> float:
        """What to add to the stream's stamps at `t_s`."""
        return self._estimate(t_s) - self._lag(t_s)

    def sigma_s(self, t_s: float) -> float:
        """One sigma of `offset_s`: of the estimate, grown since the last one, and of what is still to be slewed."""
        _, cov = self._predict(t_s)
        return float(np.sqrt(cov[0, 0] + self._lag(t_s) ** 2))

    def _sound(self, t_s: float, offset_s: float, sigma_s: float) -> bool:
        late = self._at_s is not None and t_s < self._at_s - LOST_S
        return bool(np.isfinite(t_s) and np.isfinite(offset_s) and sigma_s > 0) and not late

    def _disagrees(self, new: Estimate, accepted: bool) -> bool:
        """Whether an accepted estimate is too far from the track; enough of those that agree make it reacquire."""
        if not accepted or self._accepted_s is None:
            return False
        x, cov = self._predict(new.t_s)
        if abs(new.offset_s - x[0]) <= GATE_SIGMAS * float(np.sqrt(cov[0, 0] + new.sigma_s**2)):
            if not self._odd or new.sigma_s < SURER * self._odd[-1].sigma_s:
                self._odd.clear()
                if self.state == "reacquiring":
                    self.state = "locked"
            return False
        if self._odd:
            last = self._odd[-1]
            apart = GATE_SIGMAS * float(np.hypot(last.sigma_s, new.sigma_s)) + MAX_SKEW * abs(new.t_s - last.t_s)
            if abs(new.offset_s - last.offset_s) > apart:
                self._odd.clear()
        self._odd.append(new)
        if len(self._odd) == CONSISTENT:
            if self.state == "reacquiring":  # nobody knows better
                self.reacquire(*self.newest_odd())
            else:
                self.state = "reacquiring"
        return True

    def _predict(self, t_s: float) -> tuple[np.ndarray, np.ndarray]:
        ahead = 0.0 if self._at_s is None else t_s - self._at_s
        move = np.array([[1.0, ahead], [0.0, 1.0]])
        away = abs(ahead)
        skewing = (RESTLESS_WANDER if self.restless(t_s) else SKEW_WANDER) ** 2 * away
        across = skewing * ahead / 2
        noise = np.array([[WANDER**2 * away + skewing * away**2 / 3, across], [across, skewing]])
        return move @ self._x, move @ self._cov @ move.T + noise

    def _estimate(self, t_s: float) -> float:
        ahead = 0.0 if self._at_s is None else t_s - self._at_s
        return float(self._x[0] + self._x[1] * ahead)

    def _lag(self, t_s: float) -> float:
        """What of the last change is still to be let out."""
        left = abs(self._lag_s) - SLEW * max(0.0, t_s - self._lag_at_s)
        return float(np.sign(self._lag_s)) * max(0.0, left)

    def _let_out(self, t_s: float, output_s: float) -> None:
        """The output stays where it was and slews to the estimate, or steps there."""
        change = self._estimate(t_s) - output_s
        if abs(change) > STEP_S and float(np.sqrt(self._cov[0, 0])) < max(STEP_SIGMA_S, abs(change) / STEP_SIGMAS):
            self.epoch += 1
            change = 0.0
        self._lag_s, self._lag_at_s = change, t_s

    def _name_state(self, t_s: float) -> None:
        if self.state == "reacquiring":
            return
        if self._accepted_s is None or t_s - self._accepted_s > LOST_S:
            self.state = "unobservable"
        else:
            self.state = "coasting" if t_s - self._accepted_s > COASTING_S else "locked"
