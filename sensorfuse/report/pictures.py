"""Pictures of one tick: seen from above, and through a camera. Functions take messages and return figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Polygon
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from sensorfuse.geometry import motion_between
from sensorfuse.messages import CLASSES, Detections, FusedFrame, Sample, Truth
from sensorfuse.report import palette
from sensorfuse.report.labels import Labels
from sensorfuse.report.projection import (
    EDGES,
    boxes_in_image,
    camera_image,
    footprints,
    lidar_points,
    polar_grid,
    radar_points,
)
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import SensorConfig

RING_STEP_M = 20
HEIGHT_SPAN_M = 4.0
EGO_SIZE_M = (4.4, 1.8)
POLAR_PIXELS = 450
MIN_BOX_M = 0.3  # a detection without a size is drawn so large


@dataclass(frozen=True)
class View:
    """What a bird's-eye view shows, in metres of base_link: forward is up, left is left."""

    ahead_m: float = 60.0
    behind_m: float = 25.0
    side_m: float = 42.5


def bird_eye_figure(
    frame: FusedFrame,
    samples: dict[str, Sample],
    rig: Rig,
    truth: Truth | None = None,
    view: View | None = None,
    inches: float = 5.2,
) -> Figure:
    """The tick from above: LiDAR by height, radar, detections, tracks with velocity, truth, sounds, range rings.

    `samples` is by stream of the rig; streams that the rig does not have are ignored.
    """
    view = view or View()
    height = inches * (view.ahead_m + view.behind_m) / (2 * view.side_m)
    figure = Figure(figsize=(inches, height), facecolor=palette.SCENE_GROUND)
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set_facecolor(palette.SCENE_GROUND)
    ax.set_axis_off()
    ax.set_xlim(-view.side_m, view.side_m)
    ax.set_ylim(-view.behind_m, view.ahead_m)
    legend: list[Any] = []
    sensed = [(s, samples[s], rig.sensors[s]) for s in rig.sensors if s in samples]
    for stream, sample, sensor in sensed:
        if "polar" in sample.arrays:
            _draw_polar(ax, frame, stream, sample, sensor, view, legend)
    _draw_rings(ax, view)
    _draw_lidar(ax, [lidar_points(m, c, frame, s) for s, m, c in sensed if "points" in m.arrays], legend)
    _draw_radar(ax, [radar_points(m, c, frame, s) for s, m, c in sensed if "detections" in m.arrays], legend)
    if truth is not None:
        _draw_truth(ax, frame, truth, legend)
    _draw_detections(ax, frame.detections, legend)
    labels = Labels(ax)
    _draw_tracks(ax, frame.tracks, labels, legend)
    _draw_sounds(ax, frame, view, labels, legend)
    _draw_ego(ax)
    if legend:
        box = ax.legend(
            handles=legend,
            loc="lower left",
            fontsize=8,
            labelcolor=palette.SCENE_TEXT,
            frameon=True,
            borderpad=0.7,
            facecolor=palette.SCENE_GROUND,
            edgecolor=palette.SCENE_GRID,
            framealpha=0.88,
            handlelength=1.6,
        )
        box.set_zorder(20)
    return figure


def camera_figure(
    frame: FusedFrame,
    sample: Sample,
    sensor: SensorConfig,
    stream: str,
    truth: Truth | None = None,
    inches: float = 5.2,
) -> Figure | None:
    """The camera's picture with tracks as wire boxes, and truth dotted; None when the picture can't be decoded."""
    image = camera_image(sample)
    if image is None:
        return None
    rows, columns = image.shape[:2]
    figure = Figure(figsize=(inches, inches * rows / columns), facecolor=palette.SCENE_GROUND)
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set_axis_off()
    ax.imshow(image, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), aspect="auto", interpolation="bilinear")
    if truth is not None:
        objects = _at_tick(truth, frame)
        for _, pixels in boxes_in_image(objects, sensor, frame, stream, (rows, columns)):
            ax.add_collection(_wire(pixels, palette.TRUTH, 0.9, (0, (1, 1.6))))
    ax.set_xlim(-0.5, columns - 0.5)
    ax.set_ylim(rows - 0.5, -0.5)
    labels = Labels(ax)
    seen = boxes_in_image(frame.tracks, sensor, frame, stream, (rows, columns))
    for i, pixels in sorted(seen, key=lambda box: -float(np.ptp(box[1][:, 1]))):  # the nearest first
        ax.add_collection(_wire(pixels, palette.SCENE_GROUND, 2.4, "solid"))
        ax.add_collection(_wire(pixels, palette.TRACK, 1.1, "solid"))
        corner = np.clip([pixels[:, 0].min(), pixels[:, 1].min()], 0, [columns - 1, rows - 1])
        labels.place(float(corner[0]), float(corner[1]), _name(frame.tracks, i), palette.TRACK, rise_pt=6.5)
    return figure


# ---- parts of the view from above; a point (x, y) of base_link is drawn at (-y, x)


def _flip(points: NDArray[Any]) -> NDArray[Any]:
    return np.stack([-points[..., 1], points[..., 0]], axis=-1)


def _draw_rings(ax: Any, view: View) -> None:
    reach = np.hypot(view.ahead_m, view.side_m)
    for radius in range(RING_STEP_M, int(reach) + 1, RING_STEP_M):
        ax.add_patch(Circle((0, 0), radius, fill=False, edgecolor=palette.SCENE_GRID, linewidth=0.9, zorder=2))
        if radius < view.ahead_m - 2:
            text = ax.text(
                0, radius, f"{radius} m", color=palette.SCENE_MUTED, fontsize=7.5, ha="center", va="center", zorder=3
            )
            text.set_path_effects([withStroke(linewidth=3, foreground=palette.SCENE_GROUND)])


def _draw_polar(
    ax: Any, frame: FusedFrame, stream: str, sample: Sample, sensor: SensorConfig, view: View, legend: list[Any]
) -> None:
    x = np.linspace(-view.behind_m, view.ahead_m, POLAR_PIXELS)
    y = np.linspace(view.side_m, -view.side_m, POLAR_PIXELS)
    grid = polar_grid(sample, sensor, frame, stream, x, y)
    if grid is None or not np.isfinite(grid).any():
        return
    low, high = np.nanpercentile(grid, [60, 99.7])
    strength = np.nan_to_num(np.clip((grid - low) / max(high - low, 1.0), 0, 1))
    ground, tint = (np.array(_rgb(c)) for c in (palette.SCENE_GROUND, palette.RADAR))
    picture = ground + (tint - ground) * (0.75 * strength[..., None])
    extent = (-view.side_m, view.side_m, -view.behind_m, view.ahead_m)
    ax.imshow(picture, extent=extent, origin="lower", aspect="auto", zorder=1, interpolation="nearest")
    legend.append(Patch(facecolor=palette.RADAR, alpha=0.8, label="radar power"))


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def _draw_lidar(ax: Any, clouds: list[NDArray[Any]], legend: list[Any]) -> None:
    if not clouds:
        return
    points = np.concatenate(clouds)
    if len(points) == 0:
        return
    order = np.argsort(points[:, 2], kind="stable")  # high points over low ones
    points = points[order]
    floor = float(np.percentile(points[:, 2], 5))
    shade = 0.15 + 0.6 * np.clip((points[:, 2] - floor) / HEIGHT_SPAN_M, 0, 1)
    where = _flip(points)
    ax.scatter(where[:, 0], where[:, 1], c=shade, cmap="viridis", vmin=0, vmax=1, s=1.5, linewidths=0, zorder=4)
    mark = Line2D([], [], linestyle="", marker="o", markersize=4, color="#35b779", label="LiDAR, brighter is higher")
    legend.append(mark)


def _draw_radar(ax: Any, clouds: list[NDArray[Any]], legend: list[Any]) -> None:
    if not clouds:
        return
    where = _flip(np.concatenate(clouds))
    if len(where) == 0:
        return
    style: dict[str, Any] = {
        "linestyle": "",
        "marker": "D",
        "markersize": 3.6,
        "markerfacecolor": "none",
        "color": palette.RADAR,
    }
    ax.plot(where[:, 0], where[:, 1], zorder=6, markeredgewidth=1.0, **style)
    legend.append(Line2D([], [], label="radar detection", **style))


def _outlines(boxes: Detections) -> NDArray[Any]:
    sized = boxes.select(np.arange(len(boxes)))
    sized.size = np.maximum(boxes.size, MIN_BOX_M)
    return _flip(footprints(sized))


def _draw_truth(ax: Any, frame: FusedFrame, truth: Truth, legend: list[Any]) -> None:
    objects = _at_tick(truth, frame)
    if len(objects) == 0:
        return
    style = (0, (1, 1.4))
    outlines = PolyCollection(
        list(_outlines(objects)),
        facecolors="none",
        edgecolors=palette.TRUTH,
        linewidths=1.3,
        linestyles=[style],
        zorder=7,
    )
    ax.add_collection(outlines)
    legend.append(Line2D([], [], color=palette.TRUTH, linewidth=1.3, linestyle=style, label="truth"))


def _at_tick(truth: Truth, frame: FusedFrame) -> Detections:
    """The true objects moved by ego motion from their stamp to the tick."""
    dt_s = (frame.t_ref_ns - truth.stamp_ns) / 1e9
    objects = truth.objects.select(np.arange(len(truth.objects)))
    if dt_s and len(objects):
        twist = np.nan_to_num(np.asarray(frame.twist, dtype=np.float64), posinf=0.0, neginf=0.0)
        move = motion_between(twist, dt_s)
        objects.center = move @ objects.center
        objects.yaw = objects.yaw + move.yaw()
    return objects


def _draw_detections(ax: Any, detections: Detections, legend: list[Any]) -> None:
    if len(detections) == 0:
        return
    outlines = PolyCollection(
        list(_outlines(detections)),
        facecolors="none",
        edgecolors=palette.DETECTION,
        linewidths=1.0,
        linestyles=[(0, (4, 2))],
        zorder=8,
    )
    ax.add_collection(outlines)
    legend.append(
        Line2D([], [], color=palette.DETECTION, linewidth=1.2, linestyle=(0, (4, 2)), label="this tick's detection")
    )


def _draw_tracks(ax: Any, tracks: Detections, labels: Labels, legend: list[Any]) -> None:
    if len(tracks) == 0:
        return
    outlines = _outlines(tracks)
    faces = PolyCollection(
        list(outlines), facecolors=palette.TRACK + "40", edgecolors=palette.TRACK, linewidths=1.6, zorder=9
    )
    ax.add_collection(faces)
    middles = _flip(tracks.center[:, :2])
    noses = outlines[:, :2].mean(axis=1)
    ax.add_collection(
        LineCollection(list(np.stack([middles, noses], axis=1)), colors=palette.TRACK, linewidths=1.2, zorder=9)
    )
    velocity = _flip(np.nan_to_num(tracks.velocity))
    fast = np.hypot(velocity[:, 0], velocity[:, 1]) > 0.5
    ax.quiver(
        middles[fast, 0],
        middles[fast, 1],
        velocity[fast, 0],
        velocity[fast, 1],
        angles="xy",
        scale_units="xy",
        scale=1.0,
        color=palette.TRACK,
        width=0.0035,
        headwidth=4.5,
        headlength=5.5,
        zorder=10,
    )
    for i in np.argsort(np.hypot(middles[:, 0], middles[:, 1])):  # the nearest first
        labels.place(float(outlines[i, :, 0].max()) + 0.8, float(middles[i, 1]), _name(tracks, int(i)), palette.TRACK)
    legend.append(
        Line2D(
            [], [], color=palette.TRACK, linewidth=1.6, marker=">", markersize=5, label="track, arrow: 1 s of travel"
        )
    )


def _draw_sounds(ax: Any, frame: FusedFrame, view: View, labels: Labels, legend: list[Any]) -> None:
    reach = min(view.side_m, view.ahead_m, view.behind_m) * 0.8
    for sound in frame.sounds:
        tip = _flip(np.array([[np.cos(sound.azimuth_rad), np.sin(sound.azimuth_rad)]]) * reach)[0]
        ax.plot([0, tip[0]], [0, tip[1]], color=palette.SOUND, linewidth=1.4, linestyle=(0, (6, 2, 1, 2)), zorder=11)
        labels.place(float(tip[0]), float(tip[1]), sound.name, palette.SOUND)
    if frame.sounds:
        legend.append(
            Line2D(
                [], [], color=palette.SOUND, linewidth=1.4, linestyle=(0, (6, 2, 1, 2)), label="sound, direction only"
            )
        )


def _draw_ego(ax: Any) -> None:
    length, width = EGO_SIZE_M
    side = np.array([[length / 2, 0], [0.2 * length, width / 2], [-length / 2, width / 2]])
    body = np.concatenate([side, (side * [1, -1])[:0:-1]])
    ax.add_patch(Polygon(_flip(body), closed=True, facecolor=palette.EGO, edgecolor="none", zorder=12))


def _name(boxes: Detections, row: int) -> str:
    number = int(boxes.track_id[row])
    name = CLASSES[int(boxes.class_id[row])].replace("_", " ") if int(boxes.class_id[row]) < len(CLASSES) else "?"
    return f"{number} {name}" if number >= 0 else name


def _wire(pixels: NDArray[Any], colour: str, width: float, style: Any) -> LineCollection:
    return LineCollection([pixels[list(edge)] for edge in EDGES], colors=colour, linewidths=width, linestyles=[style])
