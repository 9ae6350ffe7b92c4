"""Commands that break things on purpose: inject and soak."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensorfuse.cli.app import JsonOption, OutOption, RigOption, StrategyOption, app, console, prepare, write_figures
from sensorfuse.cli.run import execute_plan, plan_of, read_rate


@app.command()
def inject(
    target: Annotated[str, typer.Argument(help="a rig to run live, or a log to replay")],
    fault: Annotated[
        list[str] | None, typer.Option("--fault", "-f", help="TARGET:KIND[:VALUE][@START[+DURATION]]; may be repeated")
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option("--scenario", help="a .yaml file with faults, limits, duration_s and seed")
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option("--limit", help="MEASURE=NUMBER that must be kept; may be repeated")
    ] = None,
    out: OutOption = Path("out/inject"),
    rig: RigOption = "synthetic",
    strategy: StrategyOption = None,
    duration: Annotated[
        float | None, typer.Option("--duration", "-d", help="seconds of a live run; default: 4 after the last fault")
    ] = None,
    rate: Annotated[str, typer.Option("--rate", help="of a log: log seconds per second, or `max`")] = "1",
    seed: Annotated[int | None, typer.Option("--seed", help="of what faults leave to chance", min=0)] = None,
    kinds: Annotated[bool, typer.Option("--kinds", help="list the kinds of faults and the measures of limits")] = False,
) -> None:
    """Run or replay with faults, say what they cost, and pass (0) or fail (1) by limits.

    Example: sensorfuse inject synthetic --fault "lidar:drop:0.3@5+4" --fault camera:kill@8+2 --limit ticks_missed=0
    """
    from sensorfuse.inject.command import combine, describe_kinds
    from sensorfuse.report.faults import fault_table, limit_rows

    if kinds:
        console.print(describe_kinds(), highlight=False, markup=False, soft_wrap=True)
        return
    orders = combine(fault or [], limit or [], scenario, seed, duration)
    plan = plan_of(target, rig, strategy, prepare(out), read_rate(rate))
    plan.faults, plan.fault_seed = orders.faults, orders.seed
    plan.duration_s = orders.duration_s if plan.log is None else None
    result = execute_plan(plan, plan.duration_s, orders.limits, strict=False)
    damage = result.summary["faults"]
    console.print(fault_table(damage), soft_wrap=True)
    for row in limit_rows(damage):
        console.print(f"limit {row[0]}: measured {row[1]}, {row[2]}", highlight=False, markup=False)
    if not result.damage.kept:
        raise typer.Exit(1)


@app.command()
def soak(
    minutes: Annotated[float, typer.Option("--minutes", min=0.5, help="how long")] = 10.0,
    rate: Annotated[float, typer.Option("--rate", help="ticks per second")] = 20.0,
    seed: Annotated[int, typer.Option("--seed", help="of the faults", min=0)] = 0,
    rig: RigOption = "synthetic",
    strategy: StrategyOption = None,
    out: OutOption = Path("out/soak"),
    as_json: JsonOption = None,
) -> None:
    """Run the whole rig with random faults and check that nothing leaks, stops or goes uncounted; 1 if something does.

    Example: sensorfuse soak --minutes 10 --rate 20 --seed 1 --json out/soak.json
    """
    from sensorfuse.bench.soak import measure, print_figures
    from sensorfuse.cli.app import find_rig

    figures = measure(find_rig(rig, strategy), prepare(out), minutes, rate, seed, lambda text: console.print(text))
    print_figures(figures, console)
    write_figures(figures, as_json)
    if not figures["passed"]:
        raise typer.Exit(1)
