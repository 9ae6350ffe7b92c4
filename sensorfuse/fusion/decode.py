"""Network outputs -> objects and sounds, and back. Numpy only.

Box channels, at the cell that holds the centre: 0-1 offset of the centre from the cell's centre, in cells; 2 height of
the centre / 2; 3-5 log of length / 4, width / 2, height / 1.5; 6-7 sine and cosine of the yaw; 8-9 velocity over ground
/ 10; 10-14 logits of the kind of vehicle; 15-16 log standard deviations of position (metres) and of velocity (m/s).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from sensorfuse.fusion.grid import GRID, BevGrid
from sensorfuse.messages import CLASSES, SOUND_CLASSES, Detections, SoundEvent

GROUPS: tuple[str, ...] = ("vehicle", "cyclist", "pedestrian")
VEHICLES: tuple[str, ...] = ("car", "van", "truck", "bus", "emergency_vehicle")
GROUP_OF_CLASS: dict[str, int] = {**dict.fromkeys(VEHICLES, 0), "cyclist": 1, "pedestrian": 2}
BOX_CHANNELS = 17
SIZE_UNIT_M = np.array([4.0, 2.0, 1.5])
SPEED_UNIT_MPS = 10.0
HEIGHT_UNIT_M = 2.0
MIN_SEPARATION_M: tuple[float, ...] = (2.0, 1.2, 0.6)
"""Of two centres of one group closer than this, the better one stays."""


CANDIDATES = 3
"""Peaks looked at, as a multiple of the most objects reported."""


@dataclass(frozen=True)
class DecodeConfig:
    """Peaks below `thresholds` (one per group) are no objects; at most `most` objects; sounds from `sound_threshold`
    up.
    """

    thresholds: tuple[float, ...] = (0.2, 0.2, 0.2)
    most: int = 100
    sound_threshold: float = 0.5


def encode_boxes(
    objects: Detections, grid: BevGrid = GRID
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Objects on the grid as training targets: cells (N, 3) [group, i, j], channels 0-9 (N, 10) and vehicle kind (N,)
    or -1.

    Objects of unknown class, or off the grid, must have been dropped before (see `on_grid`).
    """
    place = grid.index(objects.center[:, :2])
    cell = np.clip(np.floor(place + 0.5).astype(np.int64), 0, grid.cells - 1)
    names = [CLASSES[c] for c in objects.class_id]
    group = np.array([GROUP_OF_CLASS[n] for n in names], dtype=np.int64)
    kind = np.array([VEHICLES.index(n) if n in VEHICLES else -1 for n in names], dtype=np.int64)
    values = np.zeros((len(objects), 10), np.float32)
    values[:, 0:2] = place - cell
    values[:, 2] = objects.center[:, 2] / HEIGHT_UNIT_M
    values[:, 3:6] = np.log(np.maximum(objects.size, 0.05) / SIZE_UNIT_M)
    values[:, 6], values[:, 7] = np.sin(objects.yaw), np.cos(objects.yaw)
    values[:, 8:10] = objects.velocity / SPEED_UNIT_MPS
    return np.column_stack([group, cell]).reshape(-1, 3), values, kind


def on_grid(objects: Detections, grid: BevGrid = GRID) -> NDArray[np.bool_]:
    """Which objects have a known class and a centre on the grid (N,)."""
    known = np.array([CLASSES[c] in GROUP_OF_CLASS for c in objects.class_id], dtype=bool)
    return known & grid.contains(objects.center[:, :2].reshape(-1, 2))


def best_of_neighbours(xy: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of centres (N, 2), best first, that have no better one of their group too near."""
    apart = np.hypot(xy[:, None, 0] - xy[None, :, 0], xy[:, None, 1] - xy[None, :, 1])
    twins = (apart < np.array(MIN_SEPARATION_M)[group][:, None]) & (group[:, None] == group[None, :])
    free = np.ones(len(xy), dtype=bool)
    for n in range(len(xy)):
        if free[n]:
            free[n + 1 :] &= ~twins[n, n + 1 :]
    return np.flatnonzero(free)


def decode_boxes(
    heat: NDArray[np.floating], box: NDArray[np.floating], config: DecodeConfig = DecodeConfig(), grid: BevGrid = GRID
) -> Detections:
    """Heatmap logits (3, X, Y) and box values (17, X, Y) -> objects in base_link, best first."""
    score = 1 / (1 + np.exp(-np.asarray(heat, dtype=np.float64)))
    limit = np.array(config.thresholds)[:, None, None]
    peaks = (score >= limit) & (score >= maximum_filter(score, size=(1, 3, 3), mode="constant"))
    group, i, j = np.nonzero(peaks)
    order = np.argsort(-score[group, i, j], kind="stable")[: CANDIDATES * config.most]
    group, i, j = group[order], i[order], j[order]
    values = np.asarray(box, dtype=np.float64)[:, i, j].T  # (N, 17)
    xy = grid.metres(np.stack([i, j], axis=1) + np.clip(values[:, 0:2], -1.5, 1.5)).reshape(-1, 2)
    keep = best_of_neighbours(xy, group)[: config.most]
    group, i, j, values, xy = group[keep], i[keep], j[keep], values[keep], xy[keep]
    names = [GROUPS[g] if g else VEHICLES[k] for g, k in zip(group, values[:, 10:15].argmax(axis=1), strict=True)]
    variance = np.exp(2 * np.clip(values[:, 15:17], -4.0, 3.0))
    covariance = np.zeros((len(group), 4, 4))
    covariance[:, [0, 1], [0, 1]] = variance[:, :1]
    covariance[:, [2, 3], [2, 3]] = variance[:, 1:]
    return Detections(
        class_id=np.array([CLASSES.index(n) for n in names], dtype=np.uint8),
        score=score[group, i, j].astype(np.float32),
        center=np.column_stack([xy, values[:, 2] * HEIGHT_UNIT_M]),
        size=np.exp(np.clip(values[:, 3:6], -3.0, 3.0)) * SIZE_UNIT_M,
        yaw=np.arctan2(values[:, 6], values[:, 7]),
        velocity=values[:, 8:10] * SPEED_UNIT_MPS,
        covariance=covariance,
        track_id=np.full(len(group), -1, dtype=np.int64),
    )


def decode_sounds(
    sound: NDArray[np.floating], directional: bool, config: DecodeConfig = DecodeConfig()
) -> list[SoundEvent]:
    """Sound outputs (3, 3) -> events. Where the microphones cannot tell direction, an event's azimuth is NaN."""
    events = []
    for name, (logit, sine, cosine) in zip(SOUND_CLASSES, np.asarray(sound, dtype=np.float64), strict=True):
        score = float(1 / (1 + np.exp(-logit)))
        if score >= config.sound_threshold:
            events.append(SoundEvent(name, float(np.arctan2(sine, cosine)) if directional else float("nan"), score))
    return events
