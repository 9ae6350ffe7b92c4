"""A camera's lens: one ray per pixel through its distortion, and the stray light of bright things.

Glare around a source falls with the square of the angle to it (Stiles and Holladay's disability glare, CIE 146).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.sensor_config import Intrinsics

Array = NDArray[np.float64]
Radiance = NDArray[np.float32]

SUN_RADIUS_DEG = 0.267
VEIL_RGB = np.array([1.0, 0.9, 0.72])
FADE_DEG = 25.0  # beyond the corner of the picture, over this angle, the hood shades the lens
BLOOM_SHARE = 0.25


def pixel_rays(intrinsics: Intrinsics) -> Array:
    """Directions (H, W, 3) of all pixel centres in the optical frame, third component 1."""
    i = intrinsics
    matrix = np.array([[i.fx, 0, i.cx], [0, i.fy, i.cy], [0, 0, 1]], dtype=np.float64)
    u, v = np.meshgrid(np.arange(i.width, dtype=np.float64), np.arange(i.height, dtype=np.float64))
    pixels = np.stack([u, v], axis=-1).reshape(-1, 1, 2)
    if i.distortion_model == "equidistant":
        xy = cv2.fisheye.undistortPoints(pixels, matrix, np.array(i.distortion, dtype=np.float64))
    elif i.distortion_model == "radtan":
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-8)
        xy = cv2.undistortPointsIter(
            pixels, matrix, np.array(i.distortion, dtype=np.float64), np.eye(3), np.eye(3), criteria
        )
    else:
        xy = (pixels - [i.cx, i.cy]) / [i.fx, i.fy]
    return np.concatenate([xy.reshape(i.height, i.width, 2), np.ones((i.height, i.width, 1))], axis=-1)


@njit(cache=True, fastmath=True)
def _add_glare(radiance, rays_x, rays_y, sun, strength, rgb):  # type: ignore[no-untyped-def]
    degrees = 180.0 / math.pi
    for row in range(radiance.shape[0]):
        for column in range(radiance.shape[1]):
            x, y = rays_x[column, row], rays_y[column, row]
            cosine = (sun[0] * x + sun[1] * y + sun[2]) / math.sqrt(x * x + y * y + 1.0)
            angle2 = max(2.0 * (1.0 - cosine), 0.0) * degrees * degrees  # of small angles; the far ones matter little
            veil = strength * (1400.0 / (angle2 + 0.25) + 26.0 / (1.0 + angle2 / 600.0))
            for c in range(3):
                radiance[row, column, c] += np.float32(veil * rgb[c])


def add_glare(radiance: Radiance, rays_x: Array, rays_y: Array, sun: Array, corner_deg: float, share: float) -> None:
    """Add the disc of the sun and the veil around it to a picture (H, W, 3).

    `sun` (3,): unit direction in the optical frame; `corner_deg`: angle from the optical axis to a corner; `share`: how
    much of the disc is not hidden. `rays_x`, `rays_y` (W, H): pixel rays for third component 1.
    """
    off_axis = math.degrees(math.acos(min(max(float(sun[2]), -1.0), 1.0)))
    strength = share * min(max(1.0 - (off_axis - corner_deg) / FADE_DEG, 0.0), 1.0)
    if strength > 0.0:
        _add_glare(radiance, rays_x, rays_y, sun, strength, VEIL_RGB)


def add_bloom(radiance: Radiance) -> None:
    """Spread some of the light of what is brighter than saturation over its surroundings."""
    excess = np.maximum(radiance - np.float32(255.0), np.float32(0.0))
    if not excess.any():
        return
    height, width = radiance.shape[:2]
    small = cv2.resize(excess, (max(width // 3, 1), max(height // 3, 1)), interpolation=cv2.INTER_AREA)
    spread = cv2.GaussianBlur(small, (0, 0), width / 480) + 0.6 * cv2.GaussianBlur(small, (0, 0), 5.0 * width / 480)
    radiance += np.float32(BLOOM_SHARE) * cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR)
