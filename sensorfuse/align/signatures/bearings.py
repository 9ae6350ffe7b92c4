"""Unit bearings of pixels through a lens: the inverse of OpenCV's radial-tangential and equidistant models."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.sensor_config import Intrinsics

Array = NDArray[np.float64]

STEPS = 30
NONE, RADTAN, EQUIDISTANT = 0, 1, 2
MODELS = {"none": NONE, "radtan": RADTAN, "equidistant": EQUIDISTANT}
MISSED = 1e-4  # in units of the focal length: where the inverse did not converge, there is no bearing


@njit(cache=True)
def _bearings(pixels, lens, model, k, out):  # type: ignore[no-untyped-def]
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    for i in range(len(pixels)):
        xd, yd = (pixels[i, 0] - cx) / fx, (pixels[i, 1] - cy) / fy
        x, y, z = xd, yd, 1.0
        missed = 0.0
        if model == RADTAN:
            for _ in range(STEPS):
                r2 = x * x + y * y
                radial = 1.0 + r2 * (k[0] + r2 * (k[1] + r2 * k[4]))
                ex = xd - (x * radial + 2.0 * k[2] * x * y + k[3] * (r2 + 2.0 * x * x))
                ey = yd - (y * radial + k[2] * (r2 + 2.0 * y * y) + 2.0 * k[3] * x * y)
                missed = abs(ex) + abs(ey)
                if missed < 1e-9:
                    break
                slope = 2.0 * (k[0] + r2 * (2.0 * k[1] + 3.0 * r2 * k[4]))  # d radial / d (r2) times 2
                a = radial + slope * x * x + 2.0 * k[2] * y + 6.0 * k[3] * x
                b = slope * x * y + 2.0 * k[2] * x + 2.0 * k[3] * y
                d = radial + slope * y * y + 6.0 * k[2] * y + 2.0 * k[3] * x
                det = a * d - b * b
                if det < 1e-3:  # beyond where the model folds over
                    missed = 1.0
                    break
                x += (d * ex - b * ey) / det
                y += (a * ey - b * ex) / det
        elif model == EQUIDISTANT:
            reach = math.sqrt(xd * xd + yd * yd)
            theta = reach
            for _ in range(STEPS):
                t2 = theta * theta
                error = reach - theta * (1.0 + t2 * (k[0] + t2 * (k[1] + t2 * (k[2] + t2 * k[3]))))
                missed = abs(error)
                if missed < 1e-9:
                    break
                slope = 1.0 + t2 * (3.0 * k[0] + t2 * (5.0 * k[1] + t2 * (7.0 * k[2] + t2 * 9.0 * k[3])))
                if slope < 1e-3:
                    missed = 1.0
                    break
                theta += error / slope
            share = math.sin(theta) / reach if reach > 1e-9 else 1.0
            x, y, z = xd * share, yd * share, math.cos(theta)
        norm = math.sqrt(x * x + y * y + z * z)
        if missed > MISSED or not norm < 1e6:
            out[i, 0], out[i, 1], out[i, 2] = np.nan, np.nan, np.nan
        else:
            out[i, 0], out[i, 1], out[i, 2] = x / norm, y / norm, z / norm


class Lens:
    """One camera's lens for pictures of any size with its aspect."""

    def __init__(self, intrinsics: Intrinsics) -> None:
        i = intrinsics
        self.intrinsics = i
        self._lens = np.array([i.fx, i.fy, i.cx, i.cy])
        self._model = MODELS[i.distortion_model]
        self._k = np.zeros(5)
        self._k[: len(i.distortion)] = i.distortion
        if self._model == RADTAN and len(i.distortion) < 5:
            self._k[4] = 0.0

    def bearings(self, pixels: Array) -> Array:
        """Unit vectors (N, 3) in the optical frame of pixels (N, 2): x right, y down, centres at whole numbers; NaN
        where the model has no inverse.
        """
        out = np.empty((len(pixels), 3))
        _bearings(np.ascontiguousarray(pixels, dtype=np.float64), self._lens, self._model, self._k, out)
        return out

    def angle_per_pixel(self, bearings: Array) -> Array:
        """Radians (N,) that a pixel spans near bearings (N, 3): the geometric mean over its two directions."""
        i = self.intrinsics
        flat = 1.0 / np.sqrt(i.fx * i.fy)
        if self._model == EQUIDISTANT:
            return np.full(len(bearings), flat)
        return np.asarray(flat * np.maximum(bearings[:, 2], 0.05) ** 1.5)
