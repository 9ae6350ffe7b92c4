"""Charts show the states, ages and stages of a summary."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_run import LOSS, T0_NS, TICKS, FakeRun, make_record

from sensorfuse.report.palette import DARK, LIGHT, Theme, png_bytes
from sensorfuse.report.record import Event
from sensorfuse.report.states import STATES
from sensorfuse.report.summary import build_summary
from sensorfuse.report.timeline import (
    NARROW_IN,
    WIDE_IN,
    age_figure,
    latency_figure,
    marked_events,
    state_figure,
)
from sensorfuse.rig import Rig


def test_every_state_has_a_colour_of_its_own() -> None:
    for theme in (LIGHT, DARK):
        assert set(theme.states) == set(STATES)
        assert len(set(theme.states.values())) == len(STATES)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_a_loss_is_where_it_was(fake_run: FakeRun, theme: Theme) -> None:
    summary = build_summary(fake_run.record, fake_run.frames, None)
    figure = state_figure(summary, theme)
    assert figure is not None
    ax = figure.axes[0]
    image = cv2.imdecode(np.frombuffer(png_bytes(figure, 100), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1].astype(int)
    names = [label.get_text() for label in ax.get_yticklabels()]
    rows = {
        name: image.shape[0] - round(float(ax.transData.transform((0, y + 0.25))[1])) for y, name in enumerate(names)
    }

    def state_at(stream: str, tick: int) -> str:
        column = round(float(ax.transData.transform(((tick + 0.5) * 0.1, 0))[0]))
        pixel = image[rows[stream], column]
        ground = {"ground": theme.ground}
        colours = {s: [int(c[i : i + 2], 16) for i in (1, 3, 5)] for s, c in {**theme.states, **ground}.items()}
        return min(colours, key=lambda s: float(np.abs(pixel - colours[s]).sum()))

    found = [state_at("lidar", t) for t in (5, LOSS[0] + 1, LOSS[-1] - 1, LOSS[-1] + 2, 50, 55)]
    assert found == ["used", "idle", "idle", "used", "ground", "used"]
    assert state_at("camera", LOSS[3]) == "used"


def test_only_events_within_the_run_are_marked(fake_run: FakeRun) -> None:
    summary = build_summary(fake_run.record, fake_run.frames, None)
    assert [(n, round(t, 2)) for n, t, _ in marked_events(summary)] == [(2, 1.98), (3, 2.0), (4, 3.48)]


def test_ages_are_plotted_per_stream(fake_run: FakeRun) -> None:
    summary = build_summary(fake_run.record, fake_run.frames, None)
    figure = age_figure(summary, LIGHT)
    assert figure is not None
    for ax, (stream, curve) in zip(figure.axes, summary["timeline"]["age_ms"].items(), strict=True):
        assert ax.texts[0].get_text() == stream
        np.testing.assert_allclose(ax.lines[0].get_ydata(), [age for _, age in curve])
        assert ax.get_xlim() == (0, TICKS / 10)


def test_latency_bars_are_the_summarys_percentiles(fake_run: FakeRun) -> None:
    summary = build_summary(fake_run.record, fake_run.frames, None)
    figure = latency_figure(summary, fake_run.record.timings_ms, LIGHT)
    assert figure is not None
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    stages = [s for s, row in summary["latency_ms"].items() if row["n"]]
    assert len(widths) == 2 * len(stages)
    assert set(widths) == {summary["latency_ms"][s][k] for s in stages for k in ("p50", "p99")}
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), fake_run.record.timings_ms["capture_to_fused"])


def test_nothing_to_draw(synthetic_rig: Rig, tmp_path: Path) -> None:
    record = make_record(synthetic_rig, 0, tmp_path)
    summary = build_summary(record, [], None)
    assert (
        state_figure(summary, LIGHT)
        is age_figure(summary, LIGHT)
        is latency_figure(summary, record.timings_ms, LIGHT)
        is None
    )


@pytest.mark.parametrize("width", [WIDE_IN, NARROW_IN])
def test_hostile_names_and_many_events(fake_run: FakeRun, width: float) -> None:
    summary = build_summary(fake_run.record, fake_run.frames, None)
    name = "$\\frac{$ a name that is much longer than any chart has room for"
    timeline = summary["timeline"]
    for part in ("states", "age_ms"):
        timeline[part] = {name if s == "lidar" else s: v for s, v in timeline[part].items()}
    summary["events"] = [vars(Event(T0_NS, "x", "y")) | {"t_s": t} for t in np.linspace(0, 6, 200)]
    for figure in (state_figure(summary, DARK, width), age_figure(summary, DARK, width)):
        assert figure is not None
        assert png_bytes(figure, 60)
