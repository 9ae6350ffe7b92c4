"""What `sensorfuse sync` found, for a terminal of 80 columns."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sensorfuse.report.wording import milliseconds
from sensorfuse.sync.completeness import CompletenessReport, WaitReport
from sensorfuse.sync.settings import settings_yaml
from sensorfuse.sync.stream_report import StreamReport, SyncReport

MARKS = {"good": ("ok", "green"), "note": ("--", "yellow"), "bad": ("!!", "red")}
SHOWN_WAITS_MS = (0, 20, 50, 100, 150, 200, 300)


def print_report(report: SyncReport, console: Console) -> None:
    """Tables of clocks and waits, the verdicts, and the settings to paste."""
    rig = f"rig {report.rig}" if report.rig else "no rig: give one with --rig for offsets and content"
    head = f"{report.path} ({report.format}): {report.messages} messages in {report.duration_s:.1f} s; {rig}"
    console.print(head, highlight=False, soft_wrap=True, markup=False)
    console.print(_clocks(report))
    for stream in report.streams.values():
        _print_verdict(stream, console)
    for note in report.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True, markup=False)
    if report.completeness is not None:
        console.print(_waits(report.completeness))
    text = settings_yaml(report.settings)
    if text:
        console.print("Settings to paste into the rig:", highlight=False)
        console.print(text.rstrip(), highlight=False, markup=False, soft_wrap=True)


def _clocks(report: SyncReport) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("stream", "Hz", "jitter", "missing", "offset by content", "skew ppm", "delay p50", "p99"):
        table.add_column(name, justify="left" if name == "stream" else "right", no_wrap=True)
    for stream in report.streams.values():
        steps, delay = stream.steps, stream.clock.delay_ms or {}
        table.add_row(
            stream.name,
            "–" if steps.rate_hz is None else f"{steps.rate_hz:.2f}",
            milliseconds(steps.jitter_ms.get("p95")),
            str(steps.missing),
            offset_words(stream),
            skew_words(stream),
            milliseconds(delay.get("p50")),
            milliseconds(delay.get("p99")),
        )
    table.caption = "Hz of messages; the rest in ms: jitter is the p95 of the stamps' steps, delays are over the least"
    table.caption_justify = "left"
    return table


def offset_words(stream: StreamReport) -> str:
    """The offset by content with its sigma, in ms or s."""
    if stream.content is None:
        return "–"
    whole = stream.content.whole
    if not whole.accepted:
        return "unobservable"
    if abs(whole.offset_s) >= 10:
        return f"{whole.offset_s:+.3f} ± {whole.sigma_s:.3f} s"
    return f"{1e3 * whole.offset_s:+.2f} ± {1e3 * whole.sigma_s:.2f} ms"


def skew_words(stream: StreamReport) -> str:
    """By how much the host runs faster, with its sigma."""
    clock = stream.clock
    if clock.skew_ppm is None or clock.skew_sigma_ppm is None:
        return "–"
    return f"{clock.skew_ppm:+.1f} ± {clock.skew_sigma_ppm:.1f}"


def _print_verdict(stream: StreamReport, console: Console) -> None:
    for finding in stream.verdict:
        mark, colour = MARKS[finding.grade]
        line = Text.assemble((f"{mark} ", colour), (f"{stream.name}: ", "bold"), finding.text)
        console.print(line, soft_wrap=True)


def _waits(found: CompletenessReport) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), title="Complete ticks against waiting time", title_justify="left")
    table.add_column("stream", no_wrap=True)
    for wait in SHOWN_WAITS_MS:
        table.add_column(f"{wait} ms", justify="right")
    for name in ("99 %", "99.9 %", "never"):
        table.add_column(name, justify="right")
    rows = {**found.streams, "all": found.all}
    for name, waits in rows.items():
        shares = (percent_words(waits.share[found.grid_ms.index(w)]) for w in SHOWN_WAITS_MS)
        table.add_row(name, *shares, *deadline_words(waits), percent_words(waits.never))
    table.caption = (
        f"{found.ticks} ticks at {found.rate_hz:g} Hz; 99 %, 99.9 %: shortest deadline in ms for so many of the ticks "
        "that have a sample; never: ticks without one"
    )
    table.caption_justify = "left"
    return table


def deadline_words(waits: WaitReport) -> tuple[str, str]:
    """The deadlines for 99 % and 99.9 %."""
    shown = ("> 300" if d is None else str(d) for d in (waits.deadline_99_ms, waits.deadline_999_ms))
    first, second = shown
    return first, second


def percent_words(share: float) -> str:
    """A share in per cent; 100 and 0 are kept for what is exactly so."""
    if share in (0.0, 1.0):
        return f"{100 * share:.0f}"
    return f"{min(max(100 * share, 0.1), 99.9):.1f}"
