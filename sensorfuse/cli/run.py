"""Commands that run the pipeline: run, replay, record, demo; and doctor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sensorfuse.cli.app import (
    OutOption,
    RigOption,
    ScenarioOption,
    SeedOption,
    StrategyOption,
    WeightsOption,
    app,
    console,
    find_rig,
    live_rig,
    prepare,
)
from sensorfuse.errors import SensorfuseError

ORPHAN_S = 60.0  # processes of a live run wait so long for another supervisor when theirs is killed


def execute_plan(
    plan: Any, total_s: float | None = None, limits: Sequence[Any] = (), taken_over: Any = None, strict: bool = True
) -> Any:
    """Run a plan with a progress bar and print what came of it; `strict`: what a process could not do is an error."""
    from sensorfuse.nodes.launch import execute
    from sensorfuse.report.summary import print_summary

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[ticks]} ticks, {task.fields[rate]:.1f}/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting processes", total=total_s, ticks=0, rate=0.0)

        def show(collector: Any, elapsed_s: float) -> None:
            n = len(collector.frame_ids)
            done = max(0.0, elapsed_s)
            progress.update(task, description="fusing", completed=done, ticks=n, rate=n / max(done, 0.1))

        plan.on_progress = show
        result = execute(plan, limits=limits, taken_over=taken_over)
    print_summary(result.summary, console)
    console.print(f"fused log   {result.out / 'fused.mcap'}", highlight=False, soft_wrap=True)
    console.print(f"summary     {result.out / 'summary.json'}", highlight=False, soft_wrap=True)
    console.print(f"report      {result.report}", highlight=False, soft_wrap=True)
    if result.failures and strict:
        raise SensorfuseError("the run went on, but " + "; ".join(result.failures))
    return result


def plan_of(target: str, rig: str, strategy: str | None, out: Path, rate: float | None) -> Any:
    """A plan for a log (a file or folder that exists and is no rig file) with `rig`, or for a rig to run live."""
    from sensorfuse.nodes.launch import check_log
    from sensorfuse.nodes.plan import RunPlan

    path = Path(target)
    if not path.exists() or path.suffix in (".yaml", ".yml"):
        return RunPlan(live_rig(target, strategy), "run", out)
    model = find_rig(rig, strategy)
    start_ns = check_log(path, model, allow_missing=False)
    return RunPlan(model, "replay", out, log=path, log_start_ns=start_ns, rate=rate)


@app.command()
def run(
    rig: Annotated[str, typer.Argument(help="rig file, or the name of a shipped rig")],
    out: OutOption = Path("out/run"),
    strategy: StrategyOption = None,
    weights: WeightsOption = None,
    duration: Annotated[float | None, typer.Option("--duration", "-d", help="seconds; default: until Ctrl-C")] = None,
    record_inputs: Annotated[bool, typer.Option("--record-inputs", help="record the sensors' samples too")] = False,
    scenario: ScenarioOption = None,
    seed: SeedOption = None,
    attach: Annotated[
        bool, typer.Option("--attach", help="take over this rig's run, whose supervisor is no more; other options stay")
    ] = False,
) -> None:
    """Run a rig live: every sensor a process, fused frames until Ctrl-C.

    Example: sensorfuse run synthetic --scenario town_fog --duration 20 --out out/run
    """
    from sensorfuse.nodes.plan import RunPlan
    from sensorfuse.nodes.run_state import find_run, plan_of_state

    if attach:
        state, running = find_run(find_rig(rig, None))
        execute_plan(plan_of_state(state, running, duration), duration, taken_over=state)
        return
    model = live_rig(rig, strategy, scenario, seed, weights)
    plan = RunPlan(model, "run", prepare(out), duration_s=duration, record_inputs=record_inputs, orphan_s=ORPHAN_S)
    execute_plan(plan, duration)


@app.command()
def replay(
    log: Annotated[
        Path, typer.Argument(help="MCAP, ROS bag, or a folder of RADIATE, EuRoC, KITTI raw, nuScenes; or a GoPro MP4")
    ],
    rig: RigOption = "synthetic",
    out: OutOption = Path("out/replay"),
    strategy: StrategyOption = None,
    weights: WeightsOption = None,
    rate: Annotated[str, typer.Option("--rate", help="log seconds per second, or `max`")] = "1",
    deterministic: Annotated[bool, typer.Option("--deterministic", help="same log, same bytes, at any rate")] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="replay although the log lacks a stream of the rig")
    ] = False,
) -> None:
    """Run the pipeline on a recorded log.

    Example: sensorfuse replay drive.mcap --rig my_rig.yaml --rate max --out out/replay
    """
    from sensorfuse.nodes.launch import check_log
    from sensorfuse.nodes.supervisor import RunPlan

    model = find_rig(rig, strategy, weights)
    start_ns = check_log(log, model, allow_missing)
    plan = RunPlan(
        model, "replay", prepare(out), log=log, log_start_ns=start_ns, rate=read_rate(rate), deterministic=deterministic
    )
    execute_plan(plan)


def read_rate(text: str) -> float | None:
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 100:
        raise SensorfuseError(f"--rate {text}: expected a number from 0.01 to 100, or `max`")
    return value


@app.command()
def record(
    rig: Annotated[str, typer.Argument(help="rig file, or the name of a shipped rig")],
    out: OutOption = Path("out/record"),
    duration: Annotated[float | None, typer.Option("--duration", "-d", help="seconds; default: until Ctrl-C")] = None,
) -> None:
    """Record a rig's sensors into an MCAP log, without fusing.

    Example: sensorfuse record synthetic --duration 10 --out out/record
    """
    from sensorfuse.nodes.supervisor import RunPlan, Supervisor

    plan = RunPlan(live_rig(rig, None), "record", prepare(out), duration_s=duration)
    outcome = Supervisor(plan).run()
    for path in outcome.log_paths:
        console.print(f"log   {path}", highlight=False, soft_wrap=True)


@app.command()
def demo(
    out: OutOption = Path("out/demo"),
    strategy: StrategyOption = None,
    duration: Annotated[float, typer.Option("--duration", "-d", help="seconds")] = 20.0,
) -> None:
    """Run the synthetic rig and kill its LiDAR in the middle: every tick comes all the same.

    Example: sensorfuse demo --out out/demo
    """
    from sensorfuse.inject.fault import Fault
    from sensorfuse.nodes.supervisor import RunPlan

    outage = Fault(target="lidar", kind="kill", at_s=round(0.4 * duration, 1), for_s=round(0.2 * duration, 1))
    execute_plan(
        RunPlan(find_rig("synthetic", strategy), "run", prepare(out), duration_s=duration, faults=(outage,)), duration
    )


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False) -> None:
    """Say what is installed, which engines and GPUs answer, which ports are free.

    Example: sensorfuse doctor
    """
    from sensorfuse.report.doctor import examine, print_findings

    findings = examine()
    if as_json:
        print(json.dumps(findings, indent=2))
    else:
        print_findings(findings, console)
