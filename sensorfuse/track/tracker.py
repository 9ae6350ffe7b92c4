"""Multi-object tracking over several sources, any of which may be absent at any tick.

Tracks live in the odometry frame. Sources update one after the other, each with its own noise, field of view and
detection probability. Existence is integrated with association (Musicki and Evans 2004): only a source that looked can
lower it, and only where it could have seen the object. A detection's score enters as a likelihood ratio (amplitude
information, Lerro and Bar-Shalom 1993). No clock, no randomness: the same input gives the same tracks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sensorfuse.messages import CLASSES, Detections
from sensorfuse.track.association import associate, joint_marginals
from sensorfuse.track.box_corners import inside_boxes, overlap_matrix
from sensorfuse.track.kalman import Measurements, likelihoods, make_measurements, predict, update_mixture
from sensorfuse.track.priors import SPEED_SIGMA_MPS, UNKNOWN
from sensorfuse.track.tracker_config import SourceConfig, TrackerConfig

Array = NDArray[np.float64]

MAX_SCORE = 0.98
MAX_TRACKS = 200


@dataclass
class _Tracks:
    """T rows, in the odometry frame."""

    state: Array  # (T, 4) x y vx vy
    covariance: Array  # (T, 4, 4)
    existence: Array  # (T,)
    quality: Array  # (T,) smoothed score of its detections
    seen: Array  # (T,) combined score of this tick's detections so far
    class_log: Array  # (T, K) log probabilities of CLASSES
    size: Array  # (T, 3)
    height: Array  # (T,) z of the centre in base_link
    yaw: Array  # (T,)
    hits: NDArray[np.int64]
    track_id: NDArray[np.int64]
    confirmed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.existence)

    def select(self, index: NDArray[np.bool_] | NDArray[np.int64]) -> _Tracks:
        return _Tracks(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def extended(self, other: _Tracks) -> _Tracks:
        return _Tracks(
            **{f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)}
        )


def _wrap(angle: Array) -> Array:
    return (angle + np.pi) % (2 * np.pi) - np.pi


class ObjectTracker:
    """Feed one call of `update` per tick, in tick order."""

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self.config = config or TrackerConfig()
        self._tracks = _no_tracks()
        self._t_ns: int | None = None
        self._next_id = 0
        _load_kernels()

    def __len__(self) -> int:
        return len(self._tracks)

    def update(self, t_ref_ns: int, sources: dict[str, Detections], T_odom_base: Array) -> Detections:
        """Confirmed tracks in `base_link` at `t_ref_ns`.

        `sources` holds detections in `base_link` at t_ref of every source that looked, empty ones included; a source
        left out did not look. `T_odom_base` (4, 4) is the pose at t_ref.
        """
        pose = np.asarray(T_odom_base, dtype=np.float64)
        dt_s = 0.0 if self._t_ns is None else max(0, t_ref_ns - self._t_ns) / 1e9
        self._t_ns = t_ref_ns
        tracks = self._tracks
        tracks.seen = np.zeros(len(tracks))
        tracks.state, tracks.covariance = predict(
            tracks.state, tracks.covariance, dt_s, np.full(len(tracks), self.config.accel_sigma_mps2)
        )
        for name in sorted(sources):
            found = _sound(sources[name])
            self._apply(self.config.sources.get(name, self.config.default_source), found, pose)
        self._smooth()
        self._prune()
        return self._output(pose)

    def restore(self, tracks: Detections, T_odom_base: Array, t_ref_ns: int) -> None:
        """Go on from another tracker's output at `t_ref_ns`: its tracks replace this one's, ids kept."""
        found = _sound(tracks)
        pose = np.asarray(T_odom_base, dtype=np.float64)
        self._next_id = 0
        self._tracks = self._born(found, make_measurements(found, pose[:2, :2], pose[:2, 3]), pose)
        self._tracks.track_id = found.track_id.copy()
        self._tracks.existence = np.maximum(0.9, found.score.astype(np.float64))
        self._tracks.quality = found.score / self._tracks.existence
        self._tracks.hits[:] = self.config.confirm_hits
        self._tracks.confirmed[:] = True
        self._next_id = int(found.track_id.max(initial=-1)) + 1
        self._t_ns = t_ref_ns

    # ---- one source

    def _apply(self, source: SourceConfig, found: Detections, pose: Array) -> None:
        """Update with one source's detections, then start tracks from those that nobody explains."""
        measured = make_measurements(found, pose[:2, :2], pose[:2, 3])
        tracks = self._tracks
        score = np.clip(found.score.astype(np.float64), 0.01, MAX_SCORE)
        free = np.ones(len(found))
        if len(tracks):
            detectable = self._detectable(source, found, pose)
            density = likelihoods(
                tracks.state, tracks.covariance, measured.z, measured.model, measured.noise, measured.full, 25.0
            )
            clutter = source.clutter_per_m2 * self._velocity_clutter(measured)
            # A pair that fits keeps some weight where the field of view says it could not be seen.
            chance = tracks.existence * np.maximum(detectable, 0.1)
            weights = chance[:, None] * density * (score / (1 - score) / clutter)
            prior_miss = 1 - tracks.existence * detectable
            marginals = associate(weights, prior_miss)
            none_but_there = marginals[:, -1] * tracks.existence * (1 - detectable) / np.maximum(prior_miss, 1e-9)
            existence = none_but_there + marginals[:, :-1].sum(axis=1)
            share = np.column_stack([marginals[:, :-1], none_but_there]) / np.maximum(existence, 1e-12)[:, None]
            tracks.existence = np.clip(existence, 0.0, 0.999)
            tracks.state, tracks.covariance = update_mixture(
                tracks.state, tracks.covariance, share, measured.z, measured.model, measured.noise, measured.full
            )
            self._learn(source, found, score, marginals, pose)
            free = 1 - marginals[:, :-1].sum(axis=0)
        self._start(found, measured, free, pose)

    def _velocity_clutter(self, measured: Measurements) -> Array:
        """Density (N,) of each measured velocity among clutter, most of which stands; 1 where none is measured."""
        spread = measured.noise[:, 2:, 2:] + np.eye(2) * self.config.clutter_sigma_mps**2
        velocity = measured.z[:, 2:]
        distance = np.einsum("ni,nij,nj->n", velocity, np.linalg.inv(spread), velocity)
        still = np.exp(-0.5 * distance) / (2 * np.pi * np.sqrt(np.linalg.det(spread)))
        return np.where(measured.full, 0.9 * still + 0.1 / self.config.velocity_clutter_mps**2, 1.0)

    def _detectable(self, source: SourceConfig, found: Detections, pose: Array) -> Array:
        """Probability (T,) that the source reports each track, were it there: range, field of view, occlusion."""
        local = (self._tracks.state[:, :2] - pose[:2, 3]) @ pose[:2, :2]
        distance, bearing = np.hypot(*local.T), np.arctan2(local[:, 1], local[:, 0])
        inside = np.abs(_wrap(bearing - source.azimuth_rad)) <= source.fov_rad / 2
        fade = np.clip(2.0 * (1 - distance / source.max_range_m), 0.0, 1.0)
        chance = source.detection_probability * fade * inside
        if len(found):
            away = np.hypot(found.center[:, 0], found.center[:, 1])
            half = np.arctan2(0.35 * found.size[:, :2].mean(axis=1), np.maximum(away, 1.0))
            off = np.abs(_wrap(bearing[:, None] - np.arctan2(found.center[:, 1], found.center[:, 0])[None]))
            hidden = ((off < half[None]) & (away[None] < distance[:, None] - 3.0)).any(axis=1)
            chance = np.where(hidden, 0.3 * chance, chance)
        return np.asarray(chance)

    def _learn(self, source: SourceConfig, found: Detections, score: Array, marginals: Array, pose: Array) -> None:
        """Size, yaw, height and class of each track from the detection that is most probably its own."""
        tracks = self._tracks
        if not len(found):
            return
        best = np.argmax(marginals[:, :-1], axis=1)
        rows = np.flatnonzero(marginals[np.arange(len(tracks)), best] > 0.5)
        pick = best[rows]
        tracks.hits[rows] += 1
        tracks.seen[rows] = 1 - (1 - tracks.seen[rows]) * (1 - score[pick])
        gain = np.maximum(source.shape_gain, np.minimum(1.0, source.shape_gain * 3) / tracks.hits[rows]) * score[pick]
        tracks.size[rows] += gain[:, None] * (found.size[pick] - tracks.size[rows])
        tracks.height[rows] += gain * (found.center[pick, 2] - tracks.height[rows])
        heading = np.arctan2(pose[1, 0], pose[0, 0])
        turn = _wrap(found.yaw[pick] + heading - tracks.yaw[rows])
        turn = (turn + np.pi / 2) % np.pi - np.pi / 2  # front and rear are told apart by motion alone
        tracks.yaw[rows] = _wrap(tracks.yaw[rows] + gain * turn)
        tracks.class_log[rows] += _class_evidence(found.class_id[pick], source.class_accuracy)
        tracks.class_log[rows] -= tracks.class_log[rows].max(axis=1, keepdims=True)
        tracks.class_log = np.maximum(tracks.class_log, -8.0)

    def _start(self, found: Detections, measured: Measurements, free: Array, pose: Array) -> None:
        """New tracks, best score first, where no track stands and no better detection has just started one."""
        order = np.argsort(-found.score, kind="stable")
        order = order[free[order] > 0.5]
        if not len(order):
            return
        tracks = self._tracks
        taken = np.zeros(len(found), bool)
        if len(tracks):
            known = tracks.existence > 0.3
            inside = inside_boxes(measured.z, tracks.state[known], tracks.size[known], tracks.yaw[known], 0.5)
            taken |= inside.any(axis=1)
        overlap = overlap_matrix(found.center, found.size, found.yaw, found.center, found.size, found.yaw)
        chosen: list[int] = []
        for j in order.tolist():
            if not taken[j] and not (overlap[j, chosen] > 0.1).any():
                chosen.append(j)
        picked = np.array(chosen, np.int64)
        rows = Measurements(*(getattr(measured, f.name)[picked] for f in fields(measured)))
        born = self._born(found.select(picked), rows, pose)
        self._tracks = tracks.extended(born)

    def _born(self, found: Detections, measured: Measurements, pose: Array) -> _Tracks:
        n = len(found)
        covariance = measured.noise.copy()
        speed = SPEED_SIGMA_MPS[found.class_id] ** 2
        blind = ~measured.full
        covariance[blind, 2:, :2] = covariance[blind, :2, 2:] = 0.0
        covariance[blind, 2:, 2:] = np.eye(2) * speed[blind, None, None]
        if blind.any():  # a place seen earlier is uncertain by the unknown motion since
            lag = measured.model[blind, :2, 2:]
            covariance[blind, :2, :2] += lag @ covariance[blind, 2:, 2:] @ lag.transpose(0, 2, 1)
        ids = np.arange(self._next_id, self._next_id + n)
        self._next_id += n
        score = np.clip(found.score.astype(np.float64), 0.01, MAX_SCORE)
        return _Tracks(
            state=measured.z.copy(),
            covariance=covariance,
            existence=self.config.birth_existence * score,
            quality=score.copy(),
            seen=score.copy(),
            class_log=_class_evidence(found.class_id, 0.7),
            size=found.size.astype(np.float64),
            height=found.center[:, 2].astype(np.float64),
            yaw=_wrap(found.yaw + np.arctan2(pose[1, 0], pose[0, 0])),
            hits=np.ones(n, np.int64),
            track_id=ids,
            confirmed=np.zeros(n, bool),
        )

    # ---- the whole tick

    def _smooth(self) -> None:
        """Quality follows the scores of tracks seen now; motion settles which end is the front."""
        tracks = self._tracks
        seen = tracks.seen > 0
        gain = np.maximum(0.25, 1.0 / np.maximum(tracks.hits, 1))
        tracks.quality = np.where(seen, tracks.quality + gain * (tracks.seen - tracks.quality), tracks.quality)
        speed, sigma = _speed(tracks)
        course = np.arctan2(tracks.state[:, 3], tracks.state[:, 2])
        clear = (speed > 1.0) & (speed > 3 * sigma)
        tracks.yaw = np.where(clear & (np.cos(course - tracks.yaw) < 0), _wrap(tracks.yaw + np.pi), tracks.yaw)
        fast = (speed > 2.5) & (speed > 5 * sigma)
        tracks.yaw = np.where(fast, _wrap(tracks.yaw + 0.3 * _wrap(course - tracks.yaw)), tracks.yaw)
        tracks.confirmed |= (tracks.existence >= self.config.confirm_existence) & (
            tracks.hits >= self.config.confirm_hits
        )

    def _prune(self) -> None:
        """End what is gone or lost, and of two tracks on one object the younger."""
        tracks = self._tracks
        if not len(tracks):
            return
        place = np.sqrt(np.linalg.eigvalsh(tracks.covariance[:, :2, :2])[:, -1])
        keep = (tracks.existence >= self.config.end_existence) & (place <= self.config.max_sigma_m)
        strength = np.where(tracks.confirmed, 1e6, 0.0) + tracks.existence * np.minimum(tracks.hits, 50)
        overlap = overlap_matrix(tracks.state, tracks.size, tracks.yaw, tracks.state, tracks.size, tracks.yaw)
        for a, b in np.argwhere(np.triu(overlap, 1) > self.config.merge_overlap).tolist():
            if keep[a] and keep[b]:
                keep[b if strength[a] >= strength[b] else a] = False
        if keep.sum() > MAX_TRACKS:
            keep &= strength >= np.sort(strength[keep])[-MAX_TRACKS]
        self._tracks = tracks.select(keep)

    def _output(self, pose: Array) -> Detections:
        tracks = self._tracks.select(self._tracks.confirmed)
        turn = pose[:2, :2].T
        both = np.kron(np.eye(2), turn)
        speed, sigma = _speed(tracks)
        moving = np.clip((speed - 1.0) / 2.0, 0, 1) * np.clip(speed / np.maximum(4 * sigma, 1e-6), 0, 1)
        road_user = 1 - (1 - tracks.quality) * (1 - 0.6 * moving)  # what moves is no wall
        found = Detections(
            class_id=np.argmax(tracks.class_log, axis=1).astype(np.uint8) if len(tracks) else np.zeros(0, np.uint8),
            score=(tracks.existence * road_user).astype(np.float32),
            center=np.column_stack([(tracks.state[:, :2] - pose[:2, 3]) @ turn.T, tracks.height]),
            size=tracks.size.copy(),
            yaw=_wrap(tracks.yaw - np.arctan2(pose[1, 0], pose[0, 0])),
            velocity=tracks.state[:, 2:] @ turn.T,
            covariance=both @ tracks.covariance @ both.T,
            track_id=tracks.track_id.copy(),
        )
        return found.select(found.score >= self.config.report_score)


@cache
def _load_kernels() -> None:
    """Compile, or load from the cache, what `update` runs now and then, so that no tick waits for it."""
    joint_marginals(np.ones((2, 2)), np.ones(2))
    state, square, full = np.zeros((1, 4)), np.eye(4)[None], np.zeros(1, bool)
    likelihoods(state, square, state, square, square, full, 1.0)
    update_mixture(state, square, np.array([[0.5, 0.5]]), state, square, square, full)
    overlap_matrix(state, np.ones((1, 2)), np.zeros(1), state, np.ones((1, 2)), np.zeros(1))


def _speed(tracks: _Tracks) -> tuple[Array, Array]:
    """Speed and its sigma (T,), m/s."""
    return np.hypot(*tracks.state[:, 2:].T), np.sqrt(0.5 * np.trace(tracks.covariance[:, 2:, 2:], axis1=1, axis2=2))


def _class_evidence(class_id: NDArray[np.uint8], accuracy: float) -> Array:
    """Log-likelihood (N, K) of true classes given the named one; `unknown` says nothing."""
    k = len(CLASSES)
    out = np.full((len(class_id), k), np.log((1 - accuracy) / (k - 1)))
    out[np.arange(len(class_id)), class_id] = np.log(accuracy)
    out -= np.log(accuracy)
    out[class_id == UNKNOWN] = 0.0
    out[:, UNKNOWN] = np.where(class_id == UNKNOWN, 0.01, out[:, UNKNOWN])
    return out


def _sound(found: Detections) -> Detections:
    """The rows a filter can use: finite place, shape and covariance."""
    good = np.isfinite(found.center).all(axis=1) & np.isfinite(found.size).all(axis=1) & np.isfinite(found.yaw)
    good &= np.isfinite(found.covariance).all(axis=(1, 2)) & np.isfinite(found.score)
    return found if good.all() else found.select(good)


def _no_tracks() -> _Tracks:
    none = np.zeros(0)
    return _Tracks(
        np.zeros((0, 4)), np.zeros((0, 4, 4)), none, none.copy(), none.copy(), np.zeros((0, len(CLASSES))), np.zeros((0,
        3)), none.copy(), none.copy(), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, bool),
    )  # fmt: skip
