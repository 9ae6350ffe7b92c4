"""Commands that make synthetic worlds: sim, dataset, sheet."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sensorfuse.cli.app import RigOption, SeedOption, app, console, find_rig, prepare, writable
from sensorfuse.errors import SensorfuseError

SIMULATED_EPOCH_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z: any instant, the same in every simulated log


@app.command()
def sim(
    scenario: Annotated[
        str | None, typer.Argument(help="a shipped scenario or a .yaml file; default: the rig's")
    ] = None,
    target: Annotated[Path, typer.Option("--out", "-o", help="the MCAP file to write")] = Path("out/sim.mcap"),
    rig: RigOption = "synthetic",
    seed: SeedOption = None,
    duration: Annotated[float, typer.Option("--duration", "-d", help="seconds")] = 10.0,
    force: Annotated[bool, typer.Option("--force", help="overwrite the target")] = False,
) -> None:
    """Write a synthetic world as a log, truth beside the data: the same seed, the same bytes.

    Example: sensorfuse sim town_rain --seed 3 --duration 20 --out out/rain.mcap
    """
    from sensorfuse.sim import SimulatedRig
    from sensorfuse.sim.recording import write_simulated_log

    world = SimulatedRig(find_rig(rig, None), scenario, seed, SIMULATED_EPOCH_NS)
    duration_ns = _duration_ns(duration)
    writable(target, force)
    columns = (TextColumn("simulating"), BarColumn(), TextColumn("{task.fields[rate]:.1f} x real time"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=duration, rate=0.0)
        started = time.monotonic()

        def show(done_ns: int) -> None:
            rate = done_ns / 1e9 / max(time.monotonic() - started, 0.1)
            bar.update(task, completed=done_ns / 1e9, rate=rate)

        counts = write_simulated_log(world, target, duration_ns, show)
    console.print_json(json.dumps(counts))
    console.print(f"log   {target}", highlight=False, soft_wrap=True)


@app.command()
def dataset(
    scenarios: Annotated[
        list[str] | None, typer.Argument(help="shipped scenarios or .yaml files; default: the rig's")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", "-o", help="folder for the logs and their index")] = Path(
        "out/dataset"
    ),
    rig: RigOption = "synthetic",
    worlds: Annotated[int, typer.Option("--worlds", "-n", help="of each scenario", min=1)] = 10,
    seed: Annotated[int, typer.Option("--seed", help="of each scenario's first world", min=0)] = 0,
    duration: Annotated[float, typer.Option("--duration", "-d", help="seconds of each world")] = 10.0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="worlds made at a time", min=1)] = 1,
) -> None:
    """Write many synthetic worlds, a log each, truth beside the data. Stopped and started again, it goes on.

    Example: sensorfuse dataset town town_rain --worlds 50 --duration 20 --jobs 2 --out out/worlds
    """
    from sensorfuse.sim.log_dataset import write_dataset

    model = find_rig(rig, None)
    names = scenarios or [model.sim.scenario if model.sim else "town"]
    wanted = [(name, seed + k) for k in range(worlds) for name in names]
    files = write_dataset(model, wanted, folder, _duration_ns(duration), SIMULATED_EPOCH_NS, jobs)
    columns = (TextColumn("worlds"), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        sizes = [file.stat().st_size for file in bar.track(files, total=len(wanted))]
    console.print(f"{len(sizes)} logs, {sum(sizes) / 1e6:.0f} MB in {folder}", highlight=False, soft_wrap=True)


@app.command()
def sheet(
    scenarios: Annotated[
        list[str] | None, typer.Argument(help="shipped scenarios or .yaml files; default: all shipped")
    ] = None,
    target: Annotated[Path, typer.Option("--out", "-o", help="the picture to write, .png or .jpg")] = Path(
        "out/scenarios.jpg"
    ),
    rig: RigOption = "synthetic",
    seed: Annotated[int, typer.Option("--seed", help="of each world", min=0)] = 6,
    at: Annotated[float, typer.Option("--at", help="seconds from the scenario's beginning", min=0)] = 20.0,
) -> None:
    """Draw what every sensor of a rig gives in each scenario: one row per scenario, one column per sensor.

    Example: sensorfuse sheet town town_fog --at 35 --out out/scenarios.png
    """
    from sensorfuse.report.contact_sheet import contact_sheet
    from sensorfuse.report.palette import jpeg_bytes, png_bytes
    from sensorfuse.sim.scenario import scenarios as shipped

    if target.suffix not in (".png", ".jpg", ".jpeg"):
        raise SensorfuseError(f"--out {target}: expected a file that ends in .png or .jpg")
    prepare(target.parent)
    figure = contact_sheet(find_rig(rig, None), scenarios or list(shipped()), seed, at)
    target.write_bytes(png_bytes(figure, 100) if target.suffix == ".png" else jpeg_bytes(figure, 100))
    console.print(f"picture   {target}", highlight=False, soft_wrap=True)


def _duration_ns(seconds: float) -> int:
    if not 0 < seconds < 86_400:
        raise SensorfuseError(f"--duration {seconds:g}: expected more than 0 seconds and less than a day")
    return round(seconds * 1e9)
