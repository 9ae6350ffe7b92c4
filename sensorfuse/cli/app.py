"""The application that commands are added to, their common options, and what several of them do."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sensorfuse import __version__
from sensorfuse.errors import SensorfuseError
from sensorfuse.plain_json import plain

app = typer.Typer(
    help="Streaming multisensor fusion: run it on a robot, replay recorded logs, measure it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Console()
BAR = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
"""Columns of the progress of what takes minutes."""

RigOption = Annotated[str, typer.Option("--rig", "-r", help="rig file, or the name of a shipped rig")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="folder for the fused log, summary.json and report.html")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="write the figures there")]
ScenarioOption = Annotated[
    str | None,
    typer.Option("--scenario", help="synthetic world: a shipped scenario or a .yaml file; default: the rig's"),
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="of the synthetic world; default: the rig's", min=0)]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="folder of networks that `sensorfuse train` wrote; default: the rig's")
]
StrategyOption = Annotated[str | None, typer.Option("--strategy", "-s", help="fusion strategy; default: the rig's")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False) -> None:
    if version:
        print(f"sensorfuse {__version__}")
        raise typer.Exit


def find_rig(name: str, strategy: str | None, weights: Path | None = None) -> Any:
    from sensorfuse.fusion.model_files import read_card, weights_of
    from sensorfuse.fusion.strategies import find_strategy
    from sensorfuse.rig import load_rig

    rig = load_rig(name)
    rig = rig if strategy is None else rig.with_fusion(strategy=strategy)
    rig = rig if weights is None else rig.with_fusion(weights=str(weights.resolve()))  # processes look for it too
    row = find_strategy(rig.fusion.strategy)
    if row.kind == "learned" and rig.fusion.weights:
        read_card(weights_of(rig), row.name)  # a fault in it is told before any process starts
    return rig


def live_rig(
    name: str,
    strategy: str | None,
    scenario: str | None = None,
    seed: int | None = None,
    weights: Path | None = None,
) -> Any:
    """A rig whose sensors can run: there are no device drivers yet, so it needs a simulated world."""
    from sensorfuse.rig import is_scenario_file
    from sensorfuse.sim.scenario import load_scenario

    rig = find_rig(name, strategy, weights)
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


def prepare(out: Path, option: str = "--out") -> Path:
    """A folder that can be written into, made if need be. `option`: what it was asked for by.

    Raises:
        SensorfuseError: it can't be written into.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SensorfuseError(f"{option} {out}: cannot write there: {error}") from None
    return out


def command_line() -> str:
    """What the user typed, for records and pages."""
    return shlex.join(["sensorfuse", *sys.argv[1:]])


def writable(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise SensorfuseError(f"{target} exists; pass --force to overwrite it")
    prepare(target.parent)


def write_figures(figures: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        prepare(path.parent)
        path.write_text(json.dumps(plain(figures), indent=2, allow_nan=False) + "\n", encoding="utf-8")
