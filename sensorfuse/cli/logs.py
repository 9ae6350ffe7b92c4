"""Commands that look at logs: info, sync, convert."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from sensorfuse.cli.app import JsonOption, app, console, prepare, writable, write_figures


@app.command()
def info(
    log: Annotated[Path, typer.Argument(help="any log that replay takes")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say what a log holds: streams, rates, gaps, jumps, duplicates, first and last stamps.

    Example: sensorfuse info drive.mcap
    """
    from sensorfuse.log import open_log
    from sensorfuse.log.info import render, summarize

    with open_log(log) as reader:
        summary = summarize(reader)
    if as_json:
        print(json.dumps(summary.to_dict(), indent=2))
    else:
        console.print(render(summary))


@app.command()
def sync(
    log: Annotated[Path, typer.Argument(help="any log that replay takes")],
    rig: Annotated[
        str | None, typer.Option("--rig", "-r", help="rig file, or a shipped rig; default: the one that fits the log")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="folder for sync.html, a page with plots")] = None,
    write: Annotated[
        Path | None, typer.Option("--write", help="rig file to write, the settings that were found in it")
    ] = None,
    as_json: JsonOption = None,
    content: Annotated[
        bool, typer.Option("--content/--no-content", help="also compare what the streams saw: takes longer")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="overwrite the rig file to write")] = False,
) -> None:
    """Say how the clocks of a log relate: offset, skew, jitter, jumps and delays per stream, in figures and words; how
    many ticks any deadline would complete; and the rig settings that follow.

    Example: sensorfuse sync drive.mcap --rig my_rig.yaml --out out/sync --write tuned_rig.yaml
    """
    from sensorfuse.report.sync_page import write_sync_page
    from sensorfuse.report.sync_terminal import print_report
    from sensorfuse.sync.settings import write_rig
    from sensorfuse.sync.survey import survey_log

    if write is not None:
        writable(write, force)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {log}")

        def show(messages: int, seconds: float) -> None:
            bar.update(task, description=f"reading {log}: {messages} messages, {seconds:.0f} s of the log")

        model, report = survey_log(log, rig, content, show)
    print_report(report, console)
    deadline = None if model is None else model.fusion.deadline_ms
    if out is not None:
        console.print(f"page   {write_sync_page(prepare(out), report, deadline)}", highlight=False, soft_wrap=True)
    if write is not None:
        write_rig(rig, model, report.settings, write)
        console.print(f"rig    {write}", highlight=False, soft_wrap=True)
    write_figures(report.to_dict(), as_json)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="any log that replay takes")],
    target: Annotated[Path, typer.Argument(help="the MCAP file to write")],
    force: Annotated[bool, typer.Option("--force", help="overwrite the target")] = False,
) -> None:
    """Convert a log to MCAP of standard ROS 2 messages.

    Example: sensorfuse convert drive.bag drive.mcap
    """
    from sensorfuse.log.convert import convert as convert_log

    writable(target, force)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("converting")
        started = time.monotonic()

        def show(done: int) -> None:
            bar.update(
                task, description=f"converting: {done} messages, {done / max(time.monotonic() - started, 0.1):.0f}/s"
            )

        counts = convert_log(source, target, progress=show)
    console.print_json(json.dumps(counts))
