"""`report.html`: one self-contained page of what a run did, with no request to anywhere."""

from __future__ import annotations

from functools import partial
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from sensorfuse.messages import FusedFrame
from sensorfuse.report import health, sections
from sensorfuse.report.faults import fault_section
from sensorfuse.report.markup import chart, image, note, section, text
from sensorfuse.report.palette import DARK, LIGHT, jpeg_bytes, png_bytes, scene_bytes
from sensorfuse.report.pictures import bird_eye_figure, camera_figure
from sensorfuse.report.record import RunRecord, Snapshot
from sensorfuse.report.scores import score
from sensorfuse.report.timeline import NARROW_IN, WIDE_IN, age_figure, latency_figure, state_figure

THEMES = {"light": LIGHT, "dark": DARK}
WIDE_DPI, NARROW_DPI = 144, 180


def write_report(out_dir: Path, record: RunRecord, summary: dict[str, Any], snapshots: list[Snapshot]) -> Path:
    """Write `report.html` into `out_dir` and return its path. `summary` is what `build_summary` made of the run.

    The page holds its style and its pictures; a browser needs nothing else. It follows the reader's light or dark
    setting.

    Raises:
        OSError: `out_dir` can't be written.
    """
    template = Template((resources.files("sensorfuse.report") / "page.html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=text(f"{record.rig.name}, {record.strategy}: {summary['ticks']} of {summary['ticks_expected']} ticks"),
        kicker=sections.kicker(record),
        headline=text(summary["headline"]),
        body="\n".join(_body(record, summary, snapshots)),
    )
    path = out_dir / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _body(record: RunRecord, summary: dict[str, Any], snapshots: list[Snapshot]) -> list[str]:
    t0_ns = summary["timeline"]["t0_ns"]
    example = example_frame(snapshots)
    return [
        sections.tiles(summary),
        section(
            "timeline",
            "What each tick used",
            _states(summary),
            sections.modalities(summary) if summary["ticks"] else "",
            health.modes(summary),
        ),
        section("health", "How the streams were", health.streams(summary)),
        section("scenes", "What it saw", *(_scene(s, record, t0_ns) for s in snapshots)),
        section("faults", "Faults put in", fault_section(summary.get("faults"))),
        section("latency", "Latency", _latency(record, summary), sections.latency(summary)),
        section("age", "Age of what was used", _ages(summary), sections.ages(summary)),
        section("ledger", "Where every message went", sections.ledger(summary)),
        section("exchanges", "Clocks of other hosts", sections.exchanges(summary)),
        section("provenance", "What one frame says of itself", sections.provenance(example, t0_ns)),
        section("score", "Scores against truth", score(summary["score"]), score(summary["ego_score"])),
        section("events", "Events", sections.events(summary)),
        section("how", "How it was run", sections.how(record, summary)),
    ]


def example_frame(snapshots: list[Snapshot]) -> FusedFrame | None:
    """The shown tick whose provenance says most: the first that used some streams and not others, else the first."""
    frames = [s.frame for s in snapshots]
    mixed = (f for f in frames if len({u.used for u in f.uses}) == 2)
    return next(mixed, frames[0] if frames else None)


def _scene(snapshot: Snapshot, record: RunRecord, t0_ns: int | None) -> str:
    frame = snapshot.frame
    above = bird_eye_figure(frame, snapshot.samples, record.rig, snapshot.truth)
    words = f"Bird's-eye view of tick {frame.tick_id}: {len(frame.tracks)} tracks, {len(frame.detections)} detections"
    left = f"<div>{image(scene_bytes(above), words)}</div>"
    right = f"<div>{_camera(snapshot, record)}{sections.tick_uses(frame)}</div>"
    return (
        f'<article class="scene">{sections.scene_title(frame, t0_ns)}<div class="views">{left}{right}</div></article>'
    )


def _camera(snapshot: Snapshot, record: RunRecord) -> str:
    """The first camera of the rig that the tick used, or words for why there is none."""
    frame = snapshot.frame
    cameras = [s for s, c in record.rig.sensors.items() if c.modality == "camera"]
    if not cameras:
        return '<div class="nothing">this rig has no camera</div>'
    for stream in cameras:
        if stream in snapshot.samples:
            drawn = camera_figure(frame, snapshot.samples[stream], record.rig.sensors[stream], stream, snapshot.truth)
            if drawn is not None:
                return image(jpeg_bytes(drawn), f"Picture of {stream} with tracks as boxes")
    reason = next((u.reason for u in frame.uses if u.stream == cameras[0] and not u.used), "picture not at hand")
    return f'<div class="nothing">no camera picture: {text(reason)}</div>'


def _png(figure: Any, narrow: bool) -> bytes | None:
    return None if figure is None else png_bytes(figure, NARROW_DPI if narrow else WIDE_DPI)


def _states(summary: dict[str, Any]) -> str:
    def draw(theme: str, narrow: bool) -> bytes | None:
        return _png(state_figure(summary, THEMES[theme], NARROW_IN if narrow else WIDE_IN), narrow)

    drawn = chart(draw, "Timeline: the state of every stream at every tick; figures are in the table below")
    numbered = (
        note("Dashed lines are events, numbered as in the table of events.") if drawn and summary["events"] else ""
    )
    return drawn + numbered


def _ages(summary: dict[str, Any]) -> str:
    def draw(theme: str, narrow: bool) -> bytes | None:
        return _png(age_figure(summary, THEMES[theme], NARROW_IN if narrow else WIDE_IN), narrow)

    told = note(
        "From a sample's event time to the tick, in milliseconds; below zero where the sample is newer than the tick."
    )
    drawn = chart(draw, "Age of what each tick used, per stream over the run")
    return drawn + told if drawn else ""


def _latency(record: RunRecord, summary: dict[str, Any]) -> str:
    latency = partial(latency_figure, summary, record.timings_ms)

    def draw(theme: str, narrow: bool) -> bytes | None:
        return _png(latency(THEMES[theme], NARROW_IN if narrow else WIDE_IN), narrow)

    return chart(draw, "Latency per stage: median, 99th percentile and maximum; figures are in the table below")
