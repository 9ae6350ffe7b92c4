"""`sync.html`: one self-contained page of how a log's clocks relate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from sensorfuse.errors import SensorfuseError
from sensorfuse.report.markup import chart, note, section, table, text
from sensorfuse.report.page import NARROW_DPI, THEMES, WIDE_DPI
from sensorfuse.report.palette import png_bytes
from sensorfuse.report.sync_charts import completeness_figure, delay_figure, drift_figure, offset_figure
from sensorfuse.report.sync_terminal import deadline_words, offset_words, percent_words, skew_words
from sensorfuse.report.timeline import NARROW_IN, WIDE_IN
from sensorfuse.report.wording import count, join, milliseconds
from sensorfuse.sync.settings import FUSION, settings_yaml
from sensorfuse.sync.stream_report import ContentReport, StreamReport, SyncReport

GRADES = {"good": ("good", "good"), "note": ("note", "absent"), "bad": ("act", "bad")}
SHOWN_WAITS_MS = (0, 20, 50, 100, 150, 200, 300)


def write_sync_page(out_dir: Path, report: SyncReport, deadline_ms: float | None = None) -> Path:
    """Write `sync.html` into `out_dir` and return its path. `deadline_ms` is the rig's, to be marked.

    Raises:
        SensorfuseError: `out_dir` can't be written.
    """
    template = Template((resources.files("sensorfuse.report") / "page.html").read_text(encoding="utf-8"))
    rig = f"rig {report.rig}" if report.rig else "no rig"
    page = template.substitute(
        title=text(f"clocks of {Path(report.path).name}"),
        kicker=text(f"sensorfuse sync · {report.path} · {report.format} · {rig}"),
        headline=text(headline(report)),
        body="\n".join(_body(report, deadline_ms)),
    )
    path = out_dir / "sync.html"
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise SensorfuseError(f"{path}: cannot be written: {error.strerror or error}") from None
    return path


def headline(report: SyncReport) -> str:
    """The whole log in two sentences."""
    bad = [s.name for s in report.streams.values() if s.grade == "bad"]
    n = len(report.streams)
    first = f"{n} stream{'' if n == 1 else 's'} over {report.duration_s:.1f} s"
    first += f": {join(bad)} need{'s' if len(bad) == 1 else ''} attention." if bad else ", none needs attention."
    found = report.completeness
    if found is None:
        return first
    if found.all.deadline_99_ms is None:
        return f"{first} Even a wait of {found.grid_ms[-1]} ms leaves more than 1 % of the ticks incomplete."
    return f"{first} A deadline of {found.all.deadline_99_ms} ms completes 99 % of the ticks that can be."


def _body(report: SyncReport, deadline_ms: float | None) -> list[str]:
    drift, delay = partial(drift_figure, report), partial(delay_figure, report)
    complete = partial(completeness_figure, report, deadline_ms)
    settings = settings_yaml(report.settings)
    pasted = note("To paste into the rig; <code>--write FILE</code> writes a rig with them in it.")
    return [
        section("verdict", "Verdict", _verdicts(report), *(note(text(n)) for n in report.notes)),
        section("clocks", "Stamps and clocks", _clocks(report)),
        section(
            "offsets",
            "Offsets by what the streams saw",
            _chart(partial(offset_figure, report), OFFSETS),
            _offsets(report),
        ),
        section("drift", "Drift against the host", _chart(drift, DRIFT)),
        section("delay", "Delay over the least", _chart(delay, DELAY)),
        section("completeness", "Complete ticks against waiting time", _chart(complete, WAITING), _waits(report)),
        section("settings", "Settings", f"<pre>{text(settings)}</pre>{pasted}" if settings else ""),
    ]


DRIFT = "Drift of every clock against the host's over the log, in ms; jumps are taken out and marked by dashed lines"
DELAY = "Delays of every stream over the log, in ms above the least"
WAITING = "Share of complete ticks against the waiting time after the tick"
OFFSETS = "Offsets against the reference over the log, in ms with two sigmas; the band is the whole log's"


def _chart(draw: Callable[..., Any], words: str) -> str:
    def png(theme: str, narrow: bool) -> bytes | None:
        figure = draw(THEMES[theme], NARROW_IN if narrow else WIDE_IN)
        return None if figure is None else png_bytes(figure, NARROW_DPI if narrow else WIDE_DPI)

    drawn = chart(png, words)
    return drawn + note(f"{text(words)}.") if drawn else ""


def _verdicts(report: SyncReport) -> str:
    rows = []
    for stream in report.streams.values():
        sentences = "<br>".join(
            f'<span class="{GRADES[f.grade][1]}">{GRADES[f.grade][0]}</span> {text(f.text)}' for f in stream.verdict
        )
        rows.append([text(stream.name), sentences or '<span class="good">good</span> nothing to remark'])
    return table(("stream", "what was found"), rows, "words")


def _clocks(report: SyncReport) -> str:
    rows = [_clock_row(stream) for stream in report.streams.values()]
    head = (
        *("stream", "messages", "Hz", "jitter p95, ms", "missing", "copies", "out of order"),
        *("skew, ppm", "sigma, ms", "delay p50, ms", "p99"),
    )
    told = "Skew: by how much the host runs faster. Sigma: of the offset to the host. Delays are over the least one."
    return table(head, rows) + note(told)


def _clock_row(stream: StreamReport) -> list[str]:
    steps, clock = stream.steps, stream.clock
    delay = clock.delay_ms or {}
    cells = [
        count(steps.count),
        "–" if steps.rate_hz is None else f"{steps.rate_hz:.2f}",
        milliseconds(steps.jitter_ms.get("p95")),
        count(steps.missing),
        count(steps.duplicates),
        count(steps.out_of_order),
        skew_words(stream),
        milliseconds(clock.sigma_ms),
        milliseconds(delay.get("p50")),
        milliseconds(delay.get("p99")),
    ]
    return [text(stream.name), *(text(c) for c in cells)]


def _offsets(report: SyncReport) -> str:
    rows = [_offset_row(s, s.content) for s in report.streams.values() if s.content is not None]
    head = ("stream", "differs by", "against", "peak", "lead", "excitation", "drift, ppm", "windows", "by")
    told = (
        "What must be added to the rig's offset; peak and lead are the correlation's and its lead over the next best."
    )
    return table(head, rows, "last-words") + note(told) if rows else ""


def _offset_row(stream: StreamReport, content: ContentReport) -> list[str]:
    whole = content.whole
    drift = "–"
    if content.drift_ppm is not None and content.drift_sigma_ppm is not None:
        drift = f"{content.drift_ppm:+.0f} ± {content.drift_sigma_ppm:.0f}"
    seen = sum(o.accepted for o in content.windows)
    cells = [offset_words(stream), whole.reference, f"{whole.peak:.2f}", f"{whole.gap:.2f}", f"{whole.excitation:.3g}"]
    cells += [drift, f"{seen} of {len(content.windows)}", whole.method if whole.accepted else "–"]
    return [text(stream.name), *(text(c) for c in cells)]


def _waits(report: SyncReport) -> str:
    found = report.completeness
    if found is None:
        return ""
    rows = []
    for name, waits in {**found.streams, "all": found.all}.items():
        shares = (percent_words(waits.share[found.grid_ms.index(w)]) for w in SHOWN_WAITS_MS)
        rows.append([text(name), *(text(c) for c in (*shares, *deadline_words(waits), percent_words(waits.never)))])
    head = ("stream", *(f"{w} ms" for w in SHOWN_WAITS_MS), "99 %, ms", "99.9 %, ms", "never")
    told = f"Per cent of {found.ticks} ticks at {found.rate_hz:g} Hz that are complete after waiting so long. 99 % and "
    told += (
        "99.9 %: the shortest deadline with which so many are complete of the ticks that have a sample; never: those "
    )
    suggested = report.settings.get(FUSION, {}).get("deadline_ms")
    told += "without one." + (f" Suggested deadline: {suggested:g} ms." if suggested is not None else "")
    if any("offset_s" in values for values in report.settings.values()):
        told += " This is with the rig's offsets as they are: look again with the new ones."
    return table(head, rows) + note(text(told))
