"""`sensorfuse eval`: how good strategies are, on what they were not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from sensorfuse.cli.app import BAR, JsonOption, app, console, prepare, write_figures
from sensorfuse.errors import SensorfuseError

eval_app = typer.Typer(
    help="How good strategies are, on worlds they were not trained on.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(eval_app, name="eval")

ManyStrategies = Annotated[
    list[str] | None,
    typer.Option("--strategy", "-s", help="may be given again; `all`: every one that runs as installed; the default"),
]
WorldRig = Annotated[str, typer.Option("--rig", "-r", help="a rig with a simulated world")]
FirstSeed = Annotated[int, typer.Option("--seed", help="of the first world; below 5000 may be of training")]


@eval_app.command("accuracy")
def eval_accuracy(
    strategy: ManyStrategies = None,
    rig: WorldRig = "synthetic",
    scenario: Annotated[
        list[str] | None, typer.Option("--scenario", help="may be given again; default: those of training")
    ] = None,
    seed: FirstSeed = 5000,
    worlds: Annotated[int, typer.Option("--worlds", help="per scenario", min=1)] = 3,
    ticks: Annotated[int, typer.Option("--ticks", help="judged per world", min=1)] = 20,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="folder of trained networks; default: the shipped ones")
    ] = None,
    impute: Annotated[
        str, typer.Option("--impute", help="how missing features are filled in, as a rig's `fusion: impute` says")
    ] = "none",
    into_weights: Annotated[
        bool, typer.Option("--into-weights", help="put the scores into the records beside the weights too")
    ] = False,
    into_readme: Annotated[
        Path | None, typer.Option("--into-readme", help="a README whose table of strategies is made anew")
    ] = None,
    as_json: JsonOption = None,
) -> None:
    """Detection scores, own motion and sounds on unseen worlds, with every sensor and with each one missing.

    Example: sensorfuse eval accuracy --strategy late --strategy hybrid --worlds 1 --json out/accuracy.json
    Example: sensorfuse eval accuracy --strategy hybrid --scenario town_dusk --scenario town_downpour
    """
    from sensorfuse.fusion.evaluation.accuracy import evaluate, into_cards, print_scores
    from sensorfuse.fusion.evaluation.accuracy_table import around_table, write_into
    from sensorfuse.fusion.imputation.imputer import METHODS
    from sensorfuse.fusion.model_files import weights_folder
    from sensorfuse.fusion.training.dataset import DataConfig
    from sensorfuse.rig import shipped_rig

    if impute not in ("none", *METHODS):
        raise SensorfuseError(f"--impute {impute}: expected none, {', '.join(METHODS)}")
    model = shipped_rig(rig).with_fusion(impute=impute)
    folder = weights or weights_folder()
    names = _strategies(strategy, folder)
    if into_weights:
        prepare(folder, "--into-weights")
    if into_readme:
        around_table(into_readme)  # what is wrong with it is told before minutes of judging
    chosen = [(s, seed + k) for k in range(worlds) for s in scenario or DataConfig().scenarios]
    with Progress(*BAR, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task("judging worlds", total=len(chosen))
        scores = evaluate(model, names, chosen, ticks, folder, lambda done: bar.update(shown, completed=done))
    print_scores(scores, console)
    write_figures(scores, as_json)
    if into_weights:
        into_cards(scores, folder)
    if into_readme:
        write_into(into_readme, folder)


def _strategies(given: list[str] | None, folder: Path) -> list[str]:
    from sensorfuse.fusion.strategies import find_strategy, ready_strategies

    if not given or "all" in given:
        return ready_strategies(folder)
    return [find_strategy(name).name for name in given]


@eval_app.command("robustness")
def eval_robustness(
    strategy: ManyStrategies = None,
    corruption: Annotated[
        list[str] | None, typer.Option("--corruption", help="may be given again; default: every one there is")
    ] = None,
    rig: WorldRig = "synthetic",
    scenario: Annotated[
        list[str] | None, typer.Option("--scenario", help="may be given again; default: the rig's own")
    ] = None,
    seed: FirstSeed = 5000,
    worlds: Annotated[
        int | None, typer.Option("--worlds", help="per scenario; default: what ends in a quarter of an hour")
    ] = None,
    runs: Annotated[int | None, typer.Option("--runs", help="per world; default: likewise")] = None,
    ticks: Annotated[int, typer.Option("--ticks", help="per run that are scored")] = 4,
    levels: Annotated[int, typer.Option("--levels", help="from 0 to 1, both included; 11 for fine curves")] = 4,
    quick: Annotated[
        bool, typer.Option("--quick", help="one tick, every third corruption, only the worst level")
    ] = False,
    as_json: JsonOption = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="folder for plots (PNG)")] = None,
) -> None:
    """Scores under corruptions, with every set of sensors, and after gaps, beside late fusion and the best sensor.

    Example: sensorfuse eval robustness --strategy late --strategy hybrid --quick --json out/robustness.json
    """
    from sensorfuse.fusion.evaluation.robustness import RobustnessConfig, assess
    from sensorfuse.fusion.evaluation.robustness_plots import write_plots
    from sensorfuse.fusion.evaluation.robustness_table import print_tables
    from sensorfuse.fusion.model_files import weights_folder
    from sensorfuse.rig import shipped_rig

    model, names = shipped_rig(rig), _strategies(strategy, weights_folder())
    config = RobustnessConfig(
        corruptions=tuple(corruption or ()),
        scenarios=tuple(scenario or ()),
        seed=seed,
        worlds=worlds,
        runs=runs,
        ticks=ticks,
        levels=levels,
        quick=quick,
    )
    with Progress(*BAR, console=Console(stderr=True), transient=True) as bar:
        shown: dict[str, TaskID] = {}

        def tell(what: str, share: float) -> None:
            if what not in shown:
                shown[what] = bar.add_task(what, total=1.0)
            bar.update(shown[what], completed=share)

        report = assess(model, names, config.protocol(model, names), tell)
    print_tables(report)
    write_figures(report, as_json)
    for path in write_plots(report, prepare(out)) if out else []:
        console.print(str(path), highlight=False, soft_wrap=True)


@eval_app.command("streaming-accuracy")
def eval_streaming_accuracy(
    log: Annotated[Path, typer.Argument(help="log with fused frames")],
    truth: Annotated[Path | None, typer.Option("--truth", help="log with the truth; default: the same")] = None,
    latency_ms: Annotated[
        list[float] | None,
        typer.Option("--latency-ms", help="from reference time to published; may be given again; default: 100"),
    ] = None,
    as_json: JsonOption = None,
) -> None:
    """Scores of what was published when the truth happened, of a fused log.

    Example: sensorfuse eval streaming-accuracy out/run/fused.mcap --truth drive.mcap --latency-ms 80
    """
    from sensorfuse.fusion.evaluation.streaming_accuracy import score_log, table

    scores = score_log(log, truth, latency_ms or [100.0])
    print(table(scores))
    write_figures(scores, as_json)


@eval_app.command("activity")
def eval_activity(
    data: Annotated[Path, typer.Option("--data", help="folder of UTD-MHAD, with Inertial/ and Skeleton/")],
    strategy: Annotated[
        list[str] | None, typer.Option("--strategy", "-s", help="may be given again; default: hybrid")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="judge networks of `sensorfuse train --task activity`, train none")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="runs of each strategy", min=1)] = 5,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1)] = None,
    cross_validate: Annotated[
        bool, typer.Option("--cross-validate", help="inside the training subjects, one left out at a time")
    ] = False,
    as_json: JsonOption = None,
) -> None:
    """The other task: train on activities of some people (inertial sensor and skeleton), judge by those of others.

    Example: sensorfuse eval activity --data UTD_MHAD --strategy hybrid --seeds 5 --json out/activity.json
    """
    try:
        from sensorfuse.fusion.evaluation.activity import evaluate, judge_published, table
        from sensorfuse.fusion.training.activity import ACTIVITY_CONFIG
    except ImportError as error:
        raise SensorfuseError(f"this needs `pip install 'sensorfuse[train]'` ({error})") from None
    from sensorfuse.fusion.training.activity_data import make_windows, read_recordings

    windows = make_windows(read_recordings(data))
    if as_json is not None:
        prepare(as_json.parent)
    if weights is not None:
        scores = judge_published(weights, strategy or ["hybrid"], windows)
        write_figures(scores, as_json)
    else:
        config = ACTIVITY_CONFIG if epochs is None else ACTIVITY_CONFIG.model_copy(update={"epochs": epochs})
        scores = evaluate(windows, strategy or ["hybrid"], seeds, config, None, cross_validate, as_json)
    print(table(scores["strategies"]))
