"""Commands about strategies: train them, and why they say what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from sensorfuse.cli.app import BAR, RigOption, StrategyOption, app, command_line, console, prepare
from sensorfuse.errors import SensorfuseError

TASKS = ("driving", "activity", "imputation")


@app.command()
def train(
    strategy: Annotated[list[str], typer.Option("--strategy", "-s", help="may be given again: they share encoders")],
    task: Annotated[
        str, typer.Option("--task", help="driving, activity, or imputation of missing features")
    ] = "driving",
    data: Annotated[
        Path | None,
        typer.Option("--data", help="driving: the examples, made there if it is not; activity: folder of UTD-MHAD"),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the weights and their record")] = Path(
        "out/train"
    ),
    encoders: Annotated[
        Path | None,
        typer.Option("--encoders", help="kept as they are (`shipped`: those installed); default: trained too"),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1)] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=2)] = None,
    back: Annotated[
        int | None, typer.Option("--back", help="consecutive ticks that gradients go back through", min=1)
    ] = None,
    averaging: Annotated[
        float | None, typer.Option("--averaging", help="keep a moving average of the weights, 0.99 say", min=0)
    ] = None,
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
    run_ticks: Annotated[
        int, typer.Option("--run-ticks", help="driving: consecutive ones, for strategies that remember", min=1)
    ] = 1,
    scenario: Annotated[
        list[str] | None,
        typer.Option("--scenario", help="driving: may be given again; default: six of town, highway, city"),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", help="worlds simulated at a time", min=1)] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="go on after the last whole epoch")] = False,
) -> None:
    """Train fusion strategies, from simulated worlds or a recorded data set to files that a robot runs.

    Example: sensorfuse train --task driving --strategy hybrid --data out/worlds --out out/hybrid
    Example: sensorfuse train --task activity --strategy hybrid --data UTD_MHAD --out out/activity
    Example: sensorfuse train --task imputation --strategy product_of_experts --data out/worlds --out out/impute
    """
    if task not in TASKS:
        raise SensorfuseError(f"--task {task}: expected {' or '.join(TASKS)}")
    try:
        from sensorfuse.fusion.imputation.task import IMPUTATION_CONFIG
        from sensorfuse.fusion.training.activity import ACTIVITY_CONFIG
        from sensorfuse.fusion.training.loop import TrainConfig
        from sensorfuse.fusion.training.train import train_activity, train_driving, train_imputation
    except ImportError as error:
        raise SensorfuseError(f"training needs `pip install 'sensorfuse[train]'` ({error})") from None
    from pydantic import ValidationError

    given = {
        "strategies": tuple(strategy),
        "epochs": epochs,
        "batch": batch,
        "back": back,
        "averaging": averaging,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "dropout": tuple(dropout) if dropout else None,
        "outage_length": outage_length,
        "modulation": modulation,
        "patience": patience,
        "seed": seed,
        "threads": threads,
    }
    usual = {"driving": TrainConfig(), "activity": ACTIVITY_CONFIG, "imputation": IMPUTATION_CONFIG}[task]
    try:
        config = TrainConfig.model_validate(usual.model_dump() | {k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = "--" + str(first["loc"][0]).replace("_", "-")
        raise SensorfuseError(f"{name} {first['input']!r}: {first['msg'].lower()}") from None
    command = command_line()
    if task == "activity":
        if data is None:
            raise SensorfuseError("--task activity needs --data: the folder of UTD-MHAD with Inertial/ and Skeleton/")
        train_activity(config, data, prepare(out), command, resume)
    else:
        folder = data or Path("out/driving")
        _make_data(folder, worlds, held_out, ticks, run_ticks, scenario, jobs)
        if task == "imputation":
            train_imputation(config, folder, prepare(out), command, _encoders(encoders or Path("shipped")), resume)
        else:
            train_driving(config, folder, prepare(out), command, encoders and _encoders(encoders), resume)
    console.print(f"weights   {out}", highlight=False, soft_wrap=True)


def _encoders(given: Path) -> Path:
    from sensorfuse.fusion.model_files import ENCODERS_FILE, weights_folder

    return weights_folder() / ENCODERS_FILE if given == Path("shipped") else given


def _make_data(
    folder: Path, worlds: int, held_out: int, ticks: int, run_ticks: int, scenarios: list[str] | None, jobs: int
) -> None:
    """The examples of a folder: those that are there, or made now."""
    from sensorfuse.fusion.training.dataset import INDEX_FILE, DataConfig, make_data

    if (folder / INDEX_FILE).exists():
        return
    config = DataConfig(worlds=worlds, held_out=held_out, ticks=ticks, run_ticks=run_ticks)
    config = replace(config, scenarios=tuple(scenarios)) if scenarios else config
    with Progress(*BAR, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task(f"simulating worlds into {prepare(folder)}", total=None)
        for done, total in make_data(config, folder, jobs):
            bar.update(shown, completed=done, total=total)


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

    command = command_line()
    figures, page = explain_to(log, rig, strategy, at, prepare(out), command)
    console.print(f"shares   {figures}", highlight=False, soft_wrap=True)
    console.print(f"page     {page}", highlight=False, soft_wrap=True)
