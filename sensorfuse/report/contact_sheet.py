"""What the sensors of a synthetic rig give in each scenario, side by side: one row per scenario, one column per
sensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sensorfuse.messages import Sample, Truth
from sensorfuse.report import palette
from sensorfuse.report.projection import footprints
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import SensorConfig
from sensorfuse.sim import SimulatedRig

Array = NDArray[Any]

ROW_IN, LABEL_IN, GAP_IN, HEAD_IN = 1.9, 1.1, 0.06, 0.45
WIDTHS = {"camera": 16 / 9, "lidar": 1.15, "radar": 1.15, "imu": 1.3, "audio": 1.5}  # in row heights
REACH_M = 40.0
TRACE_S = 6.0  # of IMU and sound
RATE_SPAN_MPS = 12.0
TOP_HZ = 4000.0


def contact_sheet(rig: Rig, scenarios: Sequence[str], seed: int, at_s: float) -> Figure:
    """A picture of every sensor in every scenario, `at_s` seconds after its beginning; IMU and sound of the seconds
    before.

    Raises:
        SensorfuseError: a scenario is unknown or at fault.
    """
    streams = list(rig.sensors)
    widths = [ROW_IN * WIDTHS[rig.sensors[s].modality] for s in streams]
    width = LABEL_IN + sum(widths) + GAP_IN * (len(streams) + 1)
    height = HEAD_IN + len(scenarios) * (ROW_IN + GAP_IN)
    figure = Figure(figsize=(width, height), facecolor=palette.SCENE_GROUND)
    for row, name in enumerate(scenarios):
        sim = SimulatedRig(rig, name, seed)
        top = height - HEAD_IN - row * (ROW_IN + GAP_IN)
        text = f"{_label(name)}\n{at_s:g} s"
        figure.text(0.08 / width, (top - ROW_IN / 2) / height, text, color=palette.SCENE_TEXT, fontsize=9, va="center")
        left = LABEL_IN
        for stream, wide in zip(streams, widths, strict=True):
            box = (left / width, (top - ROW_IN) / height, wide / width, ROW_IN / height)
            ax = figure.add_axes(box, facecolor="#0b0f13")
            ax.set_xticks([])
            ax.set_yticks([])
            for side in ax.spines.values():
                side.set_visible(False)
            _draw(ax, sim, stream, round(at_s * 1e9))
            if row == 0:
                middle = (left + wide / 2) / width
                heading = _heading(stream, rig.sensors[stream])
                figure.text(
                    middle, 1 - 0.5 * HEAD_IN / height, heading, color=palette.SCENE_TEXT, fontsize=8, ha="center",
                    va="center",
                )  # fmt: skip
            left += wide + GAP_IN
    return figure


def _label(scenario: str) -> str:
    return scenario.rsplit("/", 1)[-1].removesuffix(".yaml").replace("_", "\n")


def _heading(stream: str, sensor: SensorConfig) -> str:
    what = {
        "camera": "",
        "lidar": f"by height, {REACH_M:g} m to each side",
        "radar": "by range rate: blue nears, red recedes",
        "imu": f"last {TRACE_S:g} s: turn rate above, force below",
        "audio": f"last {TRACE_S:g} s, up to {TOP_HZ / 1e3:g} kHz",
    }
    return f"{stream}\n{what[sensor.modality]}".strip()


def _latest(sim: SimulatedRig, stream: str, t_ns: int) -> int:
    """The last message that is measured before `t_ns`."""
    k = max(0, int((t_ns - sim.due_ns(stream, 0)) // sim.rig.sensors[stream].period_ns))
    while sim.due_ns(stream, k + 1) <= t_ns:
        k += 1
    return k


def _window(sim: SimulatedRig, stream: str, t_ns: int) -> list[Sample]:
    last = _latest(sim, stream, t_ns)
    count = int(TRACE_S * sim.rig.sensors[stream].message_rate_hz)
    return [sim.sample(stream, k) for k in range(max(0, last - count + 1), last + 1)]


def _draw(ax: Any, sim: SimulatedRig, stream: str, t_ns: int) -> None:
    sensor = sim.rig.sensors[stream]
    if sensor.modality == "imu":
        _draw_imu(ax, _window(sim, stream, t_ns))
    elif sensor.modality == "audio":
        _draw_sound(ax, _window(sim, stream, t_ns))
    else:
        sample = sim.sample(stream, _latest(sim, stream, t_ns))
        if sensor.modality == "camera":
            ax.imshow(sample.arrays["image"], aspect="auto", interpolation="bilinear")
        elif "polar" in sample.arrays:
            ax.imshow(sample.arrays["polar"].T, origin="lower", aspect="auto", cmap="magma")
        else:
            _draw_scene(ax, sample, sensor, sim.truth(t_ns))


def _draw_scene(ax: Any, sample: Sample, sensor: SensorConfig, truth: Truth) -> None:
    """Points from above, forward up, over the outlines of what is there."""
    ax.set_xlim(-REACH_M, REACH_M)
    ax.set_ylim(-0.35 * REACH_M, 1.4 * REACH_M)
    near = truth.objects.select(np.hypot(truth.objects.center[:, 0], truth.objects.center[:, 1]) < 2 * REACH_M)
    if len(near):
        outlines = footprints(near)
        flipped = np.stack([-outlines[..., 1], outlines[..., 0]], axis=-1)
        ax.add_collection(PolyCollection(list(flipped), facecolors="none", edgecolors=palette.SCENE_MUTED, lw=0.7))
    if "points" in sample.arrays:
        local, span, size = sample.arrays["points"].astype(np.float64), (-1.0, 5.0), 0.5
    else:
        found = sample.arrays["detections"].astype(np.float64)
        flat = found[:, 0] * np.cos(found[:, 2])
        local = np.column_stack([flat * np.cos(found[:, 1]), flat * np.sin(found[:, 1]), np.zeros(len(found))])
        span, size = (-RATE_SPAN_MPS, RATE_SPAN_MPS), 7.0
    points = sensor.T_base_sensor.transform() @ local
    value = points[:, 2] if "points" in sample.arrays else sample.arrays["detections"][:, 3]
    colours = "viridis" if "points" in sample.arrays else "coolwarm"
    ax.scatter(-points[:, 1], points[:, 0], c=value, cmap=colours, vmin=span[0], vmax=span[1], s=size, lw=0)


def _draw_imu(ax: Any, samples: list[Sample]) -> None:
    """Three turn rates in the upper half, three forces in the lower, each by its own largest value."""
    for name, level in (("gyro_radps", 0.75), ("accel_mps2", 0.25)):
        values = np.concatenate([s.arrays[name] for s in samples])
        values = values - np.median(values, axis=0) if name == "accel_mps2" else values
        scale = 0.22 / max(float(np.abs(values).max()), 1e-9)
        for axis, colour in enumerate((palette.TRACK, palette.DETECTION, palette.RADAR)):
            ax.plot(np.linspace(0, 1, len(values)), level + scale * values[:, axis], color=colour, lw=0.5)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)


def _draw_sound(ax: Any, samples: list[Sample]) -> None:
    pcm = np.concatenate([s.arrays["pcm"][:, 0] for s in samples])
    rate = int(samples[0].meta["sample_rate_hz"])
    window = np.hanning(512)
    frames = np.lib.stride_tricks.sliding_window_view(pcm, 512)[::256] * window
    power = np.abs(np.fft.rfft(frames, axis=1)).T[: int(TOP_HZ / rate * 512) + 1]
    ax.imshow(20 * np.log10(power + 1e-4), origin="lower", aspect="auto", cmap="magma", vmin=-50, vmax=25)
