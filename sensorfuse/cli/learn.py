"""Commands about how good strategies are and why they say what they say: `sensorfuse eval ...`, explain."""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from sensorfuse.cli.app import RigOption, StrategyOption, app, console, prepare

EVALUATIONS = {
    "accuracy": "scores on unseen worlds, with every sensor and with each one missing",
    "robustness": "scores under corruptions, with every set of sensors, and after gaps",
    "streaming_accuracy": "scores of what was published when the truth happened, of a fused log",
    "activity": "the other task: activities from inertial sensor and skeleton (UTD-MHAD)",
}
"""Modules of `sensorfuse.fusion.evaluation` whose `main` takes the words after the command."""

eval_app = typer.Typer(help="How good fusion strategies are.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(eval_app, name="eval")


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
