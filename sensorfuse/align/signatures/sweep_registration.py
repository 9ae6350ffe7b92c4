"""The motion between two sweeps: points of the later one brought onto surfaces of the earlier.

Point to plane (Chen and Medioni 1991) with association by projection into a range image (Blais and Levine 1995), Cauchy
weights, and the twist between the sweeps applied to every point by its own time, so that the later sweep is deskewed
by the very motion that is sought (as LOAM of Zhang and Singh 2014 does). From the normal equations is subtracted what
errors of the normals alone would put there: flat ground then holds no yaw, and a tunnel no way along it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.align.signatures.range_image import RangeImage

Array = NDArray[np.float64]

STEPS = 8
TUNING = 2.4
LEAST_SIGMA_M = 0.01
REACH = 0.06, 0.5  # how far a match may be: per metre of range, and at least, m
DONE_RAD, DONE_M = 2e-5, 2e-4


@dataclass(frozen=True)
class Motion:
    """`turn` and `shift` (3,): rotation vector and translation of the later sensor in the earlier one's axes."""

    turn: Array
    shift: Array
    covariance: Array  # (6, 6), rotation first
    observed: NDArray[np.bool_]  # (6,)
    sigma_m: float
    matched: float  # share of the points that found their surface


@njit(cache=True)
def _moved(p, w, v, out):  # type: ignore[no-untyped-def]
    """exp(w) p + v."""
    angle2 = w[0] * w[0] + w[1] * w[1] + w[2] * w[2]
    if angle2 < 1e-12:
        s, c = 1.0 - angle2 / 6.0, 0.5
    else:
        angle = math.sqrt(angle2)
        s, c = math.sin(angle) / angle, (1.0 - math.cos(angle)) / angle2
    kx, ky, kz = w[1] * p[2] - w[2] * p[1], w[2] * p[0] - w[0] * p[2], w[0] * p[1] - w[1] * p[0]
    out[0] = p[0] + s * kx + c * (w[1] * kz - w[2] * ky) + v[0]
    out[1] = p[1] + s * ky + c * (w[2] * kx - w[0] * kz) + v[1]
    out[2] = p[2] + s * kz + c * (w[0] * ky - w[1] * kx) + v[2]


@njit(cache=True)
def deskew(points, late, turn, shift, bend, out):  # type: ignore[no-untyped-def]
    """Points (N, 3) of a sweep as seen at its middle: `late` (N,) is their time after it over the time between sweeps,
    `turn` and `shift` the motion in that time, `bend` (3,) the change of turn from one such time to the next.
    """
    w, v = np.empty(3), np.empty(3)
    for i in range(len(points)):
        for d in range(3):
            w[d] = late[i] * turn[d] + 0.5 * late[i] * (1.0 + late[i]) * bend[d]
            v[d] = late[i] * shift[d]
        _moved(points[i], w, v, out[i])


@njit(cache=True)
def _match(q, cells, points, normals, lowest, pitch):  # type: ignore[no-untyped-def]
    """The nearest point with a normal around where `q` is seen, and its squared distance."""
    rows, columns = cells.shape
    flat = math.sqrt(q[0] * q[0] + q[1] * q[1])
    row = math.floor((math.atan2(q[2], flat) - lowest) / pitch)
    column = int((math.atan2(q[1], q[0]) + math.pi) / (2.0 * math.pi) * columns)
    best, nearest = -1, 1e30
    for r in range(max(row - 1, 0), min(row + 2, rows)):
        for c in range(column - 2, column + 3):
            i = cells[r, c % columns]
            if i < 0 or (normals[i, 0] == 0.0 and normals[i, 1] == 0.0 and normals[i, 2] == 0.0):
                continue
            p = points[i]
            d2 = (p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 + (p[2] - q[2]) ** 2
            if d2 < nearest:
                best, nearest = i, d2
    return best, nearest


@njit(cache=True)
def _register(  # type: ignore[no-untyped-def]
    source, late, bend, cells, points, normals, normal_sigma, lowest, pitch, turn, shift, steps, reach_share, reach_m
):
    n = len(source)
    residual, rows = np.empty(n), np.empty((n, 6))
    target = np.empty(n, np.int64)
    size = np.empty(n)
    w, v, q = np.empty(3), np.empty(3), np.empty(3)
    normal, right, noise = np.zeros((6, 6)), np.zeros(6), np.zeros((6, 6))
    sigma, found, good = 0.1, 0, 0.0
    for step_number in range(steps):
        found = 0
        for i in range(n):
            f = 1.0 + late[i]
            for d in range(3):
                w[d] = f * turn[d] + 0.5 * late[i] * f * bend[d]
                v[d] = f * shift[d]
            _moved(source[i], w, v, q)
            j, d2 = _match(q, cells, points, normals, lowest, pitch)
            if j < 0:
                continue
            own = math.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2])
            reach = max(reach_share * own, reach_m) * (2.0 if step_number < 3 else 1.0)
            if d2 > reach * reach:
                continue
            m = normals[j]
            residual[found] = (points[j, 0] - q[0]) * m[0] + (points[j, 1] - q[1]) * m[1] + (points[j, 2] - q[2]) * m[2]
            rx, ry, rz = q[0] - v[0], q[1] - v[1], q[2] - v[2]
            rows[found, 0] = f * (ry * m[2] - rz * m[1])
            rows[found, 1] = f * (rz * m[0] - rx * m[2])
            rows[found, 2] = f * (rx * m[1] - ry * m[0])
            rows[found, 3], rows[found, 4], rows[found, 5] = f * m[0], f * m[1], f * m[2]
            target[found] = j
            size[found] = abs(residual[found])
            found += 1
        if found < 30:
            return turn, shift, normal, noise, sigma, 0.0
        sigma = max(1.4826 * np.median(size[:found]), LEAST_SIGMA_M)
        normal[:], right[:], noise[:] = 0.0, 0.0, 0.0
        good = 0.0
        last = step_number == steps - 1
        for i in range(found):
            j = target[i]
            x2 = (residual[i] / sigma) ** 2
            weight = 1.0 / (1.0 + x2 / (TUNING * TUNING)) / (sigma * sigma)
            good += 1.0 if x2 < 9.0 else 0.0
            for a in range(6):
                right[a] += weight * rows[i, a] * residual[i]
                for b in range(a, 6):
                    normal[a, b] += weight * rows[i, a] * rows[i, b]
            if last:
                _normal_noise(points[j], normals[j], weight * normal_sigma[j] ** 2, noise)
        for a in range(6):
            for b in range(a):
                normal[a, b] = normal[b, a]
        damped = normal.copy()
        for a in range(3):
            damped[a, a] += 1.0 / 0.2**2
            damped[3 + a, 3 + a] += 1.0 / 1.0**2
        step = np.linalg.solve(damped, right)
        for d in range(3):
            turn[d] += step[d]
            shift[d] += step[3 + d]
        if not last and np.abs(step[:3]).max() < DONE_RAD and np.abs(step[3:]).max() < DONE_M:
            for i in range(found):
                j = target[i]
                x2 = (residual[i] / sigma) ** 2
                weight = 1.0 / (1.0 + x2 / (TUNING * TUNING)) / (sigma * sigma)
                _normal_noise(points[j], normals[j], weight * normal_sigma[j] ** 2, noise)
            break
    return turn, shift, normal, noise, sigma, good / n


@njit(cache=True)
def _normal_noise(p, m, weight, noise):  # type: ignore[no-untyped-def]
    """Add to `noise` (6, 6) the mean of what a normal turned by chance adds to the normal equations."""
    # two directions across the normal; a row is (p x u, u) for each
    k = 0 if abs(m[0]) < 0.6 else 1
    e = np.zeros(3)
    e[k] = 1.0
    ux, uy, uz = e[1] * m[2] - e[2] * m[1], e[2] * m[0] - e[0] * m[2], e[0] * m[1] - e[1] * m[0]
    norm = math.sqrt(ux * ux + uy * uy + uz * uz)
    ux, uy, uz = ux / norm, uy / norm, uz / norm
    row = np.empty(6)
    for _ in range(2):
        row[0], row[1], row[2] = p[1] * uz - p[2] * uy, p[2] * ux - p[0] * uz, p[0] * uy - p[1] * ux
        row[3], row[4], row[5] = ux, uy, uz
        for a in range(6):
            for b in range(6):
                noise[a, b] += weight * row[a] * row[b]
        ux, uy, uz = m[1] * uz - m[2] * uy, m[2] * ux - m[0] * uz, m[0] * uy - m[1] * ux


def register(
    image: RangeImage, source: Array, late: Array, bend: Array, turn: Array, shift: Array, range_m: float
) -> Motion | None:
    """Motion from the sweep of `image` to that of points `source` (N, 3), `late` as in `deskew`.

    `turn`, `shift` (3,): where to start. `range_m` makes rotations and translations comparable. None where too little
    matches or nothing is observed.
    """
    turn, shift, normal, noise, sigma, matched = _register(
        source, late, bend, image.cells, image.points, image.normals, image.normal_sigma, image.lowest, image.pitch,
        turn.copy(), shift.copy(), STEPS, *REACH,
    )  # fmt: skip
    if matched == 0.0 or not np.isfinite(turn).all() or not np.isfinite(shift).all():
        return None
    scale = np.array([1.0, 1.0, 1.0, range_m, range_m, range_m])
    known = (normal - 2.0 * noise) * np.outer(scale, scale)  # twice: what is left must be more than chance
    values, vectors = np.linalg.eigh(known)
    seen = values > 0.02 * max(float(values[-1]), 1e-9)
    if not seen.any():
        return None
    covariance = (vectors[:, seen] / values[seen]) @ vectors[:, seen].T * np.outer(scale, scale)
    unseen = (vectors[:, ~seen] ** 2).sum(axis=1)
    return Motion(turn, shift, covariance, unseen < 0.05, float(sigma), float(matched))
