"""Commands that measure: `sensorfuse bench ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sensorfuse.cli.app import (
    JsonOption,
    RigOption,
    ScenarioOption,
    StrategyOption,
    app,
    console,
    find_rig,
    live_rig,
    write_figures,
)
from sensorfuse.errors import SensorfuseError

bench_app = typer.Typer(help="Measurements that print figures.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(bench_app, name="bench")


@bench_app.command("pipeline")
def bench_pipeline(
    rig: RigOption = "synthetic",
    strategy: StrategyOption = None,
    duration: Annotated[float, typer.Option("--duration", "-d", help="seconds of live run")] = 30.0,
    search: Annotated[bool, typer.Option("--find-rate", help="the highest rate with < 1 % late ticks")] = False,
    overload: Annotated[
        float, typer.Option("--overload", min=0, help="then a run at so many times that rate: what is shed")
    ] = 0.0,
    encoding: Annotated[
        int, typer.Option("--encoding", min=0, help="so many runs each with encoders on arrival and at the tick")
    ] = 0,
    as_json: JsonOption = None,
) -> None:
    """Live overhead: from a tick's last needed sample to its fused frame, without the model's own time.

    Example: sensorfuse bench pipeline --duration 30 --find-rate --overload 2 --json out/pipeline.json
    """
    from sensorfuse.bench import pipeline_load as load
    from sensorfuse.bench.pipeline import measure, print_figures

    model = live_rig(rig, strategy)
    with console.status(f"making up {duration:g} s of the world, then running as long") as status:
        figures = measure(model, duration)
        print_figures(figures, console)
        if encoding:
            figures["encoding"] = load.compare_encoding(model, duration, encoding, status.update)
            load.print_encoding(figures["encoding"], console)
        if search or overload:
            figures["highest"] = load.find_rate(model, min(duration, 8.0), status.update)
            load.print_rate(figures["highest"], console)
        if overload:
            status.update("overload")
            rate_hz = figures["highest"]["rate_hz"]
            figures["overload"] = load.overload(model, rate_hz, overload, min(duration, 8.0))
            load.print_overload(figures["overload"], console)
    write_figures(figures, as_json)


@bench_app.command("align")
def bench_align(
    part: Annotated[list[str] | None, typer.Option("--part", help="one part only; may be given again")] = None,
    as_json: JsonOption = None,
) -> None:
    """How well streams are aligned, against the goals set for it, wherever the truth is known.

    Example: sensorfuse bench align --part clocks --json out/align.json
    """
    from sensorfuse.bench.align import PARTS
    from sensorfuse.bench.goals import figures, print_goals

    unknown = [p for p in part or [] if p not in PARTS]
    if unknown:
        raise SensorfuseError(f"--part: no part is called {unknown[0]!r}; there are {', '.join(PARTS)}")
    found: dict[str, Any] = {}
    for name in part or PARTS:
        title, measure = PARTS[name]
        try:
            with console.status(f"measuring {title}"):
                goals = measure()
        except SensorfuseError as error:
            if part:
                raise
            console.print(f"{title}: left out: {error}", markup=False, highlight=False, soft_wrap=True)
            continue
        print_goals(title, goals, console)
        found[name] = figures(goals)
    write_figures({"goals": found}, as_json)


@bench_app.command("sim")
def bench_sim(
    rig: RigOption = "synthetic",
    duration: Annotated[float, typer.Option("--duration", "-d", help="simulated seconds of each sensor")] = 5.0,
    scenario: ScenarioOption = None,
    as_json: JsonOption = None,
) -> None:
    """How much faster than real time each sensor of a synthetic rig is simulated, on one core.

    Example: sensorfuse bench sim --duration 5 --json out/sim.json
    """
    from sensorfuse.bench.sim import measure, print_figures

    figures = measure(live_rig(rig, None, scenario), duration)
    print_figures(figures, console)
    write_figures(figures, as_json)


@bench_app.command("dtw")
def bench_dtw(
    repetitions: Annotated[int, typer.Option("--repetitions", min=3, help="rounds of each measurement")] = 41,
    as_json: JsonOption = None,
) -> None:
    """The DTW kernels beside the public libraries that are installed, streaming costs, the lag path's error, and goals.

    Example: sensorfuse bench dtw --json out/dtw.json
    """
    from sensorfuse.bench.dtw import measure, print_figures

    figures = measure(repetitions)
    print_figures(figures, console)
    write_figures(figures, as_json)


@bench_app.command("health")
def bench_health(
    seconds: Annotated[float, typer.Option("--seconds", help="of each scenario, more than 2")] = 6.0,
    seed: Annotated[int, typer.Option("--seed")] = 40,
    as_json: JsonOption = None,
) -> None:
    """False health alarms in worlds without faults, and how soon frozen and lost streams lose and regain their vote.

    With --seconds 280 it sees an hour in all.

    Example: sensorfuse bench health --json out/health.json
    """
    from sensorfuse.bench.goals import figures, print_goals
    from sensorfuse.bench.health import measure

    goals = measure(seconds, seed=seed)
    print_goals("health", goals, console)
    write_figures({"goals": {"health": figures(goals)}}, as_json)


@bench_app.command("faults")
def bench_faults(
    kind: Annotated[list[str] | None, typer.Option("--fault", help="one kind only; may be given again")] = None,
    modality: Annotated[list[str] | None, typer.Option("--modality", help="one only; may be given again")] = None,
    every: Annotated[bool, typer.Option("--all", help="every kind for every modality, and every pair killed")] = False,
    rig: RigOption = "synthetic",
    strategy: StrategyOption = None,
    log: Annotated[
        Path | None, typer.Option("--log", help="a recorded world with its truth, in place of one made up")
    ] = None,
    as_json: JsonOption = None,
) -> None:
    """The matrix of faults: ticks published, gaps, scores before, during and after, and the time to recover.

    Example: sensorfuse bench faults --modality lidar --json out/faults.json
    """
    from sensorfuse.bench.faults import KINDS, all_rows, few_rows, measure, print_figures
    from sensorfuse.messages import MODALITIES

    for given, known, name in ((kind, KINDS, "--fault"), (modality, MODALITIES, "--modality")):
        unknown = [g for g in given or [] if g not in known]
        if unknown:
            raise SensorfuseError(f"{name}: there is no {unknown[0]!r}; there are {', '.join(known)}")
    chosen = all_rows([m for m in MODALITIES if m in (modality or MODALITIES)], kind or tuple(KINDS))
    rows = chosen if every or kind or modality else few_rows()
    with console.status("starting") as status:
        model = live_rig(rig, strategy) if log is None else find_rig(rig, strategy)
        figures = measure(model, rows, log, status.update)
    print_figures(figures, console)
    write_figures(figures, as_json)
