"""Modes with their durations and expected scores, and what each stream's health was, in numbers and in words."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from sensorfuse.messages import FusedFrame, StreamHealth
from sensorfuse.report import health
from sensorfuse.report.health import MAX_REASONS, OTHERS, HealthHistory
from sensorfuse.report.summary import build_summary


def with_health(frames: list[FusedFrame]) -> list[FusedFrame]:
    out = []
    for frame in frames:
        score = {"full": 0.42}.get(frame.mode, 0.28 if frame.mode == "no_lidar" else float("nan"))
        uses = [
            u if u.used else replace(u, health=StreamHealth("lost", "silent", 0.0, 100_000_000, 2_000_000, 40, 5))
            for u in frame.uses
        ]
        figure = "NDS" if score == score else ""
        out.append(replace(frame, uses=uses, expected_score=score, expected_figure=figure, expected_ms=score * 10))
    return out


def test_modes_and_health_are_in_the_summary_the_terminal_and_the_page(fake_run) -> None:  # type: ignore[no-untyped-def]
    summary = build_summary(fake_run.record, with_health(fake_run.frames), None)
    modes = summary["mode_figures"]
    assert {m: row["ticks"] for m, row in modes.items()} == summary["modes"]
    assert modes["full"]["expected_score"] == 0.42
    (lost,) = (m for m in modes if "lidar" in m)
    assert modes[lost]["duration_s"] == modes[lost]["ticks"] / 10
    sick = health.troubled(summary)
    assert list(sick) == ["lidar"]
    assert sick["lidar"]["states"]["lost"] == modes[lost]["ticks"]
    assert sick["lidar"]["reasons"] == {"silent": modes[lost]["ticks"]}
    console = Console(record=True, width=120)
    console.print(health.terminal(summary))
    said = console.export_text()
    assert "without LiDAR" in said
    assert "0.420" in said
    assert "silent" in said
    page = health.modes(summary) + health.streams(summary)
    assert "0.420" in page
    assert "lost 15" in page


def test_what_was_not_measured_says_so(fake_run) -> None:  # type: ignore[no-untyped-def]
    summary = build_summary(fake_run.record, fake_run.frames, None)
    assert summary["mode_figures"]["full"]["expected_score"] is None
    assert "not measured" in health.modes(summary)
    assert health.troubled(summary) == {}


def test_reasons_are_bounded(fake_run) -> None:  # type: ignore[no-untyped-def]
    history = HealthHistory()
    for k in range(100):
        frame = fake_run.frames[0]
        history.add(replace(frame, uses=[replace(frame.uses[0], health=StreamHealth("late", f"reason {k}"))]))
    (row,) = history.streams().values()
    assert len(row["reasons"]) == MAX_REASONS + 1
    assert row["reasons"][OTHERS] == 100 - MAX_REASONS


def test_a_mode_that_was_not_measured_has_no_figures(fake_run) -> None:  # type: ignore[no-untyped-def]
    history = HealthHistory()
    history.add(replace(fake_run.frames[0], mode="full", expected_score=float("nan"), expected_ms=float("nan")))
    history.add(replace(fake_run.frames[0], mode="no_lidar", expected_score=0.3, expected_ms=float("nan")))
    modes = history.modes(0.1)
    assert (modes["full"]["expected_score"], modes["full"]["expected_ms"]) == (None, None)
    assert (modes["no_lidar"]["expected_score"], modes["no_lidar"]["expected_ms"]) == (0.3, None)
