"""Commands about safety: keys, fuzz."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from sensorfuse.cli.app import JsonOption, app, console, write_figures

keys_app = typer.Typer(help="Keys of hosts, for sensors on other hosts.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")


@keys_app.command("make")
def make_keys(
    name: Annotated[str | None, typer.Argument(help="name of this host; default: its host name")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="make another pair in the place of the old one")] = False,
) -> None:
    """Make this host's key pair, and say what the other hosts have to be told.

    Example: sensorfuse keys make brain
    """
    from sensorfuse.keys import KeyRing

    ring = KeyRing()
    public = ring.make(name, replace)
    host = ring.own()[0]
    print(f"{host} {public}")
    Console(stderr=True).print(
        f"on each host that this one talks to: sensorfuse keys allow {host} '{public}'",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


@keys_app.command("list")
def list_keys() -> None:
    """List the hosts that are known, each with its public key; this one is marked.

    Example: sensorfuse keys list
    """
    from sensorfuse.keys import KeyRing

    ring = KeyRing()
    own = ring.own()[0] if ring.exists else None
    for name, public in ring.known().items():
        print(f"{name} {public}{' (this host)' if name == own else ''}")


@keys_app.command("allow")
def allow_key(
    name: Annotated[str, typer.Argument(help="name of the other host, as its own key says")],
    public: Annotated[str, typer.Argument(help="its public key, as `keys list` prints it there")],
) -> None:
    """Let another host in, and believe its sockets to be its only with this key.

    Example: sensorfuse keys allow roof 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'
    """
    from sensorfuse.keys import KeyRing

    KeyRing().allow(name, public)


@keys_app.command("forget")
def forget_key(name: Annotated[str, typer.Argument(help="name of the other host")]) -> None:
    """Let a host in no longer, from its next connection on.

    Example: sensorfuse keys forget roof
    """
    from sensorfuse.keys import KeyRing

    KeyRing().forget(name)


@app.command()
def fuzz(
    target: Annotated[str | None, typer.Argument(help="one target; default: all, each its share of the runs")] = None,
    runs: Annotated[int, typer.Option("--runs", "-n", help="inputs to run", min=1)] = 10_000,
    seed: Annotated[int, typer.Option("--seed", help="the same seed makes the same inputs", min=0)] = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for inputs that showed a fault")] = Path("findings"),
    guided: Annotated[bool, typer.Option("--guided", help="by coverage, with atheris (extra `fuzz`)")] = False,
    as_json: JsonOption = None,
) -> None:
    """Run decoders, log readers and loaders on damaged and hostile input; ends with 1 where a fault is found.

    Example: sensorfuse fuzz wire_data --runs 100000 --seed 1
    """
    from sensorfuse.fuzz.campaign import fuzz as run_target
    from sensorfuse.fuzz.guided import fuzz_guided
    from sensorfuse.fuzz.table import TARGETS, find_target

    chosen = [find_target(target)] if target is not None else list(TARGETS.values())
    shares = sum(t.share for t in chosen)
    results = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting")
        for one in chosen:
            number = max(1, runs * one.share // shares)

            def show(done: int, name: str = one.name, total: int = number) -> None:
                bar.update(task, description=f"{name}: {done} of {total}")

            show(0)
            results.append((fuzz_guided if guided else run_target)(one, number, seed, out, show))
    for result in results:
        console.print(
            f"{result.target:18} {result.executions:9} executions {result.rate_hz:9.0f}/s "
            f"{len(result.findings)} findings",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        for found in result.findings:
            console.print(
                f"  {found.kind} ({found.count}x) {found.where}: {found.error}\n  input: {found.file}",
                style="red", markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip
    console.print(f"{sum(r.executions for r in results)} executions", highlight=False)
    figures = {
        r.target: {"executions": r.executions, "rate_hz": r.rate_hz, "findings": [vars(f) for f in r.findings]}
        for r in results
    }
    write_figures(figures, as_json)
    if any(r.findings for r in results):
        raise typer.Exit(1)
