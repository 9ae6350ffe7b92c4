"""Commands that measure what this machine gives: `sensorfuse bench strategies`, `transport` and `guard`."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sensorfuse.cli.app import (
    JsonOption,
    RigOption,
    WeightsOption,
    command_line,
    console,
    find_rig,
    prepare,
    write_figures,
)
from sensorfuse.cli.bench import bench_app


def _bar(stack: ExitStack) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return stack.enter_context(Progress(*columns, console=console, transient=True))


@bench_app.command("strategies")
def bench_strategies(
    rig: RigOption = "synthetic",
    strategy: Annotated[list[str] | None, typer.Option("--strategy", "-s", help="may be given again; all")] = None,
    backend: Annotated[list[str] | None, typer.Option("--backend", help="may be given again")] = None,
    precision: Annotated[list[str] | None, typer.Option("--precision", help="may be given again; fp32")] = None,
    presence: Annotated[
        str, typer.Option("--presence", help="losses, all (every subset), or states: full,no_lidar,...")
    ] = "losses",
    ticks: Annotated[int, typer.Option("--ticks", min=3, help="ticks timed per row; p99.9 from 1000 on")] = 300,
    rate: Annotated[float, typer.Option("--rate", min=0, help="ticks a second; 0: back to back")] = 0.0,
    threads: Annotated[int, typer.Option("--threads", min=1, help="within an operator")] = 1,
    cores: Annotated[int, typer.Option("--cores", min=0, help="keep to so many cores; 0: all")] = 1,
    load: Annotated[int, typer.Option("--load", min=0, help="so many busy processes beside it")] = 0,
    untrained: Annotated[bool, typer.Option("--untrained", help="also strategies without weights (for time)")] = False,
    weights: WeightsOption = None,
    as_json: JsonOption = None,
    html: Annotated[Path | None, typer.Option("--html", help="write a page there")] = None,
) -> None:
    """Latency, memory and accuracy of each strategy by backend, precision and presence of the sensors.

    Example: sensorfuse bench strategies --presence losses --html out/strategies.html --json out/strategies.json
    """
    from sensorfuse.bench.strategies import measure, ways_of
    from sensorfuse.bench.strategies_page import write_page
    from sensorfuse.bench.strategies_table import print_figures
    from sensorfuse.bench.untrained import stand_ins
    from sensorfuse.fusion.model_files import weights_of
    from sensorfuse.fusion.strategies import find_strategy, ready_strategies, strategy_names

    for name in strategy or []:
        find_strategy(name)
    model = find_rig(rig, None, weights).with_fusion(threads=threads)
    names = strategy or (strategy_names() if untrained else ready_strategies(weights_of(model)))
    with ExitStack() as stack:
        bar = _bar(stack)
        task = bar.add_task("opening", total=1.0)
        if untrained:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stand_ins(names, weights_of(model), folder, lambda name: bar.update(task, description=f"exporting {name}"))
            model = model.with_fusion(weights=str(folder))
        ways = ways_of(names, backend or ["onnxruntime-cpu"], precision or ["fp32"])

        def show(what: str, share: float) -> None:
            bar.update(task, description=what, completed=share)

        figures = measure(model, ways, presence, ticks, rate, cores, load, show)
    print_figures(figures, console)
    write_figures(figures, as_json)
    if html is not None:
        prepare(html.parent)
        write_page(html, figures, command_line())
        console.print(f"page: {html}")


@bench_app.command("transport")
def bench_transport(
    size: Annotated[list[str] | None, typer.Option("--size", help="one size only; may be given again")] = None,
    messages: Annotated[int, typer.Option("--messages", min=10, help="of each size and way")] = 200,
    pace: Annotated[float, typer.Option("--pace", min=1, help="messages a second, all ways together")] = 60.0,
    as_json: JsonOption = None,
) -> None:
    """One way between two processes: this package beside bare ZeroMQ, iceoryx2 and a queue, by message size.

    Example: sensorfuse bench transport --json out/transport.json
    """
    from sensorfuse.bench.transport import SIZES, measure, print_figures

    with ExitStack() as stack:
        bar = _bar(stack)
        task = bar.add_task("starting", total=messages)
        figures = measure(
            size or tuple(SIZES), messages, pace, lambda what, done: bar.update(task, description=what, completed=done)
        )
    print_figures(figures, console)
    write_figures(figures, as_json)


@bench_app.command("guard")
def bench_guard(
    rig: RigOption = "synthetic",
    rounds: Annotated[int, typer.Option("--rounds", min=3)] = 15,
    history: Annotated[Path, typer.Option("--history", help="earlier runs, a line each; this one is added")] = Path(
        "out/bench/history.jsonl"
    ),
    fail: Annotated[bool, typer.Option("--fail", help="exit with code 1 if anything got slower")] = False,
    as_json: JsonOption = None,
) -> None:
    """What got slower since the last run of the rig on this machine, beyond noise.

    Example: sensorfuse bench guard --fail
    """
    from sensorfuse.bench.guard import compare, last_run, measure, print_changes, record

    with ExitStack() as stack:
        bar = _bar(stack)
        task = bar.add_task("measuring", total=1.0)
        figures = measure(find_rig(rig, None), rounds, lambda share: bar.update(task, completed=share))
    before = last_run(history, figures["machine"], figures["rig"])
    changes = compare(figures, before)
    print_changes(changes, before, console)
    record(history, figures)
    write_figures(figures, as_json)
    if fail and any(c.slower for c in changes):
        raise typer.Exit(1)
