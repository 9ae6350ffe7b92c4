"""The rotation between two pictures, from bearings of the same things in both.

Flow has a part by rotation, the same for all distances, and a part by translation that points along epipolar lines and
depends on distance. Across the lines only rotation shows (the epipolar constraint: Longuet-Higgins 1981). Along them it
shows as far as distances are alike or great: what is seen there is rotation plus `mean + spread` of the parallax, with
both estimated, the mean held only by a prior as wide as the spread. So a far or still scene gives what pure rotation
gives, a near one what the epipolar constraint gives, and the covariance says which. Weights are Cauchy's (iteratively
reweighted least squares), which leaves out what moves by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEPS = 8
TUNING = 2.4  # Cauchy's, in sigmas
LEAST_NOISE_PX = 0.04
DOUBT = 0.3  # of the difference in cost, how much counts between two explanations
ABSORBED = 1.0  # how much more parallax of a plane a wrong rotation may hide than it leaves


@dataclass(frozen=True)
class Flow:
    """Things seen twice. Turn i is `scale[i] * turn + bend[i] * spin`: with a rolling shutter not all are seen at the
    same two times.
    """

    before: Array  # (N, 3) unit bearings
    after: Array  # (N, 3)
    angle_per_pixel: Array  # (N,)
    scale: Array  # (N,) the time between a thing's two sightings over that between the pictures
    bend: Array  # (N,) seconds squared, what angular acceleration adds
    spin: Array  # (3,) angular acceleration, rad/s^2, as far as known before
    spin_sigma: float


@dataclass(frozen=True)
class FlowRotation:
    turn: Array  # (3,) rotation vector of the camera, its own axes
    covariance: Array  # (3, 3)
    heading: Array  # (3,) unit direction of its translation, as far as seen
    noise_px: float  # across epipolar lines
    spread_px: float  # of the parallax
    agree: float  # share of the things that agree
    doubt: Array  # (3, 3) second moment of how much other explanations, nearly as good, differ


@njit(cache=True)
def _cauchy(x2):  # type: ignore[no-untyped-def]
    return 1.0 / (1.0 + x2 / (TUNING * TUNING))


@njit(cache=True)
def _turned(v, t, out):  # type: ignore[no-untyped-def]
    """exp(-t) v."""
    angle2 = t[0] * t[0] + t[1] * t[1] + t[2] * t[2]
    if angle2 < 1e-12:
        s, c = 1.0 - angle2 / 6.0, 0.5
    else:
        angle = math.sqrt(angle2)
        s, c = math.sin(angle) / angle, (1.0 - math.cos(angle)) / angle2
    kx = t[1] * v[2] - t[2] * v[1]
    ky = t[2] * v[0] - t[0] * v[2]
    kz = t[0] * v[1] - t[1] * v[0]
    out[0] = v[0] - s * kx + c * (t[1] * kz - t[2] * ky)
    out[1] = v[1] - s * ky + c * (t[2] * kx - t[0] * kz)
    out[2] = v[2] - s * kz + c * (t[0] * ky - t[1] * kx)


@njit(cache=True)
def _residuals(before, after, scale, bend, spin, turn, seen, error):  # type: ignore[no-untyped-def]
    """Where each thing is expected, `seen` (N, 3), and what is left, `error` (N, 3)."""
    own = np.empty(3)
    for i in range(len(before)):
        for d in range(3):
            own[d] = scale[i] * turn[d] + bend[i] * spin[d]
        _turned(before[i], own, seen[i])
        for d in range(3):
            error[i, d] = after[i, d] - seen[i, d]


@njit(cache=True)
def _still(before, after, pixel, scale, bend, spin, start):  # type: ignore[no-untyped-def]
    """The rotation that leaves the least, without translation, and the scale of what it leaves in pixels."""
    n = len(before)
    turn = start.copy()
    seen, error, size = np.empty((n, 3)), np.empty((n, 3)), np.empty(n)
    level = 1.0
    for _ in range(STEPS):
        _residuals(before, after, scale, bend, spin, turn, seen, error)
        for i in range(n):
            size[i] = math.sqrt(error[i, 0] ** 2 + error[i, 1] ** 2 + error[i, 2] ** 2) / pixel[i]
        level = max(np.median(size) / 1.1774, LEAST_NOISE_PX)
        normal, right = np.zeros((3, 3)), np.zeros(3)
        for i in range(n):
            w = _cauchy((size[i] / level) ** 2) / (pixel[i] * level) ** 2
            x, e, s = seen[i], error[i], scale[i]
            moment = (x[1] * e[2] - x[2] * e[1], x[2] * e[0] - x[0] * e[2], x[0] * e[1] - x[1] * e[0])
            for a in range(3):
                right[a] -= w * s * moment[a]
                for b in range(3):
                    normal[a, b] += w * s * s * ((1.0 if a == b else 0.0) - x[a] * x[b])
        for a in range(3):
            normal[a, a] += 1e-3
        step = np.linalg.solve(normal, right)
        turn = turn + step
        if np.abs(step).max() < 1e-7:
            break
    return turn, level


@njit(cache=True)
def _split(seen, error, pixel, v, along, across, ell, enn, sine):  # type: ignore[no-untyped-def]
    """Residuals along and across the epipolar lines of heading `v`, the unit vectors of both, and the sine of the angle
    to the heading.
    """
    for i in range(len(seen)):
        x, e = seen[i], error[i]
        dot = x[0] * v[0] + x[1] * v[1] + x[2] * v[2]
        norm = 0.0
        for d in range(3):
            ell[i, d] = x[d] * dot - v[d]
            norm += ell[i, d] * ell[i, d]
        norm = max(math.sqrt(norm), 1e-4)
        for d in range(3):
            ell[i, d] /= norm
        enn[i, 0] = x[1] * ell[i, 2] - x[2] * ell[i, 1]
        enn[i, 1] = x[2] * ell[i, 0] - x[0] * ell[i, 2]
        enn[i, 2] = x[0] * ell[i, 1] - x[1] * ell[i, 0]
        sine[i] = norm
        along[i] = (e[0] * ell[i, 0] + e[1] * ell[i, 1] + e[2] * ell[i, 2]) / pixel[i]
        across[i] = (e[0] * enn[i, 0] + e[1] * enn[i, 1] + e[2] * enn[i, 2]) / pixel[i]


@njit(cache=True)
def _moving(before, after, pixel, scale, bend, spin, spin_sigma, start, level, heading):  # type: ignore[no-untyped-def]
    """Turn, heading, covariance of the turn, noise and spread in pixels, cost per thing, and share that agrees."""
    n = len(before)
    turn, v = start.copy(), heading.copy()
    seen, error, ell, enn = np.empty((n, 3)), np.empty((n, 3)), np.empty((n, 3)), np.empty((n, 3))
    along, across, sine = np.empty(n), np.empty(n), np.empty(n)
    mean, plane = np.empty(n), np.zeros(3)  # mean parallax in pixels: linear in the bearing
    spread, noise, cost, agree, behind, ahead = 0.0, 1.0, 0.0, 0.0, 0.0, 0.0
    normal, right, row = np.zeros((11, 11)), np.zeros(11), np.zeros(11)
    pick, cross = np.empty((2, 3)), np.zeros((11, 3))
    for _ in range(STEPS):
        _residuals(before, after, scale, bend, spin, turn, seen, error)
        _split(seen, error, pixel, v, along, across, ell, enn, sine)
        mean[:] = sine * (seen[:, 0] * plane[0] + seen[:, 1] * plane[1] + seen[:, 2] * plane[2])
        noise = max(1.4826 * np.median(np.abs(across)), LEAST_NOISE_PX)
        middle = np.abs(along - mean) / np.maximum(sine, 0.1)
        total = 1.4826 * np.median(middle)
        hidden = noise * noise * math.sqrt(2.0 / n)  # a spread that does not show beside the noise
        spread = math.sqrt(max(total * total - noise * noise / max(np.mean(sine * sine), 0.01), 0.0) + hidden)
        k = 0 if abs(v[0]) < 0.6 else 1
        pick[0, 0], pick[0, 1], pick[0, 2] = 0.0, 0.0, 0.0
        pick[0, k] = 1.0
        dot = v[k]
        norm = 0.0
        for d in range(3):
            pick[0, d] -= dot * v[d]
            norm += pick[0, d] ** 2
        for d in range(3):
            pick[0, d] /= math.sqrt(norm)
        pick[1, 0] = v[1] * pick[0, 2] - v[2] * pick[0, 1]
        pick[1, 1] = v[2] * pick[0, 0] - v[0] * pick[0, 2]
        pick[1, 2] = v[0] * pick[0, 1] - v[1] * pick[0, 0]
        normal[:], right[:] = 0.0, 0.0
        cost, agree, behind, ahead = 0.0, 0.0, 0.0, 0.0
        for i in range(n):
            s, p = scale[i] / pixel[i], sine[i]
            off = along[i] - mean[i]
            wide = noise * noise + spread * spread * p * p
            x2, y2 = (across[i] / noise) ** 2, off * off / wide
            trust = _cauchy(x2) * _cauchy(y2)
            cost += math.log(1.0 + x2 / 5.76) + math.log(1.0 + y2 / 5.76) + 0.5 * math.log(wide * noise * noise) / 2.88
            depth = math.log(1.0 + (along[i] / noise) ** 2 / 5.76)  # of a thing on the wrong side of the camera
            if along[i] < 0.0:
                behind += depth
            else:
                ahead += depth
            agree += 1.0 if x2 < 9.0 else 0.0
            for d in range(3):
                row[d] = s * ell[i, d]
                row[3 + d] = bend[i] / pixel[i] * ell[i, d]
            reach = min(max(along[i] / max(p, 0.05), -100.0), 100.0)
            for j in range(2):
                row[6 + j] = -reach * (enn[i, 0] * pick[j, 0] + enn[i, 1] * pick[j, 1] + enn[i, 2] * pick[j, 2])
            row[8:] = 0.0
            w = trust / (noise * noise)
            for a in range(11):
                right[a] += w * row[a] * across[i]
                for b in range(a, 11):
                    normal[a, b] += w * row[a] * row[b]
            for d in range(3):
                row[d] = -s * enn[i, d]
                row[3 + d] = -bend[i] / pixel[i] * enn[i, d]
                row[8 + d] = p * seen[i, d]
            row[6:8] = 0.0
            w = trust / wide
            for a in range(11):
                right[a] += w * row[a] * off
                for b in range(a, 11):
                    normal[a, b] += w * row[a] * row[b]
        for a in range(11):
            for b in range(a):
                normal[a, b] = normal[b, a]
        normal[6, 6] += 1.0
        normal[7, 7] += 1.0
        near = 1.0 / (ABSORBED * ABSORBED * (max(level * level - noise * noise, 0.0) + hidden) + spread * spread)
        for a in range(3):
            normal[a, a] += 1e-3
            normal[8 + a, 8 + a] += near
            right[8 + a] -= plane[a] * near
        for a in range(3):  # the spin is held where it is
            cross[:, a] = normal[:, 3 + a]
            normal[3 + a, :], normal[:, 3 + a], right[3 + a] = 0.0, 0.0, 0.0
            normal[3 + a, 3 + a] = 1.0
        step = np.linalg.solve(normal, right)
        for d in range(3):
            turn[d] += step[d]
            plane[d] += step[8 + d]
            v[d] += pick[0, d] * min(max(step[6], -0.5), 0.5) + pick[1, d] * min(max(step[7], -0.5), 0.5)
        v /= math.sqrt(v[0] ** 2 + v[1] ** 2 + v[2] ** 2)
        if np.abs(step[:3]).max() < 1e-6 and abs(step[6]) + abs(step[7]) < 1e-3:
            break
    if ahead < behind:
        v = -v
    cost += min(ahead, behind)
    inverse = np.linalg.inv(normal)
    cross[3:6] = 0.0
    sway = np.dot(inverse, cross)[:3] * spin_sigma  # what an error of the spin does (Schmidt 1966)
    covariance = inverse[:3, :3] + np.dot(sway, sway.T)
    return turn, v, covariance, noise, spread, cost / n, agree / n


@njit(cache=True)
def _fit(before, after, pixel, scale, bend, spin, spin_sigma, start, guess, alone):  # type: ignore[no-untyped-def]
    n = len(before)
    turn, level = _still(before, after, pixel, scale, bend, spin, start)
    seen, error = np.empty((n, 3)), np.empty((n, 3))
    _residuals(before, after, scale, bend, spin, turn, seen, error)
    scatter = np.zeros((3, 3))
    for i in range(n):
        x, e = seen[i], error[i]
        m = (x[1] * e[2] - x[2] * e[1], x[2] * e[0] - x[0] * e[2], x[0] * e[1] - x[1] * e[0])
        size = math.sqrt(m[0] ** 2 + m[1] ** 2 + m[2] ** 2) + pixel[i]
        for a in range(3):
            for b in range(3):
                scatter[a, b] += m[a] * m[b] / (size * pixel[i])
    tried = np.zeros((5, 3))
    tried[0] = np.linalg.eigh(scatter)[1][:, 0]
    tried[1] = guess
    for j in range(3):
        tried[2 + j, j] = 1.0
    if alone:
        return _moving(before, after, pixel, scale, bend, spin, spin_sigma, start, level, guess), np.zeros((3, 3))
    best = _moving(before, after, pixel, scale, bend, spin, spin_sigma, turn, level, tried[0])
    turns, costs = np.empty((5, 3)), np.empty(5)
    turns[0], costs[0] = best[0], best[5]
    for j in range(1, 5):
        other = _moving(before, after, pixel, scale, bend, spin, spin_sigma, turn, level, tried[j])
        turns[j], costs[j] = other[0], other[5]
        if other[5] < best[5]:
            best = other
    doubt = np.zeros((3, 3))
    for j in range(5):  # a plane has two explanations: as far as another explains it nearly as well, it may be the one
        weight = 0.2 * math.exp(-DOUBT * n * (costs[j] - best[5]))
        for a in range(3):
            for b in range(3):
                doubt[a, b] += weight * (turns[j, a] - best[0][a]) * (turns[j, b] - best[0][b])
    return best, doubt


def fit_rotation(flow: Flow, turn: Array, heading: Array, alone: bool = False) -> FlowRotation | None:
    """The rotation of a camera between two pictures.

    `turn` (3,) and `heading` (3,): where to start from, say the last ones; with `alone` no other start is tried. None
    where nothing sound comes out.
    """
    if len(flow.before) < 6:
        return None
    seen = flow.before, flow.after, flow.angle_per_pixel, flow.scale, flow.bend, flow.spin
    try:
        found, doubt = _fit(*seen, flow.spin_sigma, turn, heading, alone)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(found[0]).all() or not np.isfinite(found[2]).all():
        return None
    return FlowRotation(found[0], found[2], found[1], float(found[3]), float(found[4]), float(found[6]), doubt)
