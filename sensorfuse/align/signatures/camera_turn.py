"""A camera's rotation from one picture to the next."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.signatures.bearings import Lens
from sensorfuse.align.signatures.flow_rotation import Flow, fit_rotation
from sensorfuse.align.signatures.picture import Grey
from sensorfuse.align.signatures.span import comparable
from sensorfuse.align.signatures.tracks import corners_of, track
from sensorfuse.sensor_config import SensorConfig

MIN_TRACKS = 12
MIN_FOUND = 0.3  # share of corners that must be found again
MIN_AGREE = 0.5  # share of tracks that must fit one motion
MAX_NOISE_PX = 1.5
INFLATION = 1.5  # of sigma: errors of neighbouring tracks are alike, and the lens is not quite as described
ALIKE_PX = 0.03  # error that all tracks have in common
LENS_ERROR = 2e-3  # of the turn: what the intrinsics are believed to
ASPECT = 0.02  # by how much a picture's aspect may differ from the intrinsics'
MIN_SPIN_SIGMA, SPIN_SIGMA = 1.0, 10.0  # rad/s^2, change of angular acceleration between pictures: least, most
SPIN_LEARNING = 0.1
MAX_SIGMA_RAD = 0.1  # less certain is unobserved

Array = NDArray[np.float64]


class CameraTurn:
    """Tracks corners of the last picture into each new one. One per stream; feed in order."""

    def __init__(self, config: SensorConfig) -> None:
        cv2.setNumThreads(1)  # a sensor's process has its one core
        self.config = config
        self._lens = Lens(config.intrinsics) if config.intrinsics is not None else None
        self._before: tuple[int, Grey, NDArray[np.float32]] | None = None
        self._rate = np.zeros(3)
        self._rate_ns: int | None = None
        self._spin, self._spin_sigma = np.zeros(3), SPIN_SIGMA
        self._heading = np.array([0.0, 0.0, 1.0])

    def measure(self, grey: Grey, at_ns: int) -> dict[str, Any]:
        """`turn_rad`, `turn_sigma_rad` and `turn_span_ns` of a picture (H, W) taken at `at_ns` against the last one.

        Nothing where the pictures do not tell: the first, after a long gap or a cut, dark or without texture, of a size
        that the intrinsics do not fit. A picture that repeats the last one pixel by pixel counts as not taken.
        """
        if self._lens is None or not self._fits(grey):
            return {}
        before = self._before
        if before is not None and np.array_equal(grey, before[1]):
            return {}
        self._before = at_ns, grey, corners_of(grey)
        if before is None or not comparable(before[0], at_ns, self.config):
            self._rate_ns = None
            return {}
        places, found = track(before[1], grey, before[2])
        if found.sum() < max(MIN_TRACKS, MIN_FOUND * len(found)):
            self._rate_ns = None
            return {}
        return self._turn(before[2][found], places[found], before[0], at_ns, grey)

    def _fits(self, grey: Grey) -> bool:
        assert self._lens is not None
        i = self._lens.intrinsics
        return abs(grey.shape[1] * i.height / (grey.shape[0] * i.width) - 1.0) < ASPECT

    def _turn(
        self, before: NDArray[np.float32], after: NDArray[np.float32], a_ns: int, b_ns: int, grey: Grey
    ) -> dict[str, Any]:
        flow, span_s = self._flow(before, after, a_ns, b_ns, grey), (b_ns - a_ns) / 1e9
        fit = None if flow is None else fit_rotation(flow, self._rate * span_s, self._heading)
        rolling = self._lens is not None and self._lens.intrinsics.readout_s > 0
        if flow is not None and fit is not None and rolling and self._rate_ns is not None:
            self._learn_spin(fit.turn / span_s, (a_ns + b_ns) // 2)
            bent = dataclasses.replace(flow, spin=self._spin, spin_sigma=self._spin_sigma)
            doubt, fit = fit.doubt, fit_rotation(bent, fit.turn, fit.heading, alone=True)
            fit = dataclasses.replace(fit, doubt=doubt) if fit is not None else None
        if fit is None or fit.agree < MIN_AGREE or fit.noise_px > MAX_NOISE_PX:
            self._rate_ns = None
            return {}
        rate, at_ns = fit.turn / span_s, (a_ns + b_ns) // 2
        self._rate, self._rate_ns, self._heading = rate, at_ns, fit.heading
        assert flow is not None
        spread = INFLATION * np.sqrt(np.diag(fit.covariance + fit.doubt))
        floor = ALIKE_PX * float(np.median(flow.angle_per_pixel))
        sigma = np.sqrt(spread**2 + floor**2 + (LENS_ERROR * fit.turn) ** 2)
        sigma[sigma > MAX_SIGMA_RAD] = np.inf
        if not np.isfinite(sigma).any():
            return {}
        return {"turn_rad": fit.turn.tolist(), "turn_sigma_rad": sigma.tolist(), "turn_span_ns": [a_ns, b_ns]}

    def _learn_spin(self, rate: Array, at_ns: int) -> None:
        """Angular acceleration from the last two rates, and how much it changes from one picture to the next."""
        assert self._rate_ns is not None
        spin = (rate - self._rate) / ((at_ns - self._rate_ns) / 1e9)
        change = 0.5 * float(np.sqrt(np.mean((spin - self._spin) ** 2)))
        self._spin_sigma += SPIN_LEARNING * (min(max(change, MIN_SPIN_SIGMA), SPIN_SIGMA) - self._spin_sigma)
        self._spin = spin

    def _flow(
        self, before: NDArray[np.float32], after: NDArray[np.float32], a_ns: int, b_ns: int, grey: Grey
    ) -> Flow | None:
        """Bearings and times of tracked corners (N, 2), given in pixels of the grey picture."""
        assert self._lens is not None
        i = self._lens.intrinsics
        shrink = np.array([i.width / grey.shape[1], i.height / grey.shape[0]])
        a, b = ((np.asarray(p, np.float64) + 0.5) * shrink - 0.5 for p in (before, after))
        bearing_a, bearing_b = self._lens.bearings(a), self._lens.bearings(b)
        sound = np.isfinite(bearing_a[:, 0]) & np.isfinite(bearing_b[:, 0])
        if sound.sum() < MIN_TRACKS:
            return None
        a, b, bearing_a, bearing_b = (v[sound] for v in (a, b, bearing_a, bearing_b))
        span_s = (b_ns - a_ns) / 1e9
        late_a, late_b = (i.readout_s * (v[:, 1] - (i.height - 1) / 2) / max(i.height - 1, 1) for v in (a, b))
        scale = (span_s + late_b - late_a) / span_s
        bend = 0.5 * (late_a + late_b) * (span_s + late_b - late_a)
        pixel = self._lens.angle_per_pixel(bearing_b) * float(np.sqrt(shrink.prod()))
        return Flow(bearing_a, bearing_b, pixel, scale, bend, np.zeros(3), SPIN_SIGMA)
