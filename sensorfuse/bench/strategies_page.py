"""`strategies.html`: one self-contained page by which to choose a strategy for a machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sensorfuse.bench.strategies_table import BUDGET_MS, conclusions, encode_ms, front, way_of, worst_loss
from sensorfuse.bench.strategy_rows import FULL
from sensorfuse.errors import SensorfuseError
from sensorfuse.report.markup import chart, note, section, table, text
from sensorfuse.report.page import NARROW_DPI, THEMES, WIDE_DPI
from sensorfuse.report.palette import Theme, plain_axes, png_bytes
from sensorfuse.report.sync_charts import HUES
from sensorfuse.report.timeline import NARROW_IN, WIDE_IN

MARKS = "osD^vP"
PARTS = ("dispatch", "memory", "arithmetic")
Rows = list[dict[str, Any]]


def write_page(path: Path, figures: dict[str, Any], command: str) -> None:
    """Write the page of what `bench.strategies.measure` found.

    Raises:
        SensorfuseError: the file can't be written.
    """
    template = Template((resources.files("sensorfuse.report") / "page.html").read_text(encoding="utf-8"))
    said = conclusions(figures)
    machine = figures["machine"]
    kicker = f"sensorfuse bench strategies · rig {figures['rig']} · {machine['name']}, {figures['threads']} thread(s)"
    page = template.substitute(
        title=text(f"strategies on {machine['name']}"),
        kicker=text(kicker),
        headline=text(said[0][0].upper() + said[0][1:] + "."),
        body="\n".join(_body(figures, said[1:], command)),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise SensorfuseError(f"--html {path}: cannot be written: {error.strerror or error}") from None


def _body(figures: dict[str, Any], said: list[str], command: str) -> list[str]:
    rows: Rows = figures["rows"]
    full = [r for r in rows if r["presence"] == FULL] or rows
    best = ", ".join(way_of(r) for r in front(rows))
    told = note(
        f"Up and to the left is better. On the line, where nothing is both faster and more accurate: {text(best)}. "
        f"Dashed: {BUDGET_MS:g} ms. Score: NDS on unseen worlds, from the card beside each network. A hollow mark is "
        "the same strategy with one sensor lost."
    )
    return [
        _tiles(figures, rows),
        section("front", "Accuracy against latency", _chart(partial(front_figure, rows), FRONT), told if best else ""),
        section("choose", "With every sensor", _choice(full), note(UNITS)),
        section(
            "losses", "When sensors are lost", _losses(rows), *(note(text(s[0].upper() + s[1:] + ".")) for s in said)
        ),
        section(
            "encoders", "Encoders", _encoders(full), note("Median and 99th percentile, ms; they run as samples arrive.")
        ),
        section("limits", "What limits each", _chart(partial(limit_figure, full), LIMITS), _limits(full, figures)),
        section("rows", "Every row", _every(rows)),
        section("how", "How it was measured", _how(figures, command)),
    ]


FRONT = "Score against the 99th percentile of a tick's latency, per strategy and way to run it"
LIMITS = "What a tick's time goes to: outside the fusion network, and in it as measured, by the longest of three limits"


UNITS = (
    "Times in ms, memory and files in MB, energy in J a tick. Encode: one run of each encoder, between ticks. Bold: on "
    "the line above."
)


def _chart(draw: Callable[..., Figure | None], words: str) -> str:
    def png(theme: str, narrow: bool) -> bytes | None:
        figure = draw(THEMES[theme], NARROW_IN if narrow else WIDE_IN)
        return None if figure is None else png_bytes(figure, NARROW_DPI if narrow else WIDE_DPI)

    return chart(png, words)


def _tile(name: str, value: str, unit: str, more: str) -> str:
    return (
        f'<div class="tile"><div class="name">{text(name)}</div>'
        f'<div class="value">{text(value)} <small>{text(unit)}</small></div><div class="more">{text(more)}</div></div>'
    )


def _tiles(figures: dict[str, Any], rows: Rows) -> str:
    full = [r for r in rows if r["presence"] == FULL]
    scored = [r for r in full if r["nds"] is not None]
    tiles = []
    if full:
        row = min(full, key=lambda r: float(r["tick_ms"]["p99"]))
        tiles.append(_tile("fastest tick, p99", f"{row['tick_ms']['p99']:.1f}", "ms", way_of(row)))
    if scored:
        row = max(scored, key=lambda r: (float(r["nds"]), -float(r["tick_ms"]["p99"])))
        more = f"{way_of(row)}, p99 {row['tick_ms']['p99']:.1f} ms"
        tiles.append(_tile("most accurate", f"{row['nds']:.3f}", "NDS", more))
    worst = worst_loss(rows, "computed")
    if worst is not None:
        change = f"{100 * worst['against_full']['computed']:+.1f}"
        tiles.append(_tile("a lost sensor, at worst", change, "% CPU", f"{way_of(worst)}, {worst['presence']}"))
    opened = str(figures["opened_while_measuring"])
    tiles.append(_tile("networks opened anew", opened, "", "while sensors came and went"))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def front_figure(rows: Rows, theme: Theme, width_in: float) -> Figure | None:
    """Score against p99; None where no row has a score."""
    scored = [r for r in rows if r["nds"] is not None]
    if not scored:
        return None
    figure, ax = _axes(theme, width_in, 4.0)
    ways = list(dict.fromkeys(way_of(r) for r in scored))
    best = front(rows)
    ax.plot([r["tick_ms"]["p99"] for r in best], [r["nds"] for r in best], color=theme.muted, linewidth=1.2, zorder=1)
    for k, way in enumerate(ways):
        hue, mark = HUES[k % len(HUES)], MARKS[k % len(MARKS)]
        for row in (r for r in scored if way_of(r) == way):
            whole = row["presence"] == FULL
            style = {"facecolor": hue, "s": 70} if whole else {"facecolor": "none", "s": 26, "alpha": 0.8}
            ax.scatter(row["tick_ms"]["p99"], row["nds"], marker=mark, edgecolor=hue, zorder=3 if whole else 2,
                       label=way if whole else None, **style)  # fmt: skip
    ax.axvline(BUDGET_MS, color=theme.muted, linewidth=1.0, linestyle=(0, (3, 2)), zorder=0)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.xaxis.set_minor_formatter(FuncFormatter(lambda v, _: f"{v:g}" if f"{v:.1e}"[0] in "235" else ""))
    ax.tick_params(which="minor", colors=theme.muted, labelsize=8, length=0)
    ax.set_xlabel("a tick's latency, 99th percentile, ms (log)", fontsize=8, color=theme.muted)
    ax.set_ylabel("NDS", fontsize=8, color=theme.muted)
    figure.legend(loc="upper left", ncols=1 if width_in < 6 else 2, frameon=False, fontsize=8, labelcolor=theme.muted)
    return figure


def limit_figure(rows: Rows, theme: Theme, width_in: float) -> Figure | None:
    """A bar per way: the median tick, split into the fusion network and the rest; None without networks."""
    shown = [r for r in rows if r["network_ms"] is not None]
    if not shown:
        return None
    figure, ax = _axes(
        theme, width_in, 0.9 + 0.34 * len(shown), left_in=0.075 * max(len(way_of(r)) for r in shown) + 0.2
    )
    for y, row in enumerate(shown):
        whole, network = row["tick_ms"]["p50"], min(row["network_ms"], row["tick_ms"]["p50"])
        ax.barh(y, network, 0.62, color=HUES[0], label="fusion network" if y == 0 else None)
        ax.barh(y, whole - network, 0.62, left=network, color=theme.accent_soft, label="the rest" if y == 0 else None)
    ax.set_yticks(range(len(shown)), [way_of(r) for r in shown], color=theme.text, fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel("median of a tick, ms", fontsize=8, color=theme.muted)
    figure.legend(loc="upper left", ncols=2, frameon=False, fontsize=8, labelcolor=theme.muted)
    return figure


def _axes(theme: Theme, width_in: float, height_in: float, left_in: float = 0.62) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width_in, height_in), facecolor=theme.ground)
    left_in = min(left_in, 0.45 * width_in)
    bottom, top = 0.48, 0.62 if height_in > 3 else 0.34
    box = (left_in / width_in, bottom / height_in, 1 - (left_in + 0.2) / width_in, 1 - (bottom + top) / height_in)
    ax = figure.add_axes(box)
    plain_axes(ax, theme, "both")
    ax.yaxis.set_major_locator(MaxNLocator(6))
    return figure, ax


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _choice(rows: Rows) -> str:
    best = {id(r) for r in front(rows)}
    counted = any(r["joules"] is not None for r in rows)
    lines = []
    for row in sorted(rows, key=lambda r: float(r["tick_ms"]["p99"])):
        took = row["tick_ms"]
        name = f"<b>{text(way_of(row))}</b>" if id(row) in best else text(way_of(row))
        lines.append([
            name, _ms(took["p50"]), _ms(took["p99"]), _ms(took["jitter"]), _ms(row["computed_ms"]), _ms(encode_ms(row)),
            "–" if row["nds"] is None else f"{row['nds']:.3f}", "–" if row["map"] is None else f"{row['map']:.3f}",
            f"{row['cold_ms']:.0f}", f"{row['memory_mb']:.0f}", f"{row['model_mb']:.1f}" if row["model_mb"] else "–",
            *([f"{row['joules']:.3f}"] if counted else []),
        ])  # fmt: skip
    head = ("strategy", "p50", "p99", "jitter", "CPU", "encode", "NDS", "mAP", "cold", "memory", "files")
    return table((*head, *(["energy"] if counted else [])), lines)


def _losses(rows: Rows) -> str:
    states = list(dict.fromkeys(r["presence"] for r in rows))
    lines = []
    for way in dict.fromkeys(way_of(r) for r in rows):
        cells = []
        for state in states:
            row = next(r for r in rows if way_of(r) == way and r["presence"] == state)
            change = row["against_full"].get("computed") if state != FULL else None
            score = "" if row["nds"] is None else f'<br><span class="muted">NDS {row["nds"]:.3f}</span>'
            moved = "" if change is None else f' <span class="muted">{100 * change:+.0f} %</span>'
            cells.append(f"{_ms(row['computed_ms'])}{moved}{score}")
        lines.append([text(way), *cells])
    told = note("Median processor time of a tick in ms, the change against every sensor, and the score where measured.")
    return table(("strategy", *(text(s) for s in states)), lines) + told


def _encoders(rows: Rows) -> str:
    kinds = list(dict.fromkeys(m for r in rows for m in r["encode_ms"]))
    lines = [
        [
            text(way_of(r)),
            *(f"{_ms(e['p50'])} / {_ms(e['p99'])}" if (e := r["encode_ms"].get(k)) else "–" for k in kinds),
        ]
        for r in rows
    ]
    return table(("strategy", *(text(k) for k in kinds)), lines)


def _limits(rows: Rows, figures: dict[str, Any]) -> str:
    known = [r for r in rows if r["limit"] and "gflop" in r["limit"]]
    lines = [
        [
            text(way_of(r)), text(r["limit"]["name"]), _ms(r["network_ms"]),
            *(_ms(r["limit"][f"{p}_ms"]) for p in PARTS),
            f"{r['limit']['gflop']:.2f}", f"{r['limit']['mb_moved']:.0f}", str(r["limit"]["operators"]),
        ]
        for r in known
    ]  # fmt: skip
    if not lines:
        return ""
    head = ("strategy", "limit", "network", *PARTS, "GFLOP", "MB", "operators")
    machine = figures["machine"]
    told = note(
        "Median of the network alone, and what each limit alone would take, in ms, from the network's graph and this "
        f"machine as measured: {machine['gflop_per_s']:.0f} GFLOP/s, {machine['gb_per_s']:.1f} GB/s, "
        f"{machine['operator_us']:.1f} µs to start an operator; outside: most of the tick is not the network. Memory "
        "counts every operator's inputs and outputs, so caches can beat it."
    )
    return table(head, lines) + told


def _every(rows: Rows) -> str:
    lines = [
        [text(way_of(r)), text(r["presence"]), *(_ms(r["tick_ms"][k]) for k in ("p50", "p90", "p99", "p999", "max"))]
        for r in rows
    ]
    return table(("strategy", "presence", "p50, ms", "p90", "p99", "p99.9", "max"), lines)


def _how(figures: dict[str, Any], command: str) -> str:
    rate = f"at {figures['rate_hz']:g} Hz" if figures["rate_hz"] else "one after the other"
    words = (
        f"{figures['samples']} ticks a row, {rate}; rows took turns in an order drawn anew each round, so that "
        "what else the machine did hit all of them alike. A tick is: features moved to its time, two sweeps made one, "
        "fusion network, heads, decoding; encoders run before it. CPU is processor time of the process. Cold: opening, "
        "and the first tick with its encoders. Memory: what opening added, rows share libraries."
    )
    left = [[text(name), text(reason)] for name, reason in figures["left_out"].items()]
    return (
        f"<pre>{text(command)}</pre>" + note(text(words)) + note(text(f"Energy: {figures['energy']}."))
        + (table(("left out", "why"), left, "words") if left else "")
    )  # fmt: skip
