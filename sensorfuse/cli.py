"""The `sensorfuse` command: thin commands, no logic. A SensorfuseError is printed and ends with code 2."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sensorfuse import __version__
from sensorfuse.errors import SensorfuseError

app = typer.Typer(
    help="Streaming multisensor fusion: run it on a robot, replay recorded logs, measure it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
bench_app = typer.Typer(help="Measurements that print figures.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(bench_app, name="bench")
console = Console()
SIMULATED_EPOCH_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z: any instant, the same in every simulated log

RigOption = Annotated[str, typer.Option("--rig", "-r", help="rig file, or the name of a shipped rig")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="folder for the fused log, summary.json and report.html")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="write the figures there")]
ScenarioOption = Annotated[
    str | None,
    typer.Option("--scenario", help="synthetic world: a shipped scenario or a .yaml file; default: the rig's"),
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="of the synthetic world; default: the rig's", min=0)]
StrategyOption = Annotated[str | None, typer.Option("--strategy", "-s", help="fusion strategy; default: the rig's")]


def main() -> None:
    """Entry point of the `sensorfuse` command."""
    try:
        app()
    except SensorfuseError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(2) from None


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False) -> None:
    if version:
        print(f"sensorfuse {__version__}")
        raise typer.Exit


def _rig(name: str, strategy: str | None) -> Any:
    from sensorfuse.fusion.strategies import find_strategy
    from sensorfuse.rig import load_rig

    rig = load_rig(name)
    rig = rig if strategy is None else rig.with_fusion(strategy=strategy)
    find_strategy(rig.fusion.strategy)
    return rig


def _live_rig(name: str, strategy: str | None, scenario: str | None = None, seed: int | None = None) -> Any:
    """A rig whose sensors can run: there are no device drivers yet, so it needs a simulated world."""
    from sensorfuse.rig import is_scenario_file
    from sensorfuse.sim.scenario import load_scenario

    rig = _rig(name, strategy)
    if scenario is not None and is_scenario_file(scenario):
        scenario = str(Path(scenario).resolve())  # the sensors' processes look for it too
    if scenario is not None or (seed is not None and rig.sim is not None):
        rig = rig.with_sim(scenario, seed)
    if rig.sim is None:
        raise SensorfuseError(
            f"rig {rig.name!r} has no `sim` block and this version has no device drivers: "
            f"`sensorfuse replay LOG --rig {name}` runs it on a log; "
            "a `sim` block or `--scenario town` gives it a synthetic world"
        )
    load_scenario(rig.sim.scenario)  # a fault in it is told before any process starts
    return rig


def _prepare(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SensorfuseError(f"--out {out}: cannot write there: {error}") from None
    return out


def _execute(plan: Any, total_s: float | None = None) -> None:
    """Run a plan with a progress bar and print what came of it."""
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
        result = execute(plan)
    print_summary(result.summary, console)
    console.print(f"fused log   {result.out / 'fused.mcap'}", highlight=False, soft_wrap=True)
    console.print(f"summary     {result.out / 'summary.json'}", highlight=False, soft_wrap=True)
    console.print(f"report      {result.report}", highlight=False, soft_wrap=True)
    if result.failures:
        raise SensorfuseError("the run went on, but " + "; ".join(result.failures))


@app.command()
def run(
    rig: Annotated[str, typer.Argument(help="rig file, or the name of a shipped rig")],
    out: OutOption = Path("out/run"),
    strategy: StrategyOption = None,
    duration: Annotated[float | None, typer.Option("--duration", "-d", help="seconds; default: until Ctrl-C")] = None,
    record_inputs: Annotated[bool, typer.Option("--record-inputs", help="record the sensors' samples too")] = False,
    scenario: ScenarioOption = None,
    seed: SeedOption = None,
) -> None:
    """Run a rig live: every sensor a process, fused frames until Ctrl-C.

    Example: sensorfuse run synthetic --scenario town_fog --duration 20 --out out/run
    """
    from sensorfuse.nodes.supervisor import RunPlan

    model = _live_rig(rig, strategy, scenario, seed)
    _execute(RunPlan(model, "run", _prepare(out), duration_s=duration, record_inputs=record_inputs), duration)


@app.command()
def replay(
    log: Annotated[
        Path, typer.Argument(help="MCAP, ROS bag, or a folder of RADIATE, EuRoC, KITTI raw, nuScenes; or a GoPro MP4")
    ],
    rig: RigOption = "synthetic",
    out: OutOption = Path("out/replay"),
    strategy: StrategyOption = None,
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

    model = _rig(rig, strategy)
    start_ns = check_log(log, model, allow_missing)
    plan = RunPlan(
        model, "replay", _prepare(out), log=log, log_start_ns=start_ns, rate=_rate(rate), deterministic=deterministic
    )
    _execute(plan)


def _rate(text: str) -> float | None:
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

    plan = RunPlan(_live_rig(rig, None), "record", _prepare(out), duration_s=duration)
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
    from sensorfuse.nodes.supervisor import Outage, RunPlan

    outage = Outage("lidar", round(0.4 * duration, 1), round(0.2 * duration, 1))
    _execute(
        RunPlan(_rig("synthetic", strategy), "run", _prepare(out), duration_s=duration, outages=(outage,)), duration
    )


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

    world = SimulatedRig(_rig(rig, None), scenario, seed, SIMULATED_EPOCH_NS)
    duration_ns = _duration_ns(duration)
    _writable(target, force)
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

    model = _rig(rig, None)
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
    _prepare(target.parent)
    figure = contact_sheet(_rig(rig, None), scenarios or list(shipped()), seed, at)
    target.write_bytes(png_bytes(figure, 100) if target.suffix == ".png" else jpeg_bytes(figure, 100))
    console.print(f"picture   {target}", highlight=False, soft_wrap=True)


def _duration_ns(seconds: float) -> int:
    if not 0 < seconds < 86_400:
        raise SensorfuseError(f"--duration {seconds:g}: expected more than 0 seconds and less than a day")
    return round(seconds * 1e9)


def _writable(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise SensorfuseError(f"{target} exists; pass --force to overwrite it")
    _prepare(target.parent)


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
        _writable(write, force)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {log}")

        def show(messages: int, seconds: float) -> None:
            bar.update(task, description=f"reading {log}: {messages} messages, {seconds:.0f} s of the log")

        model, report = survey_log(log, rig, content, show)
    print_report(report, console)
    deadline = None if model is None else model.fusion.deadline_ms
    if out is not None:
        console.print(f"page   {write_sync_page(_prepare(out), report, deadline)}", highlight=False, soft_wrap=True)
    if write is not None:
        write_rig(rig, model, report.settings, write)
        console.print(f"rig    {write}", highlight=False, soft_wrap=True)
    _write_figures(report.to_dict(), as_json)


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

    _writable(target, force)
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


@bench_app.command("pipeline")
def bench_pipeline(
    rig: RigOption = "synthetic",
    strategy: StrategyOption = None,
    duration: Annotated[float, typer.Option("--duration", "-d", help="seconds of live run")] = 30.0,
    as_json: JsonOption = None,
) -> None:
    """Live overhead: from a tick's last needed sample to its fused frame, without the model's own time.

    Example: sensorfuse bench pipeline --duration 30 --json out/pipeline.json
    """
    from sensorfuse.bench.pipeline import measure, print_figures

    model = _live_rig(rig, strategy)
    with console.status(f"making up {duration:g} s of the world, then running as long"):
        figures = measure(model, duration)
    print_figures(figures, console)
    _write_figures(figures, as_json)


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
    _write_figures({"goals": found}, as_json)


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

    figures = measure(_live_rig(rig, None, scenario), duration)
    print_figures(figures, console)
    _write_figures(figures, as_json)


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
    _write_figures(figures, as_json)


def _write_figures(figures: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        _prepare(path.parent)
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
