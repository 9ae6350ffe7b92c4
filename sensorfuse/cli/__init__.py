"""The `sensorfuse` command: thin commands, no logic. A SensorfuseError is printed and ends with code 2."""

from rich.console import Console

from sensorfuse.cli import bench, bench_speed, deploy, evaluate, inject, learn, logs, run, security, worlds
from sensorfuse.cli.app import app
from sensorfuse.errors import SensorfuseError

__all__ = [
    "app",
    "bench",
    "bench_speed",
    "deploy",
    "evaluate",
    "inject",
    "learn",
    "logs",
    "main",
    "run",
    "security",
    "worlds",
]


def main() -> None:
    """Entry point of the `sensorfuse` command."""
    try:
        app()
    except SensorfuseError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(2) from None
