"""Commands about strategies: train, how good they are (`sensorfuse eval ...`), and why they say what they say."""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sensorfuse.cli.app import JsonOption, RigOption, StrategyOption, app, console, prepare, write_figures
from sensorfuse.errors import SensorfuseError

EVALUATIONS = {
    "robustness": "scores under corruptions, with every set of sensors, and after gaps",
    "streaming_accuracy": "scores of what was published when the truth happened, of a fused log",
    "activity": "the other task: activities from inertial sensor and skeleton (UTD-MHAD)",
}
"""Modules of `sensorfuse.fusion.evaluation` whose `main` takes the words after the command."""

eval_app = typer.Typer(
    help="How good strategies are, on worlds they were not trained on.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(eval_app, name="eval")

ManyStrategies = Annotated[
    list[str] | None,
    typer.Option("--strategy", "-s", help="may be given again; `all`: every one that runs as installed; the default"),
]
ManyScenarios = Annotated[
    list[str] | None, typer.Option("--scenario", help="may be given again; default: those of training")
]
BAR = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())


@app.command()
def train(
    strategy: Annotated[list[str], typer.Option("--strategy", "-s", help="may be given again: they share encoders")],
    task: Annotated[str, typer.Option("--task", help="driving")] = "driving",
    data: Annotated[Path | None, typer.Option("--data", help="the examples; made there if it is not")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the weights and their record")] = Path(
        "out/train"
    ),
    encoders: Annotated[
        Path | None,
        typer.Option("--encoders", help="kept as they are (`shipped`: those installed); default: trained too"),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1)] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=2)] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate")] = None,
    weight_decay: Annotated[float | None, typer.Option("--weight-decay", min=0)] = None,
    dropout: Annotated[
        list[float] | None, typer.Option("--dropout", help="how often a modality is left out: once, or one for each")
    ] = None,
    outage_length: Annotated[
        float | None, typer.Option("--outage-length", help="mean length in examples of blocks of time left out", min=0)
    ] = None,
    modulation: Annotated[
        float | None, typer.Option("--modulation", help="strength of gradient modulation against imbalance", min=0)
    ] = None,
    patience: Annotated[int | None, typer.Option("--patience", min=1)] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0)] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
    worlds: Annotated[int, typer.Option("--worlds", help="driving: to simulate, per scenario", min=2)] = 40,
    held_out: Annotated[int, typer.Option("--held-out", help="driving: of them, not trained on", min=1)] = 2,
    ticks: Annotated[int, typer.Option("--ticks", help="driving: examples per world", min=1)] = 40,
    scenario: ManyScenarios = None,
    jobs: Annotated[int, typer.Option("--jobs", help="worlds simulated at a time", min=1)] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="go on after the last whole epoch")] = False,
) -> None:
    """Train fusion strategies, from simulated worlds or a recorded data set to files that a robot runs.

    Example: sensorfuse train --task driving --strategy hybrid --data out/worlds --out out/hybrid
    """
    if task != "driving":
        raise SensorfuseError(f"--task {task}: expected driving; `sensorfuse eval activity` trains and judges activity")
    try:
        from sensorfuse.fusion.training.loop import TrainConfig
        from sensorfuse.fusion.training.train import train_driving
    except ImportError as error:
        raise SensorfuseError(f"training needs `pip install 'sensorfuse[train]'` ({error})") from None
    from pydantic import ValidationError

    given = {
        "strategies": tuple(strategy),
        "epochs": epochs,
        "batch": batch,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "dropout": tuple(dropout) if dropout else None,
        "outage_length": outage_length,
        "modulation": modulation,
        "patience": patience,
        "seed": seed,
        "threads": threads,
    }
    settings = {k: v for k, v in given.items() if v is not None}
    try:
        config = TrainConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = "--" + str(first["loc"][0]).replace("_", "-")
        raise SensorfuseError(f"{name} {first['input']!r}: {first['msg'].lower()}") from None
    command = shlex.join(["sensorfuse", *sys.argv[1:]])
    folder = data or Path("out/driving")
    _make_data(folder, worlds, held_out, ticks, scenario, jobs)
    train_driving(config, folder, prepare(out), command, _encoders(encoders), resume)
    console.print(f"weights   {out}", highlight=False, soft_wrap=True)


def _encoders(given: Path | None) -> Path | None:
    from sensorfuse.fusion.model_files import ENCODERS_FILE, weights_folder

    return weights_folder() / ENCODERS_FILE if given == Path("shipped") else given


def _make_data(folder: Path, worlds: int, held_out: int, ticks: int, scenarios: list[str] | None, jobs: int) -> None:
    """The examples of a folder: those that are there, or made now."""
    from sensorfuse.fusion.training.dataset import INDEX_FILE, DataConfig, make_data

    if (folder / INDEX_FILE).exists():
        return
    config = DataConfig(worlds=worlds, held_out=held_out, ticks=ticks)
    if scenarios:
        config = DataConfig(scenarios=tuple(scenarios), worlds=worlds, held_out=held_out, ticks=ticks)
    with Progress(*BAR, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task(f"simulating worlds into {prepare(folder)}", total=None)
        for done, total in make_data(config, folder, jobs):
            bar.update(shown, completed=done, total=total)


@eval_app.command("accuracy")
def eval_accuracy(
    strategy: ManyStrategies = None,
    rig: Annotated[str, typer.Option("--rig", "-r", help="a rig with a simulated world")] = "synthetic",
    scenario: ManyScenarios = None,
    seed: Annotated[int, typer.Option("--seed", help="of the first world; below 5000 may be of training")] = 5000,
    worlds: Annotated[int, typer.Option("--worlds", help="per scenario", min=1)] = 3,
    ticks: Annotated[int, typer.Option("--ticks", help="judged per world", min=1)] = 20,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="folder of trained networks; default: the shipped ones")
    ] = None,
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
    """
    from sensorfuse.fusion.evaluation.accuracy import evaluate, into_cards, print_scores
    from sensorfuse.fusion.evaluation.accuracy_table import write_into
    from sensorfuse.fusion.model_files import weights_folder
    from sensorfuse.fusion.training.dataset import DataConfig
    from sensorfuse.rig import shipped_rig

    model = shipped_rig(rig)
    folder = weights or weights_folder()
    names = _strategies(strategy, folder)
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

    if not given or given == ["all"]:
        return ready_strategies(folder)
    return [find_strategy(name).name for name in given]


def _add_evaluation(name: str, summary: str) -> None:
    def forward(context: typer.Context) -> None:
        import_module(f"sensorfuse.fusion.evaluation.{name}").main(context.args)

    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    command = eval_app.command(
        name.replace("_", "-"),
        help=f"{summary[0].upper()}{summary[1:]}.",
        context_settings=settings,
        add_help_option=False,
    )
    command(forward)


for _name, _summary in EVALUATIONS.items():
    _add_evaluation(_name, _summary)


@app.command()
def explain(
    log: Annotated[Path, typer.Argument(help="any log that replay takes")],
    at: Annotated[float, typer.Option("--at", help="seconds after the log's first message", min=0)],
    rig: RigOption = "synthetic",
    strategy: StrategyOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for explain.json and explain.html")] = Path(
        "out/explain"
    ),
) -> None:
    """Say which sensors the objects, own motion and sounds of one tick came from: exact Shapley shares, and where the
    strategy attends what it looked at.

    Example: sensorfuse explain drive.mcap --rig my_rig.yaml --strategy hybrid --at 12.5 --out out/explain
    """
    from sensorfuse.fusion.explain.run import explain_to

    command = shlex.join(["sensorfuse", *sys.argv[1:]])
    figures, page = explain_to(log, rig, strategy, at, prepare(out), command)
    console.print(f"shares   {figures}", highlight=False, soft_wrap=True)
    console.print(f"page     {page}", highlight=False, soft_wrap=True)
