"""Where each bird's-eye-view cell lies in a camera image: inverse perspective mapping from the rig's calibration.

The sampling grid is an *input* of the camera encoder (FP32), so that one set of weights serves any camera that is
mounted anywhere. Method: project the cell centre, at a few assumed heights, with the pinhole model and OpenCV's
distortion (Mallot et al. 1991 for the idea; the lens models are those documented by OpenCV).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorfuse.fusion.grid import GRID, BevGrid
from sensorfuse.geometry import Transform
from sensorfuse.sensor_config import Intrinsics

HEIGHTS_M: tuple[float, ...] = (0.0, 1.0)
"""Assumed heights above base_link: the ground, where objects stand, and about the middle of a car."""
OUTSIDE = 3.0
"""Coordinate given to cells that the camera cannot see; visible ones lie in [-1, 1]."""
NEAREST_M = 0.5


def distort(points: NDArray[np.float64], intrinsics: Intrinsics) -> NDArray[np.float64]:
    """Ideal image-plane points (..., 2) at z = 1 -> where the lens puts them (..., 2), still at z = 1."""
    if intrinsics.distortion_model == "none":
        return points
    x, y = points[..., 0], points[..., 1]
    r2 = x * x + y * y
    if intrinsics.distortion_model == "equidistant":
        k1, k2, k3, k4 = intrinsics.distortion
        r = np.sqrt(r2)
        theta = np.arctan(r)
        t2 = theta * theta
        scale = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4)))) / np.maximum(r, 1e-9)
        return points * np.where(r < 1e-9, 1.0, scale)[..., None]
    k1, k2, p1, p2, *rest = intrinsics.distortion
    k3 = rest[0] if rest else 0.0
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    dx = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    dy = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.stack([x * radial + dx, y * radial + dy], axis=-1)


def lift_grid(
    intrinsics: Intrinsics, T_base_sensor: Transform, grid: BevGrid = GRID, heights_m: tuple[float, ...] = HEIGHTS_M
) -> NDArray[np.float32]:
    """Sampling positions (len(heights) * cells, cells, 2) of the cell centres in the image.

    The last axis is [across, down] in [-1, 1] over the image, as torch's `grid_sample` without aligned corners; cells
    behind the camera or out of its picture get `OUTSIDE`. The picture may have any size: positions are relative.
    """
    cells = grid.cells
    points = np.empty((len(heights_m), cells, cells, 3))
    points[..., :2] = grid.centres()
    points[..., 2] = np.asarray(heights_m)[:, None, None]
    p_camera = T_base_sensor.inverse() @ points.reshape(-1, 3)
    depth = p_camera[:, 2]
    plane = p_camera[:, :2] / np.maximum(depth, NEAREST_M)[:, None]
    # Lens polynomials fold back far outside the picture: drop what an ideal lens would put more than half a picture
    # away.
    focal = np.array([intrinsics.fx, intrinsics.fy])
    centre = np.array([intrinsics.cx, intrinsics.cy])
    size = np.array([intrinsics.width, intrinsics.height])
    if intrinsics.distortion_model == "equidistant":
        plausible = np.ones(len(plane), dtype=bool)
    else:
        ideal = plane * focal + centre
        plausible = ((ideal > -0.5 * size) & (ideal < 1.5 * size)).all(axis=1)
    uv = distort(plane, intrinsics) * focal + centre
    relative = 2 * (uv + 0.5) / size - 1
    seen = (depth > NEAREST_M) & plausible & (np.abs(relative) <= 1).all(axis=1)
    relative[~seen] = OUTSIDE
    return relative.reshape(len(heights_m) * cells, cells, 2).astype(np.float32)
